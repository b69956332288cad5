"""Flow prior of faces: the motion that the landmarks of two pictures tell (docs/method.md, guided GFLA)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from posegen.data import KeypointLayout, get_layout
from posegen.errors import ConfigError
from posegen.models import FlowCandidates, FlowPrior
from posegen.models.priors import ABSENT, perpendicular
from posegen.ops import heatmap_peaks, sample_bilinear, sampling_positions
from posegen.registry import FLOW_PRIORS

from .layouts import IBUG_68
from .matches import HEAD_FIT, SHARES

SHARPNESS = 3.4
"""Factor of the squared distance in a score."""
FAR = 1e10
"""Squared distance of a control point that does not count."""
RIDGE = 1e-3
"""Variance of control points, in square pixels, far below which moving least squares translate."""


@dataclass(frozen=True)
class Region:
    """Ellipse around which a candidate that moves with the head is likely. Units: half the height of the head.

    Args:
        middle: of the ellipse, right and down from the middle of the head.
        radii: half width and half height.
        order: score at the middle, against the other candidates.
        tilts: the ellipse tilts with the head.
        depth: of the point of the head that the region moves with, toward the viewer.
    """

    middle: tuple[float, float]
    radii: tuple[float, float]
    order: float
    tilts: bool
    depth: float

    def score(self, place: Tensor) -> Tensor:
        """Score places … 2 in the frame of the head."""
        offset = (place - place.new_tensor(self.middle)) / place.new_tensor(self.radii)
        return self.order - SHARPNESS * offset.square().sum(-1)


# Fitted to flow and foreground of drawn faces, and rounded.
SURFACE_RADIUS, SURFACE_ORDER = 0.3, 2.7
"""Distance from the nearest control point, as a share of their spread, at which the score of the surface has fallen by
SHARPNESS; its score at a control point."""
HAIR = Region((0.0, -0.1), (0.95, 1.15), -2.5, tilts=True, depth=-0.1)
SHOULDERS = Region((0.0, 1.65), (0.6, 0.75), 0.1, tilts=False, depth=-0.05)
REST = -SHARPNESS * 1.5**2


class Frame(NamedTuple):
    """Position of a head in B pictures: ``middle`` B 2 in pixels, ``axes`` B 2 2, whose rows are right and down, in
    pixels per half head."""

    middle: Tensor
    axes: Tensor


@FLOW_PRIORS.register_module()
class LandmarkFlow(FlowPrior):
    """Move a face by moving least squares through its landmarks; hair and shoulders follow the head.

    The candidates, in order:

    - the surface of the head: at each location the affine map that fits the control points best, weighted by their
      nearness (Schaefer et al., "Image deformation using moving least squares", SIGGRAPH 2006). The control points are
      the landmarks and the points of cheeks, forehead, crown and chin that are known from them
      (:mod:`posegen_faces.matches`).
    - the hair behind the head: shift, tilt and size of the head
    - the shoulders: shift and size of the head
    - the background at rest

    A landmark that is missing in either picture is left out. If one of those that place the head is missing, hair and
    shoulders are not known, and the surface lies near the landmarks.

    The first 68 channels of a structure must be heat maps of the landmarks (:class:`FaceLandmarkEncoder`).

    Args:
        layout: the layout of the 68 landmarks, or its name.
        softness: distance in pixels below which the nearness of a control point grows no more.

    Raises:
        ConfigError: a layout of other points; a softness that is not positive.
    """

    count = 4
    shares: Tensor
    head_fit: Tensor

    def __init__(self, layout: str | KeypointLayout = "ibug68", softness: float = 1.0) -> None:
        super().__init__()
        self.layout = get_layout(layout)
        if self.layout.names != IBUG_68.names:
            raise ConfigError(
                f"LandmarkFlow takes the 68 landmarks of layout {IBUG_68.name!r}, not {self.layout.name!r}"
            )
        if not softness > 0:
            raise ConfigError(f"LandmarkFlow: softness must be above 0, got {softness!r}")
        self.softness = softness
        self.register_buffer("shares", torch.from_numpy(SHARES).float(), persistent=False)
        self.register_buffer("head_fit", torch.from_numpy(HEAD_FIT).float(), persistent=False)

    @torch.no_grad()
    def forward(self, source_structure: Tensor, target_structure: Tensor) -> FlowCandidates:
        points = len(self.layout)
        source, in_source = heatmap_peaks(source_structure[:, :points].float())
        target, in_target = heatmap_peaks(target_structure[:, :points].float())
        size = (target_structure.shape[-2], target_structure.shape[-1])
        return self.from_points(source, target, in_source & in_target, size)

    def from_points(self, source: Tensor, target: Tensor, present: Tensor, size: tuple[int, int]) -> FlowCandidates:
        """Compute the prior of landmarks.

        Args:
            source, target: B 68 2, (x, y) in pixels of the image.
            present: B 68 bool, True where a landmark is known in both images.
            size: (H, W) of the image.
        """
        source, target = (torch.where(present.unsqueeze(-1), points, 0.0) for points in (source, target))
        known = _made_of(self.shares, present)  # control points
        placed = _made_of(self.head_fit, present).all(1, keepdim=True)
        grid = sampling_positions(target.new_zeros(1, 2, *size)).flatten(2).transpose(1, 2)  # 1 P 2

        points, matched = self.shares @ target, self.shares @ source
        to_points, to_matched = (_squared_distance(grid, each, known) for each in (points, matched))
        surface = moving_least_squares(grid, to_points, points, matched, self.softness)
        followers = [self._follow(region, grid, source, target) for region in (HAIR, SHOULDERS)]
        flows = torch.stack([surface, *followers, torch.zeros_like(surface)], 1)
        flows = flows.transpose(2, 3).unflatten(3, size)  # B 4 2 H W

        scores = self._scores(grid, to_points, target, known, placed).unflatten(2, size)
        in_source = self._scores(grid, to_matched, source, known, placed).unflatten(2, size)  # what a location shows
        owned = sample_bilinear(in_source.softmax(1).flatten(0, 1).unsqueeze(1), flows.flatten(0, 1))
        visible = (scores.softmax(1) * owned.view_as(scores)).sum(1, keepdim=True)
        return FlowCandidates(flows, scores, visible)

    def _scores(self, grid: Tensor, distance: Tensor, landmarks: Tensor, known: Tensor, placed: Tensor) -> Tensor:
        """Score the candidates at each location, B 4 P.

        Args:
            grid: locations 1 P 2.
            distance: :func:`_squared_distance` of locations and control points, B P M.
            landmarks: B 68 2.
            known: B M, control points that count.
            placed: B 1, whether the head is known.
        """
        points = self.shares @ landmarks
        total = known.sum(1).clamp(min=1)
        middle = (points * known.unsqueeze(2)).sum(1, keepdim=True) / total.view(-1, 1, 1)
        spread = ((points - middle).square().sum(-1) * known).sum(1) / total  # B, square pixels
        surface = SURFACE_ORDER - SHARPNESS * distance.amin(2) / (SURFACE_RADIUS**2 * spread.clamp(min=1)).unsqueeze(1)

        regions = [region.score(_in_frame(grid, self._frame(region, landmarks))) for region in (HAIR, SHOULDERS)]
        regions = [score.masked_fill(~placed, ABSENT) for score in regions]
        return torch.stack([surface.clamp(min=ABSENT), *regions, torch.full_like(surface, REST)], 1)

    def _follow(self, region: Region, grid: Tensor, source: Tensor, target: Tensor) -> Tensor:
        """Flow B P 2 that moves with the head as *region* does."""
        here, there = self._frame(region, target), self._frame(region, source)
        return there.middle.unsqueeze(1) + _in_frame(grid, here) @ there.axes - grid

    def _frame(self, region: Region, landmarks: Tensor) -> Frame:
        """Place the head in pictures by its landmarks B 68 2."""
        right, down, forward, middle = (self.head_fit @ landmarks).unbind(1)  # B 2 each
        scale = torch.stack([right, down, forward], 1).square().sum((1, 2)).div(2).sqrt()  # two rows of a rotation
        upright = torch.tensor([0.0, 1.0], device=down.device).expand_as(down)
        vertical = F.normalize(down, dim=1) if region.tilts else upright
        axes = torch.stack([-perpendicular(vertical), vertical], 1)
        return Frame(middle + region.depth * forward, scale.clamp(min=1).view(-1, 1, 1) * axes)


def _made_of(shares: Tensor, present: Tensor) -> Tensor:
    """Return which weighted sums of landmarks, shares M 68, are made of present ones alone, B 68: B M."""
    return ~((~present).float() @ (shares != 0).float().T).bool()


def _squared_distance(grid: Tensor, points: Tensor, known: Tensor) -> Tensor:
    """Squared distances of locations 1 P 2 and points B M 2, B P M; FAR for points that are not *known*, B M."""
    origin = grid.mean(1, keepdim=True)  # keeps squares small
    grid, points = grid - origin, points - origin
    square = points.square().sum(2, keepdim=True).masked_fill(~known.unsqueeze(2), FAR)
    factors = torch.cat([-2 * points, torch.ones_like(square), square], 2)
    terms = torch.cat([grid, grid.square().sum(2, keepdim=True), torch.ones_like(grid[..., :1])], 2)
    return (terms @ factors.transpose(1, 2)).clamp(min=0)


def _in_frame(grid: Tensor, frame: Frame) -> Tensor:
    """Return locations 1 P 2 in the frame of a head, B P 2, in half heads."""
    scale = (frame.axes.square().sum((1, 2), keepdim=True) / 2).clamp(min=1)
    return (grid - frame.middle.unsqueeze(1)) @ frame.axes.transpose(1, 2) / scale


def moving_least_squares(grid: Tensor, distance: Tensor, target: Tensor, source: Tensor, softness: float) -> Tensor:
    """Compute a flow through control points: at each location the affine map that fits them best, the near ones most.

    Control points that coincide, lie on a line or are less than three determine no affine map: along a direction in
    which their weighted variance is far below RIDGE, the flow is constant.

    Args:
        grid: locations 1 P 2.
        distance: squared distances of locations and control points, B P M; FAR for points that do not count.
        target, source: control points B M 2.
        softness: distance in pixels below which nearness grows no more.

    Returns:
        B P 2; about zero without control points.
    """
    weights = (distance + softness**2).square().reciprocal().double()  # moments of near points differ in few digits
    grid, target, source = grid.double(), target.double(), source.double()
    origin = target.mean(1, keepdim=True)  # keeps squares small
    p, shift = target - origin, source - target
    x, y = p.unbind(2)
    squares = torch.stack([x * x, x * y, y * y], 2)
    ones = torch.ones_like(squares[..., :1])
    moments = weights @ torch.cat([ones, p, shift, squares, x.unsqueeze(2) * shift, y.unsqueeze(2) * shift], 2)
    moments = moments[..., 1:] / moments[..., :1].clamp(min=1e-18)
    p_mean, shift_mean, xx, xy, yy, x_shift, y_shift = moments.split([2, 2, 1, 1, 1, 2, 2], 2)
    x_mean, y_mean = p_mean.split(1, 2)
    xx, xy, yy = xx - x_mean * x_mean + RIDGE, xy - x_mean * y_mean, yy - y_mean * y_mean + RIDGE
    x_shift, y_shift = x_shift - x_mean * shift_mean, y_shift - y_mean * shift_mean
    dx, dy = (grid - origin - p_mean).split(1, 2)
    across, down = yy * dx - xy * dy, xx * dy - xy * dx  # inverse covariance times offset, times the determinant
    flow = shift_mean + (across * x_shift + down * y_shift) / (xx * yy - xy * xy)
    return flow.to(distance.dtype)
