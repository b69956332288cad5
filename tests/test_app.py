"""The page to play with: what is behind it, and what it lets in. The page itself: test_app_browser.py."""

from __future__ import annotations

import json
import socket
import sys
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import posegen
from posegen.app import Level, Made, Studio, explain_point, neutral_pose, recorded_kernels
from posegen.app.studio import LONGEST_SIDE
from posegen.app.values import keypoints_of, made_value, origins_value, pose_value
from posegen.cli import main
from posegen.config import load_config
from posegen.data import KeypointLayout, Keypoints
from posegen.errors import ConfigError, DataError, InputError
from posegen.ops import LocalAttention
from posegen.registry import MODELS

from .conftest import write_tiny

IMAGE = (32, 48)  # H, W
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


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> tuple[Path, Path]:
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def studio(files) -> Studio:
    return Studio(posegen.Inferencer(*files, "cpu"), most_examples=2)


@pytest.fixture(scope="module")
def made(studio) -> Made:
    source, target = studio.examples[0]
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
    source, target = studio.examples[0]
    own, wanted = source.keypoints, studio.prepared_points(target)
    result = studio.inferencer.infer(source.picture, wanted, own)[0]
    assert np.array_equal(made.layers["result"], result.image)
    assert np.array_equal(made.layers["warped source"], result.warped)


def test_a_model_without_flows_has_its_result_and_says_why_no_arrow():
    plain = Made({"result": np.zeros((*IMAGE, 3), np.uint8)}, [])
    assert origins_value(plain, 3, 3)["levels"] == []
    assert "no flow" in origins_value(plain, 3, 3)["text"]


def test_what_goes_to_the_browser_is_json(made):
    json.dumps([made_value(made), origins_value(made, 5, 6)], allow_nan=False)
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
    keypoints = studio.examples[0][0].keypoints
    rows = np.concatenate([keypoints.points, keypoints.present[:, None]], 1)
    path.write_text(json.dumps({"people": [{"pose_keypoints_2d": rows.ravel().tolist()}]}))
    return path


def test_a_picture_and_its_key_points_are_read_in_any_order(studio, tmp_path):
    files = [openpose(tmp_path / "a.json", studio), save(tmp_path / "a.png")]
    subject = studio.read(files)
    assert subject.picture.shape == (30, 40, 3)
    assert np.array_equal(subject.keypoints.present, studio.examples[0][0].keypoints.present)
    assert studio.read([files[1]]).keypoints is None


def test_a_large_picture_is_kept_small_and_its_points_with_it(studio, tmp_path):
    files = [openpose(tmp_path / "a.json", studio), save(tmp_path / "a.png", (2 * LONGEST_SIDE, 100))]
    subject = studio.read(files)
    assert subject.picture.shape == (50, LONGEST_SIDE, 3)
    present = subject.keypoints.present
    whole = studio.examples[0][0].keypoints
    assert subject.keypoints.points[present] == pytest.approx(whole.points[present] / 2)


@pytest.mark.parametrize("names", [[], ["a.png", "b.png"], ["a.json"], ["a.png", "a.json", "b.json"]])
def test_files_that_are_not_one_picture_and_one_key_point_file_are_refused(studio, tmp_path, names):
    with pytest.raises(DataError, match="Give one picture"):
        studio.read([tmp_path / name for name in names])


def test_a_pose_alone_counts_pixels_of_the_source(studio, tmp_path):
    pose = studio.read_pose([openpose(tmp_path / "a.json", studio)], frame=(64, 64))
    whole = studio.examples[0][0].keypoints
    assert pose.points[pose.present] == pytest.approx(whole.points[whole.present] / 2)  # the model's size is 32


# The server


@pytest.fixture
def page(studio):
    pytest.importorskip("gradio", reason="gradio is not installed (pip install posegen[app])")
    from posegen.app.server import launch

    page, address = launch(studio, "a title")
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

    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ConfigError, match="give another --port"):
        launch(studio, "a title", port=taken.getsockname()[1])


def test_without_gradio_the_command_says_what_to_install(files, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gradio", None)
    for name in ("posegen.app.page", "posegen.app.server"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    assert main(["app", *map(str, files)]) == 1
    assert "posegen[app]" in capsys.readouterr().err
