"""The page to play with: what is behind it, and what it lets in. The page itself: test_app_browser.py."""

from __future__ import annotations

import base64
import io
import json
import re
import socket
import sys
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import posegen
from posegen.app import (
    Level,
    LoadedModel,
    Made,
    Studio,
    check_comparable,
    explain_point,
    load,
    neutral_pose,
    recorded_kernels,
)
from posegen.app.downloads import ClipFile, Shown, archive
from posegen.app.pose_files import own_file, read_own
from posegen.app.studio import LONGEST_SIDE, MOST_FRAMES
from posegen.app.values import keypoints_of, made_value, numbers_of, origins_value, picture_address, png, pose_value
from posegen.cli import main
from posegen.config import load_config
from posegen.data import KeypointLayout, Keypoints, StructureEncoder
from posegen.data.generated import SOURCE_TYPE
from posegen.data.images import to_uint8
from posegen.data.interpolation import interpolate_keypoints
from posegen.errors import ConfigError, DataError, InputError, MissingWeightsError
from posegen.ops import LocalAttention
from posegen.registry import MODELS, STRUCTURE_ENCODERS

from .app_load import Client, drive
from .conftest import CONFIGS, write_tiny

IMAGE = (32, 48)  # H, W
NECK = 1  # of the layout of the tiny config
LAYOUT = KeypointLayout(
    "five", ("top", "left", "right", "left end", "right end"), (0, 2, 1, 4, 3), ((0, 1), (0, 2), (1, 3), (2, 4)),
    ((255, 0, 0),) * 5,
)  # fmt: skip


def level(flow=(0.0, 0.0), mask=0.25, taps=9, size=(8, 12)) -> Level:
    """A level with one flow and one mask everywhere, and a kernel that looks at its last tap alone."""
    kernel = np.zeros((taps, *size), np.float32)
    kernel[-1] = 1
    everywhere = np.broadcast_to(np.array(flow, np.float32)[:, None, None], (2, *size)).copy()
    return Level(everywhere, np.full(size, mask, np.float32), kernel)


def write_model(folder: Path) -> tuple[Path, Path]:
    """The tiny config and a checkpoint of fresh weights: how good a result is does not matter here."""
    config, checkpoint = write_tiny(folder), folder / "fresh.pth"
    torch.manual_seed(0)
    model = MODELS.build_part(load_config(config).model)
    torch.save({"state_dict": model.state_dict()}, checkpoint)
    return config, checkpoint


def domain(config: str) -> LoadedModel:
    """A narrow model, of fresh weights, of one of the configs that need no files."""
    narrow = {f"model.{net}.{option}": n for net in ("flow_estimator", "renderer") for option, n in NARROW.items()}
    loaded = load_config(CONFIGS / f"{config}.py", narrow)
    torch.manual_seed(0)
    encoder = STRUCTURE_ENCODERS.build_part(loaded.structure)
    return LoadedModel(MODELS.build_part(loaded.model).eval(), loaded, encoder, (64, 64), torch.device("cpu"))


NARROW = {"base_width": 16, "max_width": 32}  # as wide as group norms ask for


@pytest.fixture(scope="module")
def views() -> Studio:
    return Studio(domain("gfla_drawn_cars"), most_examples=2)


@pytest.fixture(scope="module")
def faces() -> Studio:
    return Studio(domain("gfla_drawn_faces"), most_examples=2)


@pytest.fixture(scope="module")
def dance() -> Studio:
    return Studio(domain("gfla_dancing_dolls"), most_examples=2)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> tuple[Path, Path]:
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def studio(files) -> Studio:
    return Studio(posegen.Inferencer(*files, "cpu"), most_examples=2)


@pytest.fixture(scope="module")
def made(studio) -> Made:
    source, target = studio.gallery.examples[0]
    return studio.make(source, studio.prepared_points(target))


# Where a point comes from


def test_a_known_flow_gives_the_known_arrow_in_pixels_of_the_image():
    origin = explain_point(level(flow=(1.5, -2)), x=20, y=17, image_size=IMAGE)
    assert origin.cell == (4, 4)  # 48 / 12 by 32 / 8
    assert origin.place == (21.5, 17.5)  # the middle of the pixels 20 to 23, and 16 to 19
    assert origin.source == (21.5 + 1.5 * 4, 17.5 - 2 * 4)
    assert origin.flow == (6, -8)
    assert origin.warped == 0.25


def test_the_arrow_ends_where_the_warped_source_takes_its_pixel():
    """Against the library's own warp: a source whose pixels say where they are."""
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(48.0), indexing="ij")
    flow = torch.zeros(1, 2, *IMAGE)
    flow[:, 0], flow[:, 1] = 3.25, -1.5
    warped = posegen.ops.warp(torch.stack([x, y])[None], flow)[0]
    origin = explain_point(level(flow=(3.25, -1.5), size=IMAGE), 20, 10, IMAGE)
    assert origin.source == pytest.approx(tuple(warped[:, 10, 20].tolist()), abs=1e-4)


def test_taps_lie_around_the_source_row_by_row_and_carry_the_kernel():
    origin = explain_point(level(flow=(1, 1)), 20, 17, IMAGE)
    assert len(origin.taps) == 9
    assert (origin.taps[4].x, origin.taps[4].y) == origin.source
    assert (origin.taps[2].x - origin.taps[0].x, origin.taps[2].y - origin.taps[0].y) == (8, 0)
    assert (origin.taps[-1].x, origin.taps[-1].y) == (origin.source[0] + 4, origin.source[1] + 4)
    assert [tap.weight for tap in origin.taps] == [0] * 8 + [1]


def test_taps_outside_of_the_source_stand_at_its_border_as_they_are_sampled():
    origin = explain_point(level(flow=(-100, 0)), 20, 17, IMAGE)
    assert origin.source[0] < -300
    assert {tap.x for tap in origin.taps} == {1.5}  # the middle of the first place, pixels 0 to 3


@pytest.mark.parametrize("flow", [(float("nan"), 0), (0, float("inf"))])
def test_a_flow_that_is_not_finite_is_said_to_be_so(flow):
    broken = level(flow=flow)
    assert explain_point(broken, 0, 0, IMAGE) is None
    value = origins_value(Made({"result": np.zeros((*IMAGE, 3), np.uint8)}, [broken]), 0, 0)
    assert "not a finite number" in value["levels"][0]["text"]
    json.dumps(value, allow_nan=False)


@pytest.mark.parametrize(("x", "y"), [(-1, 0), (0, 32), (48, 0), (float("nan"), 0)])
def test_a_point_outside_of_the_result_is_refused(x, y):
    with pytest.raises(InputError, match="outside"):
        explain_point(level(), x, y, IMAGE)


@pytest.mark.parametrize(("x", "y"), [(-0.5, -0.5), (47.49, 31.49)])
def test_the_corners_are_in_the_result(x, y):
    assert explain_point(level(), x, y, IMAGE) is not None


# What the model used


def test_kernels_are_recorded_as_they_were_used_and_the_model_is_left_as_it_was():
    torch.manual_seed(0)
    block = LocalAttention(4, 3)
    source, target, flow = torch.randn(1, 4, 8, 8), torch.randn(1, 4, 8, 8), torch.randn(1, 2, 8, 8)
    expected = block(source, target, flow)
    with recorded_kernels(nn.Sequential(block)) as kernels:
        assert torch.equal(block(source, target, flow), expected)
    assert torch.equal(kernels[0], block.kernel(source, target, flow))
    block(source, target, flow)
    assert len(kernels) == 1


def test_every_level_of_a_result_has_flow_mask_and_kernels_that_sum_to_one(made):
    assert [one.flow.shape for one in made.levels] == [(2, 8, 8), (2, 16, 16)]  # levels 2 and 1 of 32×32
    for one in made.levels:
        assert one.kernel.sum(0) == pytest.approx(np.ones(one.mask.shape), abs=1e-5)
        assert (one.mask >= 0).all()
        assert (one.mask <= 1).all()


def test_the_page_shows_what_infer_gives(studio, made, tmp_path):
    source, target = studio.gallery.examples[0]
    own, wanted = source.structure, studio.prepared_points(target)
    result = studio.loaded.infer(source.picture, wanted, own)[0]
    assert np.array_equal(made.layers["result"], result.image)
    assert np.array_equal(made.layers["warped source"], result.warped)


def test_a_model_without_flows_has_its_result_and_says_why_no_arrow():
    plain = Made({"result": np.zeros((*IMAGE, 3), np.uint8)}, [])
    assert origins_value(plain, 3, 3)["levels"] == []
    assert "no flow" in origins_value(plain, 3, 3)["text"]


def test_what_goes_to_the_browser_is_json(made):
    json.dumps([made_value({"model": made}), origins_value(made, 5, 6)], allow_nan=False)
    assert "% warped" in origins_value(made, 5, 6)["levels"][0]["text"]


# Poses


def test_a_pose_comes_back_from_the_editor_as_it_went():
    pose = Keypoints([[1.5, 2], [3, 4], [5, 6], [7, 8], [9, 10]], [1, 1, 0, 1, 1])
    back = keypoints_of(json.loads(json.dumps(pose_value(pose, IMAGE))), LAYOUT)
    assert np.array_equal(back.present, pose.present)
    assert np.array_equal(back.points[back.present], pose.points[pose.present])


@pytest.mark.parametrize(
    "value",
    [None, [], {"points": None}, {"points": [[0, 0, 1]]}, {"points": [[0, 0]] * 4 + [[0]]}, {"points": ["x"] * 5}],
)
def test_an_editor_value_that_is_no_pose_is_refused(value):
    with pytest.raises(InputError):
        keypoints_of(value, LAYOUT)


def test_a_neutral_pose_is_symmetric_inside_the_picture_and_has_no_two_points_at_one_place():
    pose = neutral_pose(LAYOUT, (101, 201))
    assert pose.present.all()
    assert np.allclose(pose.mirror(201, LAYOUT).points, pose.points, atol=1e-3)
    assert ((pose.points >= 0) & (pose.points <= (200, 100))).all()
    distances = np.linalg.norm(pose.points[:, None] - pose.points, axis=2) + 1e9 * np.eye(5)
    assert distances.min() > 5


def test_points_that_hang_together_stand_nearer_than_others():
    points = neutral_pose(LAYOUT, (101, 101)).points
    assert np.linalg.norm(points[1] - points[3]) < np.linalg.norm(points[2] - points[3])


# Files


def save(path: Path, size=(40, 30)) -> Path:
    Image.new("RGB", size, (200, 100, 50)).save(path)
    return path


def openpose(path: Path, studio: Studio) -> Path:
    keypoints = studio.gallery.examples[0][0].structure
    rows = np.concatenate([keypoints.points, keypoints.present[:, None]], 1)
    path.write_text(json.dumps({"people": [{"pose_keypoints_2d": rows.ravel().tolist()}]}))
    return path


def test_a_picture_and_its_key_points_are_read_in_any_order(studio, tmp_path):
    files = [openpose(tmp_path / "a.json", studio), save(tmp_path / "a.png")]
    subject = studio.read(files)
    assert subject.picture.shape == (30, 40, 3)
    assert np.array_equal(subject.structure.present, studio.gallery.examples[0][0].structure.present)
    assert studio.read([files[1]]).structure is None


def test_a_large_picture_is_kept_small_and_its_points_with_it(studio, tmp_path):
    files = [openpose(tmp_path / "a.json", studio), save(tmp_path / "a.png", (2 * LONGEST_SIDE, 100))]
    subject = studio.read(files)
    assert subject.picture.shape == (50, LONGEST_SIDE, 3)
    present = subject.structure.present
    whole = studio.gallery.examples[0][0].structure
    assert subject.structure.points[present] == pytest.approx(whole.points[present] / 2)


@pytest.mark.parametrize("names", [[], ["a.png", "b.png"], ["a.json"], ["a.png", "a.json", "b.json"]])
def test_files_that_are_not_one_picture_and_one_key_point_file_are_refused(studio, tmp_path, names):
    with pytest.raises(DataError, match="Give one picture"):
        studio.read([tmp_path / name for name in names])


def test_a_pose_alone_counts_pixels_of_the_source(studio, tmp_path):
    pose = studio.read_pose([openpose(tmp_path / "a.json", studio)], frame=(64, 64))
    whole = studio.gallery.examples[0][0].structure
    assert pose.points[pose.present] == pytest.approx(whole.points[whole.present] / 2)  # the model's size is 32


def test_files_that_the_page_wrote_are_read_back(tmp_path):
    poses = [Keypoints([[1.25, 2], [3, 4], [5, 6], [7, 8], [9, 10]], [1, 1, 0, 1, k]) for k in (0, 1)]
    path = tmp_path / "clip.json"
    for given in (poses, poses[:1]):
        path.write_text(json.dumps(own_file(given, LAYOUT, IMAGE)))
        back = read_own(path, LAYOUT)
        assert back.frame == IMAGE
        assert [pose.present.tolist() for pose in back.keypoints] == [pose.present.tolist() for pose in given]
        assert np.array_equal(back.keypoints[0].points[:2], given[0].points[:2])


POINTS = [[1, 2, 1]] * 5


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (dict(layout="six", width=9, height=9, points=POINTS), "layout 'six'"),
        (dict(layout="five", width=1 << 40, height=9, points=POINTS), "'width' and 'height'"),
        (dict(layout="five", width=9, height=9, frames=7), "list of poses"),
        (dict(layout="five", width=9, height=9, frames=[POINTS, POINTS[:2], "x"]), "frame 1.*\n.*frame 2"),
        (dict(layout="five", width=9, height=9, points=[[10**400, 2, 1]] * 5), "frame 0"),
    ],
)
def test_a_file_of_the_page_s_form_that_is_broken_is_told_of_whole(tmp_path, content, told):
    path = tmp_path / "pose.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=told):
        read_own(path, LAYOUT)


def test_a_pose_that_the_page_wrote_is_not_prepared_a_second_time(studio, tmp_path, monkeypatch):
    """A data set that cuts out by key points would cut again."""
    pose = studio.prepared_points(studio.gallery.examples[0][1])
    monkeypatch.delattr("posegen.app.studio.prepare_subject")
    path = tmp_path / "pose.json"
    path.write_text(json.dumps(own_file([pose], studio.layout, studio.size)))
    back = studio.read_pose([path], frame=(500, 500))
    assert back.points[back.present] == pytest.approx(pose.points[pose.present], abs=0.01)


def test_a_picture_alone_needs_an_estimator_and_says_so(studio, tmp_path):
    with pytest.raises((ConfigError, MissingWeightsError), match="has no file of key points"):
        studio.read_pose([save(tmp_path / "a.png")], frame=(64, 64))


def test_poses_of_a_clip_are_read_in_the_order_of_their_names_and_told_of_at_once(studio, tmp_path):
    files = [openpose(tmp_path / f"{k}.json", studio) for k in (10, 9)]
    moved = json.loads(files[1].read_text())
    moved["people"][0]["pose_keypoints_2d"][3] += 8  # the second point's x
    files[1].write_text(json.dumps(moved))
    poses = studio.read_clip(files, (64, 64))
    assert poses[0].points[NECK] - poses[1].points[NECK] == pytest.approx([8 * 32 / 64, 0])  # 9 comes before 10
    (tmp_path / "8.json").write_text("{")
    (tmp_path / "11.json").write_text("[]")
    with pytest.raises(DataError, match="2 problems"):
        studio.read_clip([*files, tmp_path / "8.json", tmp_path / "11.json"], (64, 64))
    with pytest.raises(DataError, match=f"at most {MOST_FRAMES}"):
        studio.read_clip(files * MOST_FRAMES, (64, 64))


# Every domain


def test_views_are_chosen_from_what_their_encoder_says(views):
    assert views.choices["azimuth"][1] == "20°"
    assert [len(names) for names in views.choices.values()] == [18, 3]
    source, target = views.gallery.examples[0]
    made = views.make(source, target.structure)
    assert made.size == (64, 64)
    assert not np.array_equal(made.drawn, views.draw((0, 0)))
    around = views.turn("azimuth", (17, 2))
    assert around[:2] == [(17, 2), (0, 2)]  # from where it stands, once around
    assert len(set(around)) == 18


@pytest.mark.parametrize(
    "value", [None, {"numbers": [1]}, {"numbers": [18, 0]}, {"numbers": [True, 0]}, {"numbers": 3}]
)
def test_classes_that_there_are_not_are_refused(views, value):
    with pytest.raises(InputError, match="azimuth and elevation"):
        numbers_of(value, views.choices)


def test_a_file_beside_a_picture_whose_structure_is_no_key_points_is_refused(views, tmp_path):
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(DataError, match="not read from files"):
        views.read([save(tmp_path / "a.png"), tmp_path / "a.json"])


@pytest.mark.parametrize("name", ["faces", "dance"])
def test_a_model_of_clips_makes_pictures_and_clips(name, request):
    studio = request.getfixturevalue(name)
    assert studio.gallery.note == ""
    source, target = studio.gallery.examples[0]
    wanted = studio.prepared_points(target)
    made = studio.make(source, wanted)
    drive = studio.gallery.drives[0]
    driven = list(studio.frames(source, studio.gallery.structures(drive, MOST_FRAMES)))
    assert len(driven) == drive.frames
    assert [one.kernel.shape[0] for one in made.levels] == [9, 9]
    frames = list(studio.frames(source, [wanted, wanted]))
    assert np.array_equal(frames[0], made.layers["result"])  # what the page shows is the first frame of such a clip
    assert not np.array_equal(frames[0], frames[1])  # the second one is made from the first


def test_landmarks_come_from_the_data_set_where_the_encoder_cannot_tell_them(faces):
    assert faces.encoder.decode(faces.gallery.dataset[0].reference_structure) is None
    record = faces.gallery.dataset[0]
    source, target = faces.gallery.examples[0]
    known = record.matches[len(record.frames) // 2]  # (x, y) in the frame, (x, y) in the reference
    count = len(faces.layout)
    assert known[:count, :2].numpy() == pytest.approx(target.structure.points, abs=1e-3)
    assert known[:count, 2:].numpy() == pytest.approx(source.structure.points, abs=1e-3)


def test_explanations_of_a_clip_model_are_of_the_reference(dance):
    """The kernels of the frame before are recorded too, unless they are left out."""
    source, target = dance.gallery.examples[0]
    wanted = dance.prepared_points(target)
    renderer = dance.loaded.model.renderer
    with recorded_kernels(renderer.attention_reference) as kernels:
        next(dance.frames(source, [wanted]))
    made = dance.make(source, wanted)
    assert [one.kernel.tolist() for one in made.levels] == [kernel[0].tolist() for kernel in kernels]


def test_a_model_of_pairs_makes_its_frames_one_by_one(studio):
    source, target = studio.gallery.examples[0]
    wanted = studio.prepared_points(target)
    way = studio.way(source, wanted, 5)
    start = studio.prepared_points(source)
    assert way[0].points == pytest.approx(start.points)
    early = interpolate_keypoints(start, wanted, studio.layout, 0.25**2 * 2.5)  # t² (3 − 2t): it starts slowly
    assert way[1].points == pytest.approx(early.points)
    frames = list(studio.frames(source, way))
    assert np.array_equal(frames[-1], studio.make(source, way[-1]).layers["result"])
    for count in (1, MOST_FRAMES + 1):
        with pytest.raises(InputError, match=f"2 to {MOST_FRAMES} frames"):
            studio.way(source, wanted, count)


def test_a_structure_without_points_and_without_choices_is_taken_from_the_gallery_or_written(studio, files):
    known = studio.encoder

    class Opaque(StructureEncoder):
        """An encoder that says nothing of itself."""

        channels = known.channels

        def encode(self, structure, size, image=None):
            return known.encode(structure, size)

        def draw(self, structure):
            return known.draw(structure)

    loaded = load(load_config(files[0]), files[1])
    opaque = Studio(LoadedModel(loaded.model, loaded.config, Opaque(), loaded.size, loaded.device), 2)
    source, target = opaque.gallery.examples[0]
    record = opaque.gallery.dataset[0]
    seen = (tensor[None] for tensor in (record.source, record.source_structure, record.target_structure))
    expected = to_uint8(loaded.model.transfer(*seen).image[0])
    differing = opaque.make(source, target.structure).layers["result"].astype(int) - expected
    assert np.abs(differing).max() <= 1  # the gallery keeps pictures in 8 bits
    with pytest.raises(InputError, match="cannot encode"):
        opaque.make(source, "nonsense")


# Comparison, downloads


def test_models_that_see_other_structures_are_not_compared(studio, views):
    with pytest.raises(ConfigError, match=r"(?s)azimuth.*openpose18.*two models are called"):
        check_comparable([studio, Studio(views.loaded, 0, "cars"), Studio(studio.loaded, 0, "model")])
    check_comparable([studio, Studio(studio.loaded, 0, "same")])


@pytest.mark.parametrize(
    ("compare", "told"),
    [
        (["x.pth"], "NAME=CHECKPOINT"),
        (["a/b=x.pth", "=y.pth"], "(?s)a/b=x.pth.*=y.pth"),
        ([f"m{k}=x.pth" for k in range(5)], "at most 4"),
        (["other=missing.pth"], "no checkpoint missing.pth"),
        (["other=missing.py:missing.pth"], "missing.py"),
        (["fresh={checkpoint}"], "two models are called 'fresh'"),
    ],
)
def test_what_is_wrong_with_the_models_to_compare_is_said(files, capsys, compare, told):
    given = [word for value in compare for word in ("--compare", value.format(checkpoint=files[1]))]
    assert main(["app", *map(str, files), *given]) == 1
    assert re.search(told, capsys.readouterr().err)


def test_generated_pictures_say_so_and_the_source_does_not(made):
    def says(picture: bytes) -> bool:
        return SOURCE_TYPE in str(Image.open(io.BytesIO(picture)).info)

    assert says(png(made.layers["result"], generated=True))
    assert not says(png(made.layers["source"], generated=False))
    assert picture_address(made.layers["source"]).startswith("data:image/png;base64,")


def test_the_zip_file_has_everything_that_is_shown(studio, made):
    pose = own_file([studio.gallery.examples[0][0].structure], studio.layout, studio.size)
    source = studio.gallery.examples[0][0].picture
    shown = Shown({"a": made, "b": made}, source, {"target_structure": pose})
    content = archive(shown, ClipFile(b"clip", {"frames": []}, source.copy()), {"page": "t"})
    file = zipfile.ZipFile(io.BytesIO(content))
    layers = [f"{caption.replace(' ', '_')}.png" for caption in made.layers]
    assert {*file.namelist()} == {
        *(f"{name}/{layer}" for name in "ab" for layer in layers),
        "target_structure.json", "clip.json", "clip.mp4", "about.json",
    }  # fmt: skip
    assert SOURCE_TYPE in str(Image.open(io.BytesIO(file.read("a/result.png"))).info)
    assert SOURCE_TYPE not in str(Image.open(io.BytesIO(file.read("a/source.png"))).info)
    assert json.loads(file.read("about.json"))["digital source type"] == SOURCE_TYPE
    assert json.loads(file.read("target_structure.json"))["layout"] == studio.layout.name


def downloaded(client: Client) -> dict[str, bytes]:
    """The files of the zip file that a page gives."""
    content = client.call(client.event("viewer", "archive"))[0]["props"]["archive"]
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(content))) as file:
        return {name: file.read(name) for name in file.namelist()}


def test_the_zip_file_has_the_structures_that_made_what_is_shown(page):
    client = Client(page)
    client.load()
    shown = client.move(2)["props"]["files"]
    editor = next(part for part, name in client.names.items() if name == "pose-editor")
    client.values[editor]["points"][0][0] += 5  # dragged, and no result of it yet
    files = downloaded(client)
    for name in ("source_structure", "target_structure"):
        assert json.loads(files[f"{name}.json"]) == shown[name]
    client.move(0)
    assert json.loads(downloaded(client)["target_structure.json"]) != shown["target_structure"]


def test_the_zip_file_has_no_clip_of_another_source(page, studio):
    client = Client(page)
    client.load()
    clip = client.call(client.event("clip-way", "click"))[0]
    client.move(1)  # the target is another one, and the source the same
    assert downloaded(client)["clip.mp4"] == base64.b64decode(clip["video"])
    client.upload("source-files", "a.png", png(studio.gallery.examples[1][0].picture, generated=False))
    client.follow(client.event("source-files", "upload"))
    assert "clip.mp4" in downloaded(client)  # what is shown is still of the source before
    client.call(client.event("pose-editor", "moved"))
    assert not {"clip.mp4", "clip.json"} & {*downloaded(client)}


# The server


@pytest.fixture
def page(studio):
    pytest.importorskip("gradio", reason="gradio is not installed (pip install posegen[app])")
    from posegen.app.server import launch

    page, address = launch([studio], "a title")
    yield address
    page.close()


def ask(address: str, data: bytes | None = None, **headers: str) -> tuple[int, str, dict]:
    request = urllib.request.Request(address, data, headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode(), dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), dict(error.headers)


def test_the_page_is_for_this_machine_and_lets_nothing_else_in(page, tmp_path):
    status, text, headers = ask(page)
    assert status == 200
    assert "a title" in text
    assert "fonts.googleapis" not in text
    assert "default-src 'self'" in headers["content-security-policy"]
    assert page.startswith("http://127.0.0.1:")
    assert ask(page, Host="elsewhere.example")[0] == 403
    assert ask(page, Host="localhost:99")[0] == 200  # a forwarded port
    secret = save(tmp_path / "secret.png")
    assert ask(f"{page}gradio_api/file={secret}")[0] == 403
    assert ask(f"{page}gradio_api/file=../../../../etc/passwd")[0] in (403, 404)
    assert ask(f"{page}gradio_api/upload", b"x", **{"Content-Length": str(1 << 30)})[0] == 413
    other = next(iter(socket.gethostbyname_ex(socket.gethostname())[2]))
    if not other.startswith("127."):
        with pytest.raises(OSError, match="refused"):
            socket.create_connection((other, int(page.rsplit(":", 1)[1].strip("/"))), timeout=5)


def test_a_port_that_is_taken_is_said_to_be(studio):
    pytest.importorskip("gradio", reason="gradio is not installed (pip install posegen[app])")
    from posegen.app.server import launch

    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ConfigError, match=r"in use.+ another --port"):
        launch([studio], "a title", port=taken.getsockname()[1])


def test_without_gradio_the_command_says_what_to_install(files, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gradio", None)
    for name in ("posegen.app._gradio", "posegen.app.editors", "posegen.app.page", "posegen.app.server"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    assert main(["app", *map(str, files)]) == 1
    assert "posegen[app]" in capsys.readouterr().err


def test_many_clients_at_once_each_get_their_own_result(page):
    report = drive(page, clients=4, actions=2)
    assert report.failures == []
    assert len(report.seconds) == 8


def test_a_queue_that_is_full_says_so_and_the_page_goes_on(studio, monkeypatch):
    pytest.importorskip("gradio", reason="gradio is not installed (pip install posegen[app])")
    from posegen.app import server

    monkeypatch.setattr(server, "MOST_WAITING", 0)
    page, address = server.launch([studio], "a title")
    report = drive(address, clients=2, actions=1)
    status = ask(address)[0]
    page.close()
    assert all("503" in failure and "Queue is full" in failure for failure in report.failures)
    assert len(report.failures) == 2
    assert status == 200


def test_a_clip_is_made_over_the_page_and_says_that_it_is_generated(page, tmp_path):
    client = Client(page)
    client.load()
    clip = client.call(client.event("clip-way", "click"))[0]
    assert clip["poses"]["layout"] == "openpose18"
    assert len(clip["poses"]["frames"]) == 24
    (tmp_path / "clip.mp4").write_bytes(base64.b64decode(clip["video"]))
    with av.open(str(tmp_path / "clip.mp4")) as video:
        assert sum(1 for _ in video.decode(video=0)) == 24
        assert "generated" in video.metadata["comment"]


def test_a_clip_follows_poses_that_are_uploaded_and_bad_ones_are_told_of(page, studio):
    client = Client(page)
    client.load()
    start, end = (studio.prepared_points(subject) for subject in studio.gallery.examples[0])
    content = json.dumps(own_file([start, end, start], studio.layout, studio.size)).encode()
    client.upload("clip-files", "clip.json", content)
    clip, _, message = client.call(client.event("clip-files", "upload"))
    assert clip["caption"].startswith("3 frames")
    assert message == ""
    client.upload("clip-files", "clip.json", content.replace(b"openpose18", b"another"))
    clip, _, message = client.call(client.event("clip-files", "upload"))
    assert message.startswith("clip.json: ")  # and no folder of this machine
    assert "'another'" in message


def test_a_browser_that_sends_nonsense_gets_words(page):
    client = Client(page)
    client.load()
    editor = next(part for part, name in client.names.items() if name == "pose-editor")
    for value in (None, 7, {"points": [[1e999, 0, 1]] * 18}, {"points": "x"}, {"points": [[10**400, 1, 1]] * 18}):
        client.values[editor] = value
        assert client.call(client.event("pose-editor", "moved"))[-1] != ""


@pytest.mark.parametrize("event", ["point", "hover"])
def test_questions_about_no_point_get_words(page, event):
    client = Client(page)
    client.load()
    asked = client.event("viewer", event)
    good = {"x": 0.5, "y": 0.5, "number": 3}
    assert client.call(asked, good)[-1] in ("", {"__type__": "update"})
    for nonsense in (None, {}, {**good, "x": 1}, {**good, "y": "high"}, {**good, "number": 1e999}, {**good, "x": None}):
        assert "point" in client.call(asked, nonsense)[-1]


@pytest.mark.parametrize("name", ["views", "faces", "dance"])
def test_every_domain_gets_its_page(name, request):
    pytest.importorskip("gradio", reason="gradio is not installed (pip install posegen[app])")
    from posegen.app.server import launch

    studio = request.getfixturevalue(name)
    page, address = launch([studio, Studio(studio.loaded, 0, "other")], name)
    try:
        client = Client(address)
        client.load()
        shown = client.call(client.event("pose-editor", "moved"))[1]["value"]
        assert [model["name"] for model in shown["models"]] == ["model", "other"]
        started = "clip-turn-1" if studio.choices else "clip-way"
        clip = client.call(client.event(started, "click"))[0]
        assert "from the left: model, other" in clip["caption"]
    finally:
        page.close()
