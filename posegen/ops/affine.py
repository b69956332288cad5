"""Distance of a flow from affine ones, by window (GFLA, arXiv 2003.00696, section 3.1: regularization)."""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InputError


def affine_residual(flow: Tensor, size: int) -> Tensor:
    """Compute the squared residual of the best affine fit to the sampling positions in each full size×size window.

    The locations themselves are affine, so the flow has the same residual as ``l + w(l)``. The residual is the energy
    in the size² − 3 directions orthogonal to {1, x, y}: a small filter bank, without cancellation of large terms.

    Args:
        flow: B 2 H W, in pixels. size: side of the window, at least 2.

    Returns:
        B H−size+1 W−size+1, in pixels², x and y summed.

    Raises:
        InputError: the map is smaller than one window.
    """
    batch, _, height, width = flow.shape
    if min(height, width) < size:
        raise InputError(f"a {width}×{height} flow has no full {size}×{size} window")
    filters = _non_affine_filters(size).to(flow)
    residual = F.conv2d(flow.reshape(batch * 2, 1, height, width), filters)
    return residual.square().sum(1).unflatten(0, (batch, 2)).sum(1)


@lru_cache
def _non_affine_filters(size: int) -> Tensor:
    """Return an orthonormal basis of the windows orthogonal to {1, x, y}: size²−3 1 size size."""
    side = torch.arange(size, dtype=torch.float64)
    y, x = torch.meshgrid(side, side, indexing="ij")
    affine = torch.stack([torch.ones_like(x), x, y]).flatten(1)
    _, _, basis = torch.linalg.svd(affine, full_matrices=True)
    return basis[3:].reshape(-1, 1, size, size)
