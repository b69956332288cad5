"""Pure tensor functions with exact gradients: sampling along a flow, local attention, affine fit."""

from .affine import affine_residual
from .local_attention import LocalAttention, attend, kernel_logits
from .peaks import heatmap_peaks
from .sampling import resize_flow, sample_bilinear, sample_gaussian, sampling_positions, warp, weighted_gather

__all__ = [
    "LocalAttention",
    "affine_residual",
    "attend",
    "heatmap_peaks",
    "kernel_logits",
    "resize_flow",
    "sample_bilinear",
    "sample_gaussian",
    "sampling_positions",
    "warp",
    "weighted_gather",
]
