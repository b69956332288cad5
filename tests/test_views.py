"""Views: networks, structure, HDF5 files, and drawn solids with their exact flow. All files are made up here."""

from __future__ import annotations

import json
import pickle
import zipfile
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image
from posegen_metrics.psnr import psnr
from posegen_views.drawn import DrawnSolids, plain
from posegen_views.drawn_render import Camera, SolidObject, box, draw, exact_flow, look
from posegen_views.networks import TurnFlowEstimator, ViewFlowEstimator, ViewRenderer, turn_of
from posegen_views.structure import AngleEncoder, View, ViewEncoder
from posegen_views.turntable import Turntable
from posegen_views.views import ViewPairs
from torch.utils.data import DataLoader

from posegen.checking import check_data
from posegen.cli import main
from posegen.data.images import to_uint8
from posegen.engine.convert import convert
from posegen.errors import ConfigError, DataError, InputError
from posegen.ops import warp
from posegen.records import Pair, collate_pairs
from posegen.registry import MODELS

from .conftest import CONFIGS
from .golden_arrays import BAR, FOLDER, _weight, arrays, relative_error

CHANNELS = 21  # 18 azimuths, 3 elevations
FIELDS = ("source", "source_structure", "target", "target_structure", "flow", "visible", "foreground")


def one_hot(*places: int) -> torch.Tensor:
    structure = torch.zeros(1, CHANNELS, 1, 1)
    structure[:, list(places)] = 1
    return structure


# Networks -------------------------------------------------------------------------------------------------


PUBLISHED = Config(
    dict(
        model=dict(
            type="PairModel",
            flow_estimator=dict(type="ViewFlowEstimator", structure_channels=CHANNELS, levels=[3, 2]),
            renderer=dict(type="ViewRenderer", structure_channels=CHANNELS, levels=[3, 2], kernel_sizes=[3, 5]),
        )
    )
)


def test_published_model_through_the_converter(tmp_path):
    about, stored = json.loads((FOLDER / "view.json").read_text()), arrays("view")
    state = {key: _weight(key, shape, about["base_seed"]) for key, shape in about["state_dict"]}
    torch.save(state, tmp_path / "latest_net_G.pth", _use_new_zipfile_serialization=False)
    converted = convert(PUBLISHED, tmp_path / "latest_net_G.pth")["state_dict"]
    model = MODELS.build_part(PUBLISHED.model).eval()
    model.load_state_dict({name.removeprefix("model."): value for name, value in converted.items()})
    assert sum(p.numel() for p in model.parameters()) == 14_341_323 == about["params"]

    seed, shape, low, high = about["inputs"]["source"]
    drawn = np.random.default_rng(seed + about["base_seed"]).uniform(low, high, shape)
    views = (one_hot(*about["inputs"][f"{side}_view_onehot_index"]) for side in ("source", "target"))
    out = model.transfer(torch.from_numpy(drawn.astype(np.float32)), *views)
    stride = about["image_stride"]
    assert relative_error(out.image[..., ::stride, ::stride], stored["image"]) < BAR
    assert len(out.flows) == len(out.masks) == len(about["attn_layer"])
    for index, (flow, mask) in enumerate(zip(out.flows, out.masks, strict=True)):
        assert relative_error(flow, stored[f"flow{index}"]) < BAR
        assert relative_error(mask, stored[f"mask{index}"]) < BAR


def small_model(norm="group", spread_widths=(16,)):
    flow = dict(type="ViewFlowEstimator", structure_channels=CHANNELS, levels=[2, 1], base_width=16, max_width=32)
    renderer = dict(type="ViewRenderer", structure_channels=CHANNELS, levels=[2, 1], kernel_sizes=[3, 3], base_width=16)
    return MODELS.build_part(
        dict(
            type="PairModel",
            flow_estimator=dict(**flow, depth=3, norm=norm, init_gain=0.5),
            renderer=dict(**renderer, depth=2, spread_widths=list(spread_widths), norm=norm, init_gain=0.5),
        )
    )


@pytest.mark.parametrize("norm", ["instance", "group"])
@pytest.mark.parametrize("spread_widths", [(), (16,)])
def test_small_models_render_small_images(norm, spread_widths):
    model = small_model(norm, spread_widths)
    out = model.transfer(
        torch.rand(2, 3, 32, 64) * 2 - 1, one_hot(0, 18).repeat(2, 1, 1, 1), one_hot(4, 19, 20).repeat(2, 1, 1, 1)
    )
    assert out.image.shape == (2, 3, 32, 64)
    assert [tuple(flow.shape) for flow in out.flows] == [(2, 2, 8, 16), (2, 2, 16, 32)]


def test_every_weight_of_a_small_model_learns():
    torch.manual_seed(0)
    model = small_model()
    model(torch.rand(1, 3, 32, 32), one_hot(0, 18), one_hot(4, 19)).image.square().mean().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_the_flow_depends_on_the_relative_view_only():
    torch.manual_seed(0)
    estimate, source = small_model().flow_estimator, torch.rand(1, 3, 32, 32)
    turned = estimate(source, one_hot(0, 18), one_hot(4, 18))[0][-1]
    assert torch.equal(
        estimate(source, one_hot(0, 18), one_hot(0, 18))[0][-1], estimate(source, one_hot(7, 20), one_hot(7, 20))[0][-1]
    )
    assert not torch.allclose(turned, estimate(source, one_hot(0, 18), one_hot(5, 18))[0][-1])


def test_the_image_depends_on_the_target_view_alone():
    torch.manual_seed(0)
    model, source = small_model(), torch.rand(1, 3, 32, 32)
    flows, masks = model.flow_estimator(source, one_hot(0, 18), one_hot(4, 18))
    image = model.renderer(source, one_hot(0, 18), one_hot(4, 18), flows, masks)
    assert torch.equal(model.renderer(source, one_hot(3, 19), one_hot(4, 18), flows, masks), image)
    assert not torch.allclose(model.renderer(source, one_hot(0, 18), one_hot(4, 19), flows, masks), image)


def test_wrong_shapes_are_refused():
    model, source = small_model(), torch.zeros(1, 3, 32, 32)
    with pytest.raises(InputError, match=r"\(1, 21, 1, 1\)"):
        model.transfer(source, one_hot(0, 18).expand(-1, -1, 32, 32), one_hot(0, 18))
    with pytest.raises(InputError, match="multiples of 8"):
        model.transfer(torch.zeros(1, 3, 36, 32), one_hot(0, 18), one_hot(0, 18))
    renderer = ViewRenderer(CHANNELS, levels=[1], kernel_sizes=[3], base_width=8, depth=2, spread_widths=(8, 8))
    with pytest.raises(InputError, match="multiples of 32 and at least 64, got 32×32"):
        renderer(source, one_hot(0, 18), one_hot(0, 18), [], [])
    with pytest.raises(ConfigError, match="between 1 and depth"):
        ViewFlowEstimator(CHANNELS, levels=[5])


# Structure ------------------------------------------------------------------------------------------------


def test_a_view_is_one_of_the_azimuths_and_one_of_the_elevations():
    encoder = ViewEncoder()
    structure = encoder.encode((11, 2), (64, 64))
    assert encoder.channels == CHANNELS
    assert structure.shape == (CHANNELS, 1, 1)
    assert structure.flatten().nonzero().flatten().tolist() == [11, 18 + 2]
    assert encoder.decode(structure) == View(11, 2)


@pytest.mark.parametrize("view", [(18, 0), (-1, 0), (0, 3), (0, -1)])
def test_views_out_of_range_are_refused(view):
    with pytest.raises(InputError, match=r"azimuth class of 0\.\.17 and an elevation class of 0\.\.2"):
        ViewEncoder().encode(view)


def test_every_view_is_drawn_differently():
    encoder = ViewEncoder()
    pictures = {encoder.draw(encoder.encode((a, e))).tobytes() for a in range(18) for e in range(3)}
    assert len(pictures) == 54
    picture = encoder.draw(encoder.encode((0, 0)))
    assert picture.dtype == np.uint8
    assert picture.shape == (128, 128, 3)


# HDF5 -----------------------------------------------------------------------------------------------------

MODELS_OF = {"aa11": [(0, 0), (2, 10), (35, 20)], "b_2": [(4, 0), (18, 10)]}
NAMES = [f"{model}_{azimuth}_{elevation}" for model, views in MODELS_OF.items() for azimuth, elevation in views]


def picture(seed, size=(40, 40)):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def write_render(file, name, image, pose):
    group = file.create_group(name)
    group["image"], group["pose"] = image, np.array(pose)
    return group


@pytest.fixture
def root(tmp_path):
    with h5py.File(tmp_path / "data_car.hdf5", "w") as file:
        for seed, name in enumerate(NAMES):
            write_render(file, name, picture(seed), [int(k) for k in name.split("_")[-2:]])
    for split in ("train", "test"):
        (tmp_path / f"id_car_{split}.txt").write_text("\n".join(NAMES) + "\n")
    return tmp_path


def view_pairs(root, split="train", size=(40, 40), **arguments):
    return ViewPairs(root, "car", split, ViewEncoder(), size=size, **arguments)


def same(first, second):
    return first.name == second.name and all(
        torch.equal(getattr(first, name), getattr(second, name)) for name in FIELDS[:4]
    )


def test_a_pair_is_two_renders_of_one_model(root):
    data = view_pairs(root)
    assert len(data) == len(NAMES)
    for index, name in enumerate(NAMES):
        pair = data[index]
        assert pair.name.startswith(f"{name}_2_")
        target = pair.name.removeprefix(f"{name}_2_").removesuffix("_vis")
        assert target != name
        assert target.rsplit("_", 2)[0] == name.rsplit("_", 2)[0]
        for side, render in (("source", name), ("target", target)):
            assert np.array_equal(to_uint8(getattr(pair, side)), picture(NAMES.index(render)))
            azimuth, elevation = (int(k) for k in render.split("_")[-2:])
            assert data.structure.decode(getattr(pair, f"{side}_structure")) == (azimuth // 2, elevation // 10)
        assert pair.flow is None


def test_training_draws_other_targets_every_round_and_testing_never(root):
    data = view_pairs(root)
    assert data.augments
    names = {data[0, draw].name for draw in range(12)}
    assert names == {f"{NAMES[0]}_2_{NAMES[1]}_vis", f"{NAMES[0]}_2_{NAMES[2]}_vis"}
    assert same(data[0, 7], view_pairs(root)[0, 7])
    assert same(data[3], data[3, 0])
    test = view_pairs(root, "test")
    assert not test.augments
    assert [test[k].name for k in range(5)] == [view_pairs(root, "test")[k].name for k in range(5)]
    assert {view_pairs(root, "test", seed=seed)[0].name for seed in range(12)} == names


def test_images_have_the_configured_size(root):
    assert view_pairs(root, size=(32, 64))[1].target.shape == (3, 32, 64)


def test_workers_read_what_one_process_reads(root):
    data = view_pairs(root, "test")
    data[0]  # the file is open when the workers fork
    loader = DataLoader(data, batch_size=2, num_workers=2, collate_fn=collate_pairs)
    for _ in range(2):
        batches = list(loader)
        assert [name for batch in batches for name in batch.names] == [data[k].name for k in range(5)]
        assert torch.equal(
            torch.cat([batch.source for batch in batches]), torch.stack([data[k].source for k in range(5)])
        )


def test_the_data_set_is_pickled_without_its_file(root):
    data = view_pairs(root)
    data[0]
    assert same(pickle.loads(pickle.dumps(data))[0], data[0])


def test_a_model_id_selects_all_its_renders(root):
    (root / "id_car_train.txt").write_text("b_2\n\n")
    assert sorted(source for source, _ in view_pairs(root).pairs) == sorted(NAMES[3:])


def test_pairs_may_be_listed_for_the_test(root):
    (root / "name_car_test.txt").write_text(f"{NAMES[1]} {NAMES[0]}\n{NAMES[3]}\n")
    data = view_pairs(root, "test")
    assert [data[k].name for k in range(len(data))] == [f"{NAMES[1]}_2_{NAMES[0]}_vis", f"{NAMES[3]}_2_{NAMES[4]}_vis"]
    assert len(view_pairs(root, "train")) == len(NAMES)


def test_single_renders_are_left_out_and_a_list_of_them_is_an_error(root):
    (root / "id_car_train.txt").write_text("\n".join([*NAMES[:2], NAMES[4]]))
    assert [source for source, _ in view_pairs(root).pairs] == NAMES[:2]
    assert len(view_pairs(root, limit=1)) == 1
    (root / "id_car_train.txt").write_text(NAMES[0])
    with pytest.raises(DataError, match="no model has two renders"):
        view_pairs(root)


def test_all_bad_ids_are_reported_at_once(root):
    with h5py.File(root / "data_car.hdf5", "a") as file:
        file["aa11_8_0"] = h5py.SoftLink(f"/{NAMES[0]}")
        file["aa11_9_0"] = h5py.ExternalLink("other.hdf5", "/x")
        file.create_group("nameless")
    bad = ["gone_0_0", "aa11_8_0", "aa11_9_0", "nameless", "../x_0_0", "a b c"]
    (root / "id_car_train.txt").write_text("\n".join([*NAMES, *bad]))
    with pytest.raises(DataError) as error:
        view_pairs(root)
    problems = error.value.problems
    assert len(problems) == len(bad)
    for number, (problem, part) in enumerate(
        zip(
            problems,
            ["no render 'gone_0_0'", "is a link", "is a link", "MODEL_AZIMUTH_ELEVATION", "no render", "3 ids"],
            strict=True,
        ),
        len(NAMES) + 1,
    ):
        assert problem.startswith(f"id_car_train.txt, row {number}: ")
        assert part in problem
    (root / "name_car_test.txt").write_text(f"{NAMES[0]} {NAMES[3]}\nnobody\n")
    with pytest.raises(DataError, match=r"(?s)row 1: .* are not of one model.*row 2: no render 'nobody'"):
        view_pairs(root, "test")


def test_missing_and_foreign_files_are_named(root):
    with pytest.raises(DataError, match=r"data_van\.hdf5.*\n.*no such file"):
        ViewPairs(root, "van", "train", ViewEncoder())
    (root / "id_car_train.txt").unlink()
    with pytest.raises(DataError, match=r"id_car_train\.txt"):
        view_pairs(root)
    (root / "id_car_test.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="not UTF-8"):
        view_pairs(root, "test")
    (root / "data_car.hdf5").write_text("no HDF5")
    with pytest.raises(DataError, match="cannot be read as HDF5"):
        view_pairs(root)
    with pytest.raises(ConfigError, match="'train' or 'test'"):
        view_pairs(root, "val")
    with pytest.raises(ConfigError, match="plain name"):
        ViewPairs(root, "../car", "train", ViewEncoder())


def replaced(root, part, make):
    """The data set after *make* has put something else in the place of a render's part."""
    with h5py.File(root / "data_car.hdf5", "a") as file:
        group = file[NAMES[0]]
        del group[part]
        make(group)
    return view_pairs(root)


def other_file(root):
    with h5py.File(root / "other.hdf5", "w") as file:
        file["image"] = picture(9)
    return root / "other.hdf5"


def virtual(group, root):
    layout = h5py.VirtualLayout((40, 40, 3), np.uint8)
    layout[:] = h5py.VirtualSource(other_file(root), "image", (40, 40, 3))
    group.create_virtual_dataset("image", layout)


def external(group, root):
    (root / "secret").write_bytes(bytes(4800))
    group.create_dataset("image", (40, 40, 3), np.uint8, external=[(str(root / "secret"), 0, 4800)])


def wide_chunks(group, root):
    group.create_dataset(
        "image", (4, 4, 3), np.uint8, chunks=(20000, 20000, 3), maxshape=(None, None, 3), compression="gzip"
    )


HOSTILE = {
    "missing": ("image", lambda group, root: None, "no 'image'"),
    "soft link": ("image", lambda group, root: group.update(image=h5py.SoftLink("/x")), "SoftLink"),
    "external link": (
        "image",
        lambda group, root: group.update(image=h5py.ExternalLink(other_file(root), "image")),
        "ExternalLink",
    ),
    "virtual": ("image", virtual, "stored in other files"),
    "external storage": ("image", external, "stored in other files"),
    "a group": ("image", lambda group, root: group.create_group("image"), "no dataset"),
    "floats": ("image", lambda group, root: group.update(image=np.zeros((40, 40, 3))), "must be uint8, H W 3"),
    "gray": ("image", lambda group, root: group.update(image=np.zeros((40, 40), np.uint8)), "must be uint8, H W 3"),
    "empty": ("image", lambda group, root: group.update(image=np.zeros((0, 4, 3), np.uint8)), "must be uint8"),
    "objects": (
        "image",
        lambda group, root: group.create_dataset("image", (4, 4, 3), h5py.string_dtype()),
        "must be uint8",
    ),
    "huge": ("image", lambda group, root: group.create_dataset("image", (90000, 90000, 3), np.uint8), "too large"),
    "huge chunks": ("image", wide_chunks, "too large"),
    "three poses": ("pose", lambda group, root: group.update(pose=[1, 2, 3]), "two whole numbers"),
    "words": ("pose", lambda group, root: group.update(pose=["1", "2"]), "two whole numbers"),
    "halves": ("pose", lambda group, root: group.update(pose=[1.5, 0]), "two whole numbers"),
    "nan": ("pose", lambda group, root: group.update(pose=[np.nan, 0]), "two whole numbers"),
    "out of range": ("pose", lambda group, root: group.update(pose=[36, 0]), r"azimuth 36 \(0\.\.35\)"),
    "below": ("pose", lambda group, root: group.update(pose=[0, -10]), r"elevation -10 \(0\.\.29\)"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_unusable_renders_are_refused_by_name(root, case):
    part, make, message = HOSTILE[case]
    data = replaced(root, part, lambda group: make(group, root))
    with pytest.raises(DataError, match=rf"data_car\.hdf5(?s:.*)render '{NAMES[0]}': .*{message}"):
        data[0]
    assert isinstance(data[3], Pair)


def test_a_damaged_image_is_detected(root):
    with h5py.File(root / "data_car.hdf5", "a") as file:
        del file[NAMES[0]]["image"]
        file[NAMES[0]].create_dataset("image", data=picture(0), chunks=(40, 40, 3), compression="gzip")
        at = file[NAMES[0]]["image"].id.get_chunk_info(0).byte_offset
    damaged = bytearray((root / "data_car.hdf5").read_bytes())
    damaged[at : at + 200] = bytes(200)
    (root / "data_car.hdf5").write_bytes(damaged)
    with pytest.raises(DataError, match=f"render '{NAMES[0]}': truncated or damaged"):
        view_pairs(root)[0]


# Drawn solids ---------------------------------------------------------------------------------------------


def solids(length=20, kind="car", size=(64, 64), seed=0, **arguments):
    return DrawnSolids(length, ViewEncoder(), kind, size, seed, **arguments)


@pytest.fixture(params=["car", "chair"])
def kind(request):
    return request.param


@pytest.mark.parametrize("size", [(64, 64), (32, 48), (128, 96)])
def test_pairs_have_the_promised_shapes_and_ranges(kind, size):
    pair = solids(kind=kind, size=size)[1]
    for name, shape in zip(FIELDS, [(3, *size), (21, 1, 1)] * 2 + [(2, *size), (1, *size), (1, *size)], strict=True):
        tensor = getattr(pair, name)
        assert tensor.shape == shape, name
        assert tensor.dtype == torch.float32
        assert tensor.is_contiguous()
    for image in (pair.source, pair.target):
        assert -1 <= image.min() < image.max() <= 1
    assert set(pair.visible.unique().tolist()) == {0, 1}
    assert set(pair.foreground.unique().tolist()) == {0, 1}
    assert (pair.flow * (1 - pair.foreground)).abs().max() == 0
    border = torch.cat([pair.foreground[0, [0, -1]].flatten(), pair.foreground[0, :, [0, -1]].flatten()])
    assert border.max() == 0  # the whole object is in the picture


def test_a_pair_depends_on_seed_and_index_only(kind):
    data = solids(kind=kind)
    again = pickle.loads(pickle.dumps(data))
    for index in (7, 3, 7):
        first, second = data[index], again[index]
        assert first.name == second.name
        assert all(torch.equal(getattr(first, name), getattr(second, name)) for name in FIELDS)
    assert not torch.equal(solids(kind=kind, seed=1)[3].source, data[3].source)
    assert not torch.equal(data[4].source, data[3].source)


def test_the_structures_name_the_views(kind):
    data = solids(kind=kind)
    for index in range(6):
        pair, scene = data[index], data.scene(index)
        assert data.structure.decode(pair.source_structure) == scene.source_view
        assert data.structure.decode(pair.target_structure) == scene.target_view
        assert scene.source_view.azimuth != scene.target_view.azimuth
    (azimuth, elevation), (azimuth_2, elevation_2) = scene.source_view, scene.target_view
    stem = f"{kind}00005"
    assert pair.name == f"{stem}_{2 * azimuth}_{10 * elevation}_2_{stem}_{2 * azimuth_2}_{10 * elevation_2}_vis"


def test_turns_may_be_kept_small():
    data = solids(60, largest_turn=2)
    turns = {(data.scene(k).target_view.azimuth - data.scene(k).source_view.azimuth) % 18 for k in range(60)}
    assert turns == {1, 2, 16, 17}


def seen_object(pair):
    return (pair.visible[0] > 0) & (pair.foreground[0] > 0)


def test_warping_along_the_flow_makes_the_target(kind):
    # Turns of 40° at most, 128 pixels: what is left is blur where a surface is foreshortened, and parts' edges.
    data = solids(kind=kind, size=(128, 128), largest_turn=2)
    warped, still, medians = [], [], []
    for index in range(6):
        pair = data[index]
        sure = seen_object(pair)
        assert sure.sum() > 300  # or the comparison says nothing
        error = (warp(pair.source[None], pair.flow[None])[0] - pair.target).abs().mean(0)[sure]
        warped.append(error.mean())
        medians.append(error.median())
        still.append((pair.source - pair.target).abs().mean(0)[sure].mean())
    assert np.mean(medians) < 0.03  # 4 of 255
    assert np.mean(still) > 4 * np.mean(warped)


def fine(camera: Camera, factor: int) -> Camera:
    height, width = camera.size
    return replace(camera, scale=camera.scale * factor, size=(height * factor, width * factor))


def test_flow_and_visibility_are_exact(kind):
    # Both pictures drawn 12 times as fine: the surface at a pixel's center has one color in both.
    factor, data = 12, solids(kind=kind, size=(40, 40))
    different = counted = 0
    for index in range(6):
        scene, pair = data.scene(index), data[index]
        source = draw(scene.thing, fine(scene.source, factor), scene.background)
        target = draw(scene.thing, fine(scene.target, factor), scene.background)
        row, column = np.nonzero(seen_object(pair).numpy())
        x, y = column + pair.flow[0].numpy()[row, column], row + pair.flow[1].numpy()[row, column]
        here = [np.rint((place + 0.5) * factor - 0.5).astype(int) for place in (row, column)]
        there = [np.rint((place + 0.5) * factor - 0.5).astype(int) for place in (y, x)]
        different += (np.abs(source[tuple(there)] - target[tuple(here)]).max(1) > 0.1).sum()
        counted += len(row)
    assert counted > 300
    assert different / counted < 0.09  # those within a twelfth of a pixel of an edge, mostly foreshortened ones


def test_hidden_points_are_behind_another_surface(kind):
    # Brute force: depths of the source's rays, drawn fine, against the depth of the target's points.
    factor, data = 8, solids(kind=kind, size=(32, 32), largest_turn=3)
    agreed = counted = 0
    for index in range(5):
        scene, pair = data.scene(index), data[index]
        lines = np.arange(32 * factor, dtype=float)
        depths = look(scene.thing, fine(scene.source, factor), lines, lines).depth
        columns = np.arange(32, dtype=float)
        seen = look(scene.thing, scene.target, columns, columns)
        row, column = np.nonzero(pair.foreground[0].numpy())
        points = scene.target.unproject(columns[column], columns[row], seen.depth[row, column])
        x, y, depth = scene.source.project(points)
        place = tuple(np.clip(np.rint((at + 0.5) * factor - 0.5).astype(int), 0, 32 * factor - 1) for at in (y, x))
        expected = depths[place] > depth - 0.02
        agreed += (expected == (pair.visible[0].numpy()[row, column] > 0)).sum()
        counted += len(row)
    assert agreed / counted > 0.93


def test_the_flow_of_a_box_matches_geometry():
    # A cube of side 1, seen along x: its front is a square of 20 pixels. From 30° higher the front is cos 30° as high
    # and the top appears, of which the first view, edge on, shows nothing.
    cube = SolidObject([box((-0.5, -0.5, -0.5), (0.5, 0.5, 0.5), plain((1, 0, 0)))])
    level, above = (Camera(0.0, elevation, 20, np.zeros(3), (65, 65)) for elevation in (0.0, np.pi / 6))
    flow, visible, foreground = exact_flow(cube, level, above)
    rows, columns = np.nonzero(foreground)
    height = 20 * (np.cos(np.pi / 6) + np.sin(np.pi / 6))
    assert abs(np.ptp(rows) + 1 - height) <= 1
    assert abs(np.ptp(columns) + 1 - 21) <= 1
    edge = 32 - 10 * np.cos(np.pi / 6) + 10 * np.sin(np.pi / 6)  # the row of the front's upper edge, seen from above
    on_top = np.arange(65)[:, None] < edge
    top = np.broadcast_to(on_top, visible.shape) & foreground
    assert np.array_equal(visible[foreground], ~top[foreground])
    front = visible & foreground
    z = (32 + 10 * np.sin(np.pi / 6) - np.arange(65)[:, None]) / np.cos(np.pi / 6)  # pixels above the cube's middle
    down = np.broadcast_to(32 - z - np.arange(65)[:, None], front.shape)
    assert np.allclose(flow[1][front], down[front], atol=1e-4)
    assert np.allclose(flow[0][front], 0, atol=1e-5)
    for degrees, seen in [(1.5, False), (10, True)]:  # at 1.5° the top is half a pixel high: nothing can be told of it
        grazing = replace(level, elevation=np.radians(degrees))
        assert (exact_flow(cube, grazing, above)[1][top] == seen).all()


def test_equal_views_have_zero_flow(kind):
    scene = solids(kind=kind).scene(2)
    flow, visible, foreground = exact_flow(scene.thing, scene.source, scene.source)
    assert np.abs(flow).max() < 1e-5
    assert visible[foreground].mean() > 0.98  # but for faces seen edge on
    assert visible[~foreground].all()


def test_half_a_turn_hides_most_of_the_object():
    shares = {}
    data = solids(length=6)
    for turn in (1, 9):
        visible = []
        for index in range(6):
            scene = data.scene(index)
            target = data.camera(scene.thing, View((scene.source_view.azimuth + turn) % 18, 0))
            _, seen, foreground = exact_flow(scene.thing, scene.source, target)
            visible.append(seen[foreground].mean())
        shares[turn] = np.mean(visible)
    assert shares[9] < 0.3 < 0.7 < shares[1]


def test_cars_stand_on_four_wheels_and_are_longer_than_high():
    for index in range(5):
        thing: SolidObject = solids().scene(index).thing
        low, high = thing.corners.min(0), thing.corners.max(0)
        length, width, height = high - low
        assert length > 1.5 * width
        assert width > 0.6 * height
        wheels = [solid for solid in thing.solids if len(solid.offsets) == 16]
        assert len(wheels) == 4
        assert all(abs(wheel.in_object()[2][:, 2].min() - low[2]) < 1e-6 for wheel in wheels)


def test_one_azimuth_on_the_left_side_sees_the_front_to_the_left():
    # A car's front has lamps, of a color that nothing else has: to the left of the middle, seen from its left side.
    data = solids(length=8)
    for index in range(8):
        scene = data.scene(index)
        image = draw(scene.thing, data.camera(scene.thing, View(3, 0)), scene.background)
        lamps = (image[..., 0] > 0.6) & (image[..., 2] < 0.8 * image[..., 0]) & (image[..., 1] > 0.9 * image[..., 0])
        column = np.nonzero(lamps)[1]
        if len(column) > 3:
            assert np.median(column) < 32


def test_bad_arguments_are_refused():
    for arguments, message in [
        (dict(length=0), "length must be 1 or more"),
        (dict(seed=-1), "seed=-1"),
        (dict(size=(31, 64)), "each 32 pixels or more"),
        (dict(kind="boat"), "'car', 'chair'; got 'boat'"),
        (dict(largest_turn=0), "largest_turn"),
    ]:
        with pytest.raises(ConfigError, match=message):
            solids(**arguments)
    with pytest.raises(IndexError, match="pair 3 of 3"):
        solids(3)[3]


def test_matches_are_points_that_both_pictures_show():
    """Matches give the exact flow at points of the object that both views show."""
    pair = DrawnSolids(3, dict(type="ViewEncoder"), seed=4, largest_turn=1, matches=40)[1]
    x, y = pair.matches[:, 0].long(), pair.matches[:, 1].long()
    assert pair.matches.shape == (40, 4)
    assert bool((pair.visible * pair.foreground)[0, y, x].all())
    torch.testing.assert_close(pair.matches[:, 2:] - pair.matches[:, :2], pair.flow[:, y, x].T)
    plain = DrawnSolids(3, dict(type="ViewEncoder"), seed=4, largest_turn=1)[1]
    assert plain.matches is None
    assert torch.equal(plain.target, pair.target), "asking for matches draws no other pair"


def test_a_negative_number_of_matches_is_refused():
    with pytest.raises(ConfigError, match="matches must be 0 or more"):
        DrawnSolids(1, dict(type="ViewEncoder"), matches=-1)


def test_compressed_renders_are_the_same(root):
    """Read in a process of their own, since libhdf5 ends the process on some damaged ones."""
    plain = view_pairs(root, "test")[0]
    path = root / "data_car.hdf5"
    with h5py.File(path, "r") as file:
        stored = {f"{name}/{part}": file[name][part][()] for name in file for part in ("image", "pose")}
    path.unlink()
    with h5py.File(path, "w") as file:
        for name, values in stored.items():
            file.create_dataset(name, data=values, compression="gzip")
    assert same(view_pairs(root, "test")[0], plain)


def test_a_file_that_was_replaced_is_read_anew(root):
    path = root / "data_car.hdf5"
    for color in (10, 200):
        path.unlink()
        with h5py.File(path, "w") as file:
            for name in NAMES:
                image = np.full((40, 40, 3), color, np.uint8)
                file.create_dataset(f"{name}/image", data=image, compression="gzip")
                file.create_dataset(f"{name}/pose", data=[int(k) for k in name.split("_")[-2:]])
        assert np.array_equal(to_uint8(view_pairs(root, "test")[0].source), image)


# Turntables -----------------------------------------------------------------------------------------------


def turntable(folder, step, objects=(1, 2), numbers=None):
    """Write photographs of 8×8 whose upper half is as gray as the file's number; return the folder."""
    folder.mkdir(exist_ok=True)
    for one in objects:
        for number in range(0, 360 // 5 * step, step) if numbers is None else numbers:
            gray = np.full((8, 8), 255, np.uint8)
            gray[:4] = min(number, 254)
            Image.fromarray(gray).save(folder / f"obj{one}__{number}.png")
    return folder


def zipped(folder):
    archive = folder.with_suffix(".zip")
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(folder.iterdir()):
            file.write(path, f"photographs/{path.name}")
        file.writestr("photographs/readme.txt", "not a photograph")
    return archive


ANGLES = dict(type="AngleEncoder")


def test_views_of_a_turntable_are_numbered_or_have_their_angle(tmp_path):
    numbered = Turntable(turntable(tmp_path / "coil20", 1), "test", ANGLES, (8, 8))
    in_degrees = Turntable(turntable(tmp_path / "coil100", 5), "test", ANGLES, (8, 8))
    assert [[view.degrees for view in pair] for pair in numbered.pairs] == [
        [view.degrees for view in pair] for pair in in_degrees.pairs
    ]
    assert numbered[0].name == "obj1__0_2_obj1__1_vis"
    assert in_degrees[0].name == "obj1__0_2_obj1__5_vis"
    assert torch.equal(numbered[3].target_structure, in_degrees[3].target_structure)
    with pytest.raises(DataError, match="1° is none of the encoder's 72 azimuths"):
        Turntable(tmp_path / "coil20", "test", ANGLES, numbers="degrees")
    with pytest.raises(DataError, match=r"obj1__75\.png: 375° is none"):
        Turntable(tmp_path / "coil100", "test", ANGLES, numbers="index")


def test_training_never_sees_a_held_out_view(tmp_path):
    root = turntable(tmp_path / "photographs", 1)
    train = Turntable(root, "train", ANGLES, (8, 8))
    assert {view.degrees for pair in train.pairs for view in pair} == set(range(0, 360, 10))
    turns = {(target.degrees - source.degrees) % 360 for source, target in train.pairs}
    assert turns == {10, 20, 340, 350}
    assert len(train) == 2 * 36 * 4
    assert all(source.object == target.object for source, target in train.pairs)


def test_held_out_views_come_from_the_nearest_views_or_from_a_given_one(tmp_path):
    root = turntable(tmp_path / "photographs", 1)
    nearest = Turntable(root, "test", ANGLES, (8, 8))
    assert len(nearest) == 2 * 36 * 2
    assert {(target.degrees - source.degrees) % 360 for source, target in nearest.pairs} == {5, 355}
    given = Turntable(root, "test", ANGLES, (8, 8), source=90)
    assert [source.degrees for source, _ in given.pairs] == [90] * 72
    every_15 = Turntable(root, "test", ANGLES, (8, 8), every=15)
    assert {(target.degrees - source.degrees) % 360 for source, target in every_15.pairs} == {5, 355}
    assert len(every_15) == 2 * 48


def test_gray_photographs_of_an_archive_are_rgb(tmp_path):
    root = turntable(tmp_path / "photographs", 1)
    folder, archive = (Turntable(path, "train", ANGLES, (8, 8)) for path in (root, zipped(root)))
    assert len(archive) == len(folder)
    for first, second in ((folder[7], archive[7]), (folder[7], pickle.loads(pickle.dumps(archive))[7])):
        assert torch.equal(first.target, second.target)
        assert first.name == second.name
    assert to_uint8(archive[7].source)[0, 0].tolist() == [archive.pairs[7][0].degrees // 5] * 3
    loader = DataLoader(archive, batch_size=8, num_workers=2, collate_fn=collate_pairs)
    assert sum(len(batch) for batch in loader) == len(archive)


def test_a_turntable_that_cannot_be_read_is_named(tmp_path):
    root = turntable(tmp_path / "photographs", 1)
    archive = zipped(root)
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.zip").write_text("text")
    for path, words in (("empty", "no photographs named objN__K.png"), ("text.zip", "neither a folder nor a ZIP"),
                        ("none", "no such file")):  # fmt: skip
        with pytest.raises(DataError, match=words):
            Turntable(tmp_path / path, "train", ANGLES)
    content = bytearray(archive.read_bytes())
    content[60:70] = b"0123456789"
    archive.write_bytes(content)
    with pytest.raises(DataError, match=r"obj1__0\.png"):
        Turntable(archive, "train", ANGLES)[0]
    (root / "again").mkdir()
    (root / "obj1__0.png").rename(root / "again" / "obj1__1.png")
    with pytest.raises(DataError, match="is the view of"):
        Turntable(root, "train", ANGLES)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(split="val"), "'train' or 'test'"),
        (dict(every=0), "1 <= every <= largest_turn"),
        (dict(largest_turn=5), "1 <= every <= largest_turn"),
        (dict(source="first"), "'nearest' or degrees"),
        (dict(numbers="steps"), "'index', 'degrees' or None"),
        (dict(split="test", source=95), "no pair"),
    ],
)
def test_options_of_a_turntable_out_of_range_are_refused(tmp_path, options, words):
    with pytest.raises(ConfigError, match=words):
        Turntable(turntable(tmp_path / "photographs", 1), structure=ANGLES, **{"split": "train", **options})


def test_the_check_reads_photographs_of_an_archive_and_finds_no_view_in_both_splits(tmp_path):
    archive = zipped(turntable(tmp_path / "photographs", 1, objects=(1,)))
    data = dict(type="Turntable", root=str(archive), structure=ANGLES)
    config = {f"{split}_dataloader": dict(dataset=dict(split=split, **data)) for split in ("train", "test")}
    report = check_data(config, ("train", "test"))
    assert {finding.text for finding in report.findings} == {"8×8 pixels"}  # as tiny as the test's pictures are
    assert [split.images for split in report.splits.values()] == [36, 36]


def test_near_angles_have_near_structures():
    encoder = AngleEncoder(azimuths=72, harmonics=4)
    structures = torch.stack([encoder.encode((k, 0)) for k in range(72)]).flatten(1)
    assert structures.shape == (72, 8)
    distances = torch.cdist(structures, structures)[0, :19]
    assert (distances.diff()[:9] > 0).all()
    assert [encoder.decode(structure.view(-1, 1, 1)) for structure in structures] == [(k, 0) for k in range(72)]
    with pytest.raises(InputError, match=r"0\.\.71 and an elevation class of 0\.\.0, got 3 and 1"):
        encoder.encode((3, 1))


def turned(network, degrees, start=30):
    """Return the finest flow and mask of a turn by so many degrees."""
    encoder = AngleEncoder(azimuths=360)
    views = [encoder.encode((angle % 360, 0))[None] for angle in (start, start + degrees)]
    flows, masks = network(torch.linspace(-1, 1, 3 * 32 * 32).view(1, 3, 32, 32), *views)
    return flows[-1], masks[-1]


def test_an_untrained_flow_of_a_turn_is_zero_and_the_source_is_kept():
    network = TurnFlowEstimator(8, levels=[1, 0], base_width=16, max_width=16, depth=3)
    flow, mask = turned(network, 10)
    assert flow.shape == (1, 2, 32, 32)
    assert not flow.any()
    assert torch.allclose(mask, torch.tensor(0.88), atol=0.01)
    with pytest.raises(ConfigError, match="must lie between 0 and depth - 1 = 3"):
        TurnFlowEstimator(8, levels=[4, 0], depth=4)


def test_nothing_moves_without_a_turn_and_half_a_turn_moves_half_as_far():
    torch.manual_seed(0)
    network = TurnFlowEstimator(8, levels=[0], base_width=16, max_width=16, depth=3, init_gain=0.5)
    torch.nn.init.normal_(network.head.weight, std=0.1)
    assert not turned(network, 0)[0].any()
    full, half = turned(network, 4)[0], turned(network, 2)[0]
    assert full.abs().mean() > 0.05
    assert (2 * half - full).abs().mean() < 0.2 * full.abs().mean()


@pytest.mark.parametrize("degrees", [-170, -20, 5, 10, 90])
def test_the_turn_is_that_from_source_to_target(degrees):
    encoder = AngleEncoder(azimuths=72)
    source, target = (encoder.encode((angle // 5 % 72, 0))[None] for angle in (340, 340 + degrees))
    sine, rest = turn_of(source, target).flatten().tolist()
    assert sine == pytest.approx(np.sin(np.radians(degrees)) / np.sin(np.radians(10)), abs=1e-4)
    assert rest == pytest.approx((1 - np.cos(np.radians(degrees))) / (1 - np.cos(np.radians(10))), abs=1e-3)


def test_a_turntable_trains_and_tests_from_the_command_line(tmp_path):
    archive = zipped(turntable(tmp_path / "photographs", 1))
    run = tmp_path / "run"
    narrow = ["model.flow_estimator.base_width=16", "model.flow_estimator.max_width=16"]
    few = [
        "flow_iters=1",
        "full_iters=1",
        "batch_size=2",
        "test_dataloader.dataset.limit=4",
        "val_dataloader.dataset.limit=2",
    ]
    options = ["--cfg-options", f"data_root={archive}", *few, *narrow]
    config = str(CONFIGS / "gfla_views_coil.py")
    assert main(["train", config, "--work-dir", str(run), *options]) == 0
    assert main(["test", config, str(run / "iter_2.pth"), "--work-dir", str(run), *options]) == 0
    metrics = json.loads((run / "metrics.json").read_text())["metrics"]
    assert sorted(metrics) == ["l1", "psnr", "source/psnr", "source/ssim", "ssim", "warped/psnr", "warped/ssim"]
    near = Turntable(archive, "test", ANGLES, (64, 64), limit=4)
    copied = [psnr(near[k].source[None], near[k].target[None]).item() for k in range(4)]
    assert metrics["source/psnr"] == pytest.approx(np.mean(copied), abs=1e-3)
