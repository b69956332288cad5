"""The nodes for ComfyUI, in a stand-in that loads, validates and runs a graph as ComfyUI does."""

from __future__ import annotations

import copy
import importlib.util
import json
import sys
import types
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from posegen.cli import main
from posegen.errors import InputError

from .conftest import CONFIGS

FOLDER = CONFIGS.parent / "plugins" / "comfyui_posegen"
WIDGETS = {"size": "of the image", "retarget": "auto", "crop": "auto"}


@pytest.fixture(scope="module")
def dolls(tmp_path_factory):
    """The folder of ``posegen example paperdolls``."""
    folder = tmp_path_factory.mktemp("comfyui") / "dolls"
    assert main(["example", "paperdolls", str(folder), "--pairs", "2"]) == 0
    return folder


@pytest.fixture
def comfy(tmp_path, monkeypatch):
    """ComfyUI's modules that nodes import, and its folder of models; returns how far its progress bars are."""
    ticks: list[int] = []

    class ProgressBar:
        def __init__(self, total: int) -> None:
            ticks.append(-total)

        def update(self, value: int) -> None:
            ticks.append(value)

    utils = types.SimpleNamespace(ProgressBar=ProgressBar)
    modules = {
        "comfy": types.SimpleNamespace(utils=utils),
        "comfy.utils": utils,
        "folder_paths": types.SimpleNamespace(models_dir=str(tmp_path / "models")),
    }
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    return ticks


@pytest.fixture
def nodes(comfy, monkeypatch):
    """The classes by name, from the folder, loaded by its path under a name of ComfyUI's own."""
    name = "custom_nodes_posegen"
    spec = importlib.util.spec_from_file_location(name, FOLDER / "__init__.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    yield module.NODE_CLASS_MAPPINGS
    for loaded in [loaded for loaded in sys.modules if loaded.startswith(f"{name}.")]:
        del sys.modules[loaded]


class Given:
    """A node of another package that gives a value of a type."""

    def __init__(self, kind: str, value: Any) -> None:
        self.kind, self.value = kind, value


def run(nodes: dict[str, Any], graph: dict[str, Any], last: str) -> tuple:
    """Run a graph of (class name, inputs), in which a link is a list [node, number of the output].

    Inputs are validated as ComfyUI does: all required ones, known names, types of links, choices of lists. Nodes run in
    inference mode.
    """
    done: dict[str, tuple] = {}

    def output(link: list) -> tuple[str, Any]:
        node = graph[link[0]]
        if isinstance(node, Given):
            return node.kind, node.value
        if link[0] not in done:
            done[link[0]] = result(link[0])
        return nodes[node[0]].RETURN_TYPES[link[1]], done[link[0]][link[1]]

    def result(name: str) -> tuple:
        kind, inputs = graph[name]
        types_of = nodes[kind].INPUT_TYPES()
        known = {**types_of["required"], **types_of.get("optional", {})}
        assert types_of["required"].keys() <= inputs.keys() <= known.keys()
        values = {}
        for key, value in inputs.items():
            expected = known[key][0]
            if isinstance(value, list):
                linked, values[key] = output(value)
                assert linked == expected, key
            else:
                assert value in expected
                values[key] = value
        answer = getattr(nodes[kind](), nodes[kind].FUNCTION)(**values)
        assert isinstance(answer, tuple)
        assert len(answer) == len(nodes[kind].RETURN_TYPES) == len(nodes[kind].RETURN_NAMES)
        return answer

    with torch.inference_mode():
        return result(last)


def image(path) -> torch.Tensor:
    """A picture as ComfyUI's node Load Image gives it."""
    return torch.from_numpy(np.array(Image.open(path).convert("RGB"))).float()[None] / 255


def pose(*paths, fractions: bool = False) -> list[dict]:
    """Key points as the node DWPose gives them: pixels of the canvas, or fractions as older ones did."""
    frames = []
    for path in paths:
        content = json.loads(path.read_text())
        size = content.get("canvas_width", 256), content.get("canvas_height", 256)
        points = np.array(content["people"][0]["pose_keypoints_2d"], float).reshape(18, 3)
        points[:, 2] = points[:, 2] > 0
        if fractions:
            points[:, :2] /= size
        person = {"pose_keypoints_2d": points.ravel().tolist(), "face_keypoints_2d": None}
        frames.append({"people": [person], "canvas_width": size[0], "canvas_height": size[1]})
    return frames


@pytest.fixture
def graph(dolls):
    """A graph that moves a doll into a pose."""
    return {
        "image": Given("IMAGE", image(dolls / "sources" / "1.png")),
        "own": Given("POSE_KEYPOINT", pose(dolls / "sources" / "1.json")),
        "pose": Given("POSE_KEYPOINT", pose(dolls / "poses" / "1.json")),
        "model": ("PosegenLoadModel", {"model": "paperdolls", "device": "cpu"}),
        "moved": (
            "PosegenTransfer",
            {"model": ["model", 0], "image": ["image", 0], "pose": ["pose", 0], "image_pose": ["own", 0], **WIDGETS},
        ),
    }


def test_every_node_has_what_comfyui_asks_for(nodes):
    sys.modules["folder_paths"].models_dir = "/nowhere"
    for name, node in nodes.items():
        assert sys.modules["custom_nodes_posegen"].NODE_DISPLAY_NAME_MAPPINGS[name]
        assert node.CATEGORY == "posegen"
        assert hasattr(node, node.FUNCTION)
        assert "required" in node.INPUT_TYPES()


def test_a_person_is_moved_as_the_command_does(nodes, graph, dolls, tmp_path):
    moved, kept, warped = run(nodes, graph, "moved")
    assert moved.shape == warped.shape == (1, 256, 256, 3)
    assert kept.shape == (1, 256, 256)
    assert 0 <= kept.min() < kept.max() <= 1
    arguments = [dolls / "sources" / "1.png", dolls / "poses" / "1.json", "--out", tmp_path / "moved.png"]
    assert main(["transfer", "paperdolls", *map(str, arguments), "--resize-back", "--device", "cpu"]) == 0
    assert (moved - image(tmp_path / "moved.png")).abs().max() < 0.02
    target = image(dolls / "targets" / "1.png")
    assert (moved - target).abs().mean() < (graph["image"].value - target).abs().mean()


def test_results_have_the_models_size_on_request(nodes, graph):
    graph["moved"][1]["size"] = "of the model"
    assert [tuple(output.shape[1:3]) for output in run(nodes, graph, "moved")] == [(64, 64)] * 3


def test_fractions_of_the_canvas_are_recognized(nodes, graph, dolls):
    moved, *_ = run(nodes, graph, "moved")
    graph["pose"] = Given("POSE_KEYPOINT", pose(dolls / "poses" / "1.json", fractions=True))
    assert (run(nodes, graph, "moved")[0] - moved).abs().max() < 0.02


def test_a_single_image_goes_with_each_pose(nodes, graph, dolls):
    graph["pose"] = Given("POSE_KEYPOINT", pose(dolls / "poses" / "1.json", dolls / "poses" / "2.json"))
    moved, kept, _ = run(nodes, graph, "moved")
    assert len(moved) == len(kept) == 2
    assert (moved[0] - moved[1]).abs().max() > 0.1
    graph["image"] = Given("IMAGE", graph["image"].value.expand(3, -1, -1, -1))
    with pytest.raises(InputError, match="pose has 2 items; expected 1 or 3"):
        run(nodes, graph, "moved")


def test_a_clip_has_a_frame_for_each_pose_and_shows_progress(nodes, graph, dolls, comfy):
    motion = pose(*sorted((dolls / "motion").iterdir())[::6])
    motion[2]["people"] = []  # its detector found nobody
    graph["motion"] = Given("POSE_KEYPOINT", motion)
    inputs = {"model": ["model", 0], "image": ["image", 0], "motion": ["motion", 0], "image_pose": ["own", 0]}
    graph["clip"] = ("PosegenAnimate", {**inputs, **WIDGETS})
    (frames,) = run(nodes, graph, "clip")
    assert frames.shape == (4, 256, 256, 3)
    assert torch.equal(frames[1], frames[2])
    assert not torch.equal(frames[2], frames[3])
    assert comfy == [-4, 1, 1, 1, 1]


def test_shared_models_in_comfyuis_folder_are_offered(nodes, graph, dolls, tmp_path):
    import posegen

    posegen.from_pretrained("paperdolls").save_pretrained(tmp_path / "models" / "posegen" / "mine")
    (names,) = nodes["PosegenLoadModel"].INPUT_TYPES()["required"]["model"]
    assert {"paperdolls", "mine"} <= set(names)
    graph["model"][1]["model"] = "mine"
    assert run(nodes, graph, "moved")[0].shape == (1, 256, 256, 3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda frame: frame["people"].clear(), "has no person"),
        (lambda frame: frame.pop("canvas_width"), "canvas_width"),
        (lambda frame: frame["people"][0]["pose_keypoints_2d"].pop(), "53 numbers"),
    ],
)
def test_a_pose_that_is_none_is_refused(nodes, graph, change, words):
    frames = copy.deepcopy(graph["pose"].value)
    change(frames[0])
    graph["pose"] = Given("POSE_KEYPOINT", frames)
    with pytest.raises(InputError, match=words):
        run(nodes, graph, "moved")


def test_a_model_without_key_points_is_refused(nodes, graph, monkeypatch):
    loader = nodes["PosegenLoadModel"]
    encoder = types.SimpleNamespace(layout=None)
    monkeypatch.setattr(loader, "load", lambda self, model, device: (types.SimpleNamespace(encoder=encoder),))
    with pytest.raises(InputError, match="takes no key points"):
        run(nodes, graph, "moved")


def test_a_pose_that_is_not_connected_is_estimated(nodes, graph, dolls, monkeypatch):
    pytest.importorskip("ai_edge_litert")
    del graph["moved"][1]["image_pose"]
    found = pose(dolls / "sources" / "1.json")
    asked = []
    finder = nodes["PosegenFindPose"]
    monkeypatch.setattr(finder, "find", lambda self, pictures: asked.append(len(pictures)) or (found,))
    assert run(nodes, graph, "moved")[0].shape == (1, 256, 256, 3)
    assert asked == [1]
    monkeypatch.undo()
    (frames,) = finder().find(torch.zeros(2, 64, 48, 3))
    assert frames == [{"people": [], "canvas_height": 64, "canvas_width": 48}] * 2
