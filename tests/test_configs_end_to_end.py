"""The configs for people train and test from the command line, with random images and narrow networks."""

from __future__ import annotations

import json

import numpy as np
import pytest

from posegen.cli import main
from posegen.data.images import write_image

from .conftest import CONFIGS

NARROW = [
    "feature_weights=random",
    "flow_iters=1",
    "full_iters=1",
    "batch_size=1",
    *(f"{loader}.num_workers=0" for loader in ("train_dataloader", "val_dataloader", "test_dataloader")),
    "model.flow_estimator.base_width=8",
    "model.flow_estimator.max_width=16",
    "model.renderer.base_width=8",
    "model.renderer.max_width=16",
    "trainer.discriminator.widths=8,8",
]
LAST = "iter_2.pth"  # one iteration of each stage


def pictures(folder, names, height, width):
    for seed, name in enumerate(names):
        image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
        write_image(folder / name, image)


def market(root, count=18):
    """Write two images of 64×128, *count* points of each, and a pair of them, for training and testing."""
    for split in ("train", "test"):
        names = ("a.jpg", "b.jpg")
        pictures(root / split, names, 128, 64)
        y, x = ([*range(10, 10 + step * count, step)] for step in (5, 2))
        rows = [f"{name}: {y}: {x}\n" for name in names]
        (root / f"market-annotation-{split}.csv").write_text("name:keypoints_y:keypoints_x\n" + "".join(rows))
        (root / f"market-pairs-{split}.csv").write_text("from,to\na.jpg,b.jpg\n")
    return []


def coco(root):
    """Write two images of one person in the format of COCO, for training and testing."""
    pictures(root, ("a.jpg", "b.jpg"), 128, 128)
    points = [value for k in range(17) for value in (20 + 5 * k, 10 + 6 * k, 2)]
    people = [
        dict(id=i, image_id=i, category_id=1, keypoints=points, num_keypoints=17, bbox=[8, 4, 112, 120], area=13440,
             iscrowd=0, person_id=7)
        for i in (1, 2)
    ]  # fmt: skip
    images = [dict(id=i, file_name=f"{name}.jpg", height=128, width=128) for i, name in ((1, "a"), (2, "b"))]
    keypoints = ["nose", "left_eye", "right_eye", "left_ear", "right_ear"]
    keypoints += [f"{side}_{joint}" for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
                  for side in ("left", "right")]  # fmt: skip
    content = dict(images=images, annotations=people, categories=[dict(id=1, name="person", keypoints=keypoints)])
    for split in ("train", "test"):
        (root / f"{split}.json").write_text(json.dumps(content))
    return ["size=128,64"]


@pytest.mark.parametrize(("name", "make"), [("gfla_market", market), ("gfla_coco", coco)])
def test_a_config_trains_then_tests(tmp_path, name, make):
    data, run = tmp_path / "data", tmp_path / "run"
    data.mkdir()
    config = str(CONFIGS / f"{name}.py")
    options = ["--cfg-options", f"data_root={data}", *make(data), *NARROW]

    assert main(["train", config, "--work-dir", str(run), *options]) == 0
    assert (run / LAST).is_file()
    images = ["--save-images", str(tmp_path / "images")]
    assert main(["test", config, str(run / LAST), "--work-dir", str(run), *images, *options]) == 0

    metrics = json.loads((run / "metrics.json").read_text())
    assert sorted(metrics["metrics"]) == ["l1", "psnr", "ssim"]
    assert len(list((tmp_path / "images").rglob("*.jpg"))) == metrics["images"] > 0


def test_a_config_of_another_layout_trains_then_tests_inside_the_body(tmp_path):
    data, run = tmp_path / "data", tmp_path / "run"
    data.mkdir()
    market(data, count=14)
    config = tmp_path / "market14.py"
    config.write_text(f"""
_base_ = {str(CONFIGS / "gfla_market.py")!r}
structure = dict(layout="lsp14")
model = dict(
    flow_estimator=dict(
        _delete_=True,
        type="GuidedFlowEstimator",
        structure_channels=14,
        prior=dict(type="PartFlow", layout="${{structure.layout}}"),
        levels=[2, 0],
        norm="group",
    ),
    renderer=dict(type="ComposingRenderer", structure_channels=14, norm="group"),
)
_adam = dict(type="Adam", lr=1e-4)
_limbs = dict(type="LimbFlow", layout="${{structure.layout}}")
_image = dict(type="ReconstructionLoss")
trainer = dict(
    discriminator=None,
    stages=[
        dict(name="flow", iters=1, train=["flow_estimator"], optimizer=_adam, losses=dict(limbs=_limbs)),
        dict(name="full", iters=1, train=["renderer"], optimizer=_adam, losses=dict(image=_image)),
    ],
)
test_dataloader = dict(dataset=dict(foreground=dict(type="BodyMask")))
test_evaluator = [dict(type="PSNR"), dict(type="MaskedSSIM")]
""")
    narrow = [option for option in NARROW if not option.startswith("trainer.discriminator")]
    options = ["--cfg-options", f"data_root={data}", *narrow]
    assert main(["train", str(config), "--work-dir", str(run), *options]) == 0
    assert main(["test", str(config), str(run / LAST), "--work-dir", str(run), *options]) == 0
    metrics = json.loads((run / "metrics.json").read_text())["metrics"]
    assert {"psnr", "psnr_foreground", "psnr_foreground_copy", "masked_ssim"} <= metrics.keys()
