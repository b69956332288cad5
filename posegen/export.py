"""Export models to ONNX and to ``torch.export`` programs, which run without posegen. Each file is checked."""

from __future__ import annotations

import importlib.util
import json
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .errors import InputError, PosegenError, nearest
from .files import written_whole
from .models import ClipModel, GenerativeModel
from .version import __version__

SUFFIXES = {"onnx": ".onnx", "torch-export": ".pt2"}
"""File extensions by format."""
TOLERANCE = 1e-4
"""Largest difference between a file and its model, for values from -1 to 1."""
BATCHES = (1, 3)
"""Batch sizes on which both are compared."""
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
NOTE = "posegen.json"
"""Name of the metadata in a .pt2 archive; in ONNX they are the metadata property ``posegen``."""

Run = Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]]
"""A function from named inputs to named outputs."""


@dataclass(frozen=True)
class Exported:
    """Result of an export.

    ``differences``: the largest difference from the model by output, for values from -1 to 1 (a flow is scaled to the
    longer side of its map).
    """

    path: Path
    differences: dict[str, float]


# The exported step: named tensors in and out -----------------------------------------------------------------


class PairStep(nn.Module):
    """A pair model with tensors in and out."""

    images = ("source",)

    def __init__(self, model: GenerativeModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, source: Tensor, source_structure: Tensor, target_structure: Tensor) -> dict[str, Tensor]:
        """Return ``image`` B 3 H W in [-1, 1], ``flow_K`` and ``mask_K``, coarse to fine."""
        out = self.model(source, source_structure, target_structure)
        return {"image": out.image, **_numbered("flow", out.flows), **_numbered("mask", out.masks)}


class ClipStep(nn.Module):
    """A clip model with tensors in and out: a frame from the previous frame and the reference."""

    images = ("previous", "reference")

    def __init__(self, model: GenerativeModel) -> None:
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
        """Return ``image`` B 3 H W in [-1, 1] and, by origin and level, ``flow_previous_K``, ``mask_reference_K``, …"""
        out = self.model(previous, previous_structure, reference, reference_structure, target_structure)
        return {
            "image": out.image,
            **_numbered("flow_previous", out.flows.previous),
            **_numbered("flow_reference", out.flows.reference),
            **_numbered("mask_previous", out.masks.previous),
            **_numbered("mask_reference", out.masks.reference),
        }


def _numbered(name: str, maps: Sequence[Tensor]) -> dict[str, Tensor]:
    return {f"{name}_{index}": tensor for index, tensor in enumerate(maps)}


def step_of(model: nn.Module) -> PairStep | ClipStep:
    """Return the step of *model* that is exported.

    Raises:
        InputError: the model is no :class:`posegen.models.GenerativeModel`, or is not on the CPU in eval mode.
    """
    kind = type(model).__name__
    if not isinstance(model, GenerativeModel):
        raise InputError(f"{kind} cannot be exported: it is no posegen.models.GenerativeModel")
    if model.training or any(parameter.device.type != "cpu" for parameter in model.parameters()):
        raise InputError(f"{kind} cannot be exported: it must be on the CPU and in eval mode; call .cpu().eval()")
    return ClipStep(model) if isinstance(model, ClipModel) else PairStep(model)


def random_inputs(step: PairStep | ClipStep, size: tuple[int, int], batch: int) -> dict[str, Tensor]:
    """Draw inputs by name: images in [-1, 1], structures in [0, 1]; the same at each call."""
    renderer: Any = step.model.renderer
    generator = torch.Generator().manual_seed(batch)
    structure = batch, renderer.structure_channels, *((1, 1) if renderer.global_structure else size)
    inputs = {}
    for name in step.images:
        inputs[name] = torch.rand(batch, renderer.image_channels, *size, generator=generator) * 2 - 1
        inputs[f"{name}_structure"] = torch.rand(structure, generator=generator)
    inputs["target_structure"] = torch.rand(structure, generator=generator)
    return inputs


# Export -------------------------------------------------------------------------------------------------------


@torch.no_grad()
def export(
    model: nn.Module, size: tuple[int, int], format: str, path: str | Path, note: Mapping[str, Any] | None = None
) -> Exported:
    """Export a model, read the file back, and keep it only if it computes the same as the model.

    The batch size is free; height and width are fixed. Both are compared on random inputs, in batches of
    :data:`BATCHES`, on the CPU.

    Args:
        model: a pair or clip model on the CPU in eval mode, as :func:`posegen.load_model` returns it.
        size: (H, W) of its images.
        format: ``"onnx"`` or ``"torch-export"``.
        path: the file to write; an existing file is replaced if the export succeeds.
        note: additional metadata; must be JSON serializable.

    Raises:
        InputError: the model cannot be exported or does not take this size, or *format* is unknown.
        PosegenError: packages are missing, the exporter cannot translate the model, or the file computes something
            else; then no file is written.
    """
    path = Path(path)
    check_format(format, path)
    step = step_of(model)
    examples = {batch: random_inputs(step, size, batch) for batch in BATCHES}
    expected = {batch: step(**inputs) for batch, inputs in examples.items()}
    metadata = json.dumps({**_describe(examples[BATCHES[0]], expected[BATCHES[0]]), **(note or {})})
    with written_whole(path) as temporary:
        _write(step, size, format, temporary, metadata)
        run = load_onnx(temporary) if format == "onnx" else load_program(temporary)
        differences = _compare(run, examples, expected, path)
    return Exported(path, differences)


def check_format(format: str, path: Path) -> None:
    """Raise where *format* is unknown, the extension of *path* does not match it, or packages are missing."""
    if format not in SUFFIXES:
        raise InputError(f"unknown format {format!r}{nearest(format, SUFFIXES)}; choose from {', '.join(SUFFIXES)}")
    if path.suffix != SUFFIXES[format]:
        raise InputError(f"a file of format {format} must end in {SUFFIXES[format]}, got {path}")
    missing = [package for package in PACKAGES if importlib.util.find_spec(package) is None]
    if format == "onnx" and missing:
        raise PosegenError(f"ONNX needs {', '.join(missing)}: run pip install posegen[export]")


def _describe(inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor]) -> dict[str, Any]:
    return {
        "posegen": __version__,
        "inputs": {name: _describe_tensor(name, tensor) for name, tensor in inputs.items()},
        "outputs": {name: _describe_tensor(name, tensor) for name, tensor in outputs.items()},
        "note": "The images are generated: say so wherever you show them.",
    }


def _describe_tensor(name: str, tensor: Tensor) -> dict[str, Any]:
    values = "-1 to 1, RGB"
    if name.endswith("structure"):
        values = "as the structure encoder of the config makes it"
    if name.startswith("flow"):
        values = "pixels of this map, from the target back to the source: right, down"
    if name.startswith("mask"):
        values = "0 to 1; 1: taken along the flow, 0: generated"
    return {"shape": ["batch", *tensor.shape[1:]], "type": "float32", "values": values}


def _write(step: PairStep | ClipStep, size: tuple[int, int], format: str, path: Path, metadata: str) -> None:
    inputs = random_inputs(step, size, batch=2)  # a batch of 1 would be exported as a fixed size
    batch = torch.export.Dim("batch", min=1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporters warn of their own code
            program = torch.export.export(step, (), inputs, dynamic_shapes={name: {0: batch} for name in inputs})
            _remove_stack_traces(program)
            if format == "onnx":
                _write_onnx(program, [*inputs], [*step(**inputs)], path, metadata)
                return
            with path.open("wb") as file:
                torch.export.save(program, file, extra_files={NOTE: metadata})
    except Exception as error:  # the exporters raise exceptions of many kinds
        reason = str(error).strip().partition("\n")[0]
        kind = type(step.model).__name__
        raise PosegenError(f"torch cannot export {kind} as {format}: {type(error).__name__}: {reason}") from error


def _remove_stack_traces(program: torch.export.ExportedProgram) -> None:
    """Remove the paths of this machine from the program."""
    graphs = [part.graph for part in program.graph_module.modules() if isinstance(part, torch.fx.GraphModule)]
    for node in (node for graph in graphs for node in graph.nodes):
        node.meta.pop("stack_trace", None)


def _write_onnx(
    program: torch.export.ExportedProgram, inputs: list[str], outputs: list[str], path: Path, metadata: str
) -> None:
    exported = torch.onnx.export(
        program,
        dynamo=True,
        input_names=inputs,
        output_names=outputs,
        dynamic_shapes={name: {0: "batch"} for name in inputs},
        custom_translation_table=dict.fromkeys(_EMBEDDING_BAGS, _embedding_bag),
        verbose=False,
    )
    assert exported is not None
    exported.model.metadata_props["posegen"] = metadata
    exported.save(path, external_data=False)


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
    """Translate the weighted sum of windows of pixels (:func:`posegen.ops.weighted_gather`), bags of one length.

    The exporter's own translation is a loop over the bags, many times slower. Here they are the rows of one matrix
    product. It builds the patches, which PyTorch's operation avoids; ONNX has no such operation.
    """
    from onnxscript import opset18

    op: Any = opset18  # its type annotations do not allow computed shapes
    rows = op.Concat(op.Shape(offsets), op.Constant(value_ints=[-1]), axis=0)  # bags, taps
    one = op.Constant(value_ints=[1])
    weights = op.Unsqueeze(op.Reshape(per_sample_weights, rows), one)  # bags 1 taps
    windows = op.Gather(table, op.Reshape(indices, rows))  # bags taps channels
    return op.Squeeze(op.MatMul(weights, windows), one), offsets, offsets, offsets


# Reading back -------------------------------------------------------------------------------------------------


def load_onnx(path: str | Path) -> Run:
    """Load an ONNX file, to be run by onnxruntime on the CPU with as many threads as PyTorch."""
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
    """Load a file of ``torch.export.save``. This unpickles: only load files that you wrote yourself."""
    with warnings.catch_warnings(), Path(path).open("rb") as file:
        warnings.simplefilter("ignore")
        module = torch.export.load(file).module()
    return lambda inputs: module(**inputs)


def _compare(
    run: Run, examples: Mapping[int, dict[str, Tensor]], expected: Mapping[int, dict[str, Tensor]], path: Path
) -> dict[str, float]:
    """Return the largest difference by output over all batches.

    Raises:
        PosegenError: a difference is above the tolerance, or not a number.
    """
    differences = dict.fromkeys(expected[BATCHES[0]], 0.0)
    for batch, inputs in examples.items():
        outputs = run(inputs)
        for name, value in expected[batch].items():
            differences[name] = max(_difference(name, outputs[name], value), differences[name])
    wrong = {name: value for name, value in differences.items() if not value <= TOLERANCE}
    if wrong:
        listed = "\n".join(f"  - {name}: {value:.1e}" for name, value in wrong.items())
        raise PosegenError(
            f"{path} is not written: it differs from the model by more than {TOLERANCE:.0e}, for values from -1 to 1"
            f"\n{listed}"
        )
    return differences


def _difference(name: str, value: Tensor, expected: Tensor) -> float:
    """Return the largest difference for values from -1 to 1; infinite if not finite or of another shape.

    A flow is scaled as in grid sampling: from -1 to 1 across the longer side of its map.
    """
    if value.shape != expected.shape or not torch.isfinite(value).all():
        return math.inf
    largest = float((value - expected).abs().max())
    return largest * 2 / max(expected.shape[-2:]) if name.startswith("flow") else largest
