"""Flow priors: the motion that two structures already tell, computed and not learned.

A prior offers several *candidates* for the flow at each target location, one for each rigid part of the subject and a
last one for the background at rest, with a score each. Their blend is a flow that F can start from; F may also change
the scores, so that it decides between parts instead of inventing motion.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data.keypoints import KeypointLayout, RigidPart, get_layout
from ..errors import ConfigError
from ..ops import heatmap_peaks, resize_flow, sample_bilinear
from ..registry import FLOW_PRIORS

ABSENT = -1e4
"""Score of a part whose ends are missing in either image; its weight is zero in float32."""


@dataclass
class FlowCandidates:
    """Output of a flow prior, at full resolution.

    Attributes:
        flows: candidates B N 2 H W in pixels of H×W, pointing from the target back to the source. The last one is zero:
            the background at rest.
        scores: logits of the candidates, B N H W.
        visible: probability that the source shows what the blended flow points at, B 1 H W in [0, 1].
    """

    flows: Tensor
    scores: Tensor
    visible: Tensor

    @property
    def flow(self) -> Tensor:
        """Candidates blended by their scores, B 2 H W."""
        return blend(self.flows, self.scores)

    @property
    def cover(self) -> Tensor:
        """Weight of all candidates but the background, B 1 H W in [0, 1]."""
        return 1 - self.scores.softmax(1)[:, -1:]

    def resize(self, size: tuple[int, int]) -> FlowCandidates:
        """Resize the candidates to H×W, their flows to pixels of that size."""
        if size == (self.flows.shape[-2], self.flows.shape[-1]):
            return self
        flows = resize_flow(self.flows.flatten(0, 1), size).unflatten(0, (-1, self.flows.shape[1]))
        scores, visible = (
            F.interpolate(part, size=size, mode="bilinear", align_corners=False) for part in (self.scores, self.visible)
        )
        return FlowCandidates(flows, scores, visible)


class PointPair(NamedTuple):
    """Key points of a source and a target, B K 2, (x, y) in pixels, and which of them are known, B K bool."""

    source: Tensor
    target: Tensor
    in_source: Tensor
    in_target: Tensor


def blend(flows: Tensor, scores: Tensor) -> Tensor:
    """Average flows B N 2 H W with the softmax of scores B N H W: B 2 H W."""
    return (scores.softmax(1).unsqueeze(2) * flows).sum(1)


class FlowPrior(nn.Module):
    """Base of flow priors. A domain's plugin registers its own.

    Attributes:
        count: number of candidates N, the background at rest included.
    """

    count: int = 2

    def forward(self, source_structure: Tensor, target_structure: Tensor) -> FlowCandidates:
        """Compute the prior of structures B S H W; no gradient reaches them."""
        raise NotImplementedError(f"{type(self).__name__} must implement forward(source_structure, target_structure)")


@FLOW_PRIORS.register_module()
class PartFlow(FlowPrior):
    """Move each rigid part of an articulated subject by the similarity that takes its ends from target to source.

    Along a part, lengths scale as the distance of its ends does (foreshortening); across it, by the ratio of the
    subject's sizes, or of the part's own width where the layout gives points on both its sides. A width that changes
    its sign mirrors the part: the subject has turned round. The score of a part falls with the squared distance from
    its axis, in units of the part's radius. A part whose end is missing in either image leaves its place to the others.

    The first K channels of a structure must be heat maps of the layout's K points (:class:`HeatmapEncoder`).

    Args:
        layout: a key-point layout with ``parts``, or its name.
        sharpness: factor of the squared distance in a part's score.
        background: distance in radii at which the background at rest scores as much as a part.
        largest_scale: limit of the ratio of lengths between source and target, and of its inverse.

    Raises:
        ConfigError: the layout has no parts.
    """

    radius: Tensor
    reach: Tensor
    order: Tensor

    def __init__(
        self,
        layout: str | KeypointLayout,
        sharpness: float = 3.4,
        background: float = 1.5,
        largest_scale: float = 2.0,
    ) -> None:
        super().__init__()
        self.layout = get_layout(layout)
        self.parts: tuple[RigidPart, ...] = self.layout.parts
        if not self.parts:
            raise ConfigError(f"PartFlow needs a key-point layout with parts; {self.layout.name!r} has none")
        self.count = len(self.parts) + 1
        self.sharpness, self.background, self.largest_scale = sharpness, background, largest_scale
        for name in ("radius", "reach", "order"):
            values = torch.tensor([getattr(part, name) for part in self.parts])
            self.register_buffer(name, values, persistent=False)

    @torch.no_grad()
    def forward(self, source_structure: Tensor, target_structure: Tensor) -> FlowCandidates:
        size = (target_structure.shape[-2], target_structure.shape[-1])
        points = len(self.layout)
        source, in_source = heatmap_peaks(source_structure[:, :points].float())
        target, in_target = heatmap_peaks(target_structure[:, :points].float())
        return self.from_points(source, target, in_source, in_target, size)

    def from_points(
        self, source: Tensor, target: Tensor, in_source: Tensor, in_target: Tensor, size: tuple[int, int]
    ) -> FlowCandidates:
        """Compute the prior of key points.

        Args:
            source, target: B K 2, (x, y) in pixels of the image.
            in_source, in_target: B K bool, True where a point is known in that image.
            size: (H, W) of the image.
        """
        places = _pixels(size, source.device)
        flows, scores = self.candidates(source, target, in_source, in_target, places, size[0])
        # which part each source location shows
        _, shown = self.candidates(target, source, in_target, in_source, places, size[0])
        flows, scores, shown = (values.unflatten(-1, size) for values in (flows, scores, shown))
        owned = sample_bilinear(shown.softmax(1).flatten(0, 1).unsqueeze(1), flows.flatten(0, 1))
        visible = (scores.softmax(1) * owned.view_as(scores)).sum(1, keepdim=True)
        return FlowCandidates(flows, scores, visible)

    def candidates(
        self, source: Tensor, target: Tensor, in_source: Tensor, in_target: Tensor, places: Tensor, height: int
    ) -> tuple[Tensor, Tensor]:
        """Compute flows B N 2 M and scores B N M of all parts and the background at M target locations.

        Args:
            source, target, in_source, in_target: key points; see :meth:`from_points`.
            places: (x, y) of the locations in pixels, B 1 M 2 or 1 1 M 2.
            height: H of the image.
        """
        start_t, end_t, known = self._ends(target, in_source & in_target)  # B P 2, B P
        start_s, end_s, _ = self._ends(source, in_source & in_target)
        axis_t, length_t = _direction(end_t - start_t)
        axis_s, length_s = _direction(end_s - start_s)
        unit_t, unit_s = (self._unit(length, known, height) for length in (length_t, length_s))  # B
        along = self._limited(length_s / length_t)
        across = self._across(source, target, in_source & in_target, axis_s, axis_t, unit_s / unit_t)

        side_t, side_s = perpendicular(axis_t), perpendicular(axis_s)
        linear = _outer(along, axis_s, axis_t) + _outer(across, side_s, side_t)  # B P 2 2, target to source
        shift = start_s - (linear @ start_t.unsqueeze(-1)).squeeze(-1)
        still = torch.eye(2, device=linear.device)
        flows = _affine(linear - still, shift, places)  # B P 2 M
        frame = torch.stack([axis_t, side_t], dim=2)
        u, v = _affine(frame, -(frame @ start_t.unsqueeze(-1)).squeeze(-1), places).unbind(2)  # along and across
        radius = (self.radius * unit_t.unsqueeze(1)).unsqueeze(-1)
        beyond = (-u).clamp(min=0) + (u - (length_t * (1 + self.reach)).unsqueeze(-1)).clamp(min=0)
        scores = self.order[:, None] - self.sharpness * (v.square() + beyond.square()) / radius.square()
        length = torch.maximum(length_t, unit_t.unsqueeze(1) / 2).unsqueeze(-1)
        points = PointPair(source, target, in_source, in_target)
        axes = torch.stack([axis_s, side_s], dim=2)
        flows, scores = self.correct(flows, scores, torch.stack([u / length, v / radius], 2), axes, points)
        scores = scores.masked_fill(~known.unsqueeze(-1), ABSENT)

        rest = torch.full_like(scores[:, :1], -self.sharpness * self.background**2)
        return torch.cat([flows, torch.zeros_like(flows[:, :1])], dim=1), torch.cat([scores, rest], dim=1)

    def correct(
        self, flows: Tensor, scores: Tensor, places: Tensor, axes: Tensor, points: PointPair
    ) -> tuple[Tensor, Tensor]:
        """Return corrected flows and scores of the parts; a prior that knows more than similarities overrides it.

        Args:
            flows, scores: those of the similarities, B P 2 M and B P M.
            places: target locations as seen from each part, B P 2 M: along it, 0 at its start and 1 at its end (or at
                half the layout's first part, where that is longer), and across it, in radii.
            axes: unit vectors along and across each part in the source, B P 2 2.
            points: the key points.
        """
        return flows, scores

    def _ends(self, points: Tensor, present: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Start and end B P 2 of each part, and whether both are known, B P."""
        start, has_start = _means(points, present, [part.start for part in self.parts])
        end, has_end = _means(points, present, [part.end for part in self.parts])
        return start, end, has_start & has_end

    def _unit(self, lengths: Tensor, known: Tensor, height: int) -> Tensor:
        """Length of the layout's first part, B, in pixels: the subject's size; a quarter of the image if unknown."""
        return torch.where(known[:, 0], lengths[:, 0], 0.25 * height).clamp(min=0.1 * height)

    def _across(
        self, source: Tensor, target: Tensor, present: Tensor, axis_s: Tensor, axis_t: Tensor, ratio: Tensor
    ) -> Tensor:
        """Scale of each part across its axis, B P; negative where the part is mirrored."""
        across = self._limited(ratio).unsqueeze(1).repeat(1, len(self.parts))
        for number, part in enumerate(self.parts):
            if not part.sides:
                continue
            width_s, _ = _width(source, present, part.sides, perpendicular(axis_s[:, number]))
            width_t, known = _width(target, present, part.sides, perpendicular(axis_t[:, number]))
            scale = self._limited(width_s.abs().clamp(min=1) / width_t.abs().clamp(min=1))
            mirrored = torch.where(width_s * width_t < 0, -scale, scale)
            across[:, number] = torch.where(known, mirrored, across[:, number])
        return across

    def _limited(self, ratio: Tensor) -> Tensor:
        return ratio.clamp(1 / self.largest_scale, self.largest_scale)


def _outer(scale: Tensor, to: Tensor, of: Tensor) -> Tensor:
    """Outer products B P 2 2 of vectors B P 2, times *scale* B P."""
    return scale[..., None, None] * to.unsqueeze(-1) * of.unsqueeze(-2)


def _pixels(size: tuple[int, int], device: torch.device) -> Tensor:
    """Return (x, y) of all pixels of H×W, row by row, 1 1 HW 2."""
    y, x = torch.meshgrid(*(torch.arange(side, device=device, dtype=torch.float32) for side in size), indexing="ij")
    return torch.stack([x, y], dim=-1).view(1, 1, -1, 2)


def _affine(linear: Tensor, shift: Tensor, places: Tensor) -> Tensor:
    """Affine functions ``linear @ (x, y) + shift`` of places, B or 1, 1, M, 2: B P C M from B P C 2 and B P C."""
    return linear @ places.transpose(-1, -2) + shift.unsqueeze(-1)


def _direction(vector: Tensor) -> tuple[Tensor, Tensor]:
    """Unit vectors and lengths; at least a pixel, so that a part seen end-on keeps its size."""
    length = torch.linalg.vector_norm(vector, dim=-1)
    return vector / length.clamp(min=1e-6).unsqueeze(-1), length.clamp(min=1)


def perpendicular(vectors: Tensor) -> Tensor:
    """Turn vectors … 2 by 90 degrees, from x to y."""
    return torch.stack([-vectors[..., 1], vectors[..., 0]], dim=-1)


def _means(points: Tensor, present: Tensor, groups: list[tuple[int, ...]]) -> tuple[Tensor, Tensor]:
    """Mean of the present points of each group, B G 2, and whether there is one, B G."""
    weights = points.new_zeros(len(groups), points.shape[1])
    for number, group in enumerate(groups):
        weights[number, list(group)] = 1
    weights = weights * present.unsqueeze(1)  # B G K
    total = weights.sum(-1)
    return weights @ points / total.clamp(min=1).unsqueeze(-1), total > 0


def _width(
    points: Tensor, present: Tensor, sides: tuple[tuple[int, int], ...], normal: Tensor
) -> tuple[Tensor, Tensor]:
    """Mean signed distance of pairs of points along a normal B 2, in pixels, B, and whether a pair is present."""
    first, second = (list(column) for column in zip(*sides, strict=True))
    both = present[:, first] & present[:, second]
    distance = ((points[:, second] - points[:, first]) * normal.unsqueeze(1)).sum(-1) * both
    return distance.sum(1) / both.sum(1).clamp(min=1), both.any(1)
