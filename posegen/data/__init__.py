"""Data sets, key points and their layouts, structure encoders."""

from .datasets import ClipDataset, PairDataset, PoseDataset, require_dataset
from .heatmap import HeatmapEncoder
from .keypoints import KeypointLayout, Keypoints, convert_keypoints, get_layout
from .structure import StructureEncoder

__all__ = [
    "ClipDataset",
    "HeatmapEncoder",
    "KeypointLayout",
    "Keypoints",
    "PairDataset",
    "PoseDataset",
    "StructureEncoder",
    "convert_keypoints",
    "get_layout",
    "require_dataset",
]
