"""Every domain trains through both stages on its drawn data, from its config; networks are narrow, images small."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest
from posegen_faces.drawn import landmarks

from posegen.cli import main
from posegen.config import load_config
from posegen.data.images import read_image, to_uint8, write_image
from posegen.registry import DATASETS, MODELS

CONFIGS = Path(__file__).parents[1] / "configs"
NARROW = [
    "size=32,32",
    "test_length=2",
    "train_length=4",  # a batch: the same few again and again: what falls is learnt, not drawn by chance
    "model.flow_estimator.base_width=16",
    "model.flow_estimator.max_width=32",
    "model.renderer.base_width=16",
    "model.renderer.max_width=32",
    "trainer.discriminator.widths=8,8",
    "trainer.autocast=False",
    "default_hooks.logger.interval=1",
    "log_processor.window_size=1",
]
FLOW, FULL = 8, 6  # iterations
DRAWN = {
    "gfla_drawn_faces": [
        "trainer.temporal_discriminator.widths=8,8",
        "batch_size=2",
        "train_length=2",
        "train_frames=3",
    ],
    "gfla_dancing_dolls": [
        "trainer.temporal_discriminator.widths=8,8",
        "trainer.temporal_discriminator.folded_widths=8,8",
        "trainer.temporal_discriminator.frames=5",
        "batch_size=1",
        "train_length=1",
        "train_frames=5",
    ],
    "gfla_drawn_cars": ["batch_size=4"],
    "gfla_drawn_chairs": ["batch_size=4"],
}
GUIDED = ["guided_drawn_faces", "guided_dancing_dolls"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Work dirs of trained domains, by config; each is trained once."""
    made: dict[str, Path] = {}

    def run(name: str) -> Path:
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            assert main(["train", str(CONFIGS / f"{name}.py"), "--work-dir", str(folder), *options(name)]) == 0
            made[name] = folder
        return made[name]

    return run


def options(name: str) -> list[str]:
    return ["--cfg-options", *NARROW, *DRAWN[name], f"flow_iters={FLOW}", f"full_iters={FULL}"]


def logged(folder: Path) -> list[dict]:
    (path,) = folder.glob("*/vis_data/scalars.json")
    return [row for row in map(json.loads, path.read_text().splitlines()) if "loss" in row]


def falls(rows: list[dict], loss: str) -> bool:
    """Return whether the mean of a loss in the last three iterations is below that in the first three."""
    first, last = (np.mean([row[loss] for row in some]) for some in (rows[:3], rows[-3:]))
    return bool(last < first)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(DRAWN))
def test_a_domain_trains_through_both_stages_and_its_losses_fall(runs, name):
    rows = logged(runs(name))
    assert len(rows) == FLOW + FULL
    flow, full = rows[:FLOW], rows[FLOW:]
    assert falls(flow, "correctness")
    for loss in ("reconstruction", "perceptual"):
        assert falls(full, loss), loss
    assert all(np.isfinite(list(row.values())).all() for row in rows)


@pytest.mark.parametrize("name", sorted(DRAWN))
def test_a_trained_domain_is_tested_with_exact_flow_and_drawn(runs, name, tmp_path):
    folder = runs(name)
    arguments = [str(CONFIGS / f"{name}.py"), str(folder / f"iter_{FLOW + FULL}.pth"), "--work-dir", str(tmp_path)]
    assert main(["test", *arguments, "--save-images", str(tmp_path / "images"), *options(name)]) == 0
    values = json.loads((tmp_path / "metrics.json").read_text())["metrics"]
    assert {"psnr", "ssim", "l1", "epe", "epe_zero", "epe_ratio"} <= set(values)
    clip = "temporal" in " ".join(DRAWN[name])
    frames = int(DRAWN[name][-1].split("=")[1]) if clip else 1
    assert len(list((tmp_path / "images").rglob("*.jpg"))) == 2 * frames
    assert read_image(tmp_path / "test_sheet.png").std() > 10


@pytest.mark.parametrize("name", GUIDED)
def test_a_guided_domain_trains_and_is_tested_with_exact_flow(name, tmp_path):
    wrapped = {"model.flow_estimator": "model.flow_estimator.estimator", "model.renderer": "model.renderer.composer"}
    narrow = [option for option in NARROW if "discriminator" not in option]
    for part, network in wrapped.items():
        narrow = [option.replace(part, network) for option in narrow]
    same = ["train_length=2", "batch_size=2", "train_frames=2"]  # the same clips at each iteration
    tiny = ["--cfg-options", *narrow, *same, f"flow_iters={FLOW}", f"full_iters={FULL}"]
    config = str(CONFIGS / f"{name}.py")
    assert main(["train", config, "--work-dir", str(tmp_path), *tiny]) == 0
    rows = logged(tmp_path)
    flow, full = rows[:FLOW], rows[FLOW:]
    for loss, part in (("flow", flow), ("visibility", flow), ("reconstruction", full), ("generated", full)):
        assert falls(part, loss), loss
    assert main(["test", config, str(tmp_path / f"iter_{FLOW + FULL}.pth"), "--work-dir", str(tmp_path), *tiny]) == 0
    values = json.loads((tmp_path / "metrics.json").read_text())["metrics"]
    assert values["epe_ratio"] < 0.5


# posegen animate ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def photograph(runs, tmp_path_factory):
    """A picture of a drawn face and a folder with landmarks of three frames, in pixels of it."""
    folder = tmp_path_factory.mktemp("face")
    config = load_config(CONFIGS / "gfla_drawn_faces.py", {"size": [48, 48], "train_frames": 3})
    data = DATASETS.build_part(config.test_dataloader.dataset)
    write_image(folder / "me.png", to_uint8(data[0].reference))
    (folder / "points").mkdir()
    look, poses, _ = data.scene(0)  # the reference's and those of the frames
    for name, points in zip(("me", "2", "10"), landmarks(look, poses), strict=False):
        (folder / "points" / f"{name}.txt").write_text("".join(f"{x:.2f},{y:.2f}\n" for x, y in points))
    return folder


def animate(runs, photograph, out, *extra):
    checkpoint = runs("gfla_drawn_faces") / f"iter_{FLOW + FULL}.pth"
    arguments = [str(CONFIGS / "gfla_drawn_faces.py"), str(checkpoint), "--reference", str(photograph / "me.png")]
    arguments += ["--structures", str(photograph / "points"), "--out", str(out), *extra]
    return main(["animate", *arguments, *options("gfla_drawn_faces")])


def decoded(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_animate_writes_a_playable_clip_and_one_that_shows_how_it_was_made(runs, photograph, tmp_path):
    assert animate(runs, photograph, tmp_path / "clip.mp4", "--side-by-side") == 0
    frames, beside = decoded(tmp_path / "clip.mp4"), decoded(tmp_path / "clip_side_by_side.mp4")
    assert [frame.shape for frame in frames] == [(48, 48, 3)] * 3  # the reference's size
    assert [frame.shape for frame in beside] == [(32, 5 * 32, 3)] * 3
    assert {path.name for path in tmp_path.iterdir()} == {"clip.mp4", "clip_side_by_side.mp4"}


def test_animate_overwrites_nothing_unasked(runs, photograph, tmp_path, capsys):
    (tmp_path / "clip_side_by_side.mp4").write_bytes(b"mine")
    assert animate(runs, photograph, tmp_path / "clip.mp4", "--side-by-side") == 1
    assert "--force" in capsys.readouterr().err
    assert (tmp_path / "clip_side_by_side.mp4").read_bytes() == b"mine"
    assert animate(runs, photograph, tmp_path / "clip.mp4", "--side-by-side", "--force") == 0


def test_animate_names_every_bad_file_before_any_work(runs, photograph, tmp_path, capsys):
    points = tmp_path / "points"
    points.mkdir()
    (points / "me.txt").write_text((photograph / "points" / "me.txt").read_text())
    (points / "bad1.txt").write_text("1,2\n")
    (points / "bad2.txt").write_text("none\n" * 68)
    assert animate(runs, photograph, tmp_path / "clip.mp4", "--structures", str(points)) == 1
    told = capsys.readouterr().err
    assert "bad1.txt" in told
    assert "bad2.txt" in told
    assert not list(tmp_path.glob("*.mp4"))


def test_animate_asks_for_the_references_own_points_where_nothing_estimates_them(runs, photograph, tmp_path, capsys):
    points = tmp_path / "points"
    points.mkdir()
    (points / "1.txt").write_text((photograph / "points" / "me.txt").read_text())
    assert animate(runs, photograph, tmp_path / "a.mp4", "--structures", str(points), "--estimator", "none") == 1
    assert "--reference-structure" in capsys.readouterr().err
    own = ["--structures", str(points), "--reference-structure", str(photograph / "points" / "me.txt")]
    assert animate(runs, photograph, tmp_path / "a.mp4", *own) == 0


# The paper's ablations ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["local_attention", "bilinear", "global_attention", "baseline"])
def test_an_ablation_is_chosen_by_a_config_and_trains(name, tmp_path):
    config = CONFIGS / "ablations" / f"{name}.py"
    narrow = [option for option in NARROW if "flow_estimator" not in option or name in ("local_attention", "bilinear")]
    flow = 1 if name in ("local_attention", "bilinear") else 0
    tiny = ["--cfg-options", *narrow, f"flow_iters={flow}", "full_iters=1", "batch_size=2"]
    assert main(["train", str(config), "--work-dir", str(tmp_path), *tiny]) == 0
    assert (tmp_path / f"iter_{flow + 1}.pth").is_file()


def test_the_ablations_share_everything_but_the_renderer():
    built, same = {}, None
    for name in ("local_attention", "bilinear", "global_attention", "baseline"):
        config = load_config(CONFIGS / "ablations" / f"{name}.py")
        built[name] = MODELS.build_part(config.model)
        assert config.flow_iters + config.full_iters == 500
        full = next(stage for stage in config.trainer.stages if stage.name == "full")
        shared = {
            "data": (config.train_dataloader, config.val_dataloader, config.test_dataloader, config.randomness),
            "discriminator": (config.trainer.discriminator, full.discriminator_optimizer),
            "optimizer": (full.optimizer, full.lr_schedule),
            "losses": {k: v for k, v in full.losses.items() if k not in ("correctness", "limbs", "regularization")},
            "renderer": {k: v for k, v in config.model.renderer.items() if k != "type"},
        }
        same = same or shared
        assert shared == same
    assert built["global_attention"].flow_estimator is None
    assert built["baseline"].flow_estimator is None
    count = {name: sum(p.numel() for p in model.renderer.parameters()) for name, model in built.items()}
    assert count["baseline"] < count["bilinear"] < count["global_attention"] < count["local_attention"]


@pytest.mark.parametrize("fps", ["0", "-1", "nan", "1e9"])
def test_animate_refuses_speeds_that_are_none(runs, photograph, tmp_path, capsys, fps):
    assert animate(runs, photograph, tmp_path / "clip.mp4", f"--fps={fps}") == 1
    assert "--fps must be" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "words"),
    [("gfla_drawn_faces", "use `posegen animate`"), ("gfla_drawn_cars", "does not encode key points")],
)
def test_transfer_refuses_models_of_clips_and_of_views(runs, photograph, tmp_path, capsys, name, words):
    model = [str(CONFIGS / f"{name}.py"), str(runs(name) / f"iter_{FLOW + FULL}.pth")]
    files = [str(photograph / file) for file in ("me.png", "points/2.txt", "points/me.txt")]
    arguments = [*files[:2], "--source-keypoints", files[2], "--out", str(tmp_path / "out.png")]
    assert main(["transfer", *model, *arguments, *options(name)]) == 1
    assert words in capsys.readouterr().err
