"""``posegen transfer``, ``animate``, ``interpolate``: pictures in, pictures and clips out; and poses between poses."""

from __future__ import annotations

import json
import warnings
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import posegen
from posegen import plugins
from posegen.cli import COMMANDS, build_parser, main
from posegen.cli.animate import side_by_side
from posegen.config import load_config
from posegen.data import KeypointLayout, Keypoints, get_layout
from posegen.data.generated import write_generated
from posegen.data.images import read_image, to_uint8
from posegen.data.interpolation import interpolate_keypoints
from posegen.errors import InputError
from posegen.hookspecs import hookimpl
from posegen.inference import Inferencer, Prepared
from posegen.poses import Figure, StructureEstimator, read_poses, source_subjects, target_subjects
from posegen.records import Transfer
from posegen.registry import STRUCTURE_ENCODERS

from .conftest import CONFIGS, write_tiny

HEIGHT, WIDTH = 48, 40  # of the pictures; the model's are 32×32
MARK = "A generated picture"


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with shared models, of single images and of clips, and config and checkpoint of the former."""
    folder = tmp_path_factory.mktemp("transfer")
    torch.manual_seed(0)
    model = lively(posegen.load_model(write_tiny(folder)))
    torch.save(model.state_dict(), folder / "checkpoint.pth")
    model.save_pretrained(folder / "shared")
    lively(posegen.load_model(load_config(CONFIGS / "gfla_dancing_dolls.py", NARROW))).save_pretrained(folder / "clips")
    return folder


NARROW: dict[str, object] = {"size": [32, 32]} | {
    f"model.{network}.{width}": channels
    for network in ("flow_estimator", "renderer")
    for width, channels in (("base_width", 16), ("max_width", 32))
}


def lively(model: torch.nn.Module) -> torch.nn.Module:
    """As a model begins, its pictures are gray, whatever the pose."""
    for parameter in model.parameters():
        if parameter.ndim == 4:
            torch.nn.init.kaiming_normal_(parameter)
    return model


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """The folder one stands in: three pictures with points beside them, a picture without, poses without pictures."""
    rng = np.random.default_rng(0)
    (tmp_path / "poses").mkdir()
    for name in ("a.png", "b.jpg", "c.png", "bare.png"):
        Image.fromarray(rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)).save(tmp_path / name)
    for name in ("a.json", "b_keypoints.json", "c.json", "poses/p1.json", "poses/p2.json"):
        points = np.column_stack([rng.uniform(0, WIDTH - 1, 18), rng.uniform(0, HEIGHT - 1, 18), np.ones(18)])
        write_points(tmp_path / name, points)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_points(path: Path, *subjects: np.ndarray, **more: object) -> None:
    path.parent.mkdir(exist_ok=True)
    people = [{"pose_keypoints_2d": points.ravel().tolist()} for points in subjects]
    path.write_text(json.dumps({"people": people, **more}))


def read_points(path: Path) -> np.ndarray:
    return np.array(json.loads(path.read_text())["people"][0]["pose_keypoints_2d"]).reshape(18, 3)


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def refused(capsys, monkeypatch, *arguments: object) -> str:
    """The error that a command ends with, before it has loaded a model."""
    monkeypatch.setattr("posegen.inference.Inferencer", lambda *_, **__: pytest.fail("the model was loaded"))
    capsys.readouterr()
    assert run(*arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "Traceback" not in error
    return error


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(int)


# transfer


def test_a_picture_and_a_pose_give_a_picture_that_is_what_the_model_makes(place, here, capsys):
    assert run("transfer", place / "shared", "a.png", "c.json") == 0
    assert capsys.readouterr().out.splitlines() == ["a_to_c.png"]
    made = Inferencer(place / "shared", device="cpu").infer("a.png", "c.json", "a.json")[0]
    assert np.array_equal(pixels(here / "a_to_c.png"), made.image)


def test_config_and_checkpoint_give_the_same_as_the_shared_folder(place, here):
    run("transfer", place / "shared", "a.png", "c.json")
    assert run("transfer", place / "tiny.py", place / "checkpoint.pth", "a.png", "c.json", "--out", "again.png") == 0
    assert np.array_equal(pixels(here / "again.png"), pixels(here / "a_to_c.png"))


def test_every_picture_of_a_folder_goes_into_every_pose_of_another(place, here):
    """Eight go through the model at once; four sources and three targets are more than that."""
    for name in ("a", "b", "c"):
        (here / f"{name}.txt").write_text("no picture")
    (here / "bare.png").rename(here / "d.png")
    (here / "c.json").rename(here / "d.json")
    write_points(here / "poses" / "p3_keypoints.json", np.linspace((1, 1, 1), (30, 40, 1), 18))
    (here / "list.csv").write_text(annotation_list("a.png", "b.jpg", "c.png", "d.png"))
    arguments = ["transfer", place / "shared", ".", "poses", "--source-keypoints", "list.csv", "--out", "made"]
    assert run(*arguments) == 0
    names = {f"{source}_to_{target}.png" for source in "abcd" for target in ("p1", "p2", "p3")}
    assert {path.name for path in (here / "made").iterdir()} == names
    assert run("transfer", place / "shared", "d.png", "poses/p3_keypoints.json", "--out", "one.png") == 0
    assert not np.array_equal(pixels(here / "made" / "d_to_p1.png"), pixels(here / "made" / "d_to_p2.png"))


def annotation_list(*names: str) -> str:
    numbers = list(range(18))
    return "name:keypoints_y:keypoints_x\n" + "".join(f"{name}: {numbers}: {numbers}\n" for name in names)


def test_points_count_pixels_of_the_picture_beside_them(place, here):
    """The pose of c, twice as large beside a picture twice as large, is the same pose."""
    run("transfer", place / "shared", "a.png", "c.json", "--out", "small.png")
    write_points(here / "c.json", read_points(here / "c.json") * [2, 2, 1])
    Image.open(here / "c.png").resize((2 * WIDTH, 2 * HEIGHT)).save(here / "c.png")
    run("transfer", place / "shared", "a.png", "c.json", "--out", "large.png")
    assert np.abs(pixels(here / "small.png") - pixels(here / "large.png")).max() <= 1  # of rounding


def test_a_target_picture_is_the_same_as_its_points(place, here):
    run("transfer", place / "shared", "a.png", "c.json", "--out", "points.png")
    run("transfer", place / "shared", "a.png", "c.png", "--out", "picture.png")
    assert (here / "points.png").read_bytes() == (here / "picture.png").read_bytes()


@pytest.mark.parametrize("ending", [".png", ".jpg", ".webp"])
def test_a_picture_says_that_it_was_generated(place, here, ending):
    assert run("transfer", place / "shared", "b.jpg", "c.json", "--out", f"made{ending}") == 0
    with Image.open(here / f"made{ending}") as image:
        exif = image.getexif()
        told = image.text if ending == ".png" else {"Software": exif[0x0131], "Comment": exif[0x010E]}
    assert told["Software"] == f"posegen {posegen.__version__}"
    assert told["Comment"].startswith(MARK)


def test_explain_writes_a_sheet_beside(place, here, capsys):
    assert run("transfer", place / "shared", "a.png", "poses", "--out", "made", "--explain") == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
    width, height = Image.open(here / "made" / "a_to_p1_explained.png").size
    assert width > 6 * 32  # source, two structures, flow, mask, warped source, result
    assert height > 32


def test_resized_back_the_result_has_the_sources_size(place, here):
    assert run("transfer", place / "shared", "a.png", "c.json", "--resize-back") == 0
    assert Image.open(here / "a_to_c.png").size == (WIDTH, HEIGHT)


@pytest.mark.parametrize("existing", ["a_to_c.png", "a_to_c_explained.png"])
def test_nothing_is_overwritten_unless_forced(place, here, capsys, monkeypatch, existing):
    (here / existing).write_text("mine")
    arguments = ["transfer", place / "shared", "a.png", "c.json", "--explain"]
    with monkeypatch.context() as patch:
        assert "--force" in refused(capsys, patch, *arguments)
    assert (here / existing).read_text() == "mine"
    assert run(*arguments, "--force") == 0
    assert Image.open(here / existing).format == "PNG"


@pytest.mark.parametrize(
    ("source", "target", "more", "words"),
    [
        ("none.png", "c.json", [], ["none.png", "no such file"]),
        ("a.json", "c.json", [], ["is no picture"]),
        ("poses", "c.json", [], ["holds no picture"]),
        ("a.png", "none.json", [], ["none.json", "no such file"]),
        ("a.png", "empty", [], ["holds no files"]),
        ("a.png", "broken.json", [], ["broken.json", "not JSON"]),
        ("torn.png", "broken.json", ["--source-keypoints", "a.json"], ["torn.png", "broken.json"]),
        ("a.png", "c.json", ["--source-keypoints", "none.json"], ["none.json"]),
        ("a.png", "c.json", ["--target-keypoints", "a.json"], ["is no picture"]),
        ("a.png", "c.json", ["--out", "made.bmp"], [".png", ".webp"]),
        ("a.png", "c.json", ["--out", "Makefile"], ["is a file"]),
        ("a.png", "poses", ["--out", "made.png"], ["2 are to be written"]),
        ("twice.png", "c.json", [], ["twice.json or twice_keypoints.json", "--source-keypoints"]),
        ("a.png", "twice.png", [], ["twice.json or twice_keypoints.json", "--target-keypoints"]),
        (
            "a.png",
            "shares.json",
            [],
            ["shares.json", "all 18 key points lie within 2 pixels of the upper", "multiply x"],
        ),
        ("a.png", "far.json", [], ["far.json, in pixels of the source", "18 of 18 key points lie outside", "40×48"]),
        ("away.png", "c.json", [], ["away.json, in away.png: 18 of 18", "40×48"]),
        ("a.png", "list.csv", [], ["2 images: x.png, y.png", "Say which image is meant", "--target-keypoints"]),
        ("a.png", "bare.png", ["--target-keypoints", "list.csv"], ["no images called 'bare.png', but of x.png, y.png"]),
        ("a.png", "other.json", [], ["an object with 'pose'", "docs/formats.md"]),
        (
            "a.png",
            "other_size.png",
            [],
            ["other_size.json, in other_size.png", "100×48, as their file says", "40×48"],
        ),
        ("twins", "c.json", [], ["several are called 'x'"]),
    ],
)
def test_what_is_wrong_is_told_before_a_model_is_loaded(place, here, capsys, monkeypatch, source, target, more, words):
    (here / "empty").mkdir()
    (here / "twins").mkdir()
    for name in ("twins/x.png", "twins/x.jpg", "twice.png", "away.png", "other_size.png"):
        Image.open(here / "a.png").save(here / name)
    for name in ("broken.json", "torn.png", "Makefile", "twice.json", "twice_keypoints.json"):
        (here / name).write_text("{")
    points = read_points(here / "a.json")
    write_points(here / "shares.json", points / [WIDTH, HEIGHT, 1])
    for name in ("far.json", "away.json"):
        write_points(here / name, np.add(points, [5 * WIDTH, 0, 0]))
    write_points(here / "other_size.json", points, canvas_width=100, canvas_height=HEIGHT)
    (here / "list.csv").write_text(annotation_list("x.png", "y.png"))
    (here / "other.json").write_text('{"pose": 1}')
    before = sorted(here.iterdir())
    error = refused(capsys, monkeypatch, "transfer", place / "shared", source, target, *more)
    for word in words:
        assert word in error
    assert sorted(here.iterdir()) == before


def test_only_json_beside_a_picture_matters_where_there_is_json(place, here):
    run("transfer", place / "shared", "a.png", "c.json", "--out", "first.png")
    for name in ("a.mp4", "a.txt", "a.csv", "c.mp4"):
        (here / name).write_text("a result, or notes")
    assert run("transfer", place / "shared", "a.png", "c.png", "--out", "again.png") == 0
    assert (here / "again.png").read_bytes() == (here / "first.png").read_bytes()


def test_a_clip_alone_beside_a_picture_is_not_taken_for_its_key_points(here):
    (here / "bare.mp4").write_text("a result")
    assert source_subjects(Path("bare.png"), None)[0].keypoints is None


@pytest.mark.parametrize("ending", [".png", ".jpg", ".webp"])
def test_a_result_beside_key_points_is_not_the_picture_whose_pixels_they_count(place, here, monkeypatch, ending):
    """So the same command again gives the same, and a clip to the same pose ends in it."""
    (here / "c.png").unlink()
    arguments = ["transfer", place / "shared", "a.png", "c.json", "--out"]
    assert run(*arguments, "true.png") == 0
    assert run(*arguments, f"c{ending}") == 0
    first = pixels(here / f"c{ending}")
    told = rf"c{ending} is a result of posegen, and not taken for the picture whose pixels the points of c\.json count"
    with pytest.warns(UserWarning, match=told):
        assert run(*arguments, f"c{ending}", "--force") == 0
    assert (pixels(here / f"c{ending}") == first).all()
    monkeypatch.setattr("posegen.visualization.video.VideoWriter", Recorder)
    with pytest.warns(UserWarning, match=told):
        assert run("interpolate", place / "shared", "a.png", "c.json", "--frames", "2", "--pause", "0") == 0
    assert np.abs(RECORDED[-1][-1] - pixels(here / "true.png")).mean() < 0.5  # a batch may sum in another order
    assert target_subjects(Path(f"c{ending}"), None)[0].picture == Path(f"c{ending}")  # given itself, it is taken


def test_a_generated_picture_of_another_program_is_taken(here):
    write_generated(here / "c.png", read_image(here / "c.png"))
    (here / "c.png").write_bytes((here / "c.png").read_bytes().replace(b'"posegen ', b'"another '))
    assert target_subjects(Path("c.json"), None)[0].picture == Path("c.png")


def test_points_count_pixels_of_a_picture_of_the_size_that_their_file_says(place, here, monkeypatch):
    """In transfer, at the end of a clip, and in its frames: the same pose in a frame twice as wide."""
    monkeypatch.setattr("posegen.visualization.video.VideoWriter", Recorder)

    def made() -> list[np.ndarray]:
        assert run("transfer", place / "shared", "a.png", "poses/p1.json", "--out", "made.png", "--force") == 0
        assert run("interpolate", place / "shared", "a.png", "poses/p1.json", "--frames", "2", "--pause", "0") == 0
        clip = animated(monkeypatch, place / "shared", "--reference", "a.png", "--structures", "poses")[0]
        return [pixels(here / "made.png"), RECORDED[-3][-1], clip[0]]

    small = made()
    wide = read_points(here / "poses" / "p1.json") * [2, 1, 1]
    write_points(here / "poses" / "p1.json", wide, canvas_width=2 * WIDTH, canvas_height=HEIGHT)
    for one, other in zip(small, made(), strict=True):
        assert np.abs(one - other).max() <= 1  # of rounding


def test_points_of_a_picture_that_was_resized_go_with_it(place, here):
    run("transfer", place / "shared", "a.png", "c.json", "--out", "given.png")
    double = read_points(here / "a.json") * [2, 2, 1]
    write_points(here / "a.json", double, canvas_width=2 * WIDTH, canvas_height=2 * HEIGHT)
    run("transfer", place / "shared", "a.png", "c.json", "--out", "large.png")
    assert np.abs(pixels(here / "given.png") - pixels(here / "large.png")).max() <= 1  # of rounding


@pytest.mark.parametrize(
    ("size", "more", "told"),
    [
        ((40, 48), [], "32×32 pixels; a.png, 40×48, is stretched to these proportions; --resize-back gives results of"),
        ((40, 48), ["--resize-back"], "32×32 pixels; a.png, 40×48, is stretched to these proportions\n"),
        ((65, 64), [], "32×32 pixels; --resize-back gives results of the source's size\n"),
        ((32, 32), [], ""),
    ],
)
def test_the_size_that_the_model_works_at_is_told_in_a_line(place, here, capsys, size, more, told):
    Image.open(here / "a.png").resize(size).save(here / "a.png")
    write_points(here / "a.json", np.linspace((1, 1, 1), (30, 30, 1), 18))
    for command in (["transfer", "a.png", "a.json"], ["interpolate", "a.png", "a.json", "--frames", "2"]):
        assert run(command[0], place / "shared", *command[1:], *more) == 0
        error = capsys.readouterr().err
        assert told in error
        assert error.count("\n") == bool(told)


def test_a_picture_whose_points_are_in_a_list_is_told_of_too(place, here, capsys):
    y, x = np.linspace((5, 5), (40, 30), 18).round().astype(int).T.tolist()
    (here / "list.csv").write_text(f"name:keypoints_y:keypoints_x\na.png: {y}: {x}\n")
    command = ["transfer", place / "shared", "a.png", "poses/p1.json", "--source-keypoints", "list.csv"]
    assert run(*command, "--out", "made.png") == 0
    assert "a.png, 40×48, is stretched to these proportions" in capsys.readouterr().err


def test_shares_that_say_the_size_of_their_picture_are_refused_with_their_name(place, here, capsys):
    triples = np.linspace((0.1, 0.1, 1), (0.9, 0.9, 1), 18)
    person = {"pose_keypoints_2d": triples.ravel().tolist()}
    (here / "shares.json").write_text(json.dumps({"people": [person], "canvas_width": 40, "canvas_height": 48}))
    for command in ("transfer", "interpolate"):
        assert run(command, place / "shared", "a.png", "shares.json") == 1
        error = capsys.readouterr().err
        assert "shares.json: all 18 key points lie within 2 pixels of the upper left" in error
        assert "the model works at" not in error, "told before"
    points = ["--source-keypoints", "a.json", "--target-keypoints", "shares.json"]
    assert run("infer", place / "shared", "--source", "a.png", *points, "--out", "made.png") == 1
    assert "shares.json: all 18 key points lie within 2 pixels of the upper left" in capsys.readouterr().err


def test_of_several_sources_one_that_is_stretched_is_named(place, here, capsys):
    (here / "bare.png").unlink()
    assert run("transfer", place / "shared", ".", "poses/p1.json", "--out", "made") == 0
    assert "a.png, 40×48, is stretched to these proportions, as are 2 others;" in capsys.readouterr().err


def test_which_of_several_people_was_taken_is_told_once(place, here):
    nobody = np.zeros((18, 3))
    for name in ("a.json", "poses/p1.json"):
        write_points(here / name, nobody, read_points(here / name))
    with pytest.warns(UserWarning, match=r"^a\.json: person 2 of 2 is taken, .* \(and in 1 other files\)$"):
        assert run("transfer", place / "shared", "a.png", "poses", "--out", "made") == 0


@pytest.mark.parametrize("command", ["transfer", "interpolate"])
def test_points_outside_of_a_target_are_warned_of(place, here, command):
    points = read_points(here / "poses" / "p1.json")
    points[:3, 0] += 5 * WIDTH
    write_points(here / "poses" / "p1.json", points)
    with pytest.warns(
        UserWarning, match="target: 3 of 18 key points lie outside of the picture, which has 40×48 pixels"
    ):
        assert run(command, place / "shared", "a.png", "poses/p1.json") == 0


def test_points_whose_x_and_y_are_exchanged_are_asked_about(place, here):
    points = np.linspace((2, 1, 1), (30, 47, 1), 18)
    write_points(here / "poses" / "p1.json", points[:, [1, 0, 2]])
    with pytest.warns(UserWarning, match="Are x and y exchanged"):
        assert run("transfer", place / "shared", "a.png", "poses/p1.json") == 0


def test_commands_warn_in_a_line_without_a_place_in_the_code(place, here, monkeypatch):
    def told(message, category, filename, lineno, *_):
        lines.append(warnings.formatwarning(message, category, filename, lineno))

    lines: list[str] = []
    before = warnings.formatwarning
    monkeypatch.setattr(warnings, "showwarning", told)
    write_points(here / "poses" / "p1.json", np.linspace((2, 1, 1), (60, 47, 1), 18))
    model, pose = place / "shared", "poses/p1.json"
    assert run("transfer", model, "a.png", pose) == 0
    assert run("interpolate", model, "a.png", pose, "--frames", "2") == 0
    assert run("animate", model, "--reference", "a.png", "--structures", "poses") == 0
    source = ["--source", "a.png", "--source-keypoints", "a.json", "--target-keypoints", pose]
    assert run("infer", model, *source, "--out", "out.png") == 0
    assert len(lines) == 4
    assert all(line.startswith("warning: ") and line.count("\n") == 1 and ".py" not in line for line in lines)
    assert warnings.formatwarning is before


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (["{place}/tiny.py"], "give the checkpoint"),
        (["{place}/shared", "{place}/checkpoint.pth"], "has its own weights"),
        (["{place}/tiny.py", "none.pth"], "no checkpoint none.pth"),
        (["nowhere"], "no folder nowhere"),
        (["poses"], "no shared model"),
    ],
)
def test_a_model_that_is_none_is_told_of(place, here, capsys, monkeypatch, model, words):
    named = [text.format(place=place) for text in model]
    assert words in refused(capsys, monkeypatch, "transfer", *named, "a.png", "c.json")


def test_a_model_of_clips_makes_no_single_pictures(place, here, capsys):
    assert run("transfer", place / "clips", "a.png", "c.json") == 1
    assert "a model of clips, not of single images: use `posegen animate`" in capsys.readouterr().err
    assert not (here / "a_to_c.png").exists()


@pytest.mark.parametrize("command", ["transfer", "interpolate", "animate"])
def test_help_has_examples_that_parse(command, capsys, here):
    with pytest.raises(SystemExit):
        run(command, "--help")
    shown = capsys.readouterr().out
    examples = [line.split("  ")[0] for line in shown.replace("\n  posegen", "\nposegen").splitlines()]
    examples = [line for line in examples if line.startswith(f"posegen {command} ")]
    assert len(examples) >= 2
    parser = build_parser(COMMANDS[command])
    for example in examples:
        parsed = parser.parse_args(example.split()[2:])
        assert (parsed.checkpoint is None) == ("shared_model/" in example)


# Estimators


class Middle:
    """A plugin with an estimator that finds one figure a white corner, its points on a line to the middle."""

    layout = "openpose18"
    fails = False

    @hookimpl
    def posegen_catalogue(self):
        return [StructureEstimator("middle", self.layout, lambda: self.estimate)]

    def estimate(self, image: np.ndarray) -> list[Figure]:
        assert image.dtype == np.uint8
        if self.fails:
            raise RuntimeError("out of luck")
        height, width = image.shape[:2]
        points = np.linspace((0, 0), (width / 2, height / 2), 18)
        whole = Figure(Keypoints(points, np.ones(18)), np.ones(18))
        part = Figure(Keypoints(points + 3, np.arange(18) < 9), np.ones(18))
        white = [image[row, column].min() == 255 for row, column in ((0, 0), (0, -1))]
        return [figure for figure, there in zip((part, whole), white, strict=True) if there]


@pytest.fixture
def middle():
    with plugins.temporary():
        plugin = Middle()
        plugins.add(plugin, "middle")
        yield plugin


def corners(path: Path, *columns: int) -> None:
    image = np.asarray(Image.open(path)).copy()
    image[0, [0, -1]] = 0
    image[0, list(columns)] = 255
    Image.fromarray(image).save(path)


def test_an_estimator_finds_what_stands_in_no_file(place, here, middle):
    corners(here / "bare.png", -1)
    assert run("transfer", place / "shared", "bare.png", "c.json", "--estimator", "middle") == 0
    line = np.linspace((0, 0, 1), (WIDTH / 2, HEIGHT / 2, 1), 18)
    write_points(here / "bare.json", line)
    assert run("transfer", place / "shared", "bare.png", "c.json", "--out", "given.png") == 0
    assert np.array_equal(pixels(here / "given.png"), pixels(here / "bare_to_c.png"))


def test_of_several_figures_the_one_with_most_points_is_taken_and_told_of(here, middle):
    corners(here / "bare.png", 0, -1)
    encoder = STRUCTURE_ENCODERS.build_part(dict(type="HeatmapEncoder", layout="openpose18"))
    with pytest.warns(UserWarning, match="2 figures"):
        (found,) = read_poses(source_subjects(Path("bare.png"), None), encoder, "middle")
    assert found.present.all()


def test_a_picture_in_which_nobody_is_found_is_named(place, here, middle, capsys, monkeypatch):
    corners(here / "bare.png")
    error = refused(capsys, monkeypatch, "transfer", place / "shared", "bare.png", "c.json", "--estimator", "middle")
    assert "bare.png" in error
    assert "nobody" in error
    assert "--source-keypoints" in error


def test_an_estimator_that_fails_is_named(place, here, middle, capsys, monkeypatch):
    middle.fails = True
    error = refused(capsys, monkeypatch, "transfer", place / "shared", "bare.png", "c.json", "--estimator", "middle")
    assert "'middle' failed: RuntimeError: out of luck" in error


def test_where_several_estimators_fit_one_must_be_named(place, here, middle, capsys, monkeypatch):
    error = refused(capsys, monkeypatch, "transfer", place / "shared", "bare.png", "c.json")
    assert "bare.png" in error
    assert "rtmpose" in error
    assert "middle" in error


@pytest.mark.parametrize("layout", ["human36m", "no such layout"])
def test_an_estimator_of_other_points_is_not_asked(place, here, capsys, monkeypatch, layout):
    with plugins.temporary():
        other = Middle()
        other.layout = layout
        plugins.add(other, "other")
        arguments = [place / "shared", "bare.png", "c.json", "--estimator", "middle"]
        error = refused(capsys, monkeypatch, "transfer", *arguments)
    assert ("no estimator called 'middle'" if layout == "human36m" else "no keypoint layout") in error


# animate and interpolate


def frames(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as clip:
        return [frame.to_ndarray(format="rgb24").astype(int) for frame in clip.decode(video=0)]


class Recorder(list):
    """Stands for a video file, and keeps the frames as they were: H.264 would blur noise."""

    def __init__(self, path: Path, fps: float) -> None:
        RECORDED.append(self)

    def write(self, frame: np.ndarray) -> None:
        self.append(frame.astype(int))

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None: ...


RECORDED: list[Recorder] = []
BOTH = pytest.mark.parametrize("kind", ["shared", "clips"])
ALONE = "each frame was made by itself"


@pytest.fixture
def dance(here) -> Path:
    """A folder with ten poses: more than go through the model at once; read in natural order, 10 comes last."""
    rng = np.random.default_rng(1)
    for number in range(1, 11):
        numbers = rng.uniform(0, WIDTH - 1, (18, 2))
        write_points(here / "dance" / f"{number}.json", np.column_stack([numbers, np.ones(18)]))
    return here / "dance"


def animated(monkeypatch, *arguments: object) -> tuple[Recorder, Recorder]:
    """The clip that the command makes of these, and the one that shows how."""
    monkeypatch.setattr("posegen.visualization.video.VideoWriter", Recorder)
    assert run("animate", *arguments) == 0
    return RECORDED[-2], RECORDED[-1]


def test_a_model_of_single_images_makes_each_frame_as_transfer_makes_that_pose(place, here, dance, capsys, monkeypatch):
    made, beside = animated(monkeypatch, place / "shared", "--reference", "a.png", "--structures", "dance")
    told = capsys.readouterr().out
    assert "10 frames: a_to_dance.mp4" in told
    assert ALONE in told
    assert run("transfer", place / "shared", "a.png", "dance", "--out", "single") == 0
    assert len(made) == 10
    for number, (frame, explained) in enumerate(zip(made, beside, strict=True), 1):
        true = pixels(here / "single" / f"a_to_{number}.png")
        assert np.abs(frame - true).max() <= 1  # a batch may sum in another order
        assert explained.shape == (32, 5 * 32, 3)
        assert (explained[:, -32:] == frame).all()
    assert np.abs(made[0] - made[1]).mean() > 20  # and the poses matter


def test_a_model_of_clips_makes_each_frame_from_the_one_before(place, here, dance, capsys, monkeypatch):
    made, beside = animated(monkeypatch, place / "clips", "--reference", "a.png", "--structures", "dance")
    assert ALONE not in capsys.readouterr().out
    inferencer = Inferencer(place / "clips", device="cpu")
    prepared = list(inferencer.prepare_clip("a.png", [dance / f"{n}.json" for n in range(1, 11)], "a.json"))
    true = inferencer.model.animate(
        prepared[0].source[None],
        prepared[0].source_structure[None],
        torch.stack([one.target_structure for one in prepared])[None],
    )
    for frame, image in zip(made, true.frames[0], strict=True):
        assert (frame == to_uint8(image)).all()
    assert beside[0].shape == (32, 5 * 32, 3)
    for name in ("1", "2"):  # the same pose again, from another frame before
        (here / "again").mkdir(exist_ok=True)
        (here / "again" / f"{name}.json").write_text((dance / "1.json").read_text())
    first, second = animated(monkeypatch, place / "clips", "--reference", "a.png", "--structures", "again")[0]
    assert (first == made[0]).all()
    assert (first != second).any()


@BOTH
def test_a_clip_is_a_file_that_plays_and_says_that_it_was_generated(place, here, kind):
    arguments = ["--reference", "a.png", "--structures", "poses", "--out", "clip.mp4", "--fps", "5", "--resize-back"]
    assert run("animate", place / kind, *arguments) == 0
    assert [frame.shape for frame in frames(here / "clip.mp4")] == [(HEIGHT, WIDTH, 3)] * 2
    assert [frame.shape for frame in frames(here / "clip_side_by_side.mp4")] == [(32, 5 * 32, 3)] * 2
    with av.open(str(here / "clip.mp4")) as clip:
        assert clip.streams.video[0].average_rate == 5
        assert clip.metadata["comment"].startswith("A generated clip")


def test_the_references_own_points_stand_beside_it_before_they_are_looked_for_among_the_frames(
    place, here, monkeypatch
):
    """A frame that happens to have the picture's name is a frame."""
    arguments = [place / "shared", "--reference", "a.png", "--structures", "poses"]
    given = animated(monkeypatch, *arguments, "--reference-structure", "a.json")[0]
    (here / "poses" / "a_keypoints.json").write_text((here / "c.json").read_text())
    beside = animated(monkeypatch, *arguments)[0]
    assert (beside[-1] == given[-1]).all()
    (here / "a.json").unlink()
    among = animated(monkeypatch, *arguments)[0]
    assert (among[-1] != given[-1]).any()


@BOTH
def test_points_of_frames_count_pixels_of_their_own_pictures(place, here, monkeypatch, kind):
    arguments = [place / kind, "--reference", "a.png", "--structures", "poses"]
    small = animated(monkeypatch, *arguments)[0]
    (here / "large").mkdir()
    for name in ("p1", "p2"):
        write_points(here / "poses" / f"{name}.json", read_points(here / "poses" / f"{name}.json") * [2, 2, 1])
        Image.new("RGB", (2 * WIDTH, 2 * HEIGHT)).save(here / "large" / f"{name}.png")
    large = animated(monkeypatch, *arguments, "--structure-images", "large")[0]
    for one, other in zip(small, large, strict=True):
        assert np.abs(one - other).max() <= 1  # of rounding


@BOTH
def test_points_outside_of_a_clips_picture_are_warned_of(place, here, monkeypatch, kind):
    points = np.column_stack([np.full((18, 2), 5.0), np.ones(18)])
    points[:, 0] += np.where(np.arange(18) < 9, 0, 5 * WIDTH)
    write_points(here / "poses" / "p2.json", points)
    with pytest.warns(UserWarning, match="a, target: .* lie outside of the picture, which has 40×48 pixels; do they"):
        animated(monkeypatch, place / kind, "--reference", "a.png", "--structures", "poses")


@pytest.mark.parametrize(
    ("kind", "arguments", "words"),
    [
        (
            "shared",
            ["--reference", "a.png", "--structures", "mixed"],
            ["notes.txt", "picture.png", "torn.json: not JSON"],
        ),
        ("clips", ["--reference", "a.png", "--structures", "mixed"], ["notes.txt", "picture.png", "torn.json"]),
        ("clips", ["--reference", "torn.png", "--reference-structure", "a.json"], ["torn.png", "not an image"]),
        ("shared", ["--reference", "bare.png"], ["bare.png", "beside it", "bare_keypoints.*", "--reference-structure"]),
        ("shared", ["--reference", "twice.png"], ["twice.json or twice_keypoints.json", "with --reference-structure"]),
        ("shared", ["--reference", "a.png", "--structures", "far"], ["far/1.json, in pixels of the source: 18 of 18"]),
        ("shared", ["--reference", "none.png"], ["none.png", "no such file"]),
        ("shared", ["--reference", "."], ["is a folder", "one picture"]),
        ("shared", ["--reference", "a.png", "--structures", "nowhere"], ["nowhere", "no such folder"]),
        ("shared", ["--reference", "a.png", "--structures", "empty"], ["empty", "one file of key points a frame"]),
        ("shared", ["--reference", "a.png", "--structure-images", "mixed"], ["2 problems", "p1.json", "p2.json"]),
        ("shared", ["--reference", "a.png", "--out", "clip.gif", "--fps", "0"], ["--fps", ".mp4"]),
        ("shared", ["--reference", "a.png", "--out", "there.mp4"], ["there_side_by_side.mp4", "--force"]),
    ],
)
def test_what_is_wrong_with_a_clip_is_told_before_a_model_is_loaded(
    place, here, capsys, monkeypatch, kind, arguments, words
):
    for folder in ("mixed", "empty"):
        (here / folder).mkdir()
    Image.new("RGB", (8, 8)).save(here / "mixed" / "picture.png")
    twice = ("twice.png", "twice.json", "twice_keypoints.json")
    for name in ("mixed/notes.txt", "mixed/torn.json", "torn.png", "there_side_by_side.mp4", *twice):
        (here / name).write_text("{")
    write_points(here / "far" / "1.json", np.add(read_points(here / "a.json"), [5 * WIDTH, 0, 0]))
    before = sorted(here.rglob("*"))
    more = [] if "--structures" in arguments else ["--structures", "poses"]
    error = refused(capsys, monkeypatch, "animate", place / kind, *arguments, *more)
    for word in words:
        assert word in error
    assert sorted(here.rglob("*")) == before


def test_a_model_without_a_flow_is_shown_without_it():
    image, structure = torch.zeros(3, 8, 8), torch.zeros(1, 8, 8)
    made = Transfer(torch.ones(1, 3, 8, 8), [], [])
    shown = side_by_side(
        Prepared(image, structure, structure, "a", (8, 8)), made, lambda _: np.full((8, 8, 3), 7, np.uint8)
    )
    assert shown[0, ::8, 0].tolist() == [128, 7, 255]


def test_a_clip_goes_from_the_sources_own_pose_to_the_targets(place, here, capsys, monkeypatch):
    monkeypatch.setattr("posegen.visualization.video.VideoWriter", Recorder)
    assert run("interpolate", place / "shared", "a.png", "c.json", "--frames", "10", "--pause", "0") == 0
    made = RECORDED[-1]
    told = capsys.readouterr().out
    assert "10 frames: a_to_c.mp4" in told
    assert ALONE in told
    assert len(made) == 10  # more than go through the model at once
    inferencer = Inferencer(place / "shared", device="cpu")
    first, last = (inferencer.infer("a.png", pose, "a.json")[0].image for pose in ("a.json", "c.json"))
    assert np.abs(first.astype(int) - last).mean() > 20
    for frame, true in ((made[0], first), (made[-1], last)):
        assert np.abs(frame - true).mean() < 0.5  # rounding; and a batch may sum in another order
    steps = [np.abs(one - other).mean() for one, other in pairwise(made)]
    assert steps[0] < max(steps)  # it starts slowly


def test_a_model_of_clips_goes_from_pose_to_pose_too(place, here, capsys, monkeypatch):
    monkeypatch.setattr("posegen.visualization.video.VideoWriter", Recorder)
    assert run("interpolate", place / "clips", "a.png", "c.json", "--frames", "3", "--pause", "0") == 0
    made = RECORDED[-1]
    assert ALONE not in capsys.readouterr().out
    first = next(Inferencer(place / "clips", device="cpu").animate("a.png", ["a.json"], "a.json"))
    assert np.abs(made[0] - first.image).mean() < 0.5  # of rounding
    assert np.abs(made[0] - made[-1]).mean() > 5


def test_it_rests_at_both_ends(place, here):
    arguments = ["interpolate", place / "shared", "a.png", "c.json", "--frames", "2", "--pause", "0.5", "--fps", "8"]
    assert run(*arguments, "--out", "clip.mp4", "--resize-back") == 0
    made = frames(here / "clip.mp4")
    assert len(made) == 2 + 2 * 4
    assert made[0].shape == (HEIGHT, WIDTH, 3)
    steps = [np.abs(one - other).mean() for one, other in pairwise(made)]
    assert np.argmax(steps) == 4
    assert steps[4] > 3 * max(steps[:4] + steps[5:])


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--frames", "1"], "--frames"),
        (["--fps", "0", "--pause", "-1"], "--pause"),
        (["--out", "clip.gif"], ".mp4"),
        (["--out", "there.mp4"], "--force"),
    ],
)
def test_a_clip_that_cannot_be_is_refused_before_a_model_is_loaded(place, here, capsys, monkeypatch, more, words):
    (here / "there.mp4").write_text("mine")
    monkeypatch.setattr("posegen.inference.Inferencer", lambda *_, **__: pytest.fail("the model was loaded"))
    assert words in refused(capsys, monkeypatch, "interpolate", place / "shared", "a.png", "c.json", *more)
    assert (here / "there.mp4").read_text() == "mine"


def test_a_clip_has_one_source_and_one_target(place, here, capsys, monkeypatch):
    error = refused(capsys, monkeypatch, "interpolate", place / "shared", ".", "poses")
    assert "SOURCE . is a folder" in error
    assert "TARGET poses is a folder" in error
    with pytest.raises(SystemExit):
        run("interpolate", "--help")
    assert "folder" not in capsys.readouterr().out.split("--cfg-options")[-1]


# Poses between poses

LAYOUT = get_layout("openpose18")
WIDE = {pair for pair in LAYOUT.limbs if LAYOUT.partner[pair[0]] == pair[0] and LAYOUT.partner[pair[1]] != pair[1]}
coordinates = st.lists(st.integers(0, 99), min_size=36, max_size=36)
presences = st.lists(st.booleans(), min_size=18, max_size=18)


def pose(numbers: list[int], present: list[bool] | None = None) -> Keypoints:
    return Keypoints(np.reshape(numbers, (18, 2)), present or [True] * 18)


def lengths(points: Keypoints) -> dict[tuple[int, int], float]:
    return {pair: float(np.linalg.norm(points.points[pair[1]] - points.points[pair[0]])) for pair in LAYOUT.limbs}


@given(coordinates, coordinates, st.floats(0, 1))
@settings(max_examples=25, deadline=None)
def test_no_limb_is_shorter_on_the_way_than_at_its_ends(start, end, share):
    ends = lengths(pose(start)), lengths(pose(end))
    between = lengths(interpolate_keypoints(pose(start), pose(end), LAYOUT, share))
    for pair in set(LAYOUT.limbs) - WIDE:
        least, most = sorted((ends[0][pair], ends[1][pair]))
        assert least - 1e-3 <= between[pair] <= most + 1e-3  # pixels, of float32


@given(coordinates, coordinates, presences, presences)
@settings(max_examples=25, deadline=None)
def test_the_ends_are_the_poses_with_what_they_have(start, end, in_start, in_end):
    first, last = pose(start, in_start), pose(end, in_end)
    for share, true in ((0.0, first), (1.0, last)):
        found = interpolate_keypoints(first, last, LAYOUT, share)
        assert (found.present == true.present).all()
        assert np.allclose(found.points[true.present], true.points[true.present], atol=1e-3)
        assert np.isfinite(found.points).all()


def two_joints(child: tuple[float, float]) -> Keypoints:
    return Keypoints([(50, 50), child], [True, True])


SWING = KeypointLayout("swing", ("hinge", "tip"), (0, 1), ((0, 1),), ((255, 0, 0), (0, 255, 0)))


def test_a_limb_turns_the_shorter_way():
    """From 170° to −170°: over 180°, not back over 0°."""
    ends = [two_joints((50 + 10 * np.cos(angle), 50 + 10 * np.sin(angle))) for angle in np.radians((170, -170))]
    assert np.allclose(interpolate_keypoints(*ends, SWING, 0.5).points[1], (40, 50), atol=1e-3)


def test_of_a_subject_that_turns_round_the_sides_change_places_straight():
    front, back = (Keypoints(np.tile((50.0, 50.0), (18, 1)), np.isin(np.arange(18), (1, 2, 3, 5, 6))) for _ in range(2))
    right, right_elbow, left, left_elbow = 2, 3, 5, 6
    for points, side in ((front.points, -1), (back.points, 1)):
        points[[right, right_elbow], 0] += 20 * side
        points[[left, left_elbow], 0] -= 20 * side
        points[[right_elbow, left_elbow], 1] += 30
    for share in (0.25, 0.5, 0.75):
        found = interpolate_keypoints(front, back, LAYOUT, share).points
        assert np.allclose(found[[right, left], 1], 50)  # neither shoulder goes over the head
        assert np.allclose(found[[right_elbow, left_elbow], 1], 80)  # the arms hang on


def test_a_point_that_one_pose_has_is_there_in_its_half_and_goes_along():
    start = two_joints((60, 50))
    end = Keypoints([(70, 50), (0, 0)], [True, False])
    early, late = (interpolate_keypoints(start, end, SWING, share) for share in (0.4, 0.5))
    assert early.present.tolist() == [True, True]
    assert np.allclose(early.points, [(58, 50), (68, 50)])
    assert late.present.tolist() == [True, False]


def test_without_limbs_points_go_straight():
    layout = KeypointLayout("dots", ("one", "two"), (1, 0), (), ((255, 0, 0), (0, 255, 0)))
    start, end = two_joints((60, 50)), two_joints((50, 60))
    assert np.allclose(interpolate_keypoints(start, end, layout, 0.5).points, [(50, 50), (55, 55)])


def test_poses_of_other_layouts_and_shares_outside_are_refused():
    with pytest.raises(InputError, match="18 points"):
        interpolate_keypoints(two_joints((1, 1)), two_joints((1, 1)), LAYOUT, 0.5)
    with pytest.raises(InputError, match="share"):
        interpolate_keypoints(two_joints((1, 1)), two_joints((1, 1)), SWING, 1.5)
