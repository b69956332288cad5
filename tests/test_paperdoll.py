"""Paper dolls: the embedded people, and the exactness of their flow and visibility."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from posegen_people.layouts import OPENPOSE_18
from posegen_people.paperdoll import PaperDolls
from posegen_people.paperdoll_render import BACKGROUND, draw

from posegen.data.heatmap import HeatmapEncoder
from posegen.data.keypoints import KeypointLayout
from posegen.errors import ConfigError
from posegen.records import Pair, collate_pairs

FIELDS = ("source", "source_structure", "target", "target_structure", "flow", "visible", "foreground")


def dolls(length: int = 40, size: tuple[int, int] = (64, 64), seed: int = 0) -> PaperDolls:
    return PaperDolls(length, HeatmapEncoder(OPENPOSE_18, sigma=1.5), size=size, seed=seed)


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    data = dolls()
    return [data[k] for k in range(len(data))]


def warp(source: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
    """Bilinear samples of *source* 3 H W at every pixel plus *flow* 2 H W."""
    height, width = flow.shape[1:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    grid = torch.stack([(x + flow[0]) * 2 / (width - 1) - 1, (y + flow[1]) * 2 / (height - 1) - 1], -1)
    return torch.nn.functional.grid_sample(source[None], grid[None], align_corners=True)[0]


def seen_subject(pair: Pair) -> torch.Tensor:
    """Return the mask H W of the person in the target where the same point is visible in the source."""
    return (pair.visible[0] > 0) & (pair.foreground[0] > 0)


def away_from_edges(topmost: np.ndarray, reach: int) -> np.ndarray:
    """Pixels whose whole neighborhood shows one part."""
    alike = np.ones(topmost.shape, bool)
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            alike &= np.roll(topmost, (dy, dx), (0, 1)) == topmost
    return alike


def test_a_pair_depends_on_seed_and_index_only(pairs: list[Pair]) -> None:
    data = dolls()
    for index in (7, 3, 7):
        again = data[index]
        assert again.name == pairs[index].name
        for field in FIELDS:
            assert torch.equal(getattr(again, field), getattr(pairs[index], field)), field


def test_seeds_share_no_picture(pairs: list[Pair]) -> None:
    other = dolls(seed=1)
    assert all(not torch.equal(other[k].source, pair.source) for k, pair in enumerate(pairs[:5]))


@pytest.mark.parametrize("size", [(64, 64), (128, 64), (96, 68), (16, 16), (256, 176)])
def test_pairs_have_the_promised_shapes_and_ranges(size: tuple[int, int]) -> None:
    pair = dolls(size=size)[2]
    for name, channels in zip(FIELDS, (3, 18, 3, 18, 2, 1, 1), strict=True):
        tensor = getattr(pair, name)
        assert tensor.shape == (channels, *size), name
        assert tensor.dtype == torch.float32
        assert tensor.is_contiguous()
    for image in (pair.source, pair.target):
        assert -1 <= image.min() < image.max() <= 1
    assert set(pair.visible.unique().tolist()) == {0, 1}
    assert set(pair.foreground.unique().tolist()) == {0, 1}
    assert (pair.flow * (1 - pair.foreground)).abs().max() == 0


def test_pairs_are_named_like_test_pairs_of_the_published_code(pairs: list[Pair]) -> None:
    assert pairs[12].name == "doll00012_a_2_doll00012_b_vis"


def test_the_flow_leads_to_the_same_surface() -> None:
    # At 256 pixels a pattern's period is 17 pixels or more and its edges are one wide. Away from the parts'
    # edges, bilinear sampling errs by a gray level or two (0.02 = 2.5 of 255), save at edges in the pattern.
    size = (256, 256)
    data = dolls(size=size)
    for index in range(4):
        pair, scene = data[index], data.scene(index)
        target = draw(scene.parts, scene.target.placed, scene.background).topmost
        source = draw(scene.parts, scene.source.placed, scene.background).topmost
        inner = torch.from_numpy(away_from_edges(source, 3).astype(np.float32)).expand(3, *size).contiguous()
        sure = seen_subject(pair) & (warp(inner, pair.flow)[0] > 0.99)
        sure &= torch.from_numpy(away_from_edges(target, 3))
        assert sure.sum() > 2000  # or the comparison says nothing; a person covers about 12000 pixels
        error = (warp(pair.source, pair.flow) - pair.target).abs().mean(0)[sure]
        still = (pair.source - pair.target).abs().mean(0)[sure]
        assert error.median() < 0.02
        assert error.mean() < 0.03
        assert still.mean() > 5 * error.mean()


def test_visibility_agrees_with_a_finely_drawn_source() -> None:
    # Brute force: the source's parts drawn 8 times as fine, looked up where the flow leads. A sample is
    # then at most 0.09 pixels off: only the few pixels that land so close to another part's edge may differ.
    fine = 8
    data = dolls()
    agreed = counted = 0
    for index in range(8):
        pair, scene = data[index], data.scene(index)
        placed = scene.source.placed
        affines = placed.affines * fine
        affines[:, :, 2] += (fine - 1) / 2  # the center of the first pixel stays at its place
        large = draw(scene.parts, type(placed)(affines, placed.order), np.zeros((64 * fine, 64 * fine, 3), np.float32))
        topmost = draw(scene.parts, scene.target.placed, scene.background).topmost
        row, column = np.nonzero(topmost != BACKGROUND)
        x = column + pair.flow[0].numpy()[row, column]
        y = row + pair.flow[1].numpy()[row, column]
        within = (x >= 0) & (x <= 63) & (y >= 0) & (y <= 63)
        fine_x, fine_y = (np.clip(np.rint(c * fine + (fine - 1) / 2), 0, 64 * fine - 1).astype(int) for c in (x, y))
        expected = within & (large.topmost[fine_y, fine_x] == topmost[row, column])
        agreed += (expected == (pair.visible[0].numpy()[row, column] > 0)).sum()
        counted += len(row)
    assert agreed / counted > 0.97


def test_the_background_is_visible_where_the_source_shows_it(pairs: list[Pair]) -> None:
    for index in range(5):
        scene = dolls().scene(index)
        source = draw(scene.parts, scene.source.placed, scene.background).topmost
        behind = pairs[index].foreground[0].numpy() == 0
        assert ((source == BACKGROUND) == (pairs[index].visible[0].numpy() > 0))[behind].all()


def test_some_of_the_person_is_hidden_in_the_source(pairs: list[Pair]) -> None:
    hidden = [1 - pair.visible[pair.foreground > 0].mean().item() for pair in pairs]
    assert 0.04 < np.mean(hidden) < 0.35  # enough to learn generation from, and most still to be warped
    assert max(hidden) > 0.12


def test_standing_still_errs_by_a_known_amount(pairs: list[Pair]) -> None:
    # The "zero flow error" that the project's pages compare estimators with.
    lengths = [pair.flow.norm(dim=0)[seen_subject(pair)].mean().item() for pair in pairs]
    assert 4.5 < np.mean(lengths) < 7


def test_keypoints_lie_on_the_body_and_few_are_missing(pairs: list[Pair]) -> None:
    near = total = 0
    for pair in pairs:
        found = HeatmapEncoder(OPENPOSE_18).decode(pair.target_structure)
        body = torch.nn.functional.max_pool2d(pair.foreground, 5, 1, 2)[0]
        for x, y in found.points[found.present].astype(int):
            near += int(body[y, x])
            total += 1
    assert near / total > 0.98  # within 2 pixels
    assert total / (18 * len(pairs)) > 0.85  # missing: faces from behind, ears under hair


def test_right_is_at_the_viewers_left_unless_seen_from_behind(pairs: list[Pair]) -> None:
    right, left, nose = (OPENPOSE_18.names.index(name) for name in ("right hip", "left hip", "nose"))
    facing = behind = 0
    for pair in pairs:
        for structure in (pair.source_structure, pair.target_structure):
            found = HeatmapEncoder(OPENPOSE_18).decode(structure)
            assert found.present[[right, left]].all()
            from_front = found.points[right, 0] < found.points[left, 0]
            if found.present[nose]:
                assert from_front
            facing, behind = facing + from_front, behind + (not from_front)
    assert facing > behind > 0


def test_no_two_people_look_alike(pairs: list[Pair]) -> None:
    # Mean colors of people: random colors in [-1, 1]³ are about 1.3 apart, means over a person less.
    colors = torch.stack([pair.target[:, pair.foreground[0] > 0].mean(1) for pair in pairs])
    distance = torch.cdist(colors, colors)[~torch.eye(len(pairs), dtype=torch.bool)]
    assert distance.mean() > 0.35
    assert (distance < 0.03).float().mean() < 0.02


def test_pairs_stack_and_the_data_set_travels_to_workers() -> None:
    data = pickle.loads(pickle.dumps(dolls(length=4)))
    batch = collate_pairs([data[k] for k in range(4)])
    assert batch.flow.shape == (4, 2, 64, 64)
    assert torch.equal(batch.source[3], dolls(length=4)[3].source)


def test_iteration_ends(pairs: list[Pair]) -> None:
    assert sum(1 for _ in dolls(length=3)) == 3
    with pytest.raises(IndexError, match="pair 3 of 3"):
        dolls(length=3)[3]


@pytest.mark.parametrize("size", [(15, 64), (64, 8), (0, 0)])
def test_pictures_too_small_for_a_person_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ConfigError, match=r"\(height, width\), each 16 pixels or more"):
        dolls(size=size)


def test_bad_lengths_seeds_and_layouts_are_refused() -> None:
    with pytest.raises(ConfigError, match="length must be 1 or more"):
        dolls(length=0)
    with pytest.raises(ConfigError, match="seed=-1"):
        dolls(seed=-1)
    hand = KeypointLayout("hand", ("thumb", "finger"), (0, 1), ((0, 1),), ((255, 0, 0), (0, 255, 0)))
    with pytest.raises(ConfigError, match="takes key points of layout 'hand'"):
        PaperDolls(1, HeatmapEncoder(hand))


def test_the_structure_may_be_given_as_a_config() -> None:
    data = PaperDolls(1, {"type": HeatmapEncoder, "layout": OPENPOSE_18, "sigma": 2.0})
    assert data.structure.sigma == 2.0
