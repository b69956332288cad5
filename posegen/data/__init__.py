"""Pairs, key points and their layouts, structure encoders."""

from .heatmap import HeatmapEncoder
from .keypoints import KeypointLayout, Keypoints, get_layout
from .structure import PairDataset, StructureEncoder, encode_structure, structure_of

__all__ = [
    "HeatmapEncoder",
    "KeypointLayout",
    "Keypoints",
    "PairDataset",
    "StructureEncoder",
    "encode_structure",
    "get_layout",
    "structure_of",
]
