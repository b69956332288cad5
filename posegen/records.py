"""Typed records that modules exchange. H, W: size of the image; S: channels of the structure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor


@dataclass
class Pair:
    """One training or test pair. Fields that are not known are None.

    Attributes:
        source, target: images 3 H W in [-1, 1].
        source_structure, target_structure: structures S H W (or S 1 1).
        name: name of the pair, under which images are written.
        flow: exact backward flow 2 H W in pixels of the image, x (right) before y (down): target pixel l shows source
            position ``l + flow[:, l]``. Known for drawn data only, as are visible and foreground.
        visible: mask 1 H W in {0, 1}: 1 if that source position shows the same surface point, 0 if it is occluded or
            outside the image.
        foreground: mask 1 H W in {0, 1} of the subject in the target image.
        matches: points M 4 annotated in both images, (x, y) in the target and (x, y) in the source, in pixels; NaN if
            a point is missing in either. M is the same for the whole data set.
    """

    source: Tensor
    source_structure: Tensor
    target: Tensor
    target_structure: Tensor
    name: str
    flow: Tensor | None = None
    visible: Tensor | None = None
    foreground: Tensor | None = None
    matches: Tensor | None = None


@dataclass
class PairBatch:
    """Pairs stacked along a first dimension B. Fields as in :class:`Pair`; ``names`` has one name per pair."""

    source: Tensor
    source_structure: Tensor
    target: Tensor
    target_structure: Tensor
    names: list[str]
    flow: Tensor | None = None
    visible: Tensor | None = None
    foreground: Tensor | None = None
    matches: Tensor | None = None

    def __len__(self) -> int:
        return len(self.source)

    def to(self, device: torch.device | str) -> PairBatch:
        """Return the batch with every tensor on *device*."""
        return _map_tensors(self, lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> PairBatch:
        """Return the batch in page-locked memory; called by the data loader."""
        return _map_tensors(self, Tensor.pin_memory)

    def split(self, size: int) -> list[PairBatch]:
        """Split into batches of *size* pairs, the last one possibly smaller; they share memory with this batch."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        known = {name: value for name, value in values.items() if value is not None}
        return [
            PairBatch(**{name: value[first : first + size] for name, value in known.items()})
            for first in range(0, len(self), size)
        ]


class Composition(NamedTuple):
    """A composed image, and the generated image that it was composed with; both B 3 H W in [-1, 1]."""

    image: Tensor
    generated: Tensor


@dataclass
class Transfer:
    """Output of a pair model for a batch (GFLA, arXiv 2003.00696, section 3).

    Attributes:
        image: generated images B 3 H W in [-1, 1].
        flows: flow fields w, one per level with attention, coarse to fine: B 2 h w in pixels of that level, pointing
            from the target back to the source.
        masks: occlusion masks m of the same levels: B 1 h w in [0, 1]; 1 = warp the source, 0 = generate.
        generated: images B 3 H W in [-1, 1] that a composing renderer blends with the warped source; None otherwise.
    """

    image: Tensor
    flows: list[Tensor]
    masks: list[Tensor]
    generated: Tensor | None = None


@dataclass
class Clip:
    """A reference image and T consecutive frames of the same subject. Fields that are not known are None.

    Attributes:
        reference: image 3 H W in [-1, 1].
        reference_structure: structure S H W.
        frames: images T 3 H W.
        structures: structures T S H W of the frames.
        name: name of the clip, under which images are written.
        flow, visible, matches: T 2 H W, T 1 H W and T M 4 from each frame back to the reference, as in :class:`Pair`.
        flow_previous, visible_previous, matches_previous: the same from each frame back to the frame before; from the
            first frame to the reference.
        foreground: masks T 1 H W in {0, 1} of the subject in each frame.
    """

    reference: Tensor
    reference_structure: Tensor
    frames: Tensor
    structures: Tensor
    name: str
    flow: Tensor | None = None
    visible: Tensor | None = None
    flow_previous: Tensor | None = None
    visible_previous: Tensor | None = None
    foreground: Tensor | None = None
    matches: Tensor | None = None
    matches_previous: Tensor | None = None


@dataclass
class ClipBatch:
    """Clips of one length stacked along a first dimension B. Fields as in :class:`Clip`; one name per clip."""

    reference: Tensor
    reference_structure: Tensor
    frames: Tensor
    structures: Tensor
    names: list[str]
    flow: Tensor | None = None
    visible: Tensor | None = None
    flow_previous: Tensor | None = None
    visible_previous: Tensor | None = None
    foreground: Tensor | None = None
    matches: Tensor | None = None
    matches_previous: Tensor | None = None

    def __len__(self) -> int:
        return len(self.reference)

    def to(self, device: torch.device | str) -> ClipBatch:
        """Return the batch with every tensor on *device*."""
        return _map_tensors(self, lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> ClipBatch:
        """Return the batch in page-locked memory; called by the data loader."""
        return _map_tensors(self, Tensor.pin_memory)


class Origins(NamedTuple):
    """A value for each of the two sources of a generated frame: the previous frame and the reference."""

    previous: Any
    reference: Any


@dataclass
class Frame:
    """One generated frame of a clip: ``image`` and ``generated`` as in :class:`Transfer`; for each origin, ``flows``
    and ``masks`` as there."""

    image: Tensor
    flows: Origins
    masks: Origins
    generated: Tensor | None = None


class Animation(NamedTuple):
    """Output of a clip model for a batch.

    Attributes:
        frames: generated frames B T 3 H W in [-1, 1].
        flows: for each origin, one tensor B T 2 h w per level with attention, coarse to fine, in pixels of that level.
        masks: for each origin, B T 1 h w of the same levels.
    """

    frames: Tensor
    flows: Origins
    masks: Origins


def collate_clips(clips: Sequence[Clip]) -> ClipBatch:
    """Stack clips of one length into a batch; a field that any clip lacks is None."""
    return ClipBatch(**_stack(clips))


def as_pairs(batch: PairBatch | ClipBatch, out: Transfer | Animation) -> tuple[PairBatch, Transfer]:
    """Return pairs unchanged, and clips as pairs of each frame with its reference, for code that takes pairs.

    B clips become B·T pairs, clip by clip. The pair of frame t is called ``NAME/t``, with five digits.
    """
    if isinstance(batch, PairBatch):
        assert isinstance(out, Transfer)
        return batch, out
    assert isinstance(out, Animation)
    length = batch.frames.shape[1]

    def repeated(tensor: Tensor) -> Tensor:
        return tensor.repeat_interleave(length, dim=0)

    def flat(tensor: Tensor | None) -> Any:
        return None if tensor is None else tensor.flatten(0, 1)

    pairs = PairBatch(
        source=repeated(batch.reference),
        source_structure=repeated(batch.reference_structure),
        target=flat(batch.frames),
        target_structure=flat(batch.structures),
        names=[f"{name}/{t:05d}" for name in batch.names for t in range(length)],
        flow=flat(batch.flow),
        visible=flat(batch.visible),
        foreground=flat(batch.foreground),
        matches=flat(batch.matches),
    )
    flows, masks = map(flat, out.flows.reference), map(flat, out.masks.reference)
    return pairs, Transfer(flat(out.frames), [*flows], [*masks])


def collate(records: Sequence[Pair] | Sequence[Clip]) -> PairBatch | ClipBatch:
    """Stack pairs, or clips of one length, into a batch."""
    if isinstance(records[0], Clip):
        return collate_clips(cast("Sequence[Clip]", records))
    return collate_pairs(cast("Sequence[Pair]", records))


def collate_pairs(pairs: Sequence[Pair]) -> PairBatch:
    """Stack pairs into a batch; a field that any pair lacks is None."""
    return PairBatch(**_stack(pairs))


def _stack(records: Sequence[Any]) -> dict[str, Any]:
    stacked: dict[str, Any] = {"names": [record.name for record in records]}
    for field in fields(records[0]):
        values = [getattr(record, field.name) for record in records]
        if field.name != "name":
            stacked[field.name] = None if any(v is None for v in values) else torch.stack(values)
    return stacked


def _map_tensors(batch: Any, function: Any) -> Any:
    changed = {f.name: getattr(batch, f.name) for f in fields(batch)}
    return replace(batch, **{k: function(v) for k, v in changed.items() if isinstance(v, Tensor)})
