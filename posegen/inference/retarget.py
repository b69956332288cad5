"""Fit target poses to a source: from the pixels of their own frame to those of the source, scaled to its body."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..data import KeypointLayout, Keypoints
from ..errors import InputError, RetargetWarning
from .interpolation import parents_of

RETARGET = ("auto", "none", "scale", "bones", "motion")
"""Ways to fit a target pose to the source.

- ``none``: as it stands in its frame. A frame of other proportions than the source's is cropped around the pose, or
  padded, never stretched.
- ``scale``: scaled to the source's size, and moved to its place.
- ``bones``: the same, and each limb gets the length that it has in the source.
- ``motion``: the source's own pose, changed as the poses of a clip change from the one that is most like it, at the
  source's size: the source keeps its proportions, which for a face are its likeness.
- ``auto``: ``motion`` for a clip from another frame, see :func:`is_motion_without_parts`. Else ``scale`` if the
  sizes differ by more than :data:`UNNOTICED_SIZE`, or the frames have other proportions, or a single pose was found in
  another photograph, so that a place in one means nothing in the other; else ``none``.
"""
UNNOTICED_SIZE = 1.25
"""Largest ratio of the sizes of two figures that ``auto`` leaves as it is."""
UNNOTICED = 1.05
"""Largest ratio of the proportions of two frames that are taken as the same."""
LARGEST_RATIO = 2.0
"""Limit of the change of a limb's length, and of its inverse: a foreshortened limb has no length to copy."""
REACH = 0.75
"""Maximum distance of a figure without parts, a face, from its place in ``motion``, in root mean square distances of
its points from their middle: the neck does not come along."""
TYPICAL = 90
"""Percentile of a limb's length over the frames of a clip: the limb seen from the side."""

Size = tuple[int, int]


@dataclass(frozen=True)
class Placement:
    """Map of target poses from pixels of their frame to pixels of the source.

    Args:
        layout: layout of the poses.
        size: (H, W) of the source.
        scale: factors of x and y.
        offset: (x, y) in pixels of the source, added after scaling.
        limbs: factor of the length of each of the layout's limbs, before scaling; None: no limb changes.
        steps: (x, y) of each point, K 2, in pixels of the source, added after *offset*; NaN: the point is missing.
            None: no point moves by itself.
        about: pose of the source, K 2, from which the mean of a placed pose's points stays within *reach*; farther
            ones are drawn back as a whole. None: no pose is.
        reach: that distance in pixels of the source.
        ratio: size of the target's figure by that of the source, in pixels of the source, before it was fitted.
    """

    layout: KeypointLayout
    size: Size
    scale: tuple[float, float] = (1.0, 1.0)
    offset: tuple[float, float] = (0.0, 0.0)
    limbs: np.ndarray | None = None
    steps: np.ndarray | None = None
    about: np.ndarray | None = None
    reach: float = np.inf
    ratio: float = 1.0

    def __call__(self, pose: Keypoints) -> Keypoints:
        """Return a pose in pixels of the source."""
        points = pose.points if self.limbs is None else _with_limbs(pose, self.layout, self.limbs)
        placed = points * np.array(self.scale) + np.array(self.offset)
        present = pose.present.copy()
        if self.steps is not None:
            present &= ~np.isnan(self.steps).any(1)
            placed = np.where(present[:, None], placed + self.steps, 0)
        if self.about is not None and present.any():
            away = (placed - self.about)[present].mean(0)
            length = float(np.linalg.norm(away))
            placed[present] -= away * max(0.0, 1 - self.reach / max(length, 1e-9))
        return replace(pose, points=placed, present=present, frame=self.size)

    @property
    def is_alike(self) -> bool:
        """Return whether the sizes of the two figures differ so little that ``auto`` leaves them."""
        return 1 / UNNOTICED_SIZE <= self.ratio <= UNNOTICED_SIZE

    def fits(self, frame: Size | None) -> bool:
        """Return whether ``auto`` leaves poses of a frame as they are: of alike figures, and of alike proportions."""
        return self.is_alike and _same_proportions(frame, self.size)

    @property
    def keeps_shape(self) -> bool:
        """Return whether it only scales and moves, so that a picture of the target fits the placed pose."""
        return self.limbs is None and self.steps is None

    def inverse(self, x: float, y: float) -> tuple[float, float]:
        """Return the point of the target's frame that is placed at (x, y); limbs and steps are left out of account."""
        return (x - self.offset[0]) / self.scale[0], (y - self.offset[1]) / self.scale[1]


def place_targets(
    source: Keypoints,
    targets: Sequence[Keypoints],
    layout: KeypointLayout,
    size: Size,
    how: str = "auto",
    name: str = "the target",
    elsewhere: bool = False,
) -> Placement:
    """Find how poses of one frame come into the picture of a source: all frames of a clip in the same way.

    Args:
        source: pose of the source, in pixels of its picture.
        targets: poses of one figure, all in pixels of one frame: that of the first one, or of the source.
        layout: layout of all poses.
        size: (H, W) of the source's picture.
        how: one of :data:`RETARGET`.
        name: name of the targets in a warning.
        elsewhere: whether the targets were found in another photograph, so that a place in it means nothing here.

    Raises:
        InputError: an unknown way, or targets of several frames.

    Warns:
        RetargetWarning: ``auto`` changes the poses.
    """
    if how not in RETARGET:
        raise InputError(f"retarget must be one of {', '.join(RETARGET)}; got {how!r}")
    if len({pose.frame for pose in targets}) > 1:
        raise InputError("the targets to place together count pixels of several frames")
    posed = [pose for pose in targets if pose.present.any()]
    placement = Placement(layout, size)
    if not posed or not source.present.any():
        return placement
    placement = place_frame(posed, layout, size)
    ratio = size_ratio([placement(pose) for pose in posed], [source], layout)
    placement = replace(placement, ratio=ratio)
    if how == "auto" and is_motion_without_parts(targets, layout) and targets[0].frame not in (None, size):
        what = (
            "the source keeps its proportions and changes as the clip does, near its own place (--retarget motion); "
            "--retarget scale gives it the proportions and the way of the clip's"
        )
        warnings.warn(RetargetWarning(name, what), stacklevel=2)
        how = "motion"
    if how == "none" or (how == "auto" and not elsewhere and placement.fits(posed[0].frame)):
        return placement
    if how == "auto":
        other = "was found in another photograph" if elsewhere else "comes from a picture of other proportions"
        why = other if placement.is_alike else f"is {ratio:.2g} times as large as the source's"
        what = (
            f"the figure of the pose {why}, so the pose is scaled and moved to the source's figure (--retarget none "
            "keeps it as it is, --retarget bones fits each bone)"
        )
        warnings.warn(RetargetWarning(name, what), stacklevel=2)
    x, y = placement.scale
    scaled = replace(placement, scale=(x / ratio, y / ratio), offset=(0.0, 0.0))
    if how == "motion":
        scaled = replace(scaled, steps=_steps(source, [scaled(pose) for pose in posed]))
        if layout.parts:
            return scaled
        own = source.points[source.present]
        spread = float(np.sqrt((own - own.mean(0)).var(0).sum()))
        return replace(scaled, about=source.points, reach=REACH * spread)
    if how == "bones":
        scaled = replace(scaled, limbs=_limb_ratios(source, [scaled(pose) for pose in posed], layout))
    steps = np.array([_step(source, scaled(pose), layout) for pose in posed])
    step = np.median(steps, axis=0)
    return replace(scaled, offset=(float(step[0]), float(step[1])))


def is_motion_without_parts(poses: Sequence[Keypoints], layout: KeypointLayout) -> bool:
    """Return whether poses are the motion of a face, whose proportions are its likeness: of a layout without parts."""
    return not layout.parts and len(poses) > 1


def size_ratio(poses: Sequence[Keypoints], others: Sequence[Keypoints], layout: KeypointLayout) -> float:
    """Return the size of the figure of *poses* divided by that of *others*: the median over limbs, by their length.

    Without a limb that both have, the ratio of the extents of the points that both have; 1 if there are fewer than two.
    """
    ours, theirs = limb_lengths(poses, layout), limb_lengths(others, layout)
    known = (ours > 0) & (theirs > 0)
    if known.any():
        ratios, weights = ours[known] / theirs[known], theirs[known]
        order = np.argsort(ratios)
        total = np.cumsum(weights[order])
        return float(ratios[order][np.searchsorted(total, total[-1] / 2)])
    common = poses[0].present & others[0].present
    extents = [
        np.linalg.norm(np.ptp(pose.points[common], axis=0)) if common.any() else 0 for pose in (*poses[:1], *others[:1])
    ]
    return float(extents[0] / extents[1]) if min(extents) > 0 else 1.0


def limb_lengths(poses: Sequence[Keypoints], layout: KeypointLayout) -> np.ndarray:
    """Return the length of each of the layout's limbs in pixels, the longer of a limb and its mirror image; 0: unknown.

    Over several poses: a high percentile, since a limb that points at the camera looks short.
    """
    limbs = np.array(layout.limbs, int).reshape(-1, 2)
    lengths = np.full((len(poses), len(limbs)), np.nan)
    for row, pose in zip(lengths, poses, strict=True):
        known = pose.present[limbs].all(1)
        row[known] = np.linalg.norm(pose.points[limbs[known, 0]] - pose.points[limbs[known, 1]], axis=1)
    seen = ~np.isnan(lengths).all(0)
    typical = np.zeros(len(limbs))
    if seen.any():
        typical[seen] = np.nanpercentile(lengths[:, seen], TYPICAL, axis=0)
    return np.maximum(typical, typical[_mirrored(layout)])


def _mirrored(layout: KeypointLayout) -> list[int]:
    """Return the index of the mirror image of each limb; its own if there is none."""
    index = {frozenset(limb): number for number, limb in enumerate(layout.limbs)}
    partners = [frozenset(layout.partner[point] for point in limb) for limb in layout.limbs]
    return [index.get(partner, number) for number, partner in enumerate(partners)]


def _limb_ratios(source: Keypoints, placed: Sequence[Keypoints], layout: KeypointLayout) -> np.ndarray:
    """Return the factor of each limb's length; 1 where it is unknown in the source or the targets."""
    ours, theirs = limb_lengths([source], layout), limb_lengths(placed, layout)
    known = (ours > 0) & (theirs > 0)
    ratios = np.ones(len(layout.limbs))
    ratios[known] = np.clip(ours[known] / theirs[known], 1 / LARGEST_RATIO, LARGEST_RATIO)
    return ratios


def _with_limbs(pose: Keypoints, layout: KeypointLayout, ratios: np.ndarray) -> np.ndarray:
    """Return the points K 2 of a pose whose limbs are changed in length, from the layout's root outward."""
    factors = {frozenset(limb): ratio for limb, ratio in zip(layout.limbs, ratios, strict=True)}
    points = pose.points.astype(np.float64)
    for child, parent in parents_of(layout, pose.present, pose.present).items():
        if parent is not None:
            step = pose.points[child] - pose.points[parent]
            points[child] = points[parent] + factors[frozenset((child, parent))] * step
    return points


def _steps(source: Keypoints, placed: Sequence[Keypoints]) -> np.ndarray:
    """Return the (x, y) of each point, K 2, that make the source's pose of the pose that is most like it; NaN: unknown.

    Poses are compared by the points that both have, at the same place and size. One that is far from where the figure
    is as a rule counts as unlike, so that the figure of a clip stays about the source's place.
    """
    usual = np.median([pose.points[pose.present].mean(0) for pose in placed], axis=0)

    def unlikeness(pose: Keypoints) -> float:
        common = source.present & pose.present
        if not common.any():
            return np.inf
        ours, theirs = (points[common] - points[common].mean(0) for points in (source.points, pose.points))
        sizes = np.linalg.norm(ours), np.linalg.norm(theirs)
        if min(sizes) == 0:
            return np.inf
        away = np.linalg.norm(pose.points[pose.present].mean(0) - usual) / (sizes[1] / np.sqrt(len(theirs)))
        return float(np.linalg.norm(ours / sizes[0] - theirs / sizes[1]) + away)

    start = min(placed, key=unlikeness)
    known = (source.present & start.present)[:, None]
    return np.where(known, source.points - start.points, np.nan)


def _step(source: Keypoints, placed: Keypoints, layout: KeypointLayout) -> np.ndarray:
    """Return the (x, y) that moves a pose to the source's place.

    Horizontally by the median of the points that both have. Vertically by their lowest ones, on which both stand, if
    the source's lowest is within a limb's length of the pose's; else by their mean.
    """
    common = np.flatnonzero(source.present & placed.present)
    if not len(common):
        return source.points[source.present].mean(0) - placed.points[placed.present].mean(0)
    ours, theirs = source.points[common], placed.points[common]
    step = np.median(ours, axis=0) - np.median(theirs, axis=0)
    lowest = int(common[ours[:, 1].argmax()])
    feet = [placed.points[point, 1] for point in (lowest, layout.partner[lowest]) if placed.present[point]]
    stands = theirs[:, 1].max() - max(feet) <= limb_lengths([placed], layout).max(initial=0)
    step[1] = ours[:, 1].max() - theirs[:, 1].max() if stands else ours[:, 1].mean() - theirs[:, 1].mean()
    return step


def _same_proportions(frame: Size | None, size: Size) -> bool:
    """Return whether a frame (H, W), None for the picture itself, has the proportions of a picture of *size*."""
    if frame is None:
        return True
    x, y = size[1] / frame[1], size[0] / frame[0]
    return max(x / y, y / x) <= UNNOTICED


def place_frame(poses: Sequence[Keypoints], layout: KeypointLayout, size: Size) -> Placement:
    """Place the frame of poses in a picture of *size* (H, W), with its proportions: cropped around them, or padded."""
    frame, placement = poses[0].frame, Placement(layout, size)
    if frame is None or frame == size:
        return placement
    x, y = size[1] / frame[1], size[0] / frame[0]
    if _same_proportions(frame, size):
        return replace(placement, scale=(x, y))
    points = np.concatenate([pose.points[pose.present] for pose in poses])
    low, high = points.min(0), points.max(0)
    scale = max(x, y)  # the frame covers the picture
    if ((high - low) * scale > np.array(size[::-1])).any():
        scale = min(x, y)  # the picture shows all of the frame
    room = np.array(size[::-1]) - np.array(frame[::-1]) * scale  # negative where the frame is cropped
    middle = np.array(size[::-1]) / 2 - (low + high) / 2 * scale
    offset = np.where(room < 0, np.clip(middle, room, 0), room / 2)
    return replace(placement, scale=(scale, scale), offset=(float(offset[0]), float(offset[1])))
