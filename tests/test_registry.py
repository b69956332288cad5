"""Registries: one for each kind of part, descendants of mmengine's, with errors that name the choices."""

from __future__ import annotations

import mmengine.registry
import pytest

from posegen.config import load_config
from posegen.errors import ConfigError, UnknownNameError
from posegen.registry import HOOKS, KINDS, LOSSES, METRICS, MODELS, RENDERERS

PARENTS = {"models": "MODELS", "datasets": "DATASETS", "metrics": "METRICS", "hooks": "HOOKS"}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_descends_from_a_registry_of_mmengine(kind):
    registry = KINDS[kind]
    while registry.parent is not None:
        registry = registry.parent
    assert registry is getattr(mmengine.registry, registry.name.replace(" ", "_").upper() + "S")


@pytest.mark.parametrize("kind", sorted(PARENTS))
def test_kinds_that_the_runner_builds_are_children_of_its_own(kind):
    assert KINDS[kind].parent is getattr(mmengine.registry, PARENTS[kind])


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_has_a_part_and_every_part_says_what_it_is(kind):
    KINDS[kind].get(next(iter(_names(kind))))
    for name in _names(kind):
        assert (KINDS[kind].get(name).__doc__ or "").strip(), f"{name} has no docstring"


def _names(kind):
    with pytest.raises(UnknownNameError):
        KINDS[kind].get("nothing is called so")  # loads plugins and built-in modules
    return sorted(KINDS[kind].module_dict)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_an_unknown_name_answers_with_all_names_and_the_nearest(kind):
    for name in _names(kind):
        with pytest.raises(UnknownNameError) as raised:
            KINDS[kind].get(f"{name}x")
        assert f"did you mean {name!r}" in str(raised.value)
        assert f"there are: {', '.join(_names(kind))}" in str(raised.value)
        assert str(raised.value).startswith(f"no {KINDS[kind].name.replace('_', ' ')} is called")


def test_parts_of_mmengine_are_found_through_ours():
    assert HOOKS.get("CheckpointHook").__module__.startswith("mmengine.")


def test_an_unknown_argument_answers_with_the_nearest():
    with pytest.raises(ConfigError, match="no argument 'layer'; did you mean 'layers'"):
        LOSSES.build_part(dict(type="StyleLoss", layer=["relu1_1"]))


def test_a_missing_argument_is_named():
    with pytest.raises(ConfigError, match="LocalAttentionRenderer needs 'structure_channels'"):
        RENDERERS.build_part(dict(type="LocalAttentionRenderer"))


def test_a_part_needs_a_type():
    with pytest.raises(ConfigError, match="a metric needs a 'type'"):
        METRICS.build_part(dict(prefix="x"))


def test_what_is_built_already_passes_through():
    loss = LOSSES.build_part(dict(type="ReconstructionLoss", weight=3))
    assert LOSSES.build_part(loss) is loss
    assert MODELS.build_part(None) is None


def test_a_name_that_is_taken_is_an_error_and_the_first_part_stays():
    before = METRICS.get("PSNR")
    with pytest.raises(ConfigError, match="two parts are called 'PSNR', a metric each"):
        METRICS.register_module(name="PSNR", module=dict)
    assert METRICS.get("PSNR") is before


def test_parts_of_one_name_in_two_kinds_take_the_arguments_of_either(derived, monkeypatch):
    text = "custom_hooks = [dict(type='TwoKinds', {}=1)]"
    monkeypatch.setitem(METRICS.module_dict, "TwoKinds", lambda first: None)
    monkeypatch.setitem(HOOKS.module_dict, "TwoKinds", lambda second: None)
    for argument in ("first", "second"):
        load_config(derived(text.format(argument)))
    with pytest.raises(ConfigError, match="no argument 'third'"):
        load_config(derived(text.format("third")))


@pytest.mark.parametrize("name", ["os.system", "posegen.models.PairModel", "there_is_no_such_module.run"])
def test_a_dotted_name_is_refused_before_anything_is_imported(name, monkeypatch):
    monkeypatch.setattr("importlib.import_module", lambda module, *rest: pytest.fail(f"{module} was imported"))
    with pytest.raises(UnknownNameError, match="names parts, not objects of Python"):
        MODELS.get(name)


def test_a_part_may_be_named_with_its_scope():
    assert MODELS.get("posegen.PairModel") is MODELS.get("PairModel")
