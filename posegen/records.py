"""The typed records that flow between rooms. H, W: the image's size; S: the structure's channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from .registry import FUNCTIONS


@dataclass
class Pair:
    """One training or test pair.

    Shapes: images 3 H W in [-1, 1]; structures S H W (or S 1 1); ``flow`` 2 H W, the exact backward flow in pixels of
    the image, channel 0 to the right, channel 1 down: target pixel l shows source position ``l + flow[:, l]``;
    ``visible`` 1 H W in {0, 1}, where that position shows the same thing in the source image (defined even where
    flow leads out of the image: there it is 0); ``foreground`` 1 H W in {0, 1}, the subject in the target image.
    Real data sets know none of the last three: None.
    """

    source: Tensor
    source_structure: Tensor
    target: Tensor
    target_structure: Tensor
    name: str
    flow: Tensor | None = None
    visible: Tensor | None = None
    foreground: Tensor | None = None


@dataclass
class PairBatch:
    """Pairs stacked along a first dimension B; ``names`` has one name a pair. Fields as in :class:`Pair`."""

    source: Tensor
    source_structure: Tensor
    target: Tensor
    target_structure: Tensor
    names: list[str]
    flow: Tensor | None = None
    visible: Tensor | None = None
    foreground: Tensor | None = None

    def __len__(self) -> int:
        return len(self.source)

    def to(self, device: torch.device | str) -> PairBatch:
        """The same batch with every tensor on *device*."""
        return _map_tensors(self, lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> PairBatch:
        """The same batch in page-locked memory; called by the data loader."""
        return _map_tensors(self, Tensor.pin_memory)


@dataclass
class Transfer:
    """What a model makes of a batch.

    ``image`` B 3 H W in [-1, 1]; ``flows`` and ``masks``: one a level with attention, coarse to fine: B 2 h w in
    pixels of h×w, pointing from the target back to the source, and B 1 h w in [0, 1], 1 = warp, 0 = generate.
    """

    image: Tensor
    flows: list[Tensor]
    masks: list[Tensor]


@FUNCTIONS.register_module()
def collate_pairs(pairs: Sequence[Pair]) -> PairBatch:
    """Stack pairs into a batch. A field that any pair lacks is None in the batch."""
    stacked: dict[str, Any] = {"names": [pair.name for pair in pairs]}
    for field in fields(Pair):
        values = [getattr(pair, field.name) for pair in pairs]
        if field.name != "name":
            stacked[field.name] = None if any(v is None for v in values) else torch.stack(values)
    return PairBatch(**stacked)


def _map_tensors(batch: Any, function: Any) -> Any:
    changed = {f.name: getattr(batch, f.name) for f in fields(batch)}
    return replace(batch, **{k: function(v) for k, v in changed.items() if isinstance(v, Tensor)})
