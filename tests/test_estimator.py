"""RTMPose through rtmlib and onnxruntime: from a picture to OpenPose's points, with tiny networks made here."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import posegen_people.estimator as estimator
import pytest
import torch
from PIL import Image
from posegen_people import layouts
from posegen_people.layouts import OPENPOSE_18

import posegen
from posegen import plugins
from posegen.cli import main
from posegen.data import Keypoints, StructureEncoder
from posegen.errors import CheckpointError, MissingWeightsError
from posegen.inference import find_sources, read_inputs
from posegen.registry import STRUCTURE_ENCODERS
from posegen.weights import sha256

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("rtmlib")

SIDE = 128  # of the picture
SPOT = (60, 50)  # x, y of its red spot
DETECTOR_SIDE = 64
BOX = (8, 8, 40, 56)  # in the detector's pixels: (16, 16, 80, 112) in the picture's
POSE_HEIGHT, POSE_WIDTH = 64, 48
STEP = (112 - 16) * 1.25 / POSE_HEIGHT  # RTMPose's input is the box, 1.25 times as large: the picture's pixels a pixel
COCO_17 = [name.replace(" ", "_") for name in layouts.COCO_17.names]
SHIFTS = np.arange(len(COCO_17)) % 5 - 2  # by how many of its pixels each point lies right of the spot
UNSEEN = "left_ankle"


def save(path: Path, name: str, inputs, outputs, nodes, constants: dict[str, np.ndarray]) -> None:
    helper, tensor = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info(key, tensor, shape) for key, shape in inputs.items()],
        [helper.make_tensor_value_info(key, tensor, shape) for key, shape in outputs.items()],
        [onnx.numpy_helper.from_array(value, key) for key, value in constants.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)


def save_detector(path: Path) -> None:
    """One box, as sure as the picture's bluest pixel is blue: YOLOX gets BGR, so that is channel 0."""
    node = onnx.helper.make_node
    save(
        path,
        "detector",
        {"input": [1, 3, DETECTOR_SIDE, DETECTOR_SIDE]},
        {"dets": [1, 1, 5]},
        [
            node("Gather", ["input", "first"], ["blue"], axis=1),
            node("ReduceMax", ["blue"], ["most"], axes=[1, 2, 3], keepdims=0),
            node("Mul", ["most", "scale"], ["score"]),
            node("Reshape", ["score", "shape"], ["scores"]),
            node("Concat", ["box", "scores"], ["dets"], axis=2),
        ],
        {
            "first": np.array([0]),
            "scale": np.array([1 / 255], np.float32),
            "shape": np.array([1, 1, 1]),
            "box": np.array([[BOX]], np.float32),
        },
    )


def save_pose(path: Path) -> None:
    """SimCC of 17 points: where the picture's reddest column and row are, twice as fine, each point shifted by its own;
    one of them hardly sure. RTMPose gets RGB, so red is channel 0."""
    node = onnx.helper.make_node
    sure = np.where(np.array(COCO_17) == UNSEEN, 0.05, 0.4)  # red is 2.2 after normalization: 0.9, and 0.1

    def places(length: int, shifts: np.ndarray) -> np.ndarray:
        found = np.zeros((1, len(COCO_17), length, 2 * length), np.float32)
        for point, shift in enumerate(shifts):
            for place in range(max(0, -shift), min(length, length - shift)):
                found[0, point, place, 2 * (place + shift)] = sure[point]
        return found

    nodes = [node("Gather", ["input", "first"], ["red"], axis=1)]
    for name, axis in (("x", 2), ("y", 3)):
        nodes += [
            node("ReduceMax", ["red"], [f"profile_{name}"], axes=[axis], keepdims=0),
            node("Unsqueeze", [f"profile_{name}", "second"], [f"row_{name}"]),
            node("MatMul", [f"row_{name}", f"places_{name}"], [f"found_{name}"]),
            node("Squeeze", [f"found_{name}", "second_last"], [f"simcc_{name}"]),
        ]
    save(
        path,
        "pose",
        {"input": [1, 3, POSE_HEIGHT, POSE_WIDTH]},
        {"simcc_x": [1, 17, 2 * POSE_WIDTH], "simcc_y": [1, 17, 2 * POSE_HEIGHT]},
        nodes,
        {
            "first": np.array([0]),
            "second": np.array([1]),
            "second_last": np.array([2]),
            "places_x": places(POSE_WIDTH, SHIFTS),
            "places_y": places(POSE_HEIGHT, np.zeros(17, int)),
        },
    )


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """An empty folder for weights, and a machine on which nothing may be fetched."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for name in ("urlopen", "download_url_to_file"):
        monkeypatch.setattr(f"rtmlib.tools.file.{name}", lambda *_, **__: pytest.fail("something was fetched"))
    return tmp_path / "torch" / "hub" / "checkpoints"


@pytest.fixture
def weights(home, monkeypatch) -> Path:
    """The tiny networks where the published ones belong, with their own checksums."""
    save_detector(home / estimator.DETECTOR.file_name)
    save_pose(home / estimator.POSE.file_name)
    files = [dataclasses.replace(file, sha256=sha256(file.path)) for file in estimator.ALL]
    for name, value in (("DETECTOR", files[0]), ("POSE", files[1]), ("ALL", tuple(files))):
        monkeypatch.setattr(estimator, name, value)
    return home


@pytest.fixture
def encoder() -> StructureEncoder:
    plugins.load()
    return STRUCTURE_ENCODERS.build_part(dict(type="HeatmapEncoder", layout="openpose18"))


def read(picture: Path, encoder: StructureEncoder) -> Keypoints:
    (found,), _ = read_inputs(find_sources(picture, None), [], encoder, "rtmpose")
    return found.structure


def photograph(blue: int = 255) -> np.ndarray:
    """A red spot of 5×5 pixels on black, and something blue."""
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    x, y = SPOT
    image[y - 2 : y + 3, x - 2 : x + 3, 0] = 255
    image[120:126, 2:8, 2] = blue
    return image


def test_key_points_are_found_where_they_are(weights, encoder, tmp_path):
    Image.fromarray(photograph()).save(tmp_path / "me.png")
    found = read(tmp_path / "me.png", encoder)
    for name, shift in zip(COCO_17, SHIFTS, strict=True):
        index = OPENPOSE_18.names.index(name.replace("_", " "))
        assert found.present[index] == (name != UNSEEN)
        if found.present[index]:
            expected = (SPOT[0] + shift * STEP, SPOT[1])
            assert found.points[index] == pytest.approx(expected, abs=2.5)  # half the spot; SimCC is cut to half pixels
    neck, *shoulders = (OPENPOSE_18.names.index(name) for name in ("neck", "left shoulder", "right shoulder"))
    assert found.present[neck]
    assert found.points[neck] == pytest.approx(found.points[shoulders].mean(0))


def test_scores_are_in_the_order_of_the_points(weights):
    (figure,) = estimator.load()(photograph())
    assert figure.scores.shape == (18,)
    unseen = OPENPOSE_18.names.index(UNSEEN.replace("_", " "))
    assert figure.scores.argmin() == unseen
    assert np.delete(figure.scores, unseen).min() > 0.6


def test_without_a_box_no_figure_is_found(weights):
    """Given no box, rtmlib would look at the whole picture. Blue for red in the detector's picture would find one."""
    assert estimator.load()(photograph(blue=0)) == []


def test_the_command_goes_from_the_picture_to_a_picture(weights, tiny_config, tmp_path, capsys):
    torch.save(posegen.load_model(tiny_config).state_dict(), tmp_path / "checkpoint.pth")
    Image.fromarray(photograph()).save(tmp_path / "me.png")
    Image.fromarray(photograph()[::-1]).save(tmp_path / "you.png")
    arguments = ["transfer", tiny_config, tmp_path / "checkpoint.pth", tmp_path / "me.png", tmp_path / "you.png"]
    assert main([str(argument) for argument in [*arguments, "--out", tmp_path / "out", "--estimator", "rtmpose"]]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "out" / "me_to_you.png")
    assert Image.open(tmp_path / "out" / "me_to_you.png").size == Image.open(tmp_path / "me.png").size


def test_everything_missing_is_named_at_once_with_the_alternatives(home, encoder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rtmlib", None)
    Image.fromarray(photograph()).save(tmp_path / "me.png")
    with pytest.raises(MissingWeightsError) as error:
        read(tmp_path / "me.png", encoder)
    told = str(error.value)
    assert "me.png has no key-point file" in told
    for file in estimator.ALL:
        assert file.address in told
        assert str(home / file.file_name) in told
    for words in ("pip install --no-deps rtmlib", "--source-keypoints FILE", "Nothing is downloaded unasked"):
        assert words in told


def test_a_picture_with_points_beside_it_needs_no_estimator(home, encoder, tmp_path):
    Image.fromarray(photograph()).save(tmp_path / "me.png")
    (tmp_path / "me.json").write_text('{"people": [{"pose_keypoints_2d": ' + str([5, 6, 1] * 18) + "}]}")
    found = read(tmp_path / "me.png", encoder)
    assert found.points.tolist() == [[5, 6]] * 18


def test_other_weights_of_the_same_name_are_refused(weights, monkeypatch):
    monkeypatch.setattr(estimator, "POSE", dataclasses.replace(estimator.POSE, sha256="0" * 64))
    with pytest.raises(CheckpointError, match="damaged, or another file"):
        estimator.load()


def test_a_file_that_is_no_network_is_refused(weights, tmp_path):
    rtmlib = pytest.importorskip("rtmlib")
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(CheckpointError, match=r"text\.onnx cannot be loaded"):
        estimator.RTMPose(rtmlib, weights / estimator.DETECTOR.file_name, tmp_path / "text.onnx")


def test_rtmlib_never_gets_an_address_to_fetch(home, weights):
    rtmlib = pytest.importorskip("rtmlib")
    with pytest.raises(CheckpointError):
        estimator.RTMPose(rtmlib, Path(estimator.DETECTOR.address), weights / estimator.POSE.file_name)


def test_the_weights_are_listed(home, capsys):
    assert main(["weights"]) == 0
    shown = capsys.readouterr().out
    for file in estimator.ALL:
        assert file.file_name in shown
        assert file.address in shown
        assert len(file.sha256) == 64
