"""``posegen app`` without a browser: explanations, poses, files, and what the page's server sends and refuses."""

from __future__ import annotations

import base64
import copy
import gc
import io
import itertools
import json
import os
import re
import shutil
import socket
import sys
import urllib.error
import urllib.request
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from unittest import mock

import av
import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image, PngImagePlugin
from posegen_app.downloads import ClipFile, SavedResult, ShownResult, archive, read_result
from posegen_app.explanation import Level, explain_point, recorded_kernels
from posegen_app.gallery import Sample
from posegen_app.page_model import MAX_FRAMES, MAX_SIDE, Output, PageModel, check_comparable, neutral_pose, rest_pose
from posegen_app.values import FITS, png, pose_points

from posegen import Inferencer
from posegen.cli import main
from posegen.config import load_config
from posegen.data import KeypointLayout, Keypoints, StructureEncoder
from posegen.data.estimators import Figure
from posegen.data.generated import COMPOSITE, SOURCE_TYPE
from posegen.data.images import read_image, to_uint8
from posegen.data.pose_files import own_content
from posegen.errors import ConfigError, DataError, InputError
from posegen.inference import cutout, interpolate_keypoints, read_clip
from posegen.ops import LocalAttention, warp
from posegen.registry import MODELS
from posegen.sharing import find_shared
from posegen.visualization.video import VideoWriter

from .conftest import CONFIGS, write_tiny
from .page_client import Client

IMAGE = (32, 48)  # H, W
NECK = 1  # of the layout of the tiny config
LAYOUT = KeypointLayout(
    "five", ("top", "left", "right", "left end", "right end"), (0, 2, 1, 4, 3), ((0, 1), (0, 2), (1, 3), (2, 4)),
    ((255, 0, 0),) * 5,
)  # fmt: skip
NARROW = {"base_width": 16, "max_width": 32}  # the narrowest that group norm allows


def level(flow=(0.0, 0.0), mask=0.25, taps=9, size=(8, 12)) -> Level:
    """A level with one flow and one mask everywhere, and a kernel whose weight is all on the last tap."""
    kernel = np.zeros((taps, *size), np.float32)
    kernel[-1] = 1
    everywhere = np.broadcast_to(np.array(flow, np.float32)[:, None, None], (2, *size)).copy()
    return Level(everywhere, np.full(size, mask, np.float32), kernel)


def write_weights(config: Config, folder: Path) -> Path:
    """A checkpoint of random weights: the quality of results does not matter here."""
    torch.manual_seed(0)
    torch.save({"state_dict": MODELS.build_part(config.model).state_dict()}, folder / "fresh.pth")
    return folder / "fresh.pth"


def page_model(name: str, folder: Path) -> PageModel:
    """A narrow model of a config that needs no files."""
    narrow = {f"model.{net}.{option}": n for net in ("flow_estimator", "renderer") for option, n in NARROW.items()}
    config = load_config(CONFIGS / f"{name}.py", narrow)
    return PageModel(Inferencer(config, write_weights(config, folder), "cpu", precision="fp32"), examples=[0, 1])


@pytest.fixture(scope="module")
def views(tmp_path_factory) -> PageModel:
    return page_model("gfla_drawn_cars", tmp_path_factory.mktemp("views"))


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> PageModel:
    return page_model("gfla_drawn_faces", tmp_path_factory.mktemp("faces"))


@pytest.fixture(scope="module")
def dance(tmp_path_factory) -> PageModel:
    return page_model("gfla_dancing_dolls", tmp_path_factory.mktemp("dance"))


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> tuple[Path, Path]:
    """The tiny config and a checkpoint."""
    folder = tmp_path_factory.mktemp("model")
    config = write_tiny(folder)
    return config, write_weights(load_config(config), folder)


@pytest.fixture(scope="module")
def model(files) -> PageModel:
    """Its pictures keep their background: whether an estimator sees people in tiny dolls does not matter here."""
    model = PageModel(Inferencer(*files, "cpu", precision="fp32"), examples=[0, 1])
    model.default_backdrop = lambda sample: None
    return model


@pytest.fixture(scope="module")
def output(model) -> Output:
    source, target = model.gallery.examples[0]
    return model.generate(source, model.prepared_points(target))


# Origin of a point


def test_a_known_flow_gives_the_known_arrow_in_pixels_of_the_image():
    origin = explain_point(level(flow=(1.5, -2)), x=20, y=17, image_size=IMAGE)
    assert origin.cell == (4, 4)  # 48 / 12 by 32 / 8
    assert origin.place == (21.5, 17.5)  # center of the pixels 20 to 23 and 16 to 19
    assert origin.source == (21.5 + 1.5 * 4, 17.5 - 2 * 4)
    assert origin.flow == (6, -8)
    assert origin.warped == 0.25


def test_the_arrow_ends_where_warp_samples_the_source():
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(48.0), indexing="ij")
    flow = torch.zeros(1, 2, *IMAGE)
    flow[:, 0], flow[:, 1] = 3.25, -1.5
    warped = warp(torch.stack([x, y])[None], flow)[0]
    origin = explain_point(level(flow=(3.25, -1.5), size=IMAGE), 20, 10, IMAGE)
    assert origin.source == pytest.approx(tuple(warped[:, 10, 20].tolist()), abs=1e-4)


def test_taps_surround_the_source_position_row_by_row_and_carry_the_kernel():
    origin = explain_point(level(flow=(1, 1)), 20, 17, IMAGE)
    assert len(origin.taps) == 9
    assert (origin.taps[4].x, origin.taps[4].y) == origin.source
    assert (origin.taps[2].x - origin.taps[0].x, origin.taps[2].y - origin.taps[0].y) == (8, 0)
    assert (origin.taps[-1].x, origin.taps[-1].y) == (origin.source[0] + 4, origin.source[1] + 4)
    assert [tap.weight for tap in origin.taps] == [0] * 8 + [1]
    outside = explain_point(level(flow=(-100, 0)), 20, 17, IMAGE)
    assert outside.source[0] < -300
    assert {tap.x for tap in outside.taps} == {1.5}  # clamped to the center of the first place, pixels 0 to 3


@pytest.mark.parametrize("flow", [(float("nan"), 0), (0, float("inf"))])
def test_a_flow_that_is_not_finite_has_no_origin(flow):
    assert explain_point(level(flow=flow), 0, 0, IMAGE) is None


@pytest.mark.parametrize(("x", "y"), [(-1, 0), (0, 32), (48, 0), (float("nan"), 0)])
def test_a_point_outside_of_the_result_is_refused(x, y):
    with pytest.raises(InputError, match="outside"):
        explain_point(level(), x, y, IMAGE)
    for corner in ((-0.5, -0.5), (47.49, 31.49)):
        assert explain_point(level(), *corner, IMAGE) is not None


def test_recording_kernels_leaves_results_and_model_as_they_are():
    torch.manual_seed(0)
    block = LocalAttention(4, 3)
    source, target, flow = torch.randn(1, 4, 8, 8), torch.randn(1, 4, 8, 8), torch.randn(1, 2, 8, 8)
    expected = block(source, target, flow)
    with recorded_kernels(torch.nn.Sequential(block)) as kernels:
        assert torch.equal(block(source, target, flow), expected)
    assert torch.equal(kernels[0], block.kernel(source, target, flow))
    block(source, target, flow)
    assert len(kernels) == 1


def test_every_level_has_flow_mask_and_kernels_that_sum_to_one(output):
    assert [one.flow.shape for one in output.levels] == [(2, 8, 8), (2, 16, 16)]  # levels 2 and 1 of 32×32
    for one in output.levels:
        assert one.kernel.sum(0) == pytest.approx(np.ones(one.mask.shape), abs=1e-5)
        assert (one.mask >= 0).all()
        assert (one.mask <= 1).all()


def test_the_page_shows_the_result_of_the_inferencer(model, output):
    source, target = model.gallery.examples[0]
    result = model.inferencer.infer(source.picture, model.prepared_points(target), source.structure)[0]
    assert np.array_equal(output.layers["result"], result.image)
    assert np.array_equal(output.layers["warped source"], result.warped)


# Poses


def test_a_neutral_pose_is_symmetric_connected_and_without_coinciding_points():
    pose = neutral_pose(LAYOUT, (101, 201))
    assert pose.present.all()
    assert np.allclose(pose.mirror(201, LAYOUT).points, pose.points, atol=1e-3)
    assert ((pose.points >= 0) & (pose.points <= (200, 100))).all()
    distances = np.linalg.norm(pose.points[:, None] - pose.points, axis=2)
    assert (distances + 1e9 * np.eye(5)).min() > 5
    assert distances[1, 3] < distances[2, 3]  # connected, and not


def test_a_rest_pose_stands_in_the_middle_of_any_picture(model, faces):
    for layout in (model.layout, faces.layout):
        for frame in ((128, 64), (50, 200)):
            pose = rest_pose(layout, frame)
            low, high = pose.points.min(0), pose.points.max(0)
            assert low + high == pytest.approx([frame[1] - 1, frame[0] - 1], abs=0.1)
            assert (low >= 0.09 * np.array([frame[1], frame[0]])).all()
            assert pose.mirror(frame[1], layout).points == pytest.approx(pose.points, abs=0.02 * max(frame))
    body = dict(zip(model.layout.names, rest_pose(model.layout, (101, 101)).points, strict=True))
    assert body["nose"][1] < body["neck"][1] < body["left hip"][1] < body["left knee"][1] < body["left ankle"][1]
    assert body["left wrist"][0] > body["left shoulder"][0] > body["right shoulder"][0]  # faces the viewer
    assert body["left ankle"][1] - body["left hip"][1] > body["left hip"][1] - body["neck"][1]


def save(path: Path, size=(40, 30)) -> Path:
    Image.new("RGB", size, (200, 100, 50)).save(path)
    return path


def openpose(path: Path, model: PageModel, neck: float = 0, scale: float = 1) -> Path:
    """An OpenPose file of an example's pose, its neck moved to the right by so many pixels, and all of it enlarged."""
    keypoints = model.gallery.examples[0][0].structure
    rows = np.concatenate([keypoints.points, keypoints.present[:, None]], 1)
    rows[NECK, 0] += neck
    rows[:, :2] *= scale
    path.write_text(json.dumps({"people": [{"pose_keypoints_2d": rows.ravel().tolist()}]}))
    return path


def test_a_picture_and_its_key_points_are_read_in_any_order_and_cropped_around_the_figure(model, tmp_path):
    """The model sees squares: a wide picture is cropped, or padded and shrunk if it has no key points."""
    files = [openpose(tmp_path / "a.json", model), save(tmp_path / "a.png", (2 * MAX_SIDE, 100))]
    sample, whole = model.read_sample(files), model.gallery.examples[0][0].structure
    side = sample.picture.shape[0]
    assert sample.picture.shape == (side, side, 3)
    assert np.array_equal(sample.structure.present, whole.present)
    moved = (sample.structure.points - whole.points)[whole.present]
    assert np.ptp(moved, axis=0).tolist() == [0, 0]
    assert np.ptp(sample.structure.points[whole.present], axis=0).max() == pytest.approx(side / 1.3, abs=2)
    bare = model.read_sample(files[1:])
    assert bare.structure is None
    assert bare.picture.shape == (MAX_SIDE, MAX_SIDE, 3)


@pytest.mark.parametrize("names", [[], ["a.png", "b.png"], ["a.json"], ["a.png", "a.json", "b.json"]])
def test_other_than_one_picture_and_one_key_point_file_are_refused(model, tmp_path, names):
    with pytest.raises(DataError, match="Give one picture"):
        model.read_sample([tmp_path / name for name in names])


def blank(size: tuple[int, int]) -> Sample:
    """A source of which only the picture is known."""
    return Sample(np.zeros((*size, 3), np.uint8), None)


def test_a_key_point_file_alone_is_in_pixels_of_the_source(model, tmp_path):
    ((pose,), _) = model.read_poses([openpose(tmp_path / "a.json", model)])
    (pose,) = model.fit([pose], blank((64, 64)), "auto")
    whole = model.gallery.examples[0][0].structure
    assert pose.points[pose.present] == pytest.approx(whole.points[whole.present] / 2)  # the model's size is 32


def test_files_that_the_page_wrote_are_read_back(tmp_path):
    poses = [Keypoints([[1.25, 2], [3, 4], [5, 6], [7, 8], [9, 10]], [1, 1, 0, 1, k]) for k in (0, 1)]
    path = tmp_path / "clip.json"
    for given in (poses, poses[:1]):
        path.write_text(json.dumps(own_content(given, LAYOUT, IMAGE)))
        back = read_clip(path, LAYOUT)
        assert [pose.frame for pose in back] == [IMAGE] * len(given)
        assert [pose.present.tolist() for pose in back] == [pose.present.tolist() for pose in given]
        assert np.array_equal(back[0].points[:2], given[0].points[:2])


POINTS = [[1, 2, 1]] * 5


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (dict(layout="six", width=9, height=9, points=POINTS), "layout 'six'"),
        (dict(layout="five", width=1 << 40, height=9, points=POINTS), "1099511627776 wide and 9 high"),
        (dict(layout="five", width=9, height=9, frames=7), "list of poses"),
        (dict(layout="five", width=9, height=9, frames=[POINTS, POINTS[:2], "x"]), "frame 2.*\n.*frame 3"),
        (dict(layout="five", width=9, height=9, points=[[10**400, 2, 1]] * 5), "points: needs 5 points"),
    ],
)
def test_a_broken_file_of_the_pages_format_is_refused_naming_every_problem(tmp_path, content, message):
    path = tmp_path / "pose.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=message):
        read_clip(path, LAYOUT)


def test_a_prepared_pose_that_the_page_wrote_is_not_prepared_again(model, tmp_path):
    """The data set would crop by key points a second time."""
    pose = model.prepared_points(model.gallery.examples[0][1])
    path = tmp_path / "pose.json"
    path.write_text(json.dumps(own_content([pose], model.layout, model.size)))
    ((back,), _) = model.read_poses([path])
    (back,) = model.fit([back], blank((500, 500)), "auto")
    assert back.points[back.present] == pytest.approx(pose.points[pose.present], abs=0.01)


def test_over_a_picture_in_which_the_estimator_finds_nobody_lies_a_rest_pose(client, model, tmp_path):
    content = save(tmp_path / "a.png").read_bytes()
    poses, (picture,) = model.read_poses([tmp_path / "a.png"])
    assert poses == []
    assert picture.picture.shape == (40, 40, 3)  # padded to the model's proportions
    assert client.upload("pose-files", "a.png", content)[-1]["text"].startswith("No figure was found")
    shown = client.value("pose-editor")["points"]
    assert np.array(shown)[:, :2] == pytest.approx(rest_pose(model.layout, model.size).points, abs=0.01)


def test_a_pose_is_fitted_to_the_figure_of_the_source(model):
    source = model.gallery.examples[0][0]
    half = replace(source.structure, points=source.structure.points / 2, frame=source.picture.shape[:2])
    own = model.prepared_points(source)
    spans = [
        np.ptp(pose.points[pose.present], axis=0) for way in ("auto", "none") for pose in model.fit([half], source, way)
    ]
    assert spans[0] == pytest.approx(np.ptp(own.points[own.present], axis=0), rel=0.01)
    assert spans[1] == pytest.approx(spans[0] / 2, rel=0.01)


def test_the_photograph_lies_behind_the_pose_that_was_found_in_it(model):
    """A mark on the photograph's neck is seen at the neck of the fitted pose, until limbs are fitted too."""
    pose = rest_pose(model.layout, (120, 80))
    picture = np.zeros((120, 80, 3), np.uint8)
    x, y = pose.points[1].round().astype(int)
    picture[y - 1 : y + 2, x - 1 : x + 2] = 255
    seen, source = Sample(picture, pose), replace(blank((60, 50)), structure=rest_pose(model.layout, (50, 50)))
    for fit in ("none", "scale"):
        (fitted,) = model.fit([seen.pose], source, fit)
        shown = model.guide(seen, fitted)
        assert shown.shape == (512, 512, 3)
        mark = np.argwhere(shown[..., 0] > 0.9 * shown[..., 0].max()).mean(0)[::-1]
        assert mark == pytest.approx((fitted.points[1] + 0.5) * 512 / model.size[0] - 0.5, abs=6)  # a third of a pixel
    bent = replace(fitted, points=fitted.points * np.linspace(0.5, 1, len(model.layout))[:, None])
    assert model.guide(seen, bent) is None
    alone = replace(pose, present=np.arange(len(model.layout)) == 1)
    assert model.guide(Sample(picture, alone), fitted) is None  # of one point no size is known


def test_missing_points_can_each_be_dragged(model):
    pose = rest_pose(model.layout, (60, 50))
    for missing in ([], [3], [3, 4, 10]):
        present = ~np.isin(np.arange(len(model.layout)), missing)
        places = np.array(pose_points(replace(pose, present=present), (60, 50)))
        assert places[:, 2].astype(bool).tolist() == present.tolist()
        apart = [np.hypot(*(places[a] - places[b])[:2]) for a, b in itertools.combinations(missing, 2)]
        assert min(apart, default=50) > 10
        assert (places[missing, :2] > 5).all()
        assert (places[missing, :2] < 45).all()


def test_a_clip_of_other_proportions_comes_to_the_source(model):
    source = replace(blank((64, 50)), structure=rest_pose(model.layout, (60, 50)))
    wide = [replace(rest_pose(model.layout, (60, 50)), frame=(60, 90)) for _ in range(2)]
    shown = [pose.points for pose in model.fit(wide, source, "auto")]
    np.testing.assert_allclose(shown[0], model.prepared_points(source).points, atol=0.5)


def test_poses_of_a_clip_are_ordered_by_file_name_and_checked_at_once(model, tmp_path):
    files = [openpose(tmp_path / "10.json", model), openpose(tmp_path / "9.json", model, neck=8)]
    poses = model.read_clip(files, blank((64, 64)))
    assert poses[0].points[NECK] - poses[1].points[NECK] == pytest.approx([8 * 32 / 64, 0])  # 9 before 10
    for name, text in (("8.json", "{"), ("11.json", "[]")):
        (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match="2 problems"):
        model.read_clip([*files, tmp_path / "8.json", tmp_path / "11.json"], blank((64, 64)))
    with pytest.raises(DataError, match=f"1 to {MAX_FRAMES}"):
        model.read_clip(files * MAX_FRAMES, blank((64, 64)))


# Domains


def test_views_are_chosen_from_the_classes_of_their_encoder(views, tmp_path):
    assert views.choices["azimuth"][1] == "20°"
    assert [len(names) for names in views.choices.values()] == [18, 3]
    source, target = views.gallery.examples[0]
    output = views.generate(source, target.structure)
    assert output.size == (64, 64)
    assert not np.array_equal(output.drawn, views.draw((0, 0)))
    around = views.turn("azimuth", (17, 2))
    assert around[:2] == [(17, 2), (0, 2)]
    assert len(set(around)) == 18
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(DataError, match="not read from files"):
        views.read_sample([save(tmp_path / "a.png"), tmp_path / "a.json"])


@pytest.mark.parametrize("name", ["faces", "dance"])
def test_a_model_of_clips_generates_pictures_and_clips(name, request):
    model = request.getfixturevalue(name)
    assert model.gallery.note == ""
    source, target = model.gallery.examples[0]
    wanted = model.prepared_points(target)
    output = model.generate(source, wanted)
    assert [one.kernel.shape[0] for one in output.levels] == [9, 9]
    clip = model.gallery.clips[0]
    assert len(list(model.frames(source, model.gallery.structures(clip, MAX_FRAMES)))) == clip.frames
    frames = list(model.frames(source, [wanted, wanted]))
    assert np.array_equal(frames[0], output.layers["result"])  # the page shows the first frame of such a clip
    assert not np.array_equal(frames[0], frames[1])  # generated from the frame before


def test_key_points_come_from_the_data_set_if_the_encoder_cannot_decode_them(faces):
    record = faces.gallery.dataset[0]
    assert faces.encoder.decode(record.reference_structure) is None
    source, target = faces.gallery.examples[0]
    matches = record.matches[len(record.frames) // 2]  # (x, y) in the frame, (x, y) in the reference
    count = len(faces.layout)
    assert matches[:count, :2].numpy() == pytest.approx(target.structure.points, abs=1e-3)
    assert matches[:count, 2:].numpy() == pytest.approx(source.structure.points, abs=1e-3)


def test_a_model_of_clips_is_explained_by_the_kernels_of_the_reference(dance):
    source, target = dance.gallery.examples[0]
    wanted = dance.prepared_points(target)
    with recorded_kernels(dance.inferencer.model.renderer.attention_reference) as kernels:
        next(dance.frames(source, [wanted]))
    levels = dance.generate(source, wanted).levels
    assert [one.kernel.tolist() for one in levels] == [kernel[0].tolist() for kernel in kernels]


def test_examples_of_a_folder_are_like_photographs(model, page, tmp_path, monkeypatch):
    """A result shows the detail of the picture, which is larger than the model's."""
    monkeypatch.delattr(model, "default_backdrop")
    folder = find_shared("paperdolls") / "examples"
    shown = PageModel(model.inferencer, folder)
    assert len(shown.gallery.examples) == 8
    source, target = shown.gallery.examples[1]
    assert np.array_equal(source.picture, read_image(folder / "sources" / "2.png"))
    output = shown.generate(source, shown.prepared_points(target))
    assert output.has_detail
    assert output.in_detail()[0].shape == source.picture.shape
    assert not output.is_part
    shutil.copytree(folder, tmp_path / "broken")
    (tmp_path / "broken" / "poses" / "3.json").write_text("{")
    assert "3.json" in PageModel(model.inferencer, tmp_path / "broken").gallery.note
    (tmp_path / "empty").mkdir()
    assert PageModel(model.inferencer, tmp_path / "empty").gallery.note.endswith("empty: there are no pictures")


def test_a_model_of_single_images_generates_frames_one_by_one(model):
    source, target = model.gallery.examples[0]
    wanted, start = model.prepared_points(target), model.prepared_points(source)
    way = model.interpolate(source, wanted, 5)
    early = interpolate_keypoints(start, wanted, model.layout, 0.25**2 * 2.5)  # t² (3 − 2t): ease-in
    assert way[0].points == pytest.approx(start.points)
    assert way[1].points == pytest.approx(early.points)
    frames = list(model.frames(source, way))
    assert np.array_equal(frames[-1], model.generate(source, way[-1]).layers["result"])
    for count in (1, MAX_FRAMES + 1):
        with pytest.raises(InputError, match=f"2 to {MAX_FRAMES} frames"):
            model.interpolate(source, wanted, count)


def test_a_clip_of_a_face_keeps_the_proportions_of_the_portrait(faces):
    """A face half as broad again, and larger, nods."""
    source = faces.gallery.examples[0][0]
    own = faces.prepared_points(source).points
    motion = [Keypoints(own * (3, 2) + np.array([0, 6 * k]), np.ones(len(own)), frame=(256, 256)) for k in range(3)]

    def shapes(fit: str) -> np.ndarray:
        points = np.stack([pose.points for pose in faces.fit_motion(motion, source, fit)])
        assert np.diff(points[..., 1].mean(1)).min() > 0.5  # it nods
        return points - points.mean(1, keepdims=True)

    np.testing.assert_allclose(shapes("auto"), [own - own.mean(0)] * 3, atol=0.05)
    assert np.ptp(shapes("scale")[0], axis=0)[0] / np.ptp(own, axis=0)[0] > 1.1
    (one,) = faces.fit_motion(motion[:1], source, "auto")  # without a motion, the pose itself
    assert np.abs(one.points - own).max() > 1


def test_an_encoder_without_layout_and_choices_takes_examples_and_anything_it_encodes(files):
    inferencer = Inferencer(*files, "cpu", precision="fp32")
    known = inferencer.encoder

    class Opaque(StructureEncoder):
        channels = known.channels

        def encode(self, structure, size, image=None):
            return known.encode(structure, size)

        def draw(self, structure):
            return known.draw(structure)

    inferencer.encoder = Opaque()
    opaque = PageModel(inferencer, examples=[0])
    source, target = opaque.gallery.examples[0]
    record = opaque.gallery.dataset[0]
    seen = (tensor[None] for tensor in (record.source, record.source_structure, record.target_structure))
    expected = to_uint8(inferencer.model.transfer(*seen).image[0]).astype(int)
    differences = opaque.generate(source, target.structure).layers["result"] - expected
    assert np.abs(differences).max() <= 1  # the gallery stores pictures in 8 bits
    with pytest.raises(InputError, match="cannot encode"):
        opaque.generate(source, "nonsense")


# Comparison and downloads


def test_only_models_of_the_same_structure_are_compared(model, views):
    others = [PageModel(views.inferencer, (), "cars"), PageModel(model.inferencer, (), "model")]
    with pytest.raises(ConfigError, match=r"(?s)azimuth.*openpose18.*two models are called"):
        check_comparable([model, *others])
    check_comparable([model, PageModel(model.inferencer, (), "same")])


@pytest.mark.parametrize(
    ("compare", "message"),
    [
        (["x.pth"], "NAME=CHECKPOINT"),
        (["a/b=x.pth", "=y.pth"], "(?s)a/b=x.pth.*=y.pth"),
        ([f"m{k}=x.pth" for k in range(5)], "at most 4"),
        (["other=missing.pth"], "no such checkpoint: missing.pth"),
        (["other=missing.py:{checkpoint}"], "missing.py"),
        (["fresh={checkpoint}"], "two models are called 'fresh'"),
    ],
)
def test_invalid_models_to_compare_are_errors(files, capsys, compare, message):
    pytest.importorskip("gradio", reason='Gradio is not installed (pip install "posegen[app]")')
    given = [word for value in compare for word in ("--compare", value.format(checkpoint=files[1]))]
    assert main(["app", *map(str, files), *given]) == 1
    assert re.search(message, capsys.readouterr().err)


def test_without_gradio_the_command_names_the_extra_to_install(files, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gradio", None)
    for name in [name for name in sys.modules if name.startswith("posegen_app.")]:
        monkeypatch.delitem(sys.modules, name)
    assert main(["app", *map(str, files)]) == 1
    assert 'pip install "posegen[app]"' in capsys.readouterr().err


# Server


@pytest.fixture(scope="module")
def page():
    """The module of the page."""
    pytest.importorskip("gradio", reason='Gradio is not installed (pip install "posegen[app]")')
    from posegen_app import page

    return page


@pytest.fixture(scope="module")
def address(page, model):
    served, address = page.launch([model], "a title")
    yield address
    served.close(verbose=False)


@pytest.fixture
def client(address) -> Client:
    """A session that shows the first example and its result."""
    return Client(address)


def move(client: Client, by: float) -> dict:
    """Move the first point of the target; the update of the viewer."""
    value = client.value("pose-editor")
    value["points"][0][0] += by
    value |= {"chosen": True, "gesture": f"moved by {by}"}
    return client.trigger("pose-editor", "moved")[2]


def saved(client: Client, name: str) -> bytes:
    """A file that the page saves."""
    given = client.trigger("viewer", "save", {"name": name})[0]["props"]["saved"]
    assert given["name"] == name
    return base64.b64decode(given["address"].partition(",")[2])


def unzipped(client: Client) -> dict[str, bytes]:
    """The files of the page's zip archive."""
    with zipfile.ZipFile(io.BytesIO(saved(client, "posegen.zip"))) as file:
        return {name: file.read(name) for name in file.namelist()}


def decoded(clip: dict) -> np.ndarray:
    """The last frame of a clip that the page shows."""
    with av.open(io.BytesIO(base64.b64decode(clip["video"].partition(",")[2]))) as video:
        return [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)][-1]


def is_marked(picture: bytes, source_type: str = SOURCE_TYPE) -> bool:
    return source_type in str(Image.open(io.BytesIO(picture)).info)


def test_the_archive_has_everything_shown_and_marks_what_is_generated(page, model, output):
    pose = own_content([model.gallery.examples[0][0].structure], model.layout, model.size)
    source = model.gallery.examples[0][0].picture
    shown = ShownResult({"a": output, "b": output}, source, {"target_structure": pose})
    content = archive(shown, ClipFile(b"clip", {"frames": []}, source.copy()), {"page": "t"})
    file = zipfile.ZipFile(io.BytesIO(content))
    layers = [f"{caption.replace(' ', '_')}.png" for caption in output.layers]
    assert {*file.namelist()} == {
        *(f"{name}/{layer}" for name in "ab" for layer in layers),
        "target_structure.json", "clip.json", "clip.mp4", "about.json",
    }  # fmt: skip
    assert is_marked(file.read("a/result.png"))
    assert not is_marked(file.read("a/source.png"))
    assert json.loads(file.read("about.json"))["digital source type"] == SOURCE_TYPE
    assert json.loads(file.read("target_structure.json"))["layout"] == model.layout.name


def test_the_archive_has_the_structures_of_the_shown_result(client):
    shown = move(client, 2)["props"]["files"]
    client.value("pose-editor")["points"][0][0] += 5  # dragged, without a result yet
    files = unzipped(client)
    for name in ("source_structure", "target_structure"):
        assert json.loads(files[f"{name}.json"]) == shown[name]
    move(client, 0)
    assert json.loads(unzipped(client)["target_structure.json"]) != shown["target_structure"]


def test_a_clip_is_marked_as_generated_and_leaves_the_archive_with_its_source(client, model, tmp_path):
    clip = client.trigger("clip-way", "click")[0]
    assert clip["poses"]["layout"] == "openpose18"
    assert len(clip["poses"]["frames"]) == 24
    content = base64.b64decode(clip["video"].partition(",")[2])
    with av.open(io.BytesIO(content)) as video:
        assert sum(1 for _ in video.decode(video=0)) == 24
        assert "generated" in video.metadata["comment"]
    move(client, 1)  # another target of the same source
    assert unzipped(client)["clip.mp4"] == content
    other = io.BytesIO()
    Image.fromarray(model.gallery.examples[1][0].picture).save(other, "png")
    client.upload("source-files", "a.png", other.getvalue())
    assert "clip.mp4" in unzipped(client)  # the shown result is still that of the first source
    client.trigger("pose-editor", "moved")
    assert not {"clip.mp4", "clip.json"} & {*unzipped(client)}


def test_a_clip_follows_uploaded_poses_and_bad_ones_are_reported(client, model):
    start, end = (model.prepared_points(sample) for sample in model.gallery.examples[0])
    content = json.dumps(own_content([start, end, start], model.layout, model.size)).encode()
    clip, *_, said = client.upload("clip-files", "clip.json", content)
    assert clip["caption"].startswith("3 frames")
    assert said is None
    said = client.upload("clip-files", "clip.json", content.replace(b"openpose18", b"another"))[-1]
    assert said["error"]
    assert said["text"].startswith("clip.json: ")  # without the server's folder
    assert "'another'" in said["text"]


def test_invalid_values_from_a_browser_get_a_message(client):
    points = (None, "x", [[0, 0, 1]], [[0, 0]] * 17 + [[0]], ["x"] * 18, [[1e999, 0, 1]] * 18, [[10**400, 1, 1]] * 18)
    for value in (None, 7, [], *({"points": one} for one in points)):
        client.set("pose-editor", value)
        assert client.trigger("pose-editor", "moved")[-1]["error"]
    good = {"x": 0.5, "y": 0.5, "number": 3}
    for event in ("point", "hover"):
        assert "error" not in (client.trigger("viewer", event, good)[-1] or {})
        for bad in (None, {}, {**good, "x": 1}, {**good, "y": "high"}, {**good, "number": 1e999}, {**good, "x": None}):
            assert "point" in client.trigger("viewer", event, bad)[-1]["text"]


def test_sessions_share_a_model_whose_first_example_is_cut_out(page, model, monkeypatch):
    monkeypatch.delattr(model, "default_backdrop")
    monkeypatch.setattr(model, "_segmenter", lambda image, keypoints: np.ones(image.shape[:2]))
    served, address = page.launch([model], "title")
    for client in (Client(address), Client(address)):
        assert client.value("background") == "filled behind the figure"
        assert is_marked(saved(client, "result.png"), COMPOSITE.source_type)
    served.close(verbose=False)


def test_sessions_get_their_own_results_at_the_same_time(address):
    def shown(by: int) -> str:
        client = Client(address)
        return move(client, by)["value"]["models"][0]["layers"]["result"]

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(shown, (0, 3, 6, 9)))
    assert len(set(together)) == 4
    assert together[1] == shown(3)


def test_a_full_queue_is_reported(page, model, monkeypatch):
    from posegen_app import web

    monkeypatch.setattr(web, "MAX_WAITING", 0)
    served, address = page.launch([model], "a title")
    with pytest.raises(RuntimeError, match=r"503.*Queue is full"):
        Client(address).trigger("pose-editor", "moved")
    assert ask(address)[0] == 200
    served.close(verbose=False)


def ask(address: str, data: bytes | None = None, **headers: str) -> tuple[int, str, dict]:
    request = urllib.request.Request(address, data, headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode(), dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), dict(error.headers)


def test_the_page_is_for_this_machine_and_serves_nothing_else(address, tmp_path):
    status, text, headers = ask(address)
    assert status == 200
    assert "a title" in text
    assert "fonts.googleapis" not in text
    assert "default-src 'self'" in headers["content-security-policy"]
    assert address.startswith("http://127.0.0.1:")
    assert ask(address, Host="elsewhere.example")[0] == 400
    assert ask(address, Host="localhost:99")[0] == 200  # a forwarded port
    secret = save(tmp_path / "secret.png")
    assert ask(f"{address}gradio_api/file={secret}")[0] == 403
    assert ask(f"{address}gradio_api/file=../../../../etc/passwd")[0] in (403, 404)
    assert ask(f"{address}gradio_api/upload", b"x", **{"Content-Length": str(1 << 30)})[0] == 413
    other = next(iter(socket.gethostbyname_ex(socket.gethostname())[2]))
    if not other.startswith("127."):
        with pytest.raises(OSError, match="refused"):
            socket.create_connection((other, int(address.rsplit(":", 1)[1].strip("/"))), timeout=5)


def test_a_saved_result_is_gone_on_from(client, model):
    shown = move(client, 2)
    moved = copy.deepcopy(client.value("pose-editor")["points"])
    content = saved(client, "result.png")
    assert is_marked(content)
    restored = client.upload("source-files", "result.png", content)
    assert restored[-1]["text"] == "Restored from result.png."
    assert np.allclose(client.value("pose-editor")["points"], moved, atol=0.01)
    again = client.trigger("pose-editor", "moved")[2]
    assert again["value"]["models"][0]["layers"]["result"] == shown["value"]["models"][0]["layers"]["result"]
    assert again["props"]["files"] == shown["props"]["files"]


def test_a_png_of_others_is_a_source_like_any(tmp_path):
    plain, broken = save(tmp_path / "a.png"), tmp_path / "b.png"
    text = PngImagePlugin.PngInfo()
    text.add_text("posegen", '{"structures": 3}')
    Image.new("RGB", (4, 4)).save(broken, pnginfo=text)
    assert [read_result(path) for path in (plain, broken, tmp_path / "missing.png")] == [None] * 3


def test_earlier_results_are_gone_back_to(client):
    first = move(client, 0)["value"]
    points = copy.deepcopy(client.value("pose-editor")["points"])
    second = move(client, 4)["value"]
    assert first["entry"] != second["entry"]
    client.trigger("viewer", "back", {"entry": first["entry"]})
    assert client.value("pose-editor")["points"] == points
    again = client.trigger("pose-editor", "moved")[2]["value"]
    assert again == first
    for bad in (None, {}, {"entry": "nonsense"}):
        assert client.trigger("viewer", "back", bad)[-1]["error"]


def test_another_source_keeps_a_pose_that_was_edited_and_replaces_one_that_was_not(client, model):
    own = [model.prepared_points(target).points[0] for _, target in model.gallery.examples]
    client.trigger("examples", "chosen", {"index": 1})
    assert client.value("pose-editor")["points"][0][:2] == pytest.approx(own[1], abs=0.01)
    move(client, 3)
    marks = [one["props"].get("chosen") for one in client.trigger("examples", "chosen", {"index": 0})[7:9]]
    assert marks == [0, None]  # the target stays
    assert client.value("pose-editor")["points"][0][:2] == pytest.approx(own[1] + [3, 0], abs=0.01)
    for bad in (None, {}, {"index": 9}, {"index": True}, {"index": "0"}):
        assert client.trigger("examples", "chosen", bad)[-1]["error"]


def test_a_refused_file_is_not_shown_as_accepted_and_its_message_is_in_words_for_a_page(client):
    *updates, said = client.upload("source-files", "a.png", b"no picture")
    assert updates[4] == {"__type__": "update", "value": None}
    assert said["error"]
    assert said["text"].startswith("a.png: ")
    assert "/" not in said["text"]
    assert "--" not in said["text"]
    client.set("source-files", [])
    assert "Give one picture" in client.trigger("source-files", "upload")[-1]["text"]  # what to do
    assert client.upload("source-files", "a.txt", b"words")[-1]["text"].startswith("a.txt: this is no picture")
    said = client.upload("pose-files", "a.txt", b"words")[-1]["text"]
    assert said.splitlines()[0] == "a.txt: this is no picture and no file of key points"


def test_the_message_of_a_refused_file_goes_once_something_else_is_given(client, model, tmp_path):
    good = openpose(tmp_path / "a.json", model).read_bytes()
    for refused, given in (("source", "pose"), ("pose", "source")):
        name = "source-note" if refused == "source" else "target-note"
        client.upload(f"{refused}-files", "a.png", b"no picture")
        assert client.value(name)["error"]
        if given == "pose":
            client.upload("pose-files", "a.json", good)
        else:
            client.trigger("examples", "chosen", {"index": 1})
        assert client.value(name) is None
        client.upload(f"{refused}-files", "a.png", b"no picture")
        move(client, 1)
        assert client.value(name) is None


def test_an_uploaded_pose_is_fitted_anew_until_it_is_edited(client, model, tmp_path):
    client.upload("pose-files", "a.json", openpose(tmp_path / "a.json", model, scale=0.5).read_bytes())
    loaded = copy.deepcopy(client.value("pose-editor")["points"])

    def refit(way: str) -> list:
        client.set("fit", way)
        client.trigger("fit", "input")
        return copy.deepcopy(client.value("pose-editor")["points"])

    kept = refit(FITS[1])
    assert kept != loaded
    assert refit(FITS[0]) == loaded
    client.upload("source-files", "b.png", png(np.zeros((90, 60, 3), np.uint8)))  # where nobody is found: a rest pose
    other = copy.deepcopy(client.value("pose-editor")["points"])
    assert other != loaded  # fitted to the other source
    client.trigger("examples", "chosen", {"index": 0})
    assert client.value("pose-editor")["points"] == loaded
    move(client, 3)
    client.value("pose-editor")["gesture"] = "dragged"
    client.upload("source-files", "b.png", png(np.zeros((90, 60, 3), np.uint8)))
    assert client.value("pose-editor")["points"][0][0] == loaded[0][0] + 3  # an edited one stays
    client.trigger("examples", "chosen", {"index": 0})
    assert refit(FITS[1])[0][0] == loaded[0][0] + 3


def test_one_of_several_people_is_chosen_and_the_result_put_back_into_the_photograph(client, model, monkeypatch):
    """Two figures of a wide photograph, the larger one on the right."""
    photograph = np.random.default_rng(0).integers(0, 256, (60, 240, 3), np.uint8)
    points = rest_pose(model.layout, (50, 50)).points
    seen = np.ones(len(points))
    figures = [Figure(Keypoints(points * size + [left, 4], seen), seen) for size, left in ((1, 180), ((0.8, 0.6), 8))]
    monkeypatch.setitem(PageModel.estimate.__globals__, "load_estimator", lambda layout: lambda image: figures)
    content = io.BytesIO()
    Image.fromarray(photograph).save(content, "png")
    loaded = client.upload("source-files", "a.png", content.getvalue())
    assert len(loaded[3]["props"]["items"]) == 2
    next_step = " Choose a target, or drag its points."  # of somebody who has not chosen one
    chosen = client.value("pose-editor").get("chosen")
    assert loaded[-1]["text"] == "2 people: the largest is chosen; choose another one below." + (
        "" if chosen else next_step
    )

    def opened(address: str) -> np.ndarray:
        picture = base64.b64decode(address.partition(",")[2])
        assert is_marked(picture, COMPOSITE.source_type)
        return np.array(Image.open(io.BytesIO(picture)))

    def pasted() -> np.ndarray:
        assert client.trigger("pose-editor", "moved")[2]["props"]["has_photograph"]
        return opened(client.trigger("viewer", "photograph")[0]["props"]["photograph"]["address"])

    whole = pasted()
    changed = (whole != photograph).any(axis=(0, 2)).nonzero()[0]
    assert changed.min() > 120
    result = client.value("viewer")
    assert result["models"][0]["has_detail"]
    detail = client.trigger("viewer", "sharpen")[0]
    assert detail["key"] == result["key"]
    (pair,) = detail["models"]
    sharp = opened(pair["result"])
    assert sharp.shape[0] > model.size[0]
    height, width = sharp.shape[:2]
    places = itertools.product(range(max(1, 61 - height)), range(max(1, 241 - width)))
    ((top, left),) = [(y, x) for y, x in places if np.array_equal(whole[y : y + height, x : x + width], sharp)]
    assert changed.min() < left + width / 2 < changed.max()  # what is filled behind the figure may reach farther
    assert top + height <= 60
    client.trigger("pose-editor", "moved")
    assert client.value("viewer")["key"] == result["key"]  # the detail is not made again
    kept = saved(client, "result.png")
    assert np.array_equal(np.array(Image.open(io.BytesIO(kept))), sharp)  # what is seen is saved
    (name,) = [name for name in unzipped(client) if name.endswith("/result.png")]
    assert np.array_equal(np.array(Image.open(io.BytesIO(unzipped(client)[name]))), sharp)
    film = decoded(client.trigger("clip-way", "click")[0])
    assert film.shape[:2] == photograph.shape[:2]  # the whole photograph
    client.set("clip-whole", False)
    assert decoded(client.trigger("clip-way", "click")[0]).shape[:2] == (height + height % 2, width + width % 2)
    monkeypatch.setitem(PageModel.estimate.__globals__, "MAX_DETAIL", 24)
    (small,) = client.trigger("viewer", "sharpen")[0]["models"]
    assert max(opened(small["result"]).shape[:2]) in (23, 24, 25)  # of the window in the reduced photograph, rounded
    client.trigger("figures", "chosen", {"index": 1})
    changed = (pasted() != photograph).any(axis=(0, 2)).nonzero()[0]
    assert changed.max() < 120
    assert client.upload("source-files", "result.png", kept)[-1]["text"] == "Restored from result.png."
    assert np.abs(pasted().astype(int) - whole).max() < 16  # points are saved in hundredths of a pixel
    shown, *_, said = client.upload("pose-files", "a.png", content.getvalue())[1:]
    assert said["text"] == "2 people: the pose of the largest is taken; choose another one below."
    assert shown["props"]["background"]  # the photograph
    largest = client.value("pose-editor")["points"]
    said = client.trigger("target-figures", "chosen", {"index": 1})[-1]
    assert said["text"] == "The pose of the chosen person is taken."
    other = client.value("pose-editor")["points"]
    assert other != largest
    picker = client.trigger("target-figures", "chosen", {"index": 0})[2]
    assert client.value("pose-editor")["points"] == largest
    assert (len(picker["props"]["items"]), picker["props"]["chosen"]) == (2, 0)


@pytest.mark.parametrize("window", [None, [0, 0, 5], [0, 0, 0, 5], [0, 0, 6400, 6400], [10**9, 0, 5, 5], "0 0 5 5"])
def test_a_saved_place_in_the_photograph_that_is_damaged_is_refused(window):
    photograph = base64.b64encode(png(np.zeros((8, 8, 3), np.uint8))).decode()
    with pytest.raises(DataError, match="its place in the photograph is damaged"):
        SavedResult({}, photograph, photograph=photograph, window=window).place()


def test_the_background_of_a_photograph_is_removed_replaced_and_kept(client, model, monkeypatch):
    """The estimator's mask is the left half of a picture; the photograph is cropped to squares."""
    photograph = np.random.default_rng(0).integers(0, 255, (64, 200, 3), np.uint8)
    points = rest_pose(model.layout, (60, 60)).points + np.array([130, 2])
    figure = Figure(Keypoints(points, np.ones(len(points))), np.ones(len(points)))

    def segment(image, keypoints):
        return np.tile(np.arange(image.shape[1]) < image.shape[1] // 2, (len(image), 1)) * float(not nobody)

    places = PageModel.estimate.__globals__  # its module, however often imported
    monkeypatch.setitem(places, "load_estimator", lambda layout: lambda image: [figure])
    monkeypatch.setitem(places, "load_segmenter", lambda layout: segment)
    monkeypatch.delattr(model, "default_backdrop")
    monkeypatch.setattr(model, "_segmenter", None)
    monkeypatch.setattr("posegen.inference.cutout.limbs_seen", lambda *given: 0)  # the mask alone
    nobody = False

    def choose(name: str) -> dict:
        client.set("background", name)
        return client.trigger("background", "input")[-1]

    def result() -> np.ndarray:
        address = client.trigger("pose-editor", "moved")[2]["value"]["models"][0]["layers"]["result"]
        return np.array(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))))

    def pasted() -> bytes:
        address = client.trigger("viewer", "photograph")[0]["props"]["photograph"]["address"]
        return base64.b64decode(address.partition(",")[2])

    assert client.trigger("examples", "chosen", {"index": 0})[5]["value"] == "filled behind the figure"
    content = io.BytesIO()
    Image.fromarray(photograph).save(content, "png")
    fills = mock.Mock(wraps=cutout.filled)
    monkeypatch.setattr(cutout, "filled", fills)
    chosen = client.upload("source-files", "a.png", content.getvalue())[5]
    assert chosen["value"] == "filled behind the figure"
    by_default = result()
    move(client, 2)
    move(client, -2)
    assert fills.call_count == 1  # not for each pose
    assert choose("as in the picture") is None
    own = result()
    assert not np.array_equal(own, by_default)
    assert choose("white") is None
    white = result()
    assert (white[:, 16:] == 255).all()
    assert (white[:, :16] != 255).any()
    whole = np.array(Image.open(io.BytesIO(pasted())))
    assert whole.shape == photograph.shape
    assert (whole[:, 100:] == 255).all()
    assert choose("filled behind the figure") is None
    assert np.array_equal(result(), by_default)
    assert (result()[:, 16:] != 255).any()
    assert is_marked(pasted(), COMPOSITE.source_type)
    whole = np.array(Image.open(io.BytesIO(pasted())))
    assert np.array_equal(whole[:, 112:], photograph[:, 112:])  # beyond the mask, a half, and its soft rim
    choose("transparent")
    assert client.trigger("clip-way", "click")[-1]["text"] == "A clip is not transparent: its background is white."
    assert (result()[..., 3] == np.where(np.arange(32) < 16, 255, 0)).all()
    assert Image.open(io.BytesIO(saved(client, "result.png"))).mode == "RGBA"

    behind = io.BytesIO()
    Image.new("RGB", (9, 5), (1, 2, 3)).save(behind, "png")
    assert client.upload("background-file", "b.png", behind.getvalue())[1]["value"] == "your picture"
    replaced = result()
    assert (replaced[:, 16:] == (1, 2, 3)).all()
    assert is_marked(pasted(), COMPOSITE.source_type)
    kept = saved(client, "result.png")
    assert is_marked(kept, COMPOSITE.source_type)

    refused = client.upload("background-file", "c.png", b"no picture")
    assert refused[-1]["text"].startswith("c.png: ")  # without the server's folder
    assert refused[1]["value"] == "your picture"
    assert choose("as in the picture") is None
    assert np.array_equal(result(), own)
    assert client.upload("source-files", "result.png", kept)[5]["value"] == "your picture"
    assert np.array_equal(result(), replaced)
    nobody = True
    said = choose("white")
    assert said["text"].startswith("the picture: no figure is found at its key points")
    assert "--" not in said["text"]
    assert choose("your picture")["text"] == "Give a picture for the background."
    client.trigger("examples", "chosen", {"index": 0})
    assert client.upload("source-files", "a.png", content.getvalue())[5]["value"] == "as in the picture"
    assert client.trigger("examples", "chosen", {"index": 0})[5]["value"] == "as in the picture"
    nobody = False
    assert choose("white") is None
    for _ in range(2):  # a chosen background stays, for examples and photographs
        assert client.trigger("examples", "chosen", {"index": 0})[5]["value"] == "white"
        assert client.upload("source-files", "a.png", content.getvalue())[5]["value"] == "white"
    nobody = True
    assert client.trigger("examples", "chosen", {"index": 0})[5]["value"] == "as in the picture"
    assert choose("white")["text"].startswith("the picture: no figure is found at its key points")


def test_a_clip_follows_the_figure_of_a_video(client, page, model, monkeypatch, tmp_path):
    """The estimator sees a figure that moves to the right by one pixel a frame."""
    with VideoWriter(tmp_path / "a.mp4", 12) as video:
        for k in range(6):
            video.write(np.full((64, 64, 3), 40 * k, np.uint8))
    points, seen = rest_pose(model.layout, (50, 50)).points, itertools.count()

    def estimate(image):
        return [Figure(Keypoints(points + np.array([next(seen), 4]), np.ones(len(points))), np.ones(len(points)))]

    reads = page.ClipSection._drive_by_video.__globals__[
        "read_motion"
    ].__globals__  # its module, however often imported
    monkeypatch.setitem(reads, "load_estimator", lambda layout, clip: estimate)
    clip, *_, said = client.upload("clip-video", "a.mp4", (tmp_path / "a.mp4").read_bytes())
    assert said is None
    assert clip["caption"].startswith("6 frames")
    places = np.array(clip["poses"]["frames"])[:, 0, 0]
    assert (np.diff(places) > 0).all()
    with VideoWriter(tmp_path / "slow.mp4", 4) as video:
        for k in range(6):
            video.write(np.full((64, 64, 3), 40 * k, np.uint8))
    clip = client.upload("clip-video", "slow.mp4", (tmp_path / "slow.mp4").read_bytes())[0]
    assert clip["caption"].startswith("6 frames, 4 per second")  # its own rate, so that more of it fits into a clip
    monkeypatch.setitem(page.ClipSection._drive_by_video.__globals__, "MAX_FRAMES", 4)
    clip, *_, said = client.upload("clip-video", "a.mp4", (tmp_path / "a.mp4").read_bytes())
    assert clip["caption"].startswith("4 frames")
    assert said["text"] == "The clip follows the first 0.3 of 0.5 seconds of the video."
    refused, *_, said = client.upload("clip-video", "b.mp4", b"no video")
    assert refused is None
    assert said["text"].startswith("b.mp4: ")


def test_the_command_tells_the_address_and_collects_no_garbage_until_then(page, files, monkeypatch, capsys):
    seen, launch = [], page.launch
    monkeypatch.setattr("posegen_app.page.launch", lambda *given: seen.append(gc.isenabled()) or launch(*given))

    def wait(served):
        seen.append(gc.isenabled())
        assert f"Open {served.local_url} in a browser" in capsys.readouterr().out
        served.close(verbose=False)

    monkeypatch.setattr("posegen_app.web.wait_for_interrupt", wait)
    try:
        assert main(["app", *map(str, files), "--examples", "1"]) == 0
    finally:
        gc.unfreeze()
    assert seen == [False, True]


def test_a_proxy_of_the_environment_is_not_asked_for_the_page(page, model, monkeypatch):
    """Nobody listens at port 9 of this machine."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "example.internal")
    served, _ = page.launch([model], "a title")
    served.close(verbose=False)
    assert os.environ["no_proxy"].split(",")[0] == "example.internal"


def test_without_a_proxy_in_the_environment_none_is_excluded(page, model, monkeypatch):
    """A variable no_proxy alone would hide the proxies of the system."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    served, _ = page.launch([model], "a title")
    served.close(verbose=False)
    assert "no_proxy" not in os.environ


def test_an_unavailable_port_is_an_error(page, model):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        message = f"Port {port} is unavailable, probably in use. Choose another with --port."
        with pytest.raises(ConfigError, match=message):
            page.launch([model], "a title", port=port)


def test_a_shared_page_is_reached_by_its_link_and_only_when_asked_for(page, model, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "gradio.networking.setup_tunnel", lambda **tunnel: asked.append(tunnel) or "https://a.gradio.live"
    )
    for share, url, status in ((False, None, 400), (True, "https://a.gradio.live", 200)):
        served, address = page.launch([model], "a title", share=share)
        try:
            assert served.share_url == url
            assert ask(address, Host="a.gradio.live")[0] == status
            assert ask(address, Host="b.example.org")[0] == 400
        finally:
            served.close(verbose=False)
    assert len(asked) == 1


def test_a_link_that_cannot_be_opened_is_an_error(page, model, monkeypatch):
    def setup_tunnel(**_):
        raise RuntimeError("no network")

    monkeypatch.setattr("gradio.networking.setup_tunnel", setup_tunnel)
    with pytest.raises(ConfigError, match="the link cannot be opened"):
        page.launch([model], "a title", share=True)


@pytest.mark.parametrize("name", ["views", "faces", "dance"])
def test_every_domain_has_a_page(page, name, request):
    model = request.getfixturevalue(name)
    served, address = page.launch([model, PageModel(model.inferencer, (), "other")], name)
    try:
        client = Client(address)
        shown = client.trigger("pose-editor", "moved")[2]["value"]
        assert [one["name"] for one in shown["models"]] == ["model", "other"]
        clip = client.trigger("clip-turn-1" if model.choices else "clip-way", "click")[0]
        assert "from the left: model, other" in clip["caption"]
        if model.choices:
            for bad in (None, {"numbers": [1]}, {"numbers": [18, 0]}, {"numbers": [True, 0]}, {"numbers": 3}):
                client.set("pose-editor", bad)
                assert "azimuth and elevation" in client.trigger("pose-editor", "moved")[-1]["text"]
    finally:
        served.close(verbose=False)
