"""Pictures and key points as the network takes them: resized or cut out as the model's data set does it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..data import Keypoints, PoseDataset, require_dataset
from ..data.keypoints import shown
from ..registry import DATASETS
from .inputs import PoseInput, check_points

UNNOTICED = 1.05
"""Largest ratio of proportions that is not reported as stretched."""


def prepare_subject(config: Mapping[str, Any], image: np.ndarray, keypoints: Keypoints) -> tuple[np.ndarray, Keypoints]:
    """Prepare a picture and its key points as the config's test data set does.

    The data set's class decides how (:meth:`posegen.data.PoseDataset.prepare`); by default all of the picture is
    resized.

    Args:
        config: config of the model; its ``size`` is (H, W) of the result.
        image: uint8, H W 3, of any size.
        keypoints: in pixels of *image* or of their own ``frame``; those of a data set's own list (``listed``), of the
            frame that its options give.

    Returns:
        The image, uint8 of ``size``, and the points in pixels of it.

    Raises:
        InputError: the points' frame has other proportions than *image*.
    """
    keypoints = keypoints.within((image.shape[0], image.shape[1]))
    dataset, options = test_dataset(config)
    return dataset.prepare(image, keypoints, model_size(config), options)


def prepare_checked(
    config: Mapping[str, Any], image: np.ndarray, keypoints: Keypoints, name: str
) -> tuple[np.ndarray, Keypoints]:
    """Call :func:`prepare_subject`, and check where the points lie.

    Raises:
        InputError: all points lie outside of the picture or in its corner, or their frame has other proportions.

    Warns:
        UserWarning: some points lie outside; the warning begins with *name*.
    """
    prepared, points = prepare_subject(config, image, keypoints)
    checked, frame = (points, prepared) if keypoints.listed else (keypoints, image)
    if problem := check_points(checked, (frame.shape[0], frame.shape[1])):
        warnings.warn(f"{name}: {problem}", stacklevel=2)
    return prepared, points


def frame_of(target: PoseInput, source: np.ndarray) -> np.ndarray:
    """Return the picture whose pixels a target's key points count: its own, a blank one, or the source.

    A target without a picture whose file says the picture's size gets a blank picture of these proportions, no longer
    than the source.
    """
    if target.picture is not None:
        return target.read_picture()
    if not (isinstance(target.structure, Keypoints) and target.structure.frame):
        return source
    frame = target.structure.frame
    scale = max(source.shape[:2]) / max(frame)
    height, width = (max(1, round(side * scale)) for side in frame)
    return np.zeros((height, width, 3), np.uint8)


def test_dataset(config: Mapping[str, Any]) -> tuple[type[PoseDataset], dict[str, Any]]:
    """Return the class of the test data set, the base class if there is none, and its options."""
    options = dict((config.get("test_dataloader") or {}).get("dataset") or {})
    kind = options.pop("type", PoseDataset)
    return require_dataset(DATASETS.get(kind) if isinstance(kind, str) else kind), options


def model_size(config: Mapping[str, Any]) -> tuple[int, int]:
    """Return the size (H, W) of the pictures of a config's model."""
    height, width = config["size"]
    return int(height), int(width)


def describe_size(config: Mapping[str, Any], sources: Sequence[PoseInput], resized_back: bool) -> str:
    """Say at what size the model works and which sources are stretched to it; nothing if all have that size.

    Args:
        config: config of the model.
        sources: pictures with key points, from :func:`posegen.inference.read_inputs`.
        resized_back: results get the source's size, or cannot have it.
    """
    size = model_size(config)
    sizes = [one.structure.frame or one.read_picture().shape[:2] for one in sources]
    if all(one == size for one in sizes):
        return ""
    told = [f"the model works at {shown(size)} pixels"]
    ratios = [_stretch(config, one.structure, frame) for one, frame in zip(sources, sizes, strict=True)]
    stretched = [index for index, ratio in enumerate(ratios) if not 1 / UNNOTICED <= ratio <= UNNOTICED]
    if stretched:
        first, others = stretched[0], len(stretched) - 1
        more = f", as are {others} others" if others else ""
        told.append(f"{sources[first].picture}, {shown(sizes[first])}, is stretched to these proportions{more}")
    told += [] if resized_back else ["--resize-back gives results of the source's size"]
    return "; ".join(told)


def _stretch(config: Mapping[str, Any], keypoints: Keypoints, frame: tuple[int, int]) -> float:
    """Return by how much a picture of size *frame* (H, W) is stretched in width relative to its height.

    1 if its proportions are kept, or if the key points lie on a horizontal or vertical line.
    """
    before = keypoints.points[keypoints.present]
    if np.ptp(before, axis=0).min() < 1:
        return 1.0
    _, prepared = prepare_subject(config, np.zeros((*frame, 3), np.uint8), keypoints)
    wider, higher = np.ptp(prepared.points[prepared.present], axis=0) / np.ptp(before, axis=0)
    return float(wider / higher)
