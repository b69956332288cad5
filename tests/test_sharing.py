"""Models as folders: written whole, loaded without executing anything, refused if they ask for more; safetensors."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import pickle
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from safetensors import safe_open

import posegen
from posegen import plugins, sharing
from posegen.checkpoints.files import write_safetensors
from posegen.cli import main
from posegen.config import load_config
from posegen.errors import CheckpointError, ConfigError, MissingWeightsError, PosegenError
from posegen.hookspecs import hookimpl
from posegen.registry import DATASETS, MODELS
from posegen.sharing import CARD, CONFIG, WEIGHTS, SharedModel, read_shared_config, shared_config
from posegen.weights import read_weights, sha256

from .conftest import CONFIGS, write_tiny
from .golden_arrays import golden


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Config:
    return load_config(write_tiny(tmp_path_factory.mktemp("tiny")))


@pytest.fixture(scope="module")
def model(config):
    torch.manual_seed(0)
    return posegen.load_model(config)


@pytest.fixture(scope="module")
def written(model, tmp_path_factory) -> Path:
    """A shared folder that no test changes."""
    return model.save_pretrained(tmp_path_factory.mktemp("models") / "dolls", description="Small & new.")


@pytest.fixture
def folder(written, tmp_path) -> Path:
    """A copy that a test may change."""
    for name in (WEIGHTS, CONFIG, CARD):
        (tmp_path / name).write_bytes((written / name).read_bytes())
    return tmp_path


def change(folder: Path, **values: object) -> None:
    content = json.loads((folder / CONFIG).read_text()) | values
    (folder / CONFIG).write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def same(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    a, b = first.state_dict(), second.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# Writing


def test_a_shared_model_is_loaded_again(written, model):
    loaded = posegen.from_pretrained(written)
    assert type(loaded) is type(model)
    assert same(loaded, model)
    assert not loaded.training
    assert sorted(path.name for path in written.iterdir()) == sorted([WEIGHTS, CONFIG, CARD])
    assert [path.name for path in written.parent.iterdir()] == ["dolls"]  # nothing temporary is left


def test_the_config_has_only_what_the_model_needs(written, config):
    content = json.loads((written / CONFIG).read_text())
    assert content.keys() == {"model", "structure", "size", "requires", "test_dataloader"}
    assert content["requires"].keys() == {"people"}  # which brings the layout of its key points
    again = load_config(written / CONFIG)
    assert again.structure == config.structure
    assert list(again.size) == list(config.size)


def test_a_drawn_data_set_is_shared_and_draws_the_same(written, config):
    """So that there is something to show wherever the model is."""
    again, first = (DATASETS.build_part(one.test_dataloader.dataset) for one in (load_config(written / CONFIG), config))
    assert len(again) == len(first)
    assert torch.equal(again[0].source, first[0].source)
    assert torch.equal(again[0].source_structure, first[0].source_structure)


def test_the_preparation_of_images_is_shared_and_their_folder_is_not():
    content = shared_config(load_config(CONFIGS / "gfla_fashion.py", {"data_root": "/home/somebody/secret"}))
    dataset = content["test_dataloader"]["dataset"]
    assert dataset == {"type": "AnnotatedPairs", "keypoint_frame": [256, 176]}
    assert "somebody" not in json.dumps(content)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.py")), ids=lambda path: path.stem)
def test_every_shipped_config_can_be_shared(path, tmp_path):
    content = shared_config(load_config(path))
    (tmp_path / CONFIG).write_text(json.dumps(content))
    again = read_shared_config(tmp_path)
    with torch.device("meta"):
        assert MODELS.build_part(again.model)
    assert content["requires"]


def test_the_card_has_description_scores_limitations_and_misuse(model, tmp_path):
    scores = {"psnr": 21.1494, "lpips": 0.25}
    model.save_pretrained(tmp_path / "m", description="Small & new.", scores=scores, scored_under="Of 3 images.")
    card = (tmp_path / "m" / CARD).read_text(encoding="utf-8")
    for words in (
        "# m\n",
        "Small & new.",
        "32×32",
        "PaperDolls",
        "| psnr | 21.15 |",
        "Of 3 images.",
        "## Limitations",
        "## Misuse",
    ):
        assert words in card
    assert "people who agreed" in card
    assert "{" not in card
    assert "No scores were given" not in card
    model.save_pretrained(tmp_path / "n")
    assert "No scores were given" in (tmp_path / "n" / CARD).read_text(encoding="utf-8")


def test_half_precision_halves_the_file_and_rounds_the_weights(model, written, tmp_path):
    folder = model.save_pretrained(tmp_path / "half", half=True)
    assert (folder / WEIGHTS).stat().st_size < 0.6 * (written / WEIGHTS).stat().st_size  # names take their place, too
    for name, value in posegen.from_pretrained(folder).state_dict().items():
        true = model.state_dict()[name]
        assert value.dtype == true.dtype
        assert torch.allclose(value, true, rtol=2**-11, atol=2**-24)  # what float16 rounds by


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -65_520.0])  # the last one rounds to infinity
def test_weights_without_a_half_precision_are_named(model, tmp_path, value):
    broken = copy.deepcopy(model)
    names = [name for name, _ in broken.named_parameters()][:2]
    with torch.no_grad():
        for name in names:
            broken.get_parameter(name).view(-1)[0] = value
    with pytest.raises(CheckpointError, match="no half precision") as refused:
        broken.save_pretrained(tmp_path / "m", half=True)
    assert all(f"{name}: 1 of " in str(refused.value) for name in names)
    assert not (tmp_path / "m").exists()


def test_a_folder_with_files_is_not_written_to_unless_forced(model, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / CARD).write_text("my own card")
    with pytest.raises(PosegenError, match="--force"):
        model.save_pretrained(tmp_path)
    assert (tmp_path / CARD).read_text() == "my own card"
    model.save_pretrained(tmp_path, force=True)
    assert (tmp_path / "mine.txt").read_text() == "mine"
    assert same(posegen.from_pretrained(tmp_path), model)


@pytest.mark.parametrize("last", [CARD, WEIGHTS, CONFIG])
def test_an_interrupted_replacement_does_not_load(model, tmp_path, monkeypatch, last):
    folder = model.save_pretrained(tmp_path / "m")
    real = os.replace

    def killed(source: Path, target: Path) -> None:
        if target == folder / last:
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        model.save_pretrained(folder, force=True)
    with pytest.raises(ConfigError, match="it has no config"):
        posegen.from_pretrained(folder)


@pytest.mark.parametrize(
    "path",
    ["/home/me", "~/x", "~me", "C:\\me", "C:/me", "\\\\host\\share", "file:///home/me", "./here.txt", "here.txt"],
)
def test_paths_of_this_machine_are_not_shared_at_any_depth(config, tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here.txt").touch()
    changed = copy.deepcopy(config)
    changed.model.renderer.masks = {"folders": [path]}
    with pytest.raises(ConfigError, match=r"model\.renderer\.masks\.folders\.0: "):
        shared_config(changed)


def test_names_that_look_like_paths_are_shared(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "PairModel").mkdir()  # a bare word is a part's name
    changed = copy.deepcopy(config)
    changed.model.renderer.note = ["v1.5", "a/b", "there.txt"]
    assert shared_config(changed)["model"]["renderer"]["note"] == ["v1.5", "a/b", "there.txt"]


def test_a_folder_is_written_whole_or_not_at_all(model, tmp_path, monkeypatch):
    def fail(*arguments: object) -> None:
        raise CheckpointError("the disk is full")

    monkeypatch.setattr("posegen.sharing.save.write_whole", fail)
    with pytest.raises(CheckpointError):
        model.save_pretrained(tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_a_config_with_python_objects_is_not_shared(model, config, tmp_path):
    changed = copy.deepcopy(config)
    changed.model.renderer.type = torch.nn.Linear
    with pytest.raises(ConfigError, match=r"model\.renderer\.type is .*a Python object"):
        sharing.save_pretrained(model, tmp_path / "m", changed)
    assert not (tmp_path / "m").exists()


def test_a_model_can_still_be_copied_and_sent_to_workers(model, tmp_path):
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        with torch.no_grad():
            next(other.parameters()).zero_()
        assert same(posegen.from_pretrained(other.save_pretrained(tmp_path / "m", force=True)), other)


# Reading


def evil(folder: Path) -> None:
    (folder / "evil.py").write_text(f"open({str(folder / 'ran')!r}, 'w')\n")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"plugins": ["evil.py"]}, "has 'plugins'"),
        ({"custom_imports": {"imports": ["evil"]}}, "has 'custom_imports'"),
        ({"_base_": "evil.py"}, "has '_base_'"),
        ({"_base_": "other.json"}, "has '_base_'"),
        ({"trainer": {"type": "PairTrainer"}}, "has 'trainer'"),
        ({"model": {"type": "PairModel", "_scope_": "evil"}}, "_scope_ is one of"),
        ({"structure": {"type": "${size}"}, "size": "evil.run"}, "not objects of Python: 'evil.run'"),
        ({"model": {"type": "evil.run"}}, "names parts, not objects of Python: 'evil.run'"),
        ({"structure": {"type": "os.system", "command": "touch ran"}}, "'os.system'"),
        ({"model": {"type": "VGG19Features"}}, "no model is called 'VGG19Features'"),
        ({"model": {"type": "PairTrainer"}}, "is not a complete model"),
        ({"model": {"type": "PairModell"}}, "did you mean 'PairModel'"),
        ({"model": "evil"}, "model is not a part with a type"),
        ({"size": [32, 1 << 40]}, r"size is \[height, width\]"),
        ({"size": None}, "lacks size"),
        (
            {"requires": {"dolls": "posegen-dolls 2.0"}},
            r"needs plugins that are not installed:\n  - 'dolls', of posegen-dolls",
        ),
        ({"requires": {"evil.py": ""}}, r"'evil\.py', of no package"),
        ({"requires": ["people"]}, "'requires' has the package of each plugin"),
    ],
)
def test_a_config_that_asks_for_more_than_data_is_refused(folder, monkeypatch, values, words):
    evil(folder)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))  # as in a notebook that was started there
    change(folder, **values)
    with pytest.raises(ConfigError, match=words):
        posegen.from_pretrained(folder)
    assert not (folder / "ran").exists()


def test_the_config_is_read_once(folder, monkeypatch):
    """mmengine would read the file again, and change its text before."""
    monkeypatch.setattr(Config, "fromfile", lambda *_, **__: pytest.fail("it was read again"))
    assert posegen.from_pretrained(folder)


@pytest.mark.parametrize("text", ["{", "[1]", "[" * 100_000, '{"model": ' * 50_000])
def test_a_config_that_is_broken_is_refused(folder, text):
    (folder / CONFIG).write_text(text)
    with pytest.raises(ConfigError, match=r"config\.json"):
        posegen.from_pretrained(folder)


def test_a_model_larger_than_its_weights_is_refused_before_it_takes_memory(folder):
    """Its 10¹¹ weights would be made up before anybody sees that the file has others."""
    content = json.loads((folder / CONFIG).read_text())
    content["model"]["renderer"] |= {"base_width": 1 << 16, "max_width": 1 << 16}
    change(folder, **content)
    with pytest.raises(CheckpointError, match="another architecture"):
        posegen.from_pretrained(folder)


def test_missing_and_damaged_weights_are_named(folder):
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=rf"{WEIGHTS} cannot be loaded: damaged"):
        posegen.from_pretrained(folder)
    (folder / WEIGHTS).unlink()
    with pytest.raises(CheckpointError, match=f"it has no {WEIGHTS}"):
        posegen.from_pretrained(folder)


def test_a_required_plugin_file_must_be_loaded_by_the_user(folder):
    (folder / "mine.py").write_text("")
    change(folder, requires={"mine.py": ""})
    with pytest.raises(ConfigError, match=r"load_named"):
        posegen.from_pretrained(folder)
    with plugins.temporary():
        plugins.load_named(folder / "mine.py")
        assert posegen.from_pretrained(folder)


# Models that plugins ship


class Shipping:
    """A plugin that ships shared models."""

    def __init__(self, models: dict[str, Path]) -> None:
        self.models = models

    @hookimpl
    def posegen_catalogue(self):
        return [SharedModel(name, folder) for name, folder in self.models.items()]


@pytest.fixture
def shipping():
    """Makes a plugin that ships the models given, folders by name."""
    with plugins.temporary():
        yield lambda models, name="shipping": plugins.add(Shipping(models), name)


def test_a_model_of_a_plugin_is_loaded_by_its_name(shipping, written, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # nothing is called so here
    shipping({"squares": written})
    assert same(posegen.from_pretrained("squares"), model)
    assert same(posegen.Inferencer("squares", device="cpu").model, model)
    assert same(posegen.Inferencer(Path("squares"), device="cpu").model, model)


def test_an_existing_path_takes_precedence_over_a_name(shipping, written, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shipping({"squares": written})
    (tmp_path / "squares").mkdir()
    with pytest.raises(ConfigError, match="squares is not a shared model"):
        posegen.from_pretrained("squares")


def test_an_unknown_name_is_answered_with_the_nearest_and_the_alternatives(shipping, written):
    shipping({"squares": written})
    with pytest.raises(MissingWeightsError, match=r"did you mean 'squares'") as refused:
        posegen.from_pretrained("sqares")
    for words in ("squares", "folder", "hf://OWNER/NAME", "a config and its checkpoint"):
        assert words in str(refused.value)


def test_a_file_is_not_a_shared_model(written):
    with pytest.raises(MissingWeightsError, match=r"config\.json is a file: a shared model is a folder"):
        posegen.from_pretrained(written / CONFIG)


def test_a_second_model_of_one_name_is_refused(shipping, written):
    shipping({"squares": written}, "one")
    with pytest.raises(ConfigError, match="two plugins bring a shared model called 'squares': 'one'"):
        shipping({"squares": written}, "another")


@pytest.mark.parametrize(
    "arguments", [["checkpoint.pth", "a.png", "b.json"], ["a.png", "b.json", "--cfg-options", "batch_size=3"]]
)
def test_a_shared_model_takes_neither_checkpoint_nor_options(shipping, written, capsys, arguments):
    shipping({"squares": written})
    assert main(["transfer", "squares", *arguments]) == 1
    assert "remove CHECKPOINT and --cfg-options" in capsys.readouterr().err


# The Hub


@pytest.fixture
def hub(written, monkeypatch):
    """A stand-in for huggingface_hub, with one model; what it was asked for."""
    asked = []

    def about(name: str) -> SimpleNamespace:
        path = written / name
        return SimpleNamespace(rfilename=name, size=path.stat().st_size, lfs=SimpleNamespace(sha256=sha256(path)))

    module = ModuleType("huggingface_hub")
    module.files = [about(CONFIG), about(WEIGHTS)]
    module.asked = asked

    class HfApi:
        def model_info(self, name, revision=None, files_metadata=False):
            asked.append((name, revision))
            assert files_metadata
            if name != "owner/dolls":
                raise OSError("404")
            return SimpleNamespace(sha="c0ffee", siblings=module.files)

    def hf_hub_download(name, file, revision):
        assert revision == "c0ffee"  # the one whose files were told of
        asked.append(file)
        return str(written / file)

    module.HfApi, module.hf_hub_download = HfApi, hf_hub_download
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    return module


@pytest.mark.parametrize("name", ["hf://owner/dolls", Path("hf://owner/dolls")])
def test_a_model_on_the_hub_is_fetched_in_its_revision(hub, model, name):
    assert same(posegen.from_pretrained(name, revision="v1"), model)
    assert same(posegen.Inferencer(name, device="cpu", revision="v1").model, model)
    assert hub.asked == [("owner/dolls", "v1"), CONFIG, WEIGHTS] * 2


def test_a_missing_path_is_not_looked_up_on_the_hub(hub):
    with pytest.raises(
        MissingWeightsError, match=r"no such folder: owner/dolls\. For a model on huggingface\.co, use hf://owner/"
    ):
        posegen.from_pretrained("owner/dolls")
    assert hub.asked == []


def test_the_command_takes_a_name_of_the_hub(hub, tmp_path, capsys):
    assert main(["transfer", "hf://owner/none", "s.png", "t.png", "--revision", "v2"]) == 1
    assert "owner/none cannot be fetched" in capsys.readouterr().err
    assert hub.asked == [("owner/none", "v2")]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"size": 1 << 40}, "has 1,099,511,627,776 bytes; the limit is"),
        ({"size": None}, "no size or no checksum of model.safetensors"),
        ({"lfs": None}, "no size or no checksum of model.safetensors"),
    ],
)
def test_a_file_that_cannot_be_verified_is_not_fetched(hub, changes, words):
    vars(hub.files[1]).update(changes)
    with pytest.raises(CheckpointError, match=words):
        posegen.from_pretrained("hf://owner/dolls")
    assert hub.asked == [("owner/dolls", None)]


def test_a_small_file_is_verified_by_its_git_checksum(hub, written):
    content = (written / CONFIG).read_bytes()
    sum_of_git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    vars(hub.files[0]).update(lfs=None, blob_id=sum_of_git)
    assert posegen.from_pretrained("hf://owner/dolls")
    vars(hub.files[0]).update(blob_id="0" * 40)
    with pytest.raises(CheckpointError, match="another git checksum"):
        posegen.from_pretrained("hf://owner/dolls")


@pytest.mark.parametrize(("field", "words"), [("size", "has .* bytes, but 1 on the Hub"), ("lfs", "another SHA-256")])
def test_a_fetched_file_of_another_size_or_checksum_is_refused(hub, field, words):
    setattr(hub.files[1], field, 1 if field == "size" else SimpleNamespace(sha256="0" * 64))
    with pytest.raises(CheckpointError, match=words):
        posegen.from_pretrained("hf://owner/dolls")


def test_a_model_that_is_missing_or_incomplete_on_the_hub_is_an_error(hub):
    with pytest.raises(MissingWeightsError, match="owner/none cannot be fetched from the Hub: OSError: 404"):
        posegen.from_pretrained("hf://owner/none")
    hub.files.pop()
    with pytest.raises(CheckpointError, match=f"it has no {WEIGHTS}"):
        posegen.from_pretrained("hf://owner/dolls")


def test_without_huggingface_hub_nothing_is_fetched(monkeypatch, written):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingWeightsError, match="pip install huggingface_hub"):
        posegen.from_pretrained("hf://owner/dolls")
    with pytest.raises(MissingWeightsError, match="is not a model on the Hub"):
        posegen.from_pretrained("hf://nowhere/a/model")
    with pytest.raises(MissingWeightsError, match=r"no such folder: /nowhere/a/model$"):
        posegen.from_pretrained("/nowhere/a/model")
    with pytest.raises(ConfigError, match="--revision v1 is for a model on the Hub"):
        posegen.from_pretrained(written, revision="v1")


# safetensors


def metadata(path):
    with safe_open(path, framework="pt") as file:
        return file.metadata()


def test_safetensors_carry_their_origin(tmp_path):
    shared = torch.arange(6.0)
    weights = {"a": shared[:4], "b": shared[2:], "c": torch.zeros(2, 3).T, "d": torch.ones(2, dtype=torch.bfloat16)}
    write_safetensors(tmp_path / "w.safetensors", weights, converted_from="net_G.pth", nothing=None)
    read = read_weights(tmp_path / "w.safetensors")
    assert all(torch.equal(read[name], weights[name]) for name in weights)
    said = metadata(tmp_path / "w.safetensors")
    assert said == {"format": "pt", "posegen": posegen.__version__, "converted_from": "net_G.pth"}


def test_convert_writes_safetensors_by_the_ending_of_the_name(tmp_path):
    source, ours = tmp_path / "latest_net_D.pth", tmp_path / "ours.safetensors"
    torch.save(golden("disc_market").state, source, _use_new_zipfile_serialization=False)
    assert main(["convert", str(source), str(ours), "--config", str(CONFIGS / "gfla_market.py")]) == 0
    assert metadata(ours)["sha256_of_source"] == sha256(source)
    assert len(read_weights(ours)) == len(golden("disc_market").state)


# The command


def test_share_writes_the_folder_with_scores(tmp_path, model, capsys):
    tiny = write_tiny(tmp_path)
    torch.save(model.state_dict(), tmp_path / "w.pth")
    (tmp_path / "metrics.json").write_text(json.dumps({"metrics": {"psnr": 20.5}, "images": 3, "protocol": None}))
    arguments = ["share", tiny, tmp_path / "w.pth", tmp_path / "out", "--name", "Mine"]
    arguments = [str(argument) for argument in [*arguments, "--scores", tmp_path / "metrics.json"]]
    assert main(arguments) == 0
    assert same(posegen.from_pretrained(tmp_path / "out"), model)
    card = (tmp_path / "out" / CARD).read_text()
    for words in ("# Mine", "| psnr | 20.5 |", "Of 3 images, under no protocol", sha256(tmp_path / "w.pth")):
        assert words in card
    assert str(tmp_path) not in card  # nothing of this machine
    capsys.readouterr()
    assert main(arguments) == 1
    assert "--force" in capsys.readouterr().err
    assert main([*arguments, "--force", "--half"]) == 0
    assert {value.dtype for value in read_weights(tmp_path / "out" / WEIGHTS).values()} == {torch.float16}
    (tmp_path / "metrics.json").write_text('{"metrics": {"psnr": "<b>"}}')
    assert main([*arguments, "--force"]) == 1
    assert "has no numbers under 'metrics'" in capsys.readouterr().err
