"""Results at the size of the photograph: put back into it with a soft edge, and with its alpha."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from ..data.images import Background, compose, cover, resize_image, to_tensor, to_uint8
from ..errors import ConfigError, InputError
from ..ops import resize_flow, warp
from ..records import Transfer
from .framing import Window
from .prepared import Prepared

SOFT = 0.05
"""Width of the soft edge, as a share of the window's side."""


def put_back(one: Prepared, made: Transfer) -> np.ndarray:
    """Return the photograph, uint8 H W 3, with what was generated from it in the place of what the model saw.

    What the model copied along its flow is copied from the photograph at full resolution: the difference between the
    photograph and the model's small picture of it is warped along the enlarged flow and added where the mask says that
    the result is warped.

    Args:
        one: input of the model.
        made: its output, B = 1.
    """
    photograph, window = one.photograph.image, one.window
    region = _enlarged(one, made).astype(np.float32)
    rows = _ramp(window.top, window.height, photograph.shape[0])
    columns = _ramp(window.left, window.width, photograph.shape[1])
    share = np.minimum(rows[:, None], columns)[..., None]
    mixed = region * share + window.cut(photograph) * (1 - share)
    return paste(photograph, mixed.round().clip(0, 255).astype(np.uint8), window)


def paste(onto: np.ndarray, region: np.ndarray, window: Window) -> np.ndarray:
    """Return a copy of an array H W … in which the window is replaced; what lies beyond the array is left out."""
    pasted = onto.copy()
    top, left = max(window.top, 0), max(window.left, 0)
    bottom, right = min(window.top + window.height, onto.shape[0]), min(window.left + window.width, onto.shape[1])
    if top < bottom and left < right:
        pasted[top:bottom, left:right] = region[
            top - window.top : bottom - window.top, left - window.left : right - window.left
        ]
    return pasted


def paste_flow(one: Prepared, flow: Tensor) -> np.ndarray:
    """Return a flow 1 2 h w in pixels of the photograph, 2 H W; zero outside of what the model saw."""
    height, width = one.photograph.image.shape[:2]
    region = resize_flow(flow.float(), (one.window.height, one.window.width))[0].cpu().numpy()
    whole = paste(np.zeros((height, width, 2), np.float32), region.transpose(1, 2, 0), one.window)
    return np.ascontiguousarray(whole.transpose(2, 0, 1))


def paste_mask(one: Prepared, mask: Tensor) -> np.ndarray:
    """Return a mask 1 1 h w at the photograph's size, H W; 1 (warped) outside of what the model saw."""
    region = F.interpolate(mask.float(), (one.window.height, one.window.width))[0, 0].cpu().numpy()
    return paste(np.ones(one.photograph.image.shape[:2], np.float32), region, one.window)


def moved_alpha(one: Prepared, made: Transfer, resize_back: bool) -> np.ndarray:
    """Return the alpha of a result, uint8 H W: that of the source, moved along the flow.

    Args:
        one: input of the model.
        made: its output, B = 1.
        resize_back: at the photograph's size instead of the model's.

    Raises:
        ConfigError: the model has no flow.
    """
    if not made.flows:
        raise ConfigError("alpha is moved along the flow, and this model has none: leave --keep-alpha out")
    alpha = one.photograph.alpha
    if alpha is None:
        alpha = np.full(one.photograph.image.shape[:2], 255, np.uint8)
    size = (one.source.shape[-2], one.source.shape[-1])
    seen = one.window.cut(alpha)
    small = resize_image(np.repeat(seen[..., None], 3, 2), seen.shape if resize_back else size)
    moved = to_uint8(warp(to_tensor(small)[None], made.flows[-1].float().cpu())[0])[..., 0]
    return paste(alpha, moved, one.window) if resize_back else moved


def with_alpha(one: Prepared, picture: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Return a result as RGBA, uint8 H W 4, without the background that its source was composed on.

    Args:
        one: input of the model.
        picture: uint8 H W 3, of the model's size or the photograph's.
        alpha: uint8 H W.
    """
    behind = np.asarray(_behind(one, picture, one.photograph.background))
    share = np.maximum(alpha[..., None], 1) / np.float32(255)
    colors = behind + (picture - behind.astype(np.float32)) / share
    return np.dstack([colors.round().clip(0, 255).astype(np.uint8), alpha])


def cut_out(one: Prepared, picture: np.ndarray, resize_back: bool, keep_alpha: bool = False) -> np.ndarray:
    """Return a result, uint8 H W 3, whose figure stands in front of the background of its cutout.

    Args:
        one: input of the model, with a cutout and the key points of the target.
        picture: what was generated, uint8 H W 3.
        resize_back: it has the photograph's size instead of the model's.
        keep_alpha: in front of nothing: uint8 H W 4.

    Raises:
        InputError: the target has no key points.
    """
    assert one.cutout is not None
    if one.target is None:
        raise InputError(f"{one.name}: another background requires a target with key points, which cut the figure out")
    pose = replace(one.target, frame=(one.source.shape[-2], one.source.shape[-1]))
    if resize_back:
        pose = pose.stretch((one.window.height, one.window.width))
        pose = replace(pose, points=pose.points + np.array([one.window.left, one.window.top], np.float32))
    alpha = one.cutout.alpha(picture, pose)
    if keep_alpha:
        return with_alpha(one, picture, alpha)
    return compose(picture, alpha, _behind(one, picture, one.cutout.background))


def _behind(one: Prepared, picture: np.ndarray, background: Background) -> Background:
    """Return the part of a background of the photograph that lies behind a result of either size."""
    if not isinstance(background, np.ndarray):
        return background
    behind = cover(background, (one.photograph.image.shape[0], one.photograph.image.shape[1]))
    if behind.shape == picture.shape:
        return behind
    return resize_image(one.window.cut(behind), (picture.shape[0], picture.shape[1]))


def _enlarged(one: Prepared, made: Transfer) -> np.ndarray:
    """Return the result at the window's size, uint8 H W 3, with details of the photograph where it is warped."""
    size = (one.window.height, one.window.width)
    picture = resize_image(to_uint8(made.image[0]), size)
    if not (made.flows and made.masks):
        return picture
    flow = made.flows[-1].float().cpu()
    sharp = to_uint8(warp(to_tensor(one.window.cut(one.photograph.image))[None], flow)[0])
    soft = resize_image(to_uint8(warp(one.source[None], flow)[0]), size)
    mask = F.interpolate(made.masks[-1].float().cpu(), size, mode="bilinear", align_corners=False)[0, 0].numpy()
    detailed = picture + mask[..., None] * (sharp.astype(np.float32) - soft)
    return detailed.round().clip(0, 255).astype(np.uint8)


def _ramp(start: int, length: int, side: int) -> np.ndarray:
    """Weights of a window along one side, in (0, 1]: soft at its ends unless these are ends of the picture."""
    soft = max(1, round(SOFT * length))
    weights = np.ones(length, np.float32)
    rise = np.arange(1, soft + 1, dtype=np.float32) / (soft + 1)
    if start > 0:
        weights[:soft] = np.minimum(weights[:soft], rise[: len(weights[:soft])])
    if start + length < side:
        weights[-soft:] = np.minimum(weights[-soft:], rise[::-1][-len(weights[-soft:]) :])
    return weights
