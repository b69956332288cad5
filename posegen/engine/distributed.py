"""Several processes: each trains on its share of the batch, and gradients are averaged before every step."""

from __future__ import annotations

import functools
import os
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from mmengine.dist import is_main_process
from torch import Tensor, nn

from ..errors import PosegenError
from ..registry import MODEL_WRAPPERS


def in_several_processes() -> bool:
    """Whether this process trains together with others."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def average_gradients(parameters: Sequence[nn.Parameter], loss: Tensor) -> Tensor:
    """Replace each gradient by its mean over all processes, in one reduction; does nothing in a single process.

    A stage's optimizer knows exactly which parameters train, so no parameter is ever "unused", and networks that run
    twice in a step (the discriminator) or not at all (the renderer in the flow stage) need no special care.

    Returns:
        The mean of *loss*, a single number, over all processes; it travels with the gradients.
    """
    if not in_several_processes():
        return loss.detach()
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    flat = torch.cat([*(_grad(p).flatten() for p in parameters), loss.detach().reshape(1)])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    *means, mean_loss = flat.split([*(p.numel() for p in parameters), 1])
    for parameter, mean in zip(parameters, means, strict=True):
        _grad(parameter).copy_(mean.view_as(parameter))
    return mean_loss.reshape(())


@functools.cache
def _group_on_cpu() -> Any:
    """A process group whose collectives do not wait for a GPU; None: the usual one is such a group."""
    return None if dist.get_backend() == "gloo" else dist.new_group(backend="gloo")


def largest_of_all(value: Tensor) -> Tensor:
    """The largest of a number, on the CPU, that each process has one of. All processes call it."""
    if in_several_processes():
        dist.all_reduce(value, dist.ReduceOp.MAX, group=_group_on_cpu())
    return value


def in_first_process(action: Callable[[], Any]) -> Any:
    """What *action* returns, done in the first process and told to all. All processes call it.

    Raises:
        PosegenError: that *action* raised, or, of what else it raised (a disk that is gone, a folder that may not be
            written to), one with its kind and words. In all processes, so that none waits for one that is gone.
    """
    outcome: list[Any] = [None, None]
    if is_main_process():
        try:
            outcome[0] = action()
        except PosegenError as error:
            outcome[1] = error
        except Exception as error:
            outcome[1] = PosegenError(f"in the first process: {type(error).__name__}: {error}")
            outcome[1].__cause__ = error  # for --traceback; it stays in this process
    if in_several_processes():
        dist.broadcast_object_list(outcome, src=0, group=_group_on_cpu())
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]


def gathered(value: Any) -> list[Any]:
    """What each process has, in the order of their ranks, in all of them. For rare events: it is pickled."""
    if not in_several_processes():
        return [value]
    values = [None] * dist.get_world_size()
    dist.all_gather_object(values, value, group=_group_on_cpu())
    return values


def _grad(parameter: nn.Parameter) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


def unwrapped(model: nn.Module) -> Any:
    """The trainer inside the wrapper that several processes need; *model* itself where there is none."""
    return getattr(model, "module", model)


@MODEL_WRAPPERS.register_module()
class GradientAveraging(nn.Module):
    """Stands where mmengine wants a distributed wrapper: starts all processes from the same weights, and hands on.

    The averaging itself is done by the trainer, see :func:`average_gradients`.

    Args:
        module: the trainer.
    """

    module: Any

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        for tensor in [*module.parameters(), *module.buffers()]:
            dist.broadcast(tensor.data, src=0)

    def train_step(self, *inputs: Any, **kwargs: Any) -> Any:
        """The trainer's."""
        return self.module.train_step(*inputs, **kwargs)

    def val_step(self, *inputs: Any) -> Any:
        """The trainer's."""
        return self.module.val_step(*inputs)

    def test_step(self, *inputs: Any) -> Any:
        """The trainer's."""
        return self.module.test_step(*inputs)


def start_processes_without_gpu(launcher: str) -> None:
    """Join the process group over gloo where there is no GPU.

    mmengine's ``init_dist`` calls ``torch.cuda.set_device`` whatever the backend, which fails on a CPU build of torch.
    It leaves a group alone that exists already. With GPUs, or ``launcher="none"``, nothing is done here.

    Raises:
        PosegenError: Slurm did not start this process, or its nodes have no address to meet at.
    """
    if launcher == "slurm":
        _check_slurm()
    if launcher == "none" or torch.cuda.is_available() or dist.is_initialized():
        return
    if launcher == "slurm":
        _name_slurm_process()
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        store = dist.TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), size, is_master=False)
        dist.init_process_group(backend="gloo", store=fresh_store(store, rank, size), rank=rank, world_size=size)
    else:
        dist.init_process_group(backend="gloo")


def fresh_store(store: dist.Store, rank: int, size: int) -> dist.Store:
    """A part of *store* that is new to the processes that meet now; all of them call it.

    torchrun keeps one store however often it starts its processes again, and torch 2.13 looks there for addresses
    without asking which start they are of: those that were started again would wait for those that died. So every
    process says hello by a word of its own, and goes on with what the first process that lives answers to that word. A
    count of starts would not do: with several nodes each counts for itself.
    """
    if rank:
        word = uuid.uuid4().hex
        store.set(f"hello {rank}", word)
        token = store.get(f"answer {word}").decode()
        store.set(f"thanks {token} {rank}", "")
        return dist.PrefixStore(token, store)
    token = uuid.uuid4().hex
    end = time.monotonic() + store.timeout.total_seconds()  # type: ignore[attr-defined]
    waited_for = set(range(1, size))
    while waited_for:
        if time.monotonic() > end:
            raise PosegenError(f"processes {sorted(waited_for)} of {size} did not come to train together")
        for other in sorted(waited_for):
            if store.check([f"hello {other}"]):  # perhaps of one that died: then no thanks come, and another hello
                store.set(f"answer {store.get(f'hello {other}').decode()}", token)
        time.sleep(0.05)
        waited_for = {other for other in waited_for if not store.check([f"thanks {token} {other}"])}
    return dist.PrefixStore(token, store)


def _check_slurm() -> None:
    missing = [name for name in ("SLURM_PROCID", "SLURM_NTASKS") if name not in os.environ]
    if missing:
        raise PosegenError(
            f"--launcher slurm, but {' and '.join(missing)} is not set: start the command with srun, "
            "or give --launcher pytorch under torchrun"
        )


def _name_slurm_process() -> None:
    """Tell torch what Slurm calls this process, as mmengine does on GPUs."""
    nodes = int(os.environ.get("SLURM_NNODES", "1"))
    if nodes > 1 and not {"MASTER_ADDR", "SLURM_LAUNCH_NODE_IPADDR"} & os.environ.keys():
        raise PosegenError(
            f"the processes of {nodes} nodes do not know where to meet: set MASTER_ADDR to the first node's address, "
            'for example MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)'
        )
    os.environ["RANK"] = os.environ["SLURM_PROCID"]
    os.environ["WORLD_SIZE"] = os.environ["SLURM_NTASKS"]
    os.environ["LOCAL_RANK"] = os.environ.get("SLURM_LOCALID", "0")
    os.environ.setdefault("MASTER_PORT", "29500")
    os.environ.setdefault("MASTER_ADDR", os.environ.get("SLURM_LAUNCH_NODE_IPADDR", "127.0.0.1"))
