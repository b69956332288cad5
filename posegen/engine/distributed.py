"""Training in several processes: each has a share of the batch, and gradients are averaged before every step."""

from __future__ import annotations

import atexit
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


def is_distributed() -> bool:
    """Return whether this process trains together with others."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


# Communication


def broadcast_weights(module: nn.Module) -> None:
    """Give all processes the first one's parameters and buffers."""
    if is_distributed():
        for tensor in [*module.parameters(), *module.buffers()]:
            dist.broadcast(tensor.data, src=0)


def average_gradients(parameters: Sequence[nn.Parameter], loss: Tensor) -> Tensor:
    """Replace each gradient by its mean over all processes, in one reduction; does nothing in a single process.

    Used instead of ``DistributedDataParallel``: a stage's optimizer knows exactly which parameters train, so networks
    that run twice in a step (the discriminator) or not at all (the renderer in the flow stage) need no special care.

    Returns:
        The mean of *loss*, a single number, over all processes; it is reduced together with the gradients.
    """
    if not is_distributed():
        return loss.detach()
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([*(gradient.flatten() for gradient in gradients), loss.detach().reshape(1)])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    *means, mean_loss = flat.split([*(gradient.numel() for gradient in gradients), 1])
    for gradient, mean in zip(gradients, means, strict=True):
        gradient.copy_(mean.view_as(gradient))
    return mean_loss.reshape(())


def maximum(value: Tensor) -> Tensor:
    """Return the maximum over all processes of a number on the CPU. All processes must call it."""
    if is_distributed():
        dist.all_reduce(value, dist.ReduceOp.MAX, group=_cpu_group())
    return value


def gather(value: Any) -> list[Any]:
    """Return the values of all processes, in the order of ranks. All processes must call it.

    The values are pickled: for rare events.
    """
    if not is_distributed():
        return [value]
    values = [None] * dist.get_world_size()
    dist.all_gather_object(values, value, group=_cpu_group())
    return values


def in_first_process(action: Callable[[], Any]) -> Any:
    """Run *action* in the first process and return its result in all of them. All processes must call it.

    Raises:
        PosegenError: *action* raised it, or raised another exception (a disk that is gone, a read-only folder), whose
            type and message it gives. Raised in all processes, so that none waits for the first.
    """
    outcome: list[Any] = [None, None]
    if is_main_process():
        try:
            outcome[0] = action()
        except PosegenError as error:
            outcome[1] = error
        except Exception as error:
            outcome[1] = PosegenError(f"in the first process: {type(error).__name__}: {error}")
            outcome[1].__cause__ = error  # for --traceback; pickling leaves it out
    if is_distributed():
        dist.broadcast_object_list(outcome, src=0, group=_cpu_group())
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]


@functools.cache
def _cpu_group() -> Any:
    """Return a process group whose collectives do not wait for a GPU; None: the default group is one."""
    return None if dist.get_backend() == "gloo" else dist.new_group(backend="gloo")


# The process group


def join_process_group(launcher: str) -> None:
    """Join the process group over gloo if there is no GPU; it is left when the interpreter exits.

    mmengine's ``init_dist`` calls ``torch.cuda.set_device`` for every backend, which fails in a CPU build of torch; it
    does nothing if the group already exists. With GPUs, mmengine joins the group.

    Args:
        launcher: ``"none"`` (a single process), ``"pytorch"`` or ``"slurm"``.

    Raises:
        PosegenError: Slurm did not start this process, or the address at which its nodes meet is unknown.
    """
    if launcher == "slurm":
        _check_slurm()
    if launcher != "none":
        atexit.register(leave_process_group)
    if launcher == "none" or torch.cuda.is_available() or dist.is_initialized():
        return
    if launcher == "slurm":
        _set_slurm_environment()
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        store = dist.TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), size, is_master=False)
        dist.init_process_group(backend="gloo", store=fresh_store(store, rank, size), rank=rank, world_size=size)
    else:
        dist.init_process_group(backend="gloo")


def leave_process_group() -> None:
    """Destroy the process group, if there is one, and end its threads.

    Gloo's threads may still hold tensors of the last collective. A thread that frees one while the interpreter is being
    finalized cannot take the GIL, and ends the process with SIGABRT ("terminate called without an active exception",
    https://github.com/pytorch/pytorch/issues/190489). So the group is destroyed before.
    """
    _cpu_group.cache_clear()
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def fresh_store(store: dist.Store, rank: int, size: int) -> dist.Store:
    """Return a part of *store* that is new to the processes that meet now. All of them must call it.

    torchrun keeps one store over all restarts, and torch 2.13 reads the addresses of processes from it without asking
    which restart they belong to: restarted processes would wait for dead ones. So every process writes a random word
    under its rank, and uses as prefix the token with which the first living process answers that word. Restarts cannot
    be counted instead: with several nodes, each counts its own.
    """
    if rank:
        word = uuid.uuid4().hex
        store.set(f"hello {rank}", word)
        token = store.get(f"answer {word}").decode()
        store.set(f"thanks {token} {rank}", "")
        return dist.PrefixStore(token, store)
    token = uuid.uuid4().hex
    end = time.monotonic() + store.timeout.total_seconds()  # type: ignore[attr-defined]
    missing = set(range(1, size))
    while missing:
        if time.monotonic() > end:
            raise PosegenError(f"processes {sorted(missing)} of {size} did not join the process group")
        for other in sorted(missing):
            if store.check([f"hello {other}"]):  # perhaps a dead process's: then a living one will write another
                store.set(f"answer {store.get(f'hello {other}').decode()}", token)
        time.sleep(0.05)
        missing = {other for other in missing if not store.check([f"thanks {token} {other}"])}
    return dist.PrefixStore(token, store)


def _check_slurm() -> None:
    missing = [name for name in ("SLURM_PROCID", "SLURM_NTASKS") if name not in os.environ]
    if missing:
        raise PosegenError(
            f"--launcher slurm, but {' and '.join(missing)} is not set: start the command with srun, "
            "or give --launcher pytorch under torchrun"
        )


def _set_slurm_environment() -> None:
    """Set the variables that torch reads from Slurm's, as mmengine does on GPUs."""
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
