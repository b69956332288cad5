"""Sample sheets: a row per pair, a column per step of the method, with captions and a legend."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..data.images import resize_image
from ..ops import resize_flow
from ..records import PairBatch, Transfer
from .flow import flow_to_rgb, flow_wheel, mask_to_rgb, to_picture, warp

Draw = Callable[[Tensor], np.ndarray]
Columns = dict[str, list[np.ndarray]]  # images by caption, one per row

CELL = 128  # approximate longer side of a small image after enlarging, in pixels
GAP = 4
LINE = 15  # height of a line of text
FONT_SIZE = 12
WHEEL = 48
BACKGROUND, TEXT = (232, 234, 238), (44, 48, 56)
NOT_VISIBLE = (150, 153, 158)
FLOW, EXACT, MASK, WARPED = "flow", "exact flow", "mask", "warped source"


def sample_sheet(
    batch: PairBatch,
    out: Transfer,
    draw: Draw,
    rows: int = 8,
    scale: int | None = None,
    largest: float | None = None,
) -> np.ndarray:
    """Draw a sheet of samples: source, structures, flow, mask, warped source, result, target.

    Flow and mask are those of the model's finest level. If the data set knows the exact flow, a column shows it, gray
    where the point is not visible in the source. A model without flows has no such columns.

    Args:
        batch: the pairs.
        out: the model's output for them.
        draw: a structure encoder's ``draw``, from a structure S H W to an image, uint8 H W 3.
        rows: maximum number of pairs.
        scale: integer factor by which pixels are enlarged. None: until the longer side is about 128 pixels.
        largest: length in pixels of the image at which flow colors are saturated. None: nearly the longest flow shown.

    Returns:
        uint8, H W 3, RGB.
    """
    batch, out = _first(batch, out, rows)
    return _sheet(batch, out, draw, scale, largest, {"target": [to_picture(image) for image in batch.target]})


def overlay(
    source: Tensor,
    source_structure: Tensor,
    target_structure: Tensor,
    out: Transfer,
    draw: Draw,
    scale: int | None = None,
    largest: float | None = None,
) -> np.ndarray:
    """Draw an inference in one row per image: source, structures, flow, mask, warped source, result; no target.

    Args:
        source: B 3 H W in [-1, 1], as given to the model.
        source_structure: B S H W.
        target_structure: B S H W.
        out: the model's output.
        draw, scale, largest: see :func:`sample_sheet`.

    Returns:
        uint8, H W 3, RGB.
    """
    unknown_target, names = source, [""] * len(source)
    batch = PairBatch(source, source_structure, unknown_target, target_structure, names)
    batch, out = _first(batch, out, len(source))
    return _sheet(batch, out, draw, scale, largest, {})


def _sheet(
    batch: PairBatch, out: Transfer, draw: Draw, scale: int | None, largest: float | None, last: Columns
) -> np.ndarray:
    height, width = batch.source.shape[-2:]
    scale = scale or max(1, round(CELL / max(height, width)))
    flows = {FLOW: resize_flow(out.flows[-1], (height, width))} if out.flows else {}
    flows |= {EXACT: batch.flow} if batch.flow is not None else {}
    largest = largest or _common_length(list(flows.values()))
    columns = {
        "source": [to_picture(image) for image in batch.source],
        "source structure": [draw(structure) for structure in batch.source_structure],
        "target structure": [draw(structure) for structure in batch.target_structure],
        **{caption: [flow_to_rgb(f, largest) for f in flow] for caption, flow in flows.items()},
        **_warping(batch, out),
        "result": [to_picture(image) for image in out.image],
        **last,
    }
    if EXACT in columns and batch.visible is not None:
        for image, visible in zip(columns[EXACT], batch.visible, strict=True):
            image[visible[0].numpy() == 0] = NOT_VISIBLE
    return _arrange(columns, (height * scale, width * scale), _legend(columns, largest, (height, width)))


def _first(batch: PairBatch, out: Transfer, rows: int) -> tuple[PairBatch, Transfer]:
    """Return the first *rows* pairs on the CPU, in float32."""

    def cut(tensor: Tensor) -> Tensor:
        return tensor[:rows].detach().cpu().float()

    tensors = {name: cut(value) for name, value in vars(batch).items() if isinstance(value, Tensor)}
    return PairBatch(names=batch.names[:rows], **tensors), Transfer(
        cut(out.image), [cut(f) for f in out.flows], [cut(m) for m in out.masks]
    )


def _warping(batch: PairBatch, out: Transfer) -> Columns:
    """Return the columns of the finest mask and of the source warped by the finest flow."""
    height, width = batch.source.shape[-2:]
    columns: Columns = {}
    if out.masks:
        masks = F.interpolate(out.masks[-1], size=(height, width), mode="nearest")
        columns[MASK] = [mask_to_rgb(mask) for mask in masks]
    if out.flows:
        columns[WARPED] = [to_picture(image) for image in warp(batch.source, out.flows[-1])]
    return columns


def _common_length(flows: list[Tensor]) -> float:
    """Return a length in whole pixels that nearly all vectors of *flows* (B 2 H W) are shorter than.

    Not the maximum: one outlier would make all other vectors pale.
    """
    lengths = [flow.norm(dim=1).flatten().numpy() for flow in flows]
    finite = np.concatenate([length[np.isfinite(length)] for length in lengths]) if lengths else np.zeros(0)
    return max(1.0, math.ceil(np.quantile(finite, 0.995))) if finite.size else 1.0


def _legend(columns: Columns, largest: float, size: tuple[int, int]) -> str:
    if FLOW not in columns and EXACT not in columns:
        return ""
    lines = [
        f"flow: where in the source a pixel comes from; full color = {largest:g} px of {size[1]}x{size[0]}"
    ]  # Pillow's own font has no ×
    if EXACT in columns:
        lines.append("exact flow: gray = not visible in the source")
    if MASK in columns:
        lines.append("mask: white = warped, black = generated")
    return "\n".join(lines)


# Layout of a sheet ------------------------------------------------------------------------------------


def _arrange(columns: Columns, cell: tuple[int, int], legend: str) -> np.ndarray:
    """Arrange images under their captions, each resized to *cell* (height, width), above the wheel and *legend*."""
    height, width = cell
    font = ImageFont.load_default(FONT_SIZE)
    captions = [_wrap(caption, font, width + GAP) for caption in columns]
    header = GAP + LINE * max(map(len, captions))
    rows = len(next(iter(columns.values())))
    sheet_width = GAP + len(columns) * (width + GAP)
    grid_height = header + GAP + rows * (height + GAP)
    text = _wrap(legend, font, sheet_width - WHEEL - 4 * GAP)
    footer = max(WHEEL, LINE * len(text)) + 2 * GAP if legend else 0

    sheet = Image.new("RGB", (sheet_width, grid_height + footer), BACKGROUND)
    pen = ImageDraw.Draw(sheet)
    for k, (lines, images) in enumerate(zip(captions, columns.values(), strict=True)):
        left = GAP + k * (width + GAP)
        _write(pen, lines, (left + width / 2, header - LINE * len(lines)), font, anchor="ma")
        for row, image in enumerate(images):
            enlarged = resize_image(image, (height, width), "nearest")
            sheet.paste(Image.fromarray(enlarged), (left, header + GAP + row * (height + GAP)))
    if legend:
        sheet.paste(Image.fromarray(flow_wheel(WHEEL, BACKGROUND)), (2 * GAP, grid_height + (footer - WHEEL) // 2))
        top = grid_height + (footer - LINE * len(text)) / 2
        _write(pen, text, (WHEEL + 4 * GAP, top), font, anchor="la")
    return np.asarray(sheet)


def _write(pen: ImageDraw.ImageDraw, lines: list[str], at: tuple[float, float], font, anchor: str) -> None:
    for k, line in enumerate(lines):
        pen.text((at[0], at[1] + k * LINE), line, fill=TEXT, font=font, anchor=anchor)


def _wrap(text: str, font, width: float) -> list[str]:
    """Break *text* at blanks into lines of at most *width* pixels; a longer word gets a line of its own."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split():
            longer = f"{line} {word}".strip()
            if line and font.getlength(longer) > width:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    return lines
