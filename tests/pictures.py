"""Pictures with key-point files, and models small enough for tests of the commands that use them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import posegen
from posegen.cli import main
from posegen.config import load_config

from .conftest import CONFIGS, write_tiny

HEIGHT, WIDTH = 48, 40  # of the pictures; the models' are 32×32
AS_THEY_STAND = ["--crop", "none", "--retarget", "none"]
"""Options with which all poses are seen in one frame, whatever their size."""


def write_models(folder: Path) -> None:
    """Write tiny.py with checkpoint.pth and shared/, a model of single images, and clips/, one of clips."""
    torch.manual_seed(0)
    model = lively(posegen.load_model(write_tiny(folder)))
    torch.save(model.state_dict(), folder / "checkpoint.pth")
    model.save_pretrained(folder / "shared")
    narrow: dict[str, object] = {"size": [32, 32]}
    for network in ("flow_estimator", "renderer"):
        narrow |= {f"model.{network}.base_width": 16, f"model.{network}.max_width": 32}
    lively(posegen.load_model(load_config(CONFIGS / "gfla_dancing_dolls.py", narrow))).save_pretrained(folder / "clips")


def lively(model: torch.nn.Module) -> torch.nn.Module:
    """Initialize a model so that its pictures depend on the pose; by default they are gray."""
    for parameter in model.parameters():
        if parameter.ndim == 4:
            torch.nn.init.kaiming_normal_(parameter)
    return model


def write_pictures(folder: Path) -> None:
    """Write three pictures with key points beside them, bare.png without, and two poses without pictures."""
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.jpg", "c.png", "bare.png"):
        Image.fromarray(rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)).save(folder / name)
    for name in ("a.json", "b_keypoints.json", "c.json", "poses/p1.json", "poses/p2.json"):
        points = np.column_stack([rng.uniform(0, WIDTH - 1, 18), rng.uniform(0, HEIGHT - 1, 18), np.ones(18)])
        write_points(folder / name, points)


def write_points(path: Path, *subjects: np.ndarray, **more: object) -> None:
    """Write key points, 18×3, of one or more people as OpenPose does."""
    path.parent.mkdir(exist_ok=True)
    people = [{"pose_keypoints_2d": points.ravel().tolist()} for points in subjects]
    path.write_text(json.dumps({"people": people, **more}))


def read_points(path: Path) -> np.ndarray:
    return np.array(json.loads(path.read_text())["people"][0]["pose_keypoints_2d"]).reshape(18, 3)


def annotation_list(*names: str) -> str:
    """Return a list of key points of many pictures, as data sets have them."""
    numbers = list(range(18))
    return "name:keypoints_y:keypoints_x\n" + "".join(f"{name}: {numbers}: {numbers}\n" for name in names)


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(int)


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def refused(capsys, monkeypatch, *arguments: object) -> str:
    """Return the error that a command ends with before it loads a model."""
    monkeypatch.setattr("posegen.inference.Inferencer", lambda *_, **__: pytest.fail("the model was loaded"))
    capsys.readouterr()
    assert run(*arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "Traceback" not in error
    return error
