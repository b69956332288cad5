"""Configs: knobs reach all places, and what does not exist is an error that names it."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import pytest

import posegen
from posegen.api import load_model
from posegen.cli.common import add_config, read_config
from posegen.config import KNOBS, KNOWN_KEYS, load_config, unresolved
from posegen.engine import build_tester, build_trainer
from posegen.errors import ConfigError, PosegenError, UnknownNameError
from posegen.registry import LOSSES

from .conftest import CONFIGS

SHIPPED = sorted(CONFIGS.glob("*.py"))
LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")


def leaves(node, path=""):
    """Every value of a config by its dotted path."""
    if isinstance(node, dict):
        return {k: v for key, value in node.items() for k, v in leaves(value, f"{path}.{key}").items()}
    if isinstance(node, (list, tuple)):
        return {k: v for index, value in enumerate(node) for k, v in leaves(value, f"{path}.{index}").items()}
    return {path.lstrip("."): node}


def from_command_line(path: Path, *options: str):
    parser = argparse.ArgumentParser()
    add_config(parser)
    return read_config(parser.parse_args([str(path), "--cfg-options", *options]))


PLACES = {
    "batch_size": {"batch_size", *(f"{loader}.batch_size" for loader in LOADERS)},
    "flow_iters": {"flow_iters", "trainer.stages.0.iters"},
    "full_iters": {"full_iters", "trainer.stages.1.iters"},
    "feature_weights": {"feature_weights", "trainer.feature_network.weights"},
}
DATA_PLACES = {  # the others read nothing
    "gfla_market": {f"{loader}.dataset.root" for loader in LOADERS},
    "gfla_fashion": {f"{loader}.dataset.root" for loader in LOADERS},
    "gfla_coco": {
        "train_annotations",
        "test_annotations",
        *(f"{loader}.dataset.{what}" for loader in LOADERS for what in ("image_root", "annotation_file")),
    },
}
DATA_PLACES |= {
    name: {f"{loader}.dataset.root" for loader in LOADERS}
    for name in (
        "gfla_market14",
        "guided_market14",
        "guided_people3d_market14",
        "gfla_faces",
        "gfla_dance_fashion",
        "gfla_dance_iper",
        "gfla_views_car",
        "gfla_views_chair",
        "gfla_views_coil",
    )
}
SCORED_FEATURES = ("4.network", "9.metric.network", "14.metric.network")
CLIPS = {"gfla_faces", "gfla_dance_fashion", "gfla_dance_iper", "gfla_drawn_faces", "gfla_dancing_dolls"}
CLIPS |= {"guided_drawn_faces", "guided_drawn_faces_long", "guided_dancing_dolls"}
FEATURE_METRICS = {  # the places of their weights
    name: {"val_evaluator.4.network.weights", *(f"test_evaluator.{place}.weights" for place in SCORED_FEATURES)}
    for name in ("gfla_market14", "guided_market14", "guided_people3d_market14")
}
VALUES = {"batch_size": 37, "flow_iters": 41, "full_iters": 43, "feature_weights": "/elsewhere", "data_root": "/other"}


@pytest.mark.parametrize("knob", KNOBS)
@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_knob_reaches_every_place_that_uses_it(path, knob):
    config = load_config(path)
    before = leaves(config._cfg_dict)
    after = leaves(from_command_line(path, f"{knob}={VALUES[knob]}")._cfg_dict)

    changed = {place for place in after if after[place] != before[place]}

    expected = PLACES[knob] if knob != "data_root" else {"data_root", *DATA_PLACES.get(path.stem, ())}
    if knob == "feature_weights" and config.trainer.feature_network is None:  # no loss looks at features
        expected = {"feature_weights"}
    elif knob == "feature_weights":
        expected = expected | FEATURE_METRICS.get(path.stem, set())
    if knob == "batch_size" and path.stem in CLIPS:  # clips differ in length: they are tested one by one
        expected = {"batch_size", "train_dataloader.batch_size"}
    assert changed == expected
    for place in changed - {"train_annotations", "test_annotations"}:
        assert str(after[place]).startswith(str(VALUES[knob]))
    assert before.keys() == after.keys()


@pytest.mark.parametrize("path", [p for p in SHIPPED if p.stem in DATA_PLACES], ids=lambda path: path.stem)
def test_no_place_keeps_the_default_data_root(path):
    default = load_config(path).data_root
    overridden = leaves(load_config(path, {"data_root": "/other"})._cfg_dict)
    assert not [place for place, value in overridden.items() if isinstance(value, str) and default in value]


def test_a_value_of_a_derived_config_reaches_all_places_of_its_base(derived):
    config = load_config(derived("kernel_sizes = [3, 5]"))
    stages = config.trainer.stages
    assert config.model.renderer.kernel_sizes == [3, 5]
    assert [stage.losses.regularization.kernel_sizes for stage in stages[:2]] == [[3, 5], [3, 5]]


def test_a_reference_reaches_into_a_value_and_follows_its_overrides(derived):
    config = derived("model = dict(flow_estimator=dict(norm='${structure.layout}', depth='of ${structure.type}'))")
    network = load_config(config, {"structure.layout": "lsp14"}).model.flow_estimator
    assert (network.norm, network.depth) == ("lsp14", "of HeatmapEncoder")


def test_a_place_can_be_overridden_by_itself(tiny_config):
    config = load_config(tiny_config, {"val_dataloader.batch_size": 1, "trainer.stages.1.losses.style.weight": 7})
    assert (config.train_dataloader.batch_size, config.val_dataloader.batch_size) == (2, 1)
    assert config.trainer.stages[1].losses.style.weight == 7


@pytest.mark.parametrize("ending", [".py", ".json", ".yaml"])
def test_a_config_written_beside_a_run_loads_again_with_working_knobs(tiny_config, tmp_path, ending):
    loaded = load_config(tiny_config, {"batch_size": 3})
    copy = tmp_path / f"copy{ending}"
    unresolved(loaded).dump(copy)
    assert leaves(load_config(copy)._cfg_dict) == leaves(loaded._cfg_dict)
    assert load_config(copy, {"batch_size": 5}).train_dataloader.batch_size == 5


def test_a_config_written_beside_a_run_loads_without_the_values_that_only_overridden_parts_used(tmp_path):
    loaded = load_config("guided_drawn_faces")
    assert "masked" in loaded  # of a loss that the guided clips do not have
    unresolved(loaded).dump(tmp_path / "copy.py")
    again = load_config(tmp_path / "copy.py")
    assert "masked" not in again
    assert leaves(again.trainer) == leaves(loaded.trainer)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("batch_sise = 4", ["'batch_sise'", "'batch_size'"]),
        ("model = dict(renderer=dict(base_widht=4))", ["model.renderer", "'base_widht'", "'base_width'"]),
        ("structure = dict(sigmma=1)", ["structure", "'sigmma'", "'sigma'"]),
        ("val_dataloader = dict(dataset=dict(lenght=1))", ["val_dataloader.dataset", "'lenght'", "'length'"]),
        ("train_dataloader = dict(batchsize=4)", ["train_dataloader", "'batchsize'", "'batch_size'"]),
        ("default_hooks = dict(logger=dict(intervall=4))", ["default_hooks.logger", "'intervall'", "'interval'"]),
        ("train_cfg = dict(val_intervall=4)", ["train_cfg", "'val_interval'"]),
        ("levels = '${lefels}'\nlefels_ = 1", ["'lefels_'"]),
        ("levels = '${lefels}'", ["${lefels}", "'levels'"]),
        ("levels = '${kernel_sizes}'\nkernel_sizes = '${levels}'", ["circle", "levels"]),
        ("levels = '${structure.lay}'", ["${structure.lay}", "no 'lay'", "'layout'"]),
        ("levels = '${size.height}'", ["${size.height}", "no 'height'"]),
        ("structure = dict(layout='${structure.type}')", ["circle", "structure.type"]),
        ("work_dir = 'x'\nresume = True", ["'work_dir'", "--work-dir", "'resume'", "--resume"]),
        ("auto_scale_lr = dict(enable=True)", ["'auto_scale_lr'", "optimizer.lr"]),
        ("1 / 0", ["ZeroDivisionError"]),
        ("size = (", ["derived.py", "SyntaxError"]),
    ],
)
def test_what_a_config_has_wrong_is_named_with_the_nearest(derived, text, named):
    with pytest.raises(ConfigError) as raised:
        load_config(derived(text))
    assert [part for part in named if part not in str(raised.value)] == []


@pytest.mark.parametrize(
    ("option", "named"),
    [
        ("batch_sise=4", "did you mean 'batch_size'"),
        ("model.rendrer.depth=2", "did you mean 'renderer'"),
        ("model.renderer.dept=2", "did you mean 'depth'"),
        ("trainer.stages.3.iters=1", "list of 3"),
        ("batch_size.x=1", "the value 2"),
        ("work_dir=x", "give --work-dir"),
    ],
)
def test_an_override_of_nothing_is_refused(tiny_config, option, named):
    with pytest.raises(ConfigError, match=named):
        from_command_line(tiny_config, option)


def test_a_stage_refuses_an_unknown_argument(derived):
    text = "_stage = dict(name='flow', iters=1, trian=['flow_estimator'], losses={}, optimizer=dict(type='Adam'))"
    config = load_config(derived(f"{text}\ntrainer = dict(stages=[_stage], feature_network=None)"))
    with pytest.raises(ConfigError, match="stage 'flow' has no argument 'trian'; did you mean 'train'"):
        posegen.registry.MODELS.build_part({**config.trainer, "model": config.model})


def test_an_unknown_part_answers_with_those_there_are(derived):
    with pytest.raises(UnknownNameError, match="did you mean 'LocalAttentionRenderer'"):
        posegen.load_model(derived("model = dict(renderer=dict(type='LocalAtentionRenderer'))"))


def test_a_config_without_a_knob_is_refused(tmp_path):
    path = tmp_path / "bare.py"
    path.write_text("batch_size = 4\n")
    with pytest.raises(ConfigError, match="data_root, flow_iters, full_iters, feature_weights"):
        load_config(path)


def test_a_missing_config_answers_with_its_neighbor():
    with pytest.raises(ConfigError, match=r"did you mean '.*configs/gfla_market\.py'"):
        load_config(CONFIGS / "gfla_markt.py")


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(ConfigError, match="nowhere is not a folder"):
        load_config(tmp_path / "nowhere" / "x.py")


def test_a_start_from_weights_may_be_given_to_any_config(tiny_config):
    assert from_command_line(tiny_config, "load_from=x.pth").load_from == "x.pth"


@pytest.mark.parametrize("engine_ignores", ["launcher", "data_preprocessor", "cfg", "work_dir", "resume"])
def test_what_the_engine_would_ignore_is_no_key(engine_ignores):
    assert engine_ignores not in KNOWN_KEYS


@pytest.mark.parametrize(
    ("key", "use"),
    [
        ("model", load_model),
        ("model", build_trainer),
        ("trainer", build_trainer),
        ("train_dataloader", build_trainer),
        ("val_dataloader", build_trainer),
        ("train_cfg", build_trainer),
        ("model", build_tester),
        ("trainer", build_tester),
        ("test_dataloader", build_tester),
        ("test_evaluator", build_tester),
    ],
)
def test_what_a_command_needs_and_the_config_lacks_is_named(tiny_config, tmp_path, key, use):
    config = load_config(tiny_config)
    config.pop(key)
    with pytest.raises(ConfigError, match=f"tiny.py lacks {key}"):
        use(config) if use is load_model else use(config, tmp_path / "run")


STAGE = dict(
    name="flow", iters=1, train=["flow_estimator"], optimizer=dict(type="Adam", lr=1e-3), losses=dict(),
)  # fmt: skip
NO_LOSS = dict(type="PairModel", flow_estimator=None, renderer=dict(type="BaselineRenderer", structure_channels=1))
FULL = {
    **STAGE,
    "name": "full",
    "train": ["flow_estimator", "renderer"],
    "discriminator_optimizer": dict(type="Adam", lr=1e-3),
}


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([STAGE, STAGE], "different names"),
        ([{**STAGE, "name": "discriminator"}], "cannot be called 'discriminator'"),
        (
            [FULL, {**FULL, "name": "more", "discriminator_optimizer": dict(type="SGD", lr=1)}],
            "discriminator_optimizer must be the same",
        ),
        ([{**STAGE, "lr_scale": dict(flow=1)}], r"lr_scale names \['flow'\]"),
        ([{**STAGE, "lr_scale": dict(renderer=1)}], r"lr_scale names \['renderer'\]"),
        ([{**STAGE, "lr_scale": dict(flow_estimator=1), "optimizer": dict(type="Adam")}], "lr, which is not given"),
        ([{**FULL, "losses": dict(a=dict(type="AdversarialLoss"), b=dict(type="AdversarialLoss"))}], "got a, b"),
        ([{**STAGE, "losses": dict(a=NO_LOSS)}], "not a posegen.losses.Loss"),
        ([{**FULL, "losses": dict(a=dict(type="AdversarialLoss", mode="wgan"))}], "mode must be"),
        (
            [{**STAGE, "losses": dict(a=dict(type="SamplingCorrectness", levels=[3, 2]))}],
            r"levels \[3, 2\] must be those of the flow",
        ),
        ([{**STAGE, "losses": dict(a=dict(type="AffineRegularization", kernel_sizes=[3]))}], r"kernel_sizes \[3\]"),
        (
            [{**FULL, "losses": dict(a=dict(type="StyleLoss", layers=["relu1_3"]))}],
            "VGG19Features has no layer relu1_3",
        ),
    ],
)
def test_a_stage_that_could_not_train_as_it_says_is_refused(tiny_config, stages, message):
    config = load_config(tiny_config)
    with pytest.raises(ConfigError, match=message):
        posegen.registry.MODELS.build_part({**config.trainer, "model": config.model, "stages": stages})


@pytest.mark.parametrize(
    ("renderer", "message"), [(dict(kernel_sizes=[3, 4]), "odd, got 4"), (dict(reduction="max"), "'mean' or 'sum'")]
)
def test_an_attention_that_does_not_exist_is_an_error_for_the_user(tiny_config, renderer, message):
    config = load_config(tiny_config)
    with pytest.raises(PosegenError, match=message):
        posegen.registry.RENDERERS.build_part({**config.model.renderer, **renderer})


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.json", '{"_base_": "evil.py"}', "inherits from evil.py, which is code"),
        ("a.json", '{"_base_": ["b.json"]}', "inherits from evil.py, which is code"),
        ("a.json", '{"custom_imports": {"imports": ["this"]}}', "cannot import modules"),
        ("a.yaml", "model: !!python/object/apply:os.system ['touch ran']", "cannot be read as plain data"),
        ("a.yaml", "- 1\n- 2", "no names with values"),
        ("a.json", '{"_base_": "{{$NOSUCH:evil.py}}"}', "which is code|no .json or .yaml file"),
        ("a.json", '{"val_evaluator": {"type": "PSNR", "_scope_": "evil"}}', "_scope_ is one of .* got 'evil'"),
        ("a.json", '{"default_scope": "evil"}', "default_scope is one of .* got 'evil'"),
        (
            "a.json",
            '{"train_cfg": {"type": "${data_root}"}, "data_root": "evil.run"}',
            "not objects of Python: 'evil.run'",
        ),
        ("a.json", '{"optim_wrapper": {"constructor": "evil.run"}}', "not objects of Python: 'evil.run'"),
    ],
)
def test_a_config_that_is_data_executes_nothing(tmp_path, monkeypatch, name, text, told):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.py").write_text("open('ran', 'w')\n")
    (tmp_path / "b.json").write_text('{"_base_": "evil.py"}')
    monkeypatch.syspath_prepend(str(tmp_path))
    if name == "a.json" and "_base_" not in text:
        text = json.dumps(dict.fromkeys(KNOBS, 1) | json.loads(text))
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=told):
        load_config(tmp_path / name)
    assert not (tmp_path / "ran").exists()
    assert "evil" not in sys.modules


def test_braces_in_a_config_that_is_data_are_text(tmp_path, monkeypatch):
    """mmengine puts a value in place of them, escapes and all, and reads what comes out with a loader that executes."""
    monkeypatch.chdir(tmp_path)
    evil = r'x{{$NOSUCH:q|\ndata_root:\040!!python/object/apply:os.system\040["touch\040ran"]\040#}}'
    Path("a.yaml").write_text("".join(f"{knob}: 1\n" for knob in KNOBS[:-1]) + f"feature_weights: {evil}\n")
    assert load_config("a.yaml").feature_weights == evil
    assert not Path("ran").exists()


KNOBS_YAML = "".join(f"{knob}: 1\n" for knob in KNOBS)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("data_root: &a [" + "1," * 30_000 + "*a]", "refers to itself"),
        ("a: &a {x: 1}\nb: {<<: [*a, *a]}", "'<<' is not read"),
        ("a: &a {x: 1}\nb: {? !!python/tuple [*a] : 1}", "a name is text or a number"),
        ("data_root: " + ":".join("1" * 300), "more than 100 digits"),
        ("data_root: " + "[" * 150 + "]" * 150, "nests more than 100"),
        (
            "".join(f"l{level}: ['${{l{level + 1}}}', '${{l{level + 1}}}']\n" for level in range(40))
            + "l40: 1\nsize: ${l0}",
            "references unfold to more than 100,000 values",
        ),
        (
            "".join(f"l{level}: '${{l{level + 1}}}${{l{level + 1}}}'\n" for level in range(15))
            + f"l15: {'x' * 3000}\nsize: ${{l0}}",
            "4,194,304 characters",
        ),
        ("_base_: a.yaml", "inherits from itself"),
    ],
)
def test_a_small_config_does_not_unfold_to_a_large_one(tmp_path, text, told):
    path = tmp_path / "a.yaml"
    path.write_text(f"{KNOBS_YAML}{text}\n" if "data_root:" not in text else f"{text}\n")
    with pytest.raises(ConfigError, match=told):
        load_config(path)


def test_configs_that_are_data_inherit_as_configs_of_python_do(tmp_path):
    model = {"type": "PairModel", "renderer": {"type": "A", "depth": 2}, "flow_estimator": {"type": "B", "depth": 2}}
    base = dict.fromkeys(KNOBS, "{{ fileBasename }}") | {"model": model, "size": [8, 8]}
    changed = {"renderer": {"_delete_": True, "type": "C"}, "flow_estimator": {"depth": 3}}
    (tmp_path / "below.json").write_text(json.dumps(base))
    (tmp_path / "a.yaml").write_text(f"_base_: ./below.json\nmodel: {json.dumps(changed)}\nsize: [4, 4]")
    config = load_config(tmp_path / "a.yaml")
    assert config.model.to_dict() == {
        "type": "PairModel",
        "renderer": {"type": "C"},
        "flow_estimator": {"type": "B", "depth": 3},
    }
    assert (config["size"], config.data_root) == ([4, 4], "{{ fileBasename }}")  # braces are text


def test_a_part_is_no_object_of_python():
    with pytest.raises(UnknownNameError, match="no registered loss"):
        LOSSES.build_part(dict(type="subprocess.getoutput", cmd="true"))
