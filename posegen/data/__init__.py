"""Pairs, key points and their layouts, structure encoders."""

from .heatmap import HeatmapEncoder
from .keypoints import KeypointLayout, Keypoints, get_layout
from .structure import StructureEncoder

__all__ = ["HeatmapEncoder", "KeypointLayout", "Keypoints", "StructureEncoder", "get_layout"]
