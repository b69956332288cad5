"""Pictures: colors of flows, masks, warping, sheets."""

from __future__ import annotations

import colorsys
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from posegen_people.layouts import OPENPOSE_18
from posegen_people.paperdoll import PaperDolls

from posegen.data import HeatmapEncoder
from posegen.records import PairBatch, Transfer, collate_pairs
from posegen.torchvision_import import import_torchvision
from posegen.visualization import (
    flow_to_rgb,
    flow_wheel,
    mask_to_rgb,
    overlay,
    sample_sheet,
    to_picture,
    warp,
)
from posegen.visualization.sheet import BACKGROUND, GAP

DRAW = HeatmapEncoder(OPENPOSE_18, sigma=1.5).draw


def dolls(count: int = 3, size: tuple[int, int] = (64, 64)) -> PairBatch:
    data = PaperDolls(count, HeatmapEncoder(OPENPOSE_18, sigma=1.5), size=size)
    return collate_pairs([data[k] for k in range(count)])


def transfer(batch: PairBatch) -> Transfer:
    """A model that knows everything, at half the size."""
    height, width = (side // 2 for side in batch.flow.shape[-2:])
    flow = F.interpolate(batch.flow, (height, width), mode="nearest") / 2
    return Transfer(batch.target, [flow], [F.interpolate(batch.visible, (height, width), mode="area")])


def constant(x: float, y: float, size: tuple[int, int] = (6, 9)) -> torch.Tensor:
    """A flow that is the same everywhere."""
    return torch.tensor([float(x), float(y)]).view(2, 1, 1).expand(2, *size)


def hue(color: np.ndarray) -> float:
    return colorsys.rgb_to_hsv(*(color / 255))[0]


# Flows ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("largest", [None, 5.0])
def test_a_zero_flow_is_white(largest: float | None) -> None:
    picture = flow_to_rgb(constant(0, 0), largest)
    assert picture.dtype == np.uint8
    assert picture.shape == (6, 9, 3)
    assert (picture == 255).all()


def test_colors_are_those_of_torchvision() -> None:
    """Up to rounding."""
    import_torchvision()
    from torchvision.utils import flow_to_image

    flow = torch.randn(2, 40, 50, generator=torch.Generator().manual_seed(0))
    flow[:, 0, 0] = torch.tensor([-1.0, 0.0])  # where the wheel begins and ends
    expected = flow_to_image(flow).permute(1, 2, 0).numpy().astype(int)
    assert np.abs(flow_to_rgb(flow) - expected).max() <= 1


def test_opposite_flows_have_different_colors() -> None:
    right, left = flow_to_rgb(constant(3, 0)), flow_to_rgb(constant(-3, 0))
    assert len(np.unique(right.reshape(-1, 3), axis=0)) == 1
    assert abs(hue(right[0, 0]) - hue(left[0, 0])) > 0.3
    assert right[0, 0].min() == 0  # alone in its picture, it is fully saturated


def test_one_scale_makes_images_comparable() -> None:
    short, long = flow_to_rgb(constant(2, 0), largest=8), flow_to_rgb(constant(8, 0), largest=8)
    assert hue(short[0, 0]) == pytest.approx(hue(long[0, 0]), abs=0.01)
    assert short.min() == pytest.approx(255 * (1 - 2 / 8), abs=1)
    assert long.min() == 0


def test_vectors_longer_than_the_scale_are_saturated() -> None:
    assert (flow_to_rgb(constant(80, 0), largest=8) == flow_to_rgb(constant(8, 0), largest=8)).all()


def test_vectors_that_are_not_finite_are_black() -> None:
    flow = constant(3, 4).clone()
    flow[0, 0, 0], flow[1, 2, 2] = math.nan, math.inf
    picture, clean = flow_to_rgb(flow), flow_to_rgb(constant(3, 4))
    assert (picture[0, 0] == 0).all()
    assert (picture[2, 2] == 0).all()
    assert (picture[1] == clean[1]).all()


def test_the_scale_must_be_positive() -> None:
    with pytest.raises(ValueError, match="positive"):
        flow_to_rgb(constant(1, 0), largest=0)


def test_the_wheel_has_the_colors_of_flows_from_its_center() -> None:
    wheel = flow_wheel(65, background=(1, 2, 3))
    assert wheel.shape == (65, 65, 3)
    assert (wheel[0, 0] == (1, 2, 3)).all()
    assert (wheel[32, 32] > 240).all()
    for x, y in [(24, 0), (0, 24), (-24, 0), (17, -17)]:
        expected = flow_to_rgb(constant(x, y), largest=32)[0, 0].astype(int)
        assert np.abs(wheel[32 + y, 32 + x] - expected).max() <= 20


# Masks and images -----------------------------------------------------------------------------------------


def test_masks_and_tensors_become_images() -> None:
    mask = torch.tensor([[[0.0, 0.5, 1.0]]])
    assert mask_to_rgb(mask)[0].tolist() == [[0] * 3, [128] * 3, [255] * 3]
    image = torch.tensor([-1.0, 0.0, 2.0]).view(3, 1, 1).expand(3, 2, 5)
    assert to_picture(image).shape == (2, 5, 3)
    assert to_picture(image)[0, 0].tolist() == [0, 128, 255]


def test_warping_by_the_exact_flow_gives_the_visible_part_of_the_target() -> None:
    batch = dolls(8)
    seen = (batch.visible * batch.foreground).expand_as(batch.target).bool()

    def error(image: torch.Tensor) -> float:
        return (image - batch.target)[seen].abs().median().item()

    assert error(warp(batch.source, batch.flow)) < 0.03 < 0.1 < error(batch.source)


def test_warping_resizes_the_flow_to_the_image() -> None:
    source = torch.rand(1, 3, 8, 16)
    flow = torch.zeros(1, 2, 4, 4)
    flow[:, 0] = 0.5  # of 4 pixels: 2 of 16
    assert warp(source, flow)[..., :14] == pytest.approx(source[..., 2:], abs=1e-5)


# Sheets ---------------------------------------------------------------------------------------------------


def cells(sheet: np.ndarray, columns: int, cell: tuple[int, int], rows: int) -> np.ndarray:
    """Return the images of a sheet: rows columns H W 3. The first row begins where the background ends."""
    height, width = cell
    first = next(top for top in range(len(sheet)) if (sheet[top, GAP : GAP + width] != BACKGROUND).all(1).all())
    grid = [
        [sheet[first + r * (height + GAP) :, GAP + c * (width + GAP) :][:height, :width] for c in range(columns)]
        for r in range(rows)
    ]
    return np.array(grid)


@pytest.mark.parametrize(("size", "factor"), [((64, 64), 2), ((32, 32), 4), ((64, 32), 2), ((128, 96), 1)])
def test_a_sheet_has_a_row_per_pair_and_a_column_per_step(size: tuple[int, int], factor: int) -> None:
    batch = dolls(3, size)
    out = transfer(batch)
    sheet = sample_sheet(batch, out, DRAW, rows=2)
    cell = (size[0] * factor, size[1] * factor)
    assert sheet.dtype == np.uint8
    assert sheet.shape[1] == GAP + 9 * (cell[1] + GAP)
    grid = cells(sheet, 9, cell, rows=2)
    for row in range(2):
        source, _, structure, _, _, _, warped, result, target = grid[row, :, ::factor, ::factor]
        assert (source == to_picture(batch.source[row])).all()
        assert (structure == DRAW(batch.target_structure[row])).all()
        assert (warped == to_picture(warp(batch.source, out.flows[-1])[row])).all()
        assert (result == to_picture(out.image[row])).all()
        assert (target == to_picture(batch.target[row])).all()


def test_without_an_exact_flow_there_is_no_column_for_it() -> None:
    batch = dolls(1)
    out = transfer(batch)
    batch.flow = batch.visible = None
    assert sample_sheet(batch, out, DRAW, scale=1).shape[1] == GAP + 8 * (64 + GAP)


def test_a_model_without_flows_has_no_columns_for_them() -> None:
    batch = dolls(1)
    batch.flow = None
    sheet = sample_sheet(batch, Transfer(batch.target, [], []), DRAW, scale=1)
    assert sheet.shape[1] == GAP + 5 * (64 + GAP)


def test_drawn_structures_are_resized_to_a_cell() -> None:
    batch = dolls(1)
    sheet = sample_sheet(batch, transfer(batch), lambda _: np.full((10, 7, 3), 77, np.uint8))
    assert (cells(sheet, 9, (128, 128), 1)[0, 1] == 77).all()


def test_a_sheet_of_flows_that_are_not_finite_is_drawn() -> None:
    batch = dolls(1)
    out = transfer(batch)
    out.flows[0][:] = math.nan
    batch.flow = None
    assert sample_sheet(batch, out, DRAW).dtype == np.uint8


def test_drawing_a_sheet_changes_neither_batch_nor_result() -> None:
    batch = dolls(2)
    out = transfer(batch)
    flow, image = batch.flow.clone(), out.image.clone()
    sample_sheet(batch, out, DRAW)
    assert (batch.flow == flow).all()
    assert (out.image == image).all()


def test_an_overlay_is_one_row() -> None:
    batch = dolls(1, (64, 32))
    out = transfer(batch)
    picture = overlay(batch.source, batch.source_structure, batch.target_structure, out, DRAW)
    assert picture.shape[1] == GAP + 7 * (2 * 32 + GAP)
    grid = cells(picture, 7, (128, 64), 1)[0, :, ::2, ::2]
    assert (grid[0] == to_picture(batch.source[0])).all()
    assert (grid[-1] == to_picture(out.image[0])).all()
