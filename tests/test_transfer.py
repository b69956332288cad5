"""``posegen transfer`` and ``tools/infer.py``: pictures and key-point files in, pictures out."""

from __future__ import annotations

import runpy
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from posegen import plugins
from posegen.cli import COMMANDS, build_parser, main
from posegen.cli.transfer import output_paths
from posegen.config import load_config
from posegen.data import HeatmapEncoder, Keypoints
from posegen.data.estimators import Figure, StructureEstimator
from posegen.data.generated import write_generated
from posegen.data.images import read_image
from posegen.data.video import VideoReader
from posegen.errors import CheckpointError, ConfigError, DataError, InputError, MissingWeightsError, PosegenError
from posegen.hookspecs import hookimpl
from posegen.inference import (
    Inferencer,
    ModelSource,
    PoseInput,
    check_points,
    describe_size,
    find_poses,
    find_sources,
    find_targets,
    read_inputs,
)

from .conftest import CONFIGS
from .pictures import AS_THEY_STAND, HEIGHT, WIDTH, annotation_list, pixels, read_points, refused, run, write_points

ENCODER = HeatmapEncoder("openpose18")
pytestmark = pytest.mark.usefixtures("no_bfloat16")


def test_a_picture_and_a_pose_give_the_picture_that_the_model_generates(models, here, capsys):
    assert run("transfer", models / "shared", "a.png", "c.json", "--no-resize-back") == 0
    assert capsys.readouterr().out.splitlines() == ["a_to_c.png"]
    config = [models / "tiny.py", models / "checkpoint.pth"]
    assert run("transfer", *config, "a.png", "c.json", "--out", "again.png", "--no-resize-back") == 0
    generated = Inferencer(models / "shared", device="cpu").infer("a.png", "c.json", "a.json")[0]
    for name in ("a_to_c.png", "again.png"):
        assert np.array_equal(pixels(here / name), generated.image)
        assert Image.open(here / name).text["Comment"].startswith("A generated picture")


def test_every_picture_of_a_folder_goes_into_every_pose_of_another(models, here):
    """Eight pictures are a batch; four sources and three targets are more than that."""
    for name in ("a", "b", "c"):
        (here / f"{name}.txt").write_text("no picture")
    (here / "bare.png").rename(here / "d.png")
    (here / "c.json").rename(here / "d.json")
    write_points(here / "poses" / "p3_keypoints.json", np.linspace((1, 1, 1), (30, 40, 1), 18))
    (here / "list.csv").write_text(annotation_list("a.png", "b.jpg", "c.png", "d.png"))
    arguments = ["transfer", models / "shared", ".", "poses", "--source-keypoints", "list.csv", "--out", "made"]
    assert run(*arguments) == 0
    names = {f"{source}_to_{target}.png" for source in "abcd" for target in ("p1", "p2", "p3")}
    assert {path.name for path in (here / "made").iterdir()} == names
    assert not np.array_equal(pixels(here / "made" / "d_to_p1.png"), pixels(here / "made" / "d_to_p2.png"))


def beside_a_larger_picture(here: Path) -> list[str]:
    write_points(here / "c.json", read_points(here / "c.json") * [2, 2, 1])
    Image.open(here / "c.png").resize((2 * WIDTH, 2 * HEIGHT)).save(here / "c.png")
    return ["a.png", "c.json"]


def in_a_frame_of_their_own(here: Path) -> list[str]:
    large = read_points(here / "c.json") * [2, 2, 1]
    write_points(here / "lone.json", large, canvas_width=2 * WIDTH, canvas_height=2 * HEIGHT)
    return ["a.png", "lone.json"]


def of_the_source_before_it_was_resized(here: Path) -> list[str]:
    double = read_points(here / "a.json") * [2, 2, 1]
    write_points(here / "a.json", double, canvas_width=2 * WIDTH, canvas_height=2 * HEIGHT)
    return ["a.png", "c.json"]


def beside_the_picture_that_is_given(here: Path) -> list[str]:
    return ["a.png", "c.png"]


@pytest.mark.parametrize(
    "change",
    [
        beside_a_larger_picture,
        in_a_frame_of_their_own,
        of_the_source_before_it_was_resized,
        beside_the_picture_that_is_given,
    ],
)
def test_points_count_pixels_of_the_picture(models, here, change: Callable[[Path], list[str]]):
    run("transfer", models / "shared", "a.png", "c.json", "--out", "first.png")
    assert run("transfer", models / "shared", *change(here), "--out", "again.png") == 0
    assert np.abs(pixels(here / "first.png") - pixels(here / "again.png")).max() <= 1  # of rounding


def test_results_have_the_sources_size_and_explain_writes_a_sheet_beside(models, here, capsys):
    arguments = ["a.png", "poses", "--out", "made", "--explain"]
    assert run("transfer", models / "shared", *arguments) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
    width, height = Image.open(here / "made" / "a_to_p1_explained.png").size
    assert width > 6 * 32  # source, two structures, flow, mask, warped source, result
    assert height > 32
    assert Image.open(here / "made" / "a_to_p1.png").size == (WIDTH, HEIGHT)


@pytest.mark.parametrize("existing", ["a_to_c.png", "a_to_c_explained.png"])
def test_nothing_is_overwritten_without_force(models, here, capsys, monkeypatch, existing):
    (here / existing).write_text("mine")
    arguments = ["transfer", models / "shared", "a.png", "c.json", "--explain"]
    with monkeypatch.context() as patch:
        assert "--force" in refused(capsys, patch, *arguments)
    assert (here / existing).read_text() == "mine"
    assert run(*arguments, "--force") == 0
    assert Image.open(here / existing).format == "PNG"


@pytest.mark.parametrize(
    ("source", "target", "more", "words"),
    [
        ("none.png", "c.json", [], ["none.png", "no such file"]),
        ("a.json", "c.json", [], ["is not a picture", "Supported: .jpg"]),
        ("poses", "c.json", [], ["contains no picture"]),
        ("a.png", "none.json", [], ["none.json", "no such file"]),
        ("a.png", "empty", [], ["contains no files"]),
        ("a.png", "broken.json", [], ["broken.json", "not JSON"]),
        ("torn.png", "broken.json", ["--source-keypoints", "a.json"], ["torn.png", "broken.json"]),
        ("a.png", "c.json", ["--source-keypoints", "none.json"], ["none.json"]),
        ("a.png", "c.json", ["--target-keypoints", "a.json"], ["is not a picture"]),
        ("a.png", "c.json", ["--out", "made.bmp"], [".png", ".webp"]),
        ("a.png", "c.json", ["--out", "Makefile"], ["is a file"]),
        ("a.png", "poses", ["--out", "made.png"], ["2 will be written"]),
        ("twice.png", "c.json", [], ["twice.json and twice_keypoints.json", "--source-keypoints"]),
        ("a.png", "twice.png", [], ["twice.json and twice_keypoints.json", "--target-keypoints"]),
        ("a.png", "far.json", [], ["far.json, in pixels of the source", "18 of 18 key points lie outside", "40×48"]),
        ("away.png", "c.json", [], ["away.json, in away.png: 18 of 18", "40×48"]),
        ("a.png", "list.csv", [], ["2 images: x.png, y.png", "Say which image is meant", "--target-keypoints"]),
        ("a.png", "bare.png", ["--target-keypoints", "list.csv"], ["no images called 'bare.png', but of x.png, y.png"]),
        ("a.png", "other.json", [], ["an object with 'pose'", "docs/formats.md"]),
        ("a.png", "size.png", [], ["size.json, in size.png", "100×48, as their file says", "40×48"]),
        ("twins", "c.json", [], ["several are called 'x'"]),
    ],
)
def test_errors_are_reported_before_a_model_is_loaded(models, here, capsys, monkeypatch, source, target, more, words):
    (here / "empty").mkdir()
    (here / "twins").mkdir()
    for name in ("twins/x.png", "twins/x.jpg", "twice.png", "away.png", "size.png"):
        Image.open(here / "a.png").save(here / name)
    for name in ("broken.json", "torn.png", "Makefile", "twice.json", "twice_keypoints.json"):
        (here / name).write_text("{")
    points = read_points(here / "a.json")
    for name in ("far.json", "away.json"):
        write_points(here / name, np.add(points, [5 * WIDTH, 0, 0]))
    write_points(here / "size.json", points, canvas_width=100, canvas_height=HEIGHT)
    (here / "list.csv").write_text(annotation_list("x.png", "y.png"))
    (here / "other.json").write_text('{"pose": 1}')
    before = sorted(here.iterdir())
    error = refused(capsys, monkeypatch, "transfer", models / "shared", source, target, *more)
    assert [word for word in words if word not in error] == []
    assert "the model works at" not in error
    assert sorted(here.iterdir()) == before


def test_which_of_several_people_is_taken_is_said_once(models, here):
    nobody = np.zeros((18, 3))
    for name in ("a.json", "poses/p1.json"):
        write_points(here / name, nobody, read_points(here / name))
    with pytest.warns(
        UserWarning, match=r"^a\.json: figure 2 of 2, the largest, is taken; .* \(and in 1 other files\)$"
    ):
        read_inputs(find_sources(Path("a.png"), None), find_targets(Path("poses"), None), ENCODER)


def test_points_whose_x_and_y_are_exchanged_are_asked_about():
    points = np.linspace((2, 1), (30, 47), 18)
    assert check_points(Keypoints(points, np.ones(18)), (48, 40)) == ""
    assert "Are x and y exchanged?" in check_points(Keypoints(points[:, ::-1], np.ones(18)), (48, 40))


def test_fractions_are_refused_however_large_the_picture_is():
    """Their own frame makes pixels of them only after they were checked."""
    fractions = Keypoints(np.linspace((0.1, 0.1), (0.9, 0.9), 18), np.ones(18), frame=(64, 64))
    with pytest.raises(InputError, match=r"fractions of the picture.+64×64"):
        check_points(fractions, (640, 640))


def test_commands_warn_in_one_line_without_a_place_in_the_code(models, here, monkeypatch):
    def show(message, category, filename, lineno, *_):
        lines.append(warnings.formatwarning(message, category, filename, lineno))

    lines: list[str] = []
    before = warnings.formatwarning
    warnings.simplefilter("always")  # pytest restores the filters
    monkeypatch.setattr(warnings, "showwarning", show)
    points = read_points(here / "a.json")
    write_points(here / "poses" / "p2.json", points)
    points[[4, 7, 10], 0] += 5 * WIDTH
    write_points(here / "poses" / "p1.json", points)
    model, pose = models / "shared", "poses/p1.json"
    assert run("transfer", model, "a.png", pose) == 0
    assert run("interpolate", model, "a.png", pose, "--frames", "2") == 0
    assert run("animate", model, "--reference", "a.png", "--structures", "poses") == 0
    assert infer(monkeypatch, model, *POINTS[:-1], pose, "--out", "out.png") == 0
    assert len(lines) == 4
    assert all(line.startswith("warning: p1, target: ") and line.count("\n") == 1 for line in lines)
    assert not any(".py" in line for line in lines)
    assert warnings.formatwarning is before


def test_poses_of_a_folder_that_are_fitted_are_told_once(models, here, monkeypatch):
    told: list[str] = []
    warnings.simplefilter("always")

    def show(message, category, *_, **__):
        told.append(warnings.formatwarning(message, category, "", 0))

    monkeypatch.setattr(warnings, "showwarning", show)
    points = read_points(here / "a.json") * [0.5, 0.5, 1]
    for name in ("p1", "p2", "p3"):
        write_points(here / "poses" / f"{name}.json", points)
    (here / "two").mkdir()
    for name in ("a.png", "a.json", "c.png", "c.json"):
        (here / name).rename(here / "two" / name)
    assert run("transfer", models / "shared", "two", "poses", "--out", "made") == 0
    assert [line.count("so the pose is scaled and moved") for line in told] == [1]
    assert told[0].startswith("note: p1, target: the figure of the pose is 0.5 times as large as the source's")
    assert told[0].endswith("; so are 2 other poses\n")


@pytest.mark.parametrize("sees_image", [False, True])
def test_poses_without_the_picture_that_the_structure_looks_at_are_told(models, here, capsys, monkeypatch, sees_image):
    monkeypatch.setattr(HeatmapEncoder, "sees_image", sees_image)
    assert run("transfer", models / "shared", "a.png", "poses", "--out", "made") == 0
    assert ("2 of 2 poses come without their picture" in capsys.readouterr().err) == sees_image


@pytest.mark.parametrize("is_terminal", [False, True])
def test_steps_that_take_a_moment_are_told_at_a_terminal(models, here, capsys, monkeypatch, is_terminal):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    assert run("transfer", models / "shared", "a.png", "c.json") == 0
    told = capsys.readouterr().err
    assert told.startswith(f"reading {models / 'shared'} …\n") == is_terminal
    assert told.endswith("generating the picture …\n") == is_terminal


def test_a_model_of_clips_generates_no_single_pictures(models, here, capsys):
    assert run("transfer", models / "clips", "a.png", "c.json") == 1
    assert "a model of clips, not of single images: use `posegen animate`" in capsys.readouterr().err
    assert not (here / "a_to_c.png").exists()


@pytest.mark.parametrize("command", ["transfer", "interpolate", "animate"])
def test_help_has_examples_that_parse(command, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    lines = [line.strip().split("  ")[0] for line in capsys.readouterr().out.split("examples:")[1].splitlines()]
    examples = [line for line in lines if line.startswith(f"posegen {command} ")]
    assert len(examples) >= 2
    parser = build_parser(COMMANDS[command])
    for example in examples:
        parsed = parser.parse_args(example.split()[2:])
        assert (parsed.checkpoint is None) == ("shared_model/" in example)


# The size of the model's pictures


@pytest.mark.parametrize(
    ("size", "told"),
    [
        ((40, 48), "the model works at 32×32 pixels; a.png, 40×48, is {seen}"),
        ((65, 64), "the model works at 32×32 pixels"),
        ((32, 32), ""),
    ],
)
@pytest.mark.parametrize("listed", [False, True])
def test_the_size_that_the_model_works_at_is_described(models, here, size, told, listed):
    Image.open(here / "a.png").resize(size).save(here / "a.png")
    points = Keypoints(np.linspace((1, 1), (30, 30), 18), np.ones(18), frame=None if listed else size[::-1])
    source = PoseInput(Path("a.png"), replace(points, listed=listed))
    config = load_config(models / "tiny.py")
    found = describe_size(config, ENCODER.layout, [source])
    cropped = "cropped around the figure (--crop none keeps all of it)"
    seen = "stretched to these proportions, as its data set does it" if listed else cropped
    assert told.format(seen=seen) in found
    assert bool(told) == bool(found)
    if "seen" in told:
        assert f"a.png, 40×48, is {seen}, as are 2 others" in describe_size(config, ENCODER.layout, [source] * 3)
    if "seen" in told and not listed:
        assert "a.png, 40×48, is padded to the model's" in describe_size(config, ENCODER.layout, [source], "none")


@pytest.mark.parametrize("command", ["transfer", "interpolate"])
def test_commands_describe_the_size_and_warn_of_points_outside(models, here, capsys, command):
    points = read_points(here / "poses" / "p1.json")
    points[:3, 0] += 5 * WIDTH
    write_points(here / "poses" / "p1.json", points)
    outside = "p1, target: 3 of 18 key points lie outside of the picture, which has 40×48 pixels"
    with pytest.warns(UserWarning, match=outside):
        assert run(command, models / "shared", "a.png", "poses/p1.json") == 0
    told = capsys.readouterr().err
    assert told.startswith("the model works at 32×32 pixels; a.png, 40×48, is cropped")
    assert "; results have the size of the source\n" in told


# Files that belong together


def test_only_json_files_beside_a_picture_count_if_there_are_any(here):
    for name in ("a.mp4", "a.txt", "a.csv", "bare.mp4"):
        (here / name).write_text("a result, or notes")
    assert find_sources(Path("a.png"), None) == [PoseInput(Path("a.png"), Path("a.json"), "a")]
    assert find_sources(Path("bare.png"), None) == [PoseInput(Path("bare.png"), None, "bare")]  # a clip has no points


@pytest.mark.parametrize("name", ["bare.MOV", "bare.AAE", "bare.dng", "bare.xmp", "bare.mp4"])
def test_what_cameras_write_beside_a_photograph_are_no_key_points(here, name):
    (here / name).write_bytes(b"no key points")
    (source,) = find_sources(here / "bare.png", None)
    assert source.structure is None


NOTE = '{"title": "bare.png", "photoTakenTime": {"timestamp": "1"}}'


@pytest.mark.parametrize(("name", "text"), [("bare.txt", "a woman in red"), ("bare.png.json", NOTE)])
def test_a_caption_or_a_note_beside_a_photograph_is_passed_over_and_told(here, estimate, name, text):
    (here / name).write_text(text)
    with pytest.warns(UserWarning, match=rf"{name} holds no openpose18 key points that a plugin reads \(a"):
        assert estimate(0).present.sum() == 9
    given = find_sources(Path("bare.png"), Path(name))
    with pytest.raises(DataError, match="no plugin reads"):
        read_inputs(given, [], ENCODER)


def test_key_points_may_be_called_after_the_whole_name_of_their_picture(here):
    write_points(here / "bare.png.json", np.ones((18, 3)))
    assert find_sources(Path("bare.png"), None)[0].structure == Path("bare.png.json")
    assert find_targets(Path("bare.png.json"), None) == [PoseInput(Path("bare.png"), Path("bare.png.json"), "bare")]
    (here / "poses" / "p1.json").rename(here / "poses" / "p1.jpg.json")
    (here / "b.jpg").rename(here / "poses" / "p1.jpg")
    (here / "poses" / "p1.jpg.supplemental-metadata.json").write_text(NOTE)
    targets = [(one.name, one.picture, one.structure) for one in find_targets(Path("poses"), None)]
    p1, p2 = Path("poses/p1.jpg"), Path("poses/p2.json")
    assert targets == [("p1", p1, Path("poses/p1.jpg.json")), ("p2", None, p2)]
    write_points(here / "bare.json", np.ones((18, 3)))
    assert find_sources(Path("bare.png"), None)[0].structure == Path("bare.json")


def test_a_video_as_a_target_is_named_with_the_command_that_takes_it(here):
    (here / "dance.MP4").write_bytes(b"a video")
    with pytest.raises(DataError, match=r"(?s)dance\.MP4.*is a video.*posegen animate MODEL"):
        find_targets(here / "dance.MP4", None)
    with pytest.raises(DataError, match=r"(?s)is a video, and holds no key points.*--video"):
        find_poses(here / "dance.MP4")


@pytest.mark.parametrize("ending", [".png", ".jpg", ".webp"])
def test_a_result_beside_key_points_is_not_the_picture_whose_pixels_they_count(here, ending):
    """The same command again gives the same result."""
    write_generated(here / f"c{ending}", read_image(here / "a.png"))
    if ending != ".png":
        (here / "c.png").unlink()
    told = rf"c{ending} was generated by posegen, so it is not used as the picture whose pixels the points of c\.json"
    with pytest.warns(UserWarning, match=told):
        assert find_targets(Path("c.json"), None) == [PoseInput(None, Path("c.json"), "c")]
    assert find_targets(Path(f"c{ending}"), None)[0].picture == Path(f"c{ending}")  # if it is given itself


def test_a_generated_picture_of_another_program_is_used(here):
    write_generated(here / "c.png", read_image(here / "c.png"))
    (here / "c.png").write_bytes((here / "c.png").read_bytes().replace(b'"posegen ', b'"another '))
    assert find_targets(Path("c.json"), None)[0].picture == Path("c.png")


# Models


@pytest.mark.parametrize(
    ("model", "more", "error", "words"),
    [
        ("tiny.py", {}, ConfigError, "missing argument: CHECKPOINT"),
        ("shared", {"checkpoint": "checkpoint.pth"}, ConfigError, "remove CHECKPOINT and --cfg-options"),
        ("shared", {"overrides": {"batch_size": 3}}, ConfigError, "remove CHECKPOINT and --cfg-options"),
        ("tiny.py", {"checkpoint": "none.pth"}, CheckpointError, "no such checkpoint: none.pth"),
        ("tiny.py", {"checkpoint": "checkpoint.pth", "revision": "v1"}, ConfigError, "--revision v1 is for a model on"),
        ("nowhere", {}, MissingWeightsError, "no folder and no shared model is called nowhere"),
        (".", {}, ConfigError, "is not a shared model: it has no config.json"),
    ],
)
def test_a_model_that_cannot_be_found_is_an_error(models, monkeypatch, model, more, error, words):
    monkeypatch.chdir(models)
    with pytest.raises(error, match=words):
        ModelSource.find(model, **more)


def test_the_weights_are_read_by_load_only(models, tmp_path):
    (tmp_path / "broken.pth").write_text("no weights")
    source = ModelSource.find(load_config(models / "tiny.py"), tmp_path / "broken.pth")
    with pytest.raises(CheckpointError, match=r"broken\.pth"):
        source.load()


# tools/infer.py

POINTS = ["--source", "a.png", "--source-keypoints", "a.json", "--target-keypoints", "c.json"]


def infer(monkeypatch, *arguments: object) -> int:
    """Run the script and return its exit status."""
    tool = CONFIGS.parent / "tools" / "infer.py"
    monkeypatch.setattr(sys, "argv", [str(tool), *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(tool), run_name="__main__")
    return int(ended.value.code)


def test_the_infer_script_writes_what_transfer_writes(models, here, monkeypatch, capsys):
    arguments = [models / "shared", *POINTS, "--out", "made/out.png", "--overlay"]
    assert infer(monkeypatch, *arguments) == 0
    assert run("transfer", models / "shared", "a.png", "c.json", "--no-resize-back") == 0
    assert (here / "made" / "out.png").read_bytes() == (here / "a_to_c.png").read_bytes()
    assert Image.open(here / "made" / "out_overlay.png").size > (5 * 32, 32)
    assert infer(monkeypatch, *arguments) == 1
    assert "--force" in capsys.readouterr().err
    assert infer(monkeypatch, *arguments, "--force") == 0


def test_the_target_image_of_the_infer_script_selects_an_entry_of_a_list(models, here, monkeypatch, capsys):
    (here / "many.csv").write_text(annotation_list("a.png", "c.png"))
    arguments = [models / "shared", *POINTS[:-1], "many.csv", "--out", "out.png"]
    assert infer(monkeypatch, *arguments) == 1
    assert "many.csv" in capsys.readouterr().err
    assert infer(monkeypatch, *arguments, "--target-image", "c.png") == 0
    (here / "one.csv").write_text(annotation_list("anyone.png"))
    arguments[arguments.index("many.csv")] = "one.csv"
    assert infer(monkeypatch, *arguments, "--force") == 0


@pytest.mark.parametrize(
    ("file", "words"),
    [("c.json", "not JSON"), ("a.png", "not an image"), ("out.bmp", "must end in .png"), ("none.pth", "no such chec")],
)
def test_the_infer_script_names_the_file_that_is_wrong(models, here, monkeypatch, capsys, file, words):
    (here / file).write_text("{") if file != "none.pth" else None
    model = [models / "tiny.py", "none.pth"] if file == "none.pth" else [models / "shared"]
    out = file if file == "out.bmp" else "out.png"
    assert infer(monkeypatch, *model, *POINTS, "--out", out) == 1
    error = capsys.readouterr().err
    assert file in error
    assert words in error
    assert not (here / "out.png").exists()


# Precision


@pytest.mark.parametrize("native", [True, False])
def test_pictures_are_generated_in_bfloat16_if_the_processor_computes_in_it(models, here, monkeypatch, native):
    monkeypatch.setattr("posegen.acceleration.precision.native_bfloat16", lambda device="cpu": native)
    made = {}
    for precision in ("auto", "fp32", "bf16"):
        options = ["--precision", precision, "--out", f"{precision}.png", "--device", "cpu"]
        assert run("transfer", models / "shared", "a.png", "c.json", *options) == 0
        made[precision] = pixels(here / f"{precision}.png")
    assert np.array_equal(made["auto"], made["bf16" if native else "fp32"])
    assert 0 < np.abs(made["bf16"] - made["fp32"]).mean() < 3  # gray levels; these weights are random


# Pose estimators


class Middle:
    """A plugin with an estimator that finds one figure for each white corner, its points on a line to the middle."""

    def __init__(self, layout: str = "openpose18", fails: bool = False, masks: bool = False) -> None:
        self.layout, self.fails, self.masks = layout, fails, masks

    @hookimpl
    def posegen_catalogue(self):
        segment = (lambda: self.segment) if self.masks else None
        return [StructureEstimator("middle", self.layout, lambda: self.estimate, load_segment=segment)]

    def segment(self, image: np.ndarray, keypoints: Keypoints) -> np.ndarray:
        """The left half of an image."""
        return np.tile(np.arange(image.shape[1]) < image.shape[1] // 2, (len(image), 1)).astype(float)

    def estimate(self, image: np.ndarray) -> list[Figure]:
        if self.fails:
            raise RuntimeError("out of luck")
        height, width = image.shape[:2]
        points = np.linspace((0, 0), (width / 2, height / 2), 18)
        whole = Figure(Keypoints(points, np.ones(18)), np.ones(18))
        part = Figure(Keypoints(points + 3, np.arange(18) < 9), np.ones(18))
        white = [image[row, column].min() == 255 for row, column in ((0, 0), (0, -1))]
        return [figure for figure, there in zip((part, whole), white, strict=True) if there]


@pytest.fixture
def estimate(here):
    """Returns a function that estimates the points in a picture whose corners (columns) are white."""

    def read(*white: int, name: str | None = "middle", **options: object) -> Keypoints:
        image = read_image(here / "bare.png").copy()
        image[0, [0, -1]] = 0
        image[0, list(white)] = 255
        Image.fromarray(image).save(here / "bare.png")
        with plugins.temporary():
            plugins.add(Middle(**options), "middle")
            (found,), _ = read_inputs(find_sources(Path("bare.png"), None), [], ENCODER, name)
        return found.structure

    return read


def test_an_estimator_finds_key_points_that_are_in_no_file(estimate):
    found = estimate(-1)
    assert found.present.all()
    assert np.allclose(found.points, np.linspace((0, 0), (WIDTH / 2, HEIGHT / 2), 18))
    assert found.frame == (HEIGHT, WIDTH)


def test_inputs_know_whether_their_key_points_were_estimated(here):
    image = np.full_like(read_image(here / "bare.png"), 255)
    given = PoseInput(image, Keypoints(np.linspace((5, 5), (30, 30), 18), np.ones(18)))
    with plugins.temporary():
        plugins.add(Middle(), "middle")
        found = read_inputs([PoseInput(image), given], [PoseInput(image), given], ENCODER, "middle")
    assert [[one.is_estimated for one in inputs] for inputs in found] == [[True, False]] * 2


def test_the_largest_figure_is_taken_with_a_warning(estimate):
    with pytest.warns(
        UserWarning, match=r"figure 1 of 2, the largest \(others: 2 at 8,9\), is taken; another one can be chosen"
    ):
        assert estimate(0, -1).present.all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, [r"bare\.png: the estimator found no figure", "--source-keypoints"]),
        ({"fails": True}, ["'middle' failed: RuntimeError: out of luck"]),
        ({"layout": "ibug68"}, ["no estimator called 'middle'"]),
        ({"layout": "no such layout"}, ["no keypoint layout"]),
    ],
)
def test_an_estimator_that_finds_nothing_or_cannot_run_is_named(estimate, options, words):
    with pytest.raises(PosegenError, match="(?s)" + ".*".join(words)):
        estimate(**options)


def test_transfer_takes_the_name_of_an_estimator(models, here, capsys, monkeypatch):
    arguments = ["transfer", models / "shared", "bare.png", "c.json", "--estimator", "nobody"]
    assert "no estimator called 'nobody'" in refused(capsys, monkeypatch, *arguments)


# Outputs


def test_a_picture_that_is_read_is_not_overwritten_even_with_force(models, here, capsys, monkeypatch):
    before = (here / "a.png").read_bytes()
    (here / "link.png").symlink_to("a.png")
    for out in ("a.png", "link.png", "./poses/../a.png"):
        arguments = ["transfer", models / "shared", "a.png", "c.json", "--out", out, "--force"]
        assert "is read and would be overwritten" in refused(capsys, monkeypatch, *arguments)
    assert (here / "a.png").read_bytes() == before


@pytest.mark.parametrize("out", ["a.json/made", "a.json/made.png", "locked/made.png"])
def test_an_output_that_cannot_be_written_is_refused_before_the_model_runs(models, here, capsys, monkeypatch, out):
    def denied(dir):
        if Path(dir).name == "locked":
            raise PermissionError(13, "Permission denied")
        return tempfile.SpooledTemporaryFile()

    (here / "locked").mkdir()
    monkeypatch.setattr(tempfile, "TemporaryFile", denied)  # a superuser may write everywhere
    error = refused(capsys, monkeypatch, "transfer", models / "shared", "a.png", "c.json", "--out", out)
    assert "nothing can be written to" in error


def test_a_folder_with_a_dot_in_its_name_is_a_folder_and_home_is_expanded(models, here, monkeypatch):
    monkeypatch.setenv("HOME", str(here / "home"))
    assert run("transfer", models / "shared", "a.png", "c.json", "--out=~/results.v2") == 0
    assert (here / "home" / "results.v2" / "a_to_c.png").is_file()
    with pytest.raises(PosegenError, match=r"made\.gif: a picture must end in \.png"):
        output_paths([PoseInput()], [PoseInput()], Path("made.gif"))


def test_a_folder_that_was_interrupted_is_gone_on_with(models, here, capsys):
    arguments = ["transfer", models / "shared", "a.png", "poses", "--out", "made"]
    assert run(*arguments) == 0
    second = pixels(here / "made" / "a_to_p2.png")
    (here / "made" / "a_to_p2.png").unlink()
    (here / "made" / "a_to_p1.png").write_text("mine")
    capsys.readouterr()
    assert run(*arguments, "--skip-existing") == 0
    printed = capsys.readouterr()
    assert "1 of 2 pictures exist and are kept" in printed.err
    assert printed.out.split() == ["made/a_to_p2.png"]
    again = pixels(here / "made" / "a_to_p2.png")  # in another batch, which some processors round otherwise
    assert np.abs(again - second).max() <= 1
    assert (here / "made" / "a_to_p1.png").read_text() == "mine"
    assert run(*arguments, "--skip-existing") == 0  # nothing to do


# Transparency


def cut_out(path: Path) -> None:
    """Make the right half of a picture transparent, with green under it."""
    image = np.dstack([np.asarray(Image.open(path)), np.full((HEIGHT, WIDTH), 255, np.uint8)])
    image[:, WIDTH // 2 :] = (0, 255, 0, 0)
    Image.fromarray(image).save(path)


def test_a_cut_out_is_moved_on_a_background_and_may_keep_its_alpha(models, here, capsys, monkeypatch):
    cut_out(here / "a.png")
    arguments = ["transfer", models / "shared", "a.png", "c.json", "--resize-back", *AS_THEY_STAND]
    with pytest.warns(UserWarning, match="transparent parts, which show the background: white"):
        assert run(*arguments, "--out", "white.png") == 0
    with pytest.warns(UserWarning, match="the given image"):
        assert run(*arguments, "--out", "blue.png", "--background", "c.png") == 0
    assert (pixels(here / "white.png") != pixels(here / "blue.png")).any()
    assert b"/compositeWithTrainedAlgorithmicMedia" in (here / "blue.png").read_bytes()  # it is put back
    with pytest.warns(UserWarning, match="transparent"):
        assert run(*arguments, "--out", "kept.webp", "--keep-alpha") == 0
    kept = Image.open(here / "kept.webp")
    assert (kept.mode, kept.size) == ("RGBA", (WIDTH, HEIGHT))
    assert kept.getchannel("A").getextrema()[0] < 255
    with monkeypatch.context() as patch:
        error = refused(capsys, patch, *arguments, "--out", "kept.jpg", "--keep-alpha")
    assert "--keep-alpha: kept.jpg cannot hold transparency; use .png or .webp" in error
    assert "neither a color" in refused(capsys, monkeypatch, *arguments, "--background", "no-color")


@pytest.mark.parametrize("resize_back", [[], ["--resize-back"]])
def test_the_figure_of_an_opaque_photograph_is_cut_out_for_a_background(models, here, monkeypatch, resize_back):
    monkeypatch.setattr("posegen.inference.cutout.limbs_seen", lambda *given: 0)  # the mask alone
    options = ["--estimator", "middle", "--background", "#010203", *resize_back, *AS_THEY_STAND]
    with plugins.temporary():
        plugins.add(Middle(masks=True), "middle")
        assert run("transfer", models / "shared", "a.png", "c.json", "--out", "made.png", *options) == 0
        assert run("transfer", models / "shared", "a.png", "c.json", "--out", "kept.png", "--keep-alpha", *options) == 0
        clip = ["--frames", "2", "--pause", "0", "--fps", "2"]
        assert run("interpolate", models / "shared", "a.png", "c.json", "--out", "clip.mp4", *clip, *options) == 0
    made = pixels(here / "made.png")
    middle = made.shape[1] // 2
    assert (made[:, middle:] == (1, 2, 3)).all()
    assert (made[:, :middle] != (1, 2, 3)).any()
    assert b"/trainedAlgorithmicMedia" in (here / "made.png").read_bytes()
    kept = np.asarray(Image.open(here / "kept.png"))
    assert (kept[:, :middle, 3] == 255).all()
    assert (kept[:, middle:, 3] == 0).all()
    assert all(np.abs(frame[:, middle + 2 :] - (1.0, 2, 3)).max() < 12 for frame in VideoReader(here / "clip.mp4"))


def test_a_background_of_an_opaque_photograph_requires_masks(models, here, capsys, monkeypatch):
    arguments = ["transfer", models / "shared", "a.png", "c.json", "--background", "white", "--estimator", "middle"]
    with plugins.temporary():
        plugins.add(Middle(), "middle")
        error = refused(capsys, monkeypatch, *arguments)
    assert "another background: the figure has to be cut out of an opaque photograph" in error
    assert "'middle' gives no masks of figures; of those that find openpose18 key points these do: blazepose" in error
