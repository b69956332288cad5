"""Models as files that run without posegen: ONNX, and torch's exported programs. Each is checked before it is kept."""

from __future__ import annotations

import importlib.util
import json
import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .errors import InputError, PosegenError, nearest
from .files import written_whole
from .version import __version__

SUFFIXES = {"onnx": ".onnx", "torch-export": ".pt2"}
"""The formats, and how the name of a file ends."""
TOLERANCE = 1e-4
"""Largest difference between a file and its model, of values from -1 to 1."""
BATCHES = (1, 3)
"""Sizes of the batches that both are compared on."""
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
NOTE = "posegen.json"
"""The file in a .pt2 archive that says what it is; in ONNX, the value ``posegen`` of the metadata."""

Run = Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]]
"""Outputs by name of inputs by name."""


@dataclass(frozen=True)
class Exported:
    """What came of an export.

    ``differences``: by output, the largest from the model's, of values from -1 to 1 (a flow's: twice its share of the
    map's longer side); ``seconds``: of each repeat, batch of one, by ``model`` and ``exported``, which took turns;
    ``threads``: of either.
    """

    path: Path
    differences: dict[str, float]
    seconds: dict[str, list[float]]
    threads: int


# What is exported: the model's one step, with named tensors in and out ------------------------------------------


class PairStep(nn.Module):
    """A model of pairs as tensors in, tensors out."""

    images = ("source",)

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, source: Tensor, source_structure: Tensor, target_structure: Tensor) -> dict[str, Tensor]:
        """``image`` B 3 H W in [-1, 1], ``flow_K``, ``mask_K``: coarse to fine; :class:`posegen.records.Transfer`."""
        out = self.model(source, source_structure, target_structure)
        return {"image": out.image, **_numbered("flow", out.flows), **_numbered("mask", out.masks)}


class ClipStep(nn.Module):
    """A model of clips as tensors in, tensors out: one frame from the frame before it and the reference."""

    images = ("previous", "reference")

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        previous: Tensor,
        previous_structure: Tensor,
        reference: Tensor,
        reference_structure: Tensor,
        target_structure: Tensor,
    ) -> dict[str, Tensor]:
        """``image`` as in :class:`PairStep`; ``flow_previous_K``, ``mask_reference_K``, …: one an origin and level."""
        out = self.model(previous, previous_structure, reference, reference_structure, target_structure)
        return {
            "image": out.image,
            **_numbered("flow_previous", out.flows.previous),
            **_numbered("flow_reference", out.flows.reference),
            **_numbered("mask_previous", out.masks.previous),
            **_numbered("mask_reference", out.masks.reference),
        }


def _numbered(name: str, maps: Sequence[Tensor]) -> dict[str, Tensor]:
    return {f"{name}_{level}": tensor for level, tensor in enumerate(maps)}


def step_of(model: nn.Module) -> PairStep | ClipStep:
    """The step of a model that is exported.

    Raises:
        InputError: it is not on the CPU and in eval mode, does not say how many channels it sees, or makes neither
            pairs nor clips.
    """
    renderer = getattr(model, "renderer", None)
    problems = []
    if model.training or any(weights.device.type != "cpu" for weights in model.parameters()):
        problems.append("it must be on the CPU and in eval mode, as posegen.load_model gives it")
    if not hasattr(renderer, "structure_channels"):
        problems.append("its renderer has no attribute 'structure_channels'")
    if not (hasattr(model, "transfer") or hasattr(model, "frames")):
        problems.append("it has neither 'transfer', of pairs, nor 'frames', of clips")
    if problems:
        raise InputError(f"{type(model).__name__} cannot be exported: {'; '.join(problems)}")
    return PairStep(model) if hasattr(model, "transfer") else ClipStep(model)


def random_inputs(step: PairStep | ClipStep, size: tuple[int, int], batch: int) -> dict[str, Tensor]:
    """Inputs of a step by name: images of noise in [-1, 1], structures of noise in [0, 1]; the same at each call."""
    renderer: Any = step.model.renderer
    generator = torch.Generator().manual_seed(batch)
    whole = (1, 1) if getattr(renderer, "global_structure", False) else size
    inputs = {}
    for image in step.images:
        channels = getattr(renderer, "image_channels", 3)
        inputs[image] = torch.rand(batch, channels, *size, generator=generator) * 2 - 1
        inputs[f"{image}_structure"] = torch.rand(batch, renderer.structure_channels, *whole, generator=generator)
    inputs["target_structure"] = torch.rand(batch, renderer.structure_channels, *whole, generator=generator)
    return inputs


# Export -------------------------------------------------------------------------------------------------------


@torch.no_grad()
def export(
    model: nn.Module,
    size: tuple[int, int],
    format: str,
    path: str | Path,
    note: Mapping[str, Any] | None = None,
    repeats: int = 5,
) -> Exported:
    """Write a model as a file, read the file back, and keep it only where it computes what the model does.

    Batches may be of any size; height and width are fixed. Both are compared on random inputs, in batches of
    :data:`BATCHES`, on the CPU.

    Args:
        model: of pairs or of clips, on the CPU, in eval mode, as :func:`posegen.load_model` gives it.
        size: (H, W) of its images.
        format: ``"onnx"`` or ``"torch-export"``.
        path: the file to write; what is there is replaced, where the export succeeds.
        note: what else the file says about itself; what JSON can hold.
        repeats: of model and file, in turn, to time them.

    Raises:
        InputError: the model cannot be exported, does not take this size, or *format* is none.
        PosegenError: packages are missing, the exporter cannot translate the model, or the file would compute something
            else; then no file is written.
    """
    path = Path(path)
    check_format(format, path)
    step = step_of(model)
    examples = {batch: random_inputs(step, size, batch) for batch in BATCHES}
    wanted = {batch: step(**inputs) for batch, inputs in examples.items()}
    _check_size(size, wanted[BATCHES[0]]["image"])
    text = json.dumps({**_describe(examples[BATCHES[0]], wanted[BATCHES[0]]), **(note or {})})
    with written_whole(path) as temporary:
        _write(step, size, format, temporary, text)
        run = load_onnx(temporary) if format == "onnx" else load_program(temporary)
        differences = _compare(run, examples, wanted, path)
        one = examples[BATCHES[0]]
        work = {"model": lambda: step(**one), "exported": lambda: run(one)}
        seconds: dict[str, list[float]] = {name: [] for name in work}
        for _ in range(repeats):
            for name, call in work.items():
                start = time.perf_counter()
                call()
                seconds[name].append(time.perf_counter() - start)
    return Exported(path, differences, seconds, torch.get_num_threads())


def check_format(format: str, path: Path) -> None:
    """Raise where there is no such format, the file's name ends in another way, or what it needs is not installed."""
    if format not in SUFFIXES:
        raise InputError(f"there is no format {format!r}{nearest(format, SUFFIXES)}; there are: {', '.join(SUFFIXES)}")
    if path.suffix != SUFFIXES[format]:
        raise InputError(f"a file of format {format} must end in {SUFFIXES[format]}, got {path}")
    missing = [package for package in PACKAGES if importlib.util.find_spec(package) is None]
    if format == "onnx" and missing:
        raise PosegenError(f"ONNX needs {', '.join(missing)}, not installed here: pip install posegen[export]")


def _check_size(size: tuple[int, int], image: Tensor) -> None:
    if tuple(image.shape[-2:]) != tuple(size):
        height, width = image.shape[-2:]
        raise InputError(
            f"the model makes {height}×{width} of {size[0]}×{size[1]}: it cannot halve that often enough; "
            f"give another size, such as {height}×{width}"
        )


def _describe(inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor]) -> dict[str, Any]:
    return {
        "posegen": __version__,
        "inputs": {name: _ranges(name, tensor) for name, tensor in inputs.items()},
        "outputs": {name: _ranges(name, tensor) for name, tensor in outputs.items()},
        "note": "Its images are generated: say so where you show them.",
    }


def _ranges(name: str, tensor: Tensor) -> dict[str, Any]:
    values = "-1 to 1, RGB"
    if name.endswith("structure"):
        values = "as the structure encoder of the config makes it"
    if name.startswith("flow"):
        values = "pixels of this map, from the target back: right, down"
    if name.startswith("mask"):
        values = "0 to 1; 1: taken along the flow, 0: generated"
    return {"shape": ["batch", *tensor.shape[1:]], "type": "float32", "values": values}


def _write(step: PairStep | ClipStep, size: tuple[int, int], format: str, path: Path, note: str) -> None:
    inputs = random_inputs(step, size, batch=2)  # one of 1 would be taken for a fixed size
    batch = torch.export.Dim("batch", min=1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what torch's exporters use of torch
            program = torch.export.export(step, (), inputs, dynamic_shapes={name: {0: batch} for name in inputs})
            _forget_places(program)
            if format == "onnx":
                _write_onnx(program, [*inputs], [*step(**inputs)], path, note)
                return
            with path.open("wb") as file:
                torch.export.save(program, file, extra_files={NOTE: note})
    except Exception as error:  # the exporters raise their own kinds, and others, for what they cannot translate
        reason = str(error).strip().partition("\n")[0]
        what = type(step.model).__name__
        raise PosegenError(f"torch cannot export {what} as {format}: {type(error).__name__}: {reason}") from error


def _forget_places(program: torch.export.ExportedProgram) -> None:
    """Drop where in which file of this machine each operation was called: nobody else's business."""
    graphs = [part.graph for part in program.graph_module.modules() if isinstance(part, torch.fx.GraphModule)]
    for node in (node for graph in graphs for node in graph.nodes):
        node.meta.pop("stack_trace", None)


def _write_onnx(
    program: torch.export.ExportedProgram, inputs: list[str], outputs: list[str], path: Path, note: str
) -> None:
    made = torch.onnx.export(
        program,
        dynamo=True,
        input_names=inputs,
        output_names=outputs,
        dynamic_shapes={name: {0: "batch"} for name in inputs},
        custom_translation_table=dict.fromkeys(_EMBEDDING_BAGS, _embedding_bag),
        verbose=False,
    )
    assert made is not None
    made.model.metadata_props["posegen"] = note
    made.save(path, external_data=False)


_EMBEDDING_BAGS = (
    torch.ops.aten.embedding_bag.padding_idx,
    torch.ops.aten._embedding_bag.default,
    torch.ops.aten._embedding_bag_forward_only.default,
)


def _embedding_bag(
    table: Any,
    indices: Any,
    offsets: Any,
    scale_grad_by_freq: bool = False,
    mode: int = 0,
    sparse: bool = False,
    per_sample_weights: Any = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> tuple[Any, Any, Any, Any]:
    """ONNX of the weighted sum of a window of pixels (:func:`posegen.ops.weighted_gather`): bags of one length.

    The exporter's own goes through the bags one by one, in a loop that takes many times longer. Here they are rows of
    one matrix product. That builds the patches, which torch's own operation avoids; ONNX has no such operation.
    """
    from onnxscript import opset18

    op: Any = opset18  # its own types allow no shape to be computed
    rows = op.Concat(op.Shape(offsets), op.Constant(value_ints=[-1]), axis=0)  # bags, taps
    one = op.Constant(value_ints=[1])
    weights = op.Unsqueeze(op.Reshape(per_sample_weights, rows), one)  # bags 1 taps
    windows = op.Gather(table, op.Reshape(indices, rows))  # bags taps channels
    return op.Squeeze(op.MatMul(weights, windows), one), offsets, offsets, offsets


# Reading back -------------------------------------------------------------------------------------------------


def load_onnx(path: str | Path) -> Run:
    """An ONNX file as a function, run by onnxruntime on the CPU, with as many threads as torch has here."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def run(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        values = session.run(names, {name: tensor.numpy() for name, tensor in inputs.items()})
        return {name: torch.from_numpy(value) for name, value in zip(names, values, strict=True)}

    return run


def load_program(path: str | Path) -> Run:
    """A file of ``torch.export.save`` as a function. Reading one unpickles: only of files that one made oneself."""
    with warnings.catch_warnings(), Path(path).open("rb") as file:
        warnings.simplefilter("ignore")
        module = torch.export.load(file).module()
    return lambda inputs: module(**inputs)


def _compare(
    run: Run, examples: Mapping[int, dict[str, Tensor]], wanted: Mapping[int, dict[str, Tensor]], path: Path
) -> dict[str, float]:
    """The largest difference of each output over all batches.

    Raises:
        PosegenError: any is above the tolerance, or not a number.
    """
    differences = dict.fromkeys(wanted[BATCHES[0]], 0.0)
    for batch, inputs in examples.items():
        got = run(inputs)
        for name, value in wanted[batch].items():
            differences[name] = max(difference(name, got[name], value), differences[name])
    wrong = {name: value for name, value in differences.items() if not value <= TOLERANCE}
    if wrong:
        listed = "\n".join(f"  - {name}: {value:.1e}" for name, value in wrong.items())
        raise PosegenError(
            f"{path} is not written: it would compute something else than the model; values from -1 to 1 differ by up "
            f"to, allowed are {TOLERANCE:.0e}\n{listed}"
        )
    return differences


def difference(name: str, value: Tensor, wanted: Tensor) -> float:
    """The largest difference of values from -1 to 1; infinite where they are not numbers, or of another shape.

    A flow is taken as grid sampling takes it, from -1 to 1 across the longer side of its map.
    """
    if value.shape != wanted.shape or not torch.isfinite(value).all():
        return math.inf
    largest = float((value - wanted).abs().max())
    return largest * 2 / max(wanted.shape[-2:]) if name.startswith("flow") else largest
