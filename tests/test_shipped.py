"""The package comes with a model, configs and examples, which commands find by name in any folder."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

import posegen
from posegen.cli import main
from posegen.config import CONFIGS, find_config, load_config, shipped_configs
from posegen.data import get_layout
from posegen.data.images import read_image, to_uint8
from posegen.errors import ConfigError, PosegenError
from posegen.inference import ModelSource
from posegen.registry import DATASETS
from posegen.sharing import CARD, CONFIG, WEIGHTS, example_numbers, find_shared, shared_models

from .conftest import write_tiny

DOCS = Path(__file__).parents[1] / "docs"
MODELS = {"paperdolls": 8_000_000, "people3d": 20_000_000, "drawnfaces": 8_000_000}
"""Models that are part of the package, and their largest sizes in bytes."""
CONFIGS_OF = {"paperdolls": "guided_paperdoll_hour", "people3d": "guided_people3d"}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch) -> Path:
    """Leave the clone, so that nothing is found by the current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


# The models


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_shipped_model_is_small_and_has_a_card(name):
    place = shared_models()[name]
    with_examples = ["examples"] if name != "drawnfaces" else []  # a model of clips has none
    assert sorted(path.name for path in place.iterdir()) == sorted([WEIGHTS, CONFIG, CARD, *with_examples])
    assert sum(path.stat().st_size for path in place.rglob("*")) <= MODELS[name]
    assert f"# {name}" in (place / CARD).read_text(encoding="utf-8")


@pytest.mark.parametrize(("name", "gain"), [("paperdolls", 6), ("people3d", 2)])
def test_a_shipped_model_beats_copying_the_source_on_people_it_has_not_seen(name, gain):
    source = ModelSource.find(name)
    model, config = source.load(), source.config
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    options, trained = dict(config.test_dataloader.dataset), load_config(CONFIGS_OF[name])
    assert options["seed"] == trained.test_dataloader.dataset.seed  # held out
    assert options["seed"] != trained.train_dataloader.dataset.seed
    dataset = DATASETS.build_part(options)
    gains = []
    for pair in (dataset[index] for index in range(8)):
        out = model.transfer(pair.source[None], pair.source_structure[None], pair.target_structure[None]).image[0]
        copied, made = (((image - pair.target) ** 2 * pair.foreground).sum() for image in (pair.source, out))
        gains.append(10 * float(torch.log10(copied / made)))
    assert np.mean(gains) > gain  # dB on the foreground; 8.9 and 3.9 over 256 pairs
    assert min(gains) > 0


def test_the_shipped_model_of_faces_beats_an_unchanged_reference_on_faces_it_has_not_seen():
    source, trained = ModelSource.find("drawnfaces"), load_config("guided_drawn_faces_long")
    options = dict(source.config.test_dataloader.dataset)
    assert options["seed"] == trained.test_dataloader.dataset.seed != trained.train_dataloader.dataset.seed
    model, gains = source.load(), []
    dataset = DATASETS.build_part(options)
    for clip in (dataset[index] for index in range(4)):
        given = (clip.reference, clip.reference_structure, clip.structures)
        made = model.animate(*(one[None] for one in given)).frames[0]
        errors = [(((frames - clip.frames) ** 2) * clip.foreground).sum() for frames in (clip.reference, made)]
        gains.append(10 * float(torch.log10(errors[0] / errors[1])))
    assert np.mean(gains) > 3  # dB on the foreground
    assert min(gains) > 0


# Configs


def test_configs_are_listed_with_a_description(capsys):
    assert main(["configs"]) == 0
    listed = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()[1:])
    assert listed.keys() == shipped_configs().keys()
    assert listed["gfla_market"].startswith("GFLA on Market-1501")
    assert not [name for name in listed if "_base_" in name]


def test_a_config_is_found_by_its_name_if_there_is_no_such_file(elsewhere):
    assert load_config("gfla_market")._cfg_dict == load_config(CONFIGS / "gfla_market.py")._cfg_dict
    (elsewhere / "gfla_market").write_text("mine")
    assert find_config("gfla_market") == Path("gfla_market")


def test_an_unknown_config_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'gfla_market'"):
        load_config("gfla_markt")


def test_a_path_in_the_clone_is_answered_with_the_name():
    """The documentation names configs so, and whoever installed the package alone has no such folder."""
    with pytest.raises(ConfigError, match=r"say gfla_market$"):
        load_config("configs/gfla_market.py")


@pytest.mark.parametrize("name", sorted(shipped_configs()))
def test_a_copied_config_is_the_same_as_the_shipped_one(name, elsewhere, capsys):
    assert main(["configs", "--copy", name, "mine"]) == 0
    written = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert written[0] == Path("mine") / f"{name}.py"
    assert set(written) == {path.relative_to(elsewhere) for path in (elsewhere / "mine").rglob("*.py")}
    assert load_config(written[0])._cfg_dict == load_config(name)._cfg_dict


def test_a_copy_overwrites_nothing_without_force(elsewhere, capsys):
    (elsewhere / "_base_").mkdir()
    (elsewhere / "_base_" / "runtime.py").write_text("mine")
    assert main(["configs", "--copy", "gfla_market", "."]) == 1
    assert "_base_/runtime.py exists; give --force" in capsys.readouterr().err
    assert (elsewhere / "_base_" / "runtime.py").read_text() == "mine"
    assert not (elsewhere / "gfla_market.py").exists()
    assert main(["configs", "--copy", "gfla_market", ".", "--force"]) == 0
    assert load_config("gfla_market.py").model.type == "PairModel"


# Examples


@pytest.fixture
def commands(elsewhere, capsys):
    """The commands that ``posegen example`` printed, in a folder whose name a shell would take apart."""
    assert main(["example", "paperdolls", "my dolls", "--pairs", "2"]) == 0
    shown = capsys.readouterr().out.splitlines()
    return [shlex.split(line, comments=True) for line in shown if line.startswith("  posegen ")]


def test_the_printed_commands_work(commands, elsewhere):
    assert [command[1] for command in commands] == ["transfer", "transfer", "interpolate", "animate", "app"]
    for program, *arguments in commands[:-1]:
        assert program == "posegen"
        assert main(arguments) == 0
    dolls = elsewhere / "my dolls"
    assert Image.open(dolls / "moved.png").size == (256, 256)
    assert (dolls / "moved_explained.png").is_file()
    assert {path.name for path in (dolls / "moved").iterdir()} == {f"{a}_to_{b}.png" for a in "12" for b in "12"}
    with av.open(str(dolls / "moving.mp4")) as clip:
        assert len(list(clip.decode(video=0))) > 24
    with av.open(str(dolls / "animated.mp4")) as clip:
        assert len(list(clip.decode(video=0))) == len(list((dolls / "motion").iterdir())) == 24


def test_the_documentation_has_the_printed_commands(elsewhere, capsys):
    first = "posegen example paperdolls dolls"
    assert main(first.split()[1:]) == 0
    printed = [line.partition("  #")[0].strip() for line in capsys.readouterr().out.splitlines()]
    known = [first, *(line for line in printed if line.startswith("posegen "))]
    pages = {page: (DOCS / page).read_text(encoding="utf-8") for page in ("start.md", "transfer.md")}
    shown = {page: re.findall(r"^    (posegen .*\bpaperdolls\b.*)$", text, re.M) for page, text in pages.items()}
    assert shown["transfer.md"] == known
    assert shown["start.md"] == [line for line in known if line in shown["start.md"]] != []


def test_the_page_opens_with_the_model_and_its_examples(commands, monkeypatch):
    pytest.importorskip("gradio", reason="the page needs it: pip install posegen[app]")
    opened = []

    def launch(studios, *_):
        opened.extend(studios)
        raise PosegenError("opened")

    monkeypatch.setattr("posegen_app.page.launch", launch)
    assert main(commands[-1][1:]) == 1
    assert opened[0].gallery.note == ""  # there are examples


def test_examples_go_from_source_to_target(commands, elsewhere):
    """A picture, its points beside it, another pose, and how that truly looks: the result is nearer to it."""
    (result,) = posegen.Inferencer("paperdolls", device="cpu").infer(
        "my dolls/sources/1.png", "my dolls/poses/1.json", "my dolls/sources/1.json", resize_back=True
    )
    source, target = (np.asarray(Image.open(f"my dolls/{name}/1.png")).astype(int) for name in ("sources", "targets"))
    assert np.abs(result.image - target).mean() < np.abs(source - target).mean()


def test_poses_of_the_examples_fit_a_photograph_of_other_proportions(commands):
    """The whole pose lies in what the model sees, and keeps its proportions."""
    inferencer = posegen.Inferencer("paperdolls", device="cpu")
    picture = np.asarray(Image.open("my dolls/sources/1.png"))
    photograph = np.pad(picture, ((0, 0), (100, 284), (0, 0)), mode="edge")
    own = np.add(points(Path("my dolls/sources/1.json")), (100, 0, 0))
    for pose in ("poses/1.json", "motion/07.json"):
        theirs = inferencer.prepare("my dolls/sources/1.png", f"my dolls/{pose}", "my dolls/sources/1.json")
        ours = inferencer.prepare(photograph, f"my dolls/{pose}", own)
        places = [inferencer.encoder.decode(one.target_structure) for one in (theirs, ours)]
        assert places[0].present.tolist() == places[1].present.tolist()
        sides = [np.ptp(place.points[place.present], axis=0) for place in places]
        assert sides[0][0] / sides[0][1] == pytest.approx(sides[1][0] / sides[1][1], rel=0.1)
        assert (places[1].points[places[1].present] > -0.5).all()
        assert (places[1].points[places[1].present] < 63.5).all()


def test_example_and_the_page_show_the_chosen_examples_of_a_model_first(capsys):
    first = example_numbers("people3d", 9)
    assert first[:2] == [40, 55]
    assert len({*first}) == 9
    assert first[-1] == 0
    assert example_numbers("paperdolls", 3) == example_numbers("no_such_model", 3) == [0, 1, 2]
    assert main(["example", "people3d", "people", "--pairs", "1"]) == 0
    test_set = dict(ModelSource.find("people3d").config.test_dataloader.dataset)
    shown = DATASETS.build_part({**test_set, "size": (512, 256)})[40]
    assert np.array_equal(read_image(Path("people/sources/1.png")), to_uint8(shown.source))


@pytest.mark.parametrize("model", sorted({*MODELS} - {"drawnfaces"}))
def test_the_examples_that_come_with_a_model_are_those_that_the_command_draws(model):
    shipped, drawn = find_shared(model) / "examples", Path("drawn")
    assert main(["example", model, str(drawn), "--pairs", "2"]) == 0
    for name in ("sources/1", "sources/2", "poses/1", "poses/2"):
        there, here = (points(folder / f"{name}.json") for folder in (shipped, drawn))
        assert there == pytest.approx(here, abs=0.05)
    for name in ("sources/1.png", "sources/2.png"):
        there, here = (read_image(folder / name).astype(int) for folder in (shipped, drawn))
        assert np.abs(there - here).mean() < 0.5  # processors round differently


def test_example_prints_the_sizes_of_pictures_and_results(elsewhere, capsys):
    assert main(["example", "paperdolls", "dolls", "--pairs", "1"]) == 0
    shown = capsys.readouterr().out
    assert "pictures of 256×256 pixels" in shown
    assert "the model works at 64×64 pixels; results are put back into the source, at its size" in shown


def test_a_motion_goes_from_the_sources_own_pose_and_back(commands):
    """Key points in pixels of the source, whose own stand beside it; the hands go a long way, the feet stay."""
    layout = get_layout("openpose18")
    motion = [points(Path(f"my dolls/motion/{frame:02d}.json")) for frame in range(1, 25)]
    own = points(Path("my dolls/sources/1.json"))
    hands, feet = ([layout.names.index(f"{side} {part}") for side in ("left", "right")] for part in ("wrist", "ankle"))
    for end in (motion[0], motion[-1]):
        assert np.abs(end - own).max() <= 0.5  # the source's are whole pixels
    height = 256  # of the pictures
    ways = np.linalg.norm(np.ptp([frame[:, :2] for frame in motion], axis=0), axis=1)
    assert ways[hands].min() > 0.15 * height
    assert ways[feet].max() < 0.05 * height
    steps = np.linalg.norm(np.diff([frame[:, :2] for frame in motion], axis=0), axis=2)
    assert steps.max() < 0.12 * height  # it moves, it does not jump


def points(path: Path) -> np.ndarray:
    return np.array(json.loads(path.read_text())["people"][0]["pose_keypoints_2d"]).reshape(18, 3)


def test_examples_of_data_without_a_motion_have_none(elsewhere, capsys, monkeypatch):
    monkeypatch.delattr("posegen_people.paperdoll.PaperDolls.motion")
    assert main(["example", "paperdolls", "dolls", "--pairs", "1"]) == 0
    assert "animate" not in capsys.readouterr().out
    assert not Path("dolls/motion").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nobody", "dolls"], "no shared model is called"),
        (["gfla_paperdoll", "dolls"], "no shared model is called"),
        (["paperdolls", "full"], "is not empty"),
        (["paperdolls", "dolls", "--pairs", "0"], "--pairs must be 1 to"),
        (["paperdolls", "dolls", "--pairs", "257"], "the test data have only 256"),
        (["photographs", "dolls"], "was not tested on drawn data"),
    ],
)
def test_an_example_that_cannot_be_drawn_is_refused(elsewhere, capsys, arguments, words):
    (elsewhere / "full").mkdir()
    (elsewhere / "full" / "mine.txt").write_text("mine")
    posegen.load_model(write_tiny(elsewhere)).save_pretrained("photographs")
    content = json.loads((elsewhere / "photographs" / CONFIG).read_text())
    content["test_dataloader"]["dataset"] = {"type": "AnnotatedPairs", "root": "/etc"}
    (elsewhere / "photographs" / CONFIG).write_text(json.dumps(content))
    assert main(["example", *arguments]) == 1
    assert words in capsys.readouterr().err
    assert not (elsewhere / "dolls").exists()
