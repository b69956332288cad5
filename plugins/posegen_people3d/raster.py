"""Rasterize triangles with a z-buffer that keeps the triangle and the barycentric coordinates of each sample.

All candidate samples of all triangles are tested at once with NumPy: bodies have thousands of triangles of a few
samples each, where this is as fast as compiled loops (docs/people.md, "People in 3D") and needs nothing installed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = np.ndarray
NOTHING = -1
"""Triangle of samples that show none."""


@dataclass(frozen=True)
class Buffer:
    """Samples of a picture.

    Args:
        triangle: H W, index of the nearest triangle, or NOTHING.
        weights: H W 3, barycentric coordinates in space (corrected for perspective); 0 where there is nothing.
        nearness: H W, reciprocal of the depth; 0 where there is nothing.
    """

    triangle: NDArray[np.int32]
    weights: NDArray[np.float32]
    nearness: Array


def rasterize(
    points: Array, nearness: Array, triangles: NDArray[np.int32], size: tuple[int, int], two_sided: NDArray[np.bool_]
) -> Buffer:
    """Rasterize triangles at the centers of pixels.

    Args:
        points: V 2, (x, y) of the vertices in pixels; the center of the first pixel is (0, 0).
        nearness: V, reciprocals of their depths; positive.
        triangles: T 3; seen from the front, corners run counterclockwise in space.
        size: (H, W).
        two_sided: T, whether a triangle is seen from behind, too.
    """
    height, width = size
    (x0, y0), (x1, y1), (x2, y2) = points[triangles].transpose(1, 2, 0)
    area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)  # negative in front: y runs down
    left, right = _pixel_range(x0, x1, x2, width)
    top, bottom = _pixel_range(y0, y1, y2, height)
    drawn = np.flatnonzero(((area < 0) | (two_sided & (area > 0))) & (right >= left) & (bottom >= top))
    left, top, columns, rows = left[drawn], top[drawn], (right - left + 1)[drawn], (bottom - top + 1)[drawn]
    counts = columns * rows
    owner = np.repeat(np.arange(len(drawn), dtype=np.int32), counts)
    offset = np.arange(len(owner), dtype=np.int32) - np.repeat(np.cumsum(counts) - counts, counts).astype(np.int32)
    row, column = np.divmod(offset, columns[owner])
    x, y = left[owner] + column, top[owner] + row

    inverse = 1 / area[drawn]
    w1, w2 = _planes(np.stack([x0, x1, x2])[:, drawn], np.stack([y0, y1, y2])[:, drawn], inverse)
    b1 = (w1[0][owner] * x + w1[1][owner] * y) + w1[2][owner]
    b2 = (w2[0][owner] * x + w2[1][owner] * y) + w2[2][owner]
    b0 = 1 - b1 - b2
    inside = np.flatnonzero(np.minimum(np.minimum(b0, b1), b2) >= 0)
    owner, place = owner[inside], y[inside] * width + x[inside]
    near = nearness[triangles[drawn]].T  # 3 of drawn
    scaled = [b[inside] * near[k][owner] for k, b in enumerate((b0, b1, b2))]
    depth = scaled[0] + scaled[1] + scaled[2]
    best = np.zeros(height * width)
    np.maximum.at(best, place, depth)
    first = np.flatnonzero(depth == best[place])
    place = place[first]
    triangle = np.full(height * width, NOTHING, np.int32)
    weights = np.zeros((height * width, 3), np.float32)
    triangle[place] = drawn[owner[first]]
    share = 1 / depth[first]
    for k in range(3):
        weights[place, k] = scaled[k][first] * share
    return Buffer(triangle.reshape(size), weights.reshape(*size, 3), best.reshape(size))


def _pixel_range(a: Array, b: Array, c: Array, count: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the first and the last of *count* pixel centers between the corners' coordinates."""
    first = np.ceil(np.minimum(np.minimum(a, b), c)).clip(0, count)
    last = np.floor(np.maximum(np.maximum(a, b), c)).clip(-1, count - 1)
    return first.astype(np.int32), last.astype(np.int32)


def _planes(x: Array, y: Array, inverse: Array) -> tuple[list[Array], list[Array]]:
    """Return the barycentric coordinates of the second and third corner as functions a x + b y + c of the place."""
    (x0, x1, x2), (y0, y1, y2) = x, y
    second = _plane((y2 - y0) * inverse, -(x2 - x0) * inverse, x0, y0)
    return second, _plane(-(y1 - y0) * inverse, (x1 - x0) * inverse, x0, y0)


def _plane(a: Array, b: Array, x0: Array, y0: Array) -> list[Array]:
    return [a, b, -(a * x0 + b * y0)]
