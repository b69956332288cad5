"""Pure tensor functions with exact gradients: sampling along a flow, local attention, affine fit."""

from .affine import affine_residual
from .local_attention import LocalAttention, Reduction, attend, first_layer
from .peaks import heatmap_peaks
from .sampling import resize_flow, sample_bilinear, sample_gaussian, sampling_positions, warp, weighted_gather

__all__ = [
    "LocalAttention",
    "Reduction",
    "affine_residual",
    "attend",
    "first_layer",
    "heatmap_peaks",
    "resize_flow",
    "sample_bilinear",
    "sample_gaussian",
    "sampling_positions",
    "warp",
    "weighted_gather",
]
