"""torch.compile as an option: the same numbers, the same weights, and no harm where it does not work.

Compiled is with backends that take seconds; only the slow test has torch generate code.
"""

from __future__ import annotations

import copy
import shutil
import warnings

import pytest
import torch
from torch._dynamo import register_backend

import posegen
from posegen.cli import main
from posegen.compiling import CompilerWarning, compile_networks
from posegen.config import load_config
from posegen.errors import ConfigError
from posegen.models import FlowEstimator, LocalAttentionRenderer, PairModel
from posegen.registry import MODELS
from posegen.weights import read_weights

from .conftest import LAST

STRUCTURE = 4  # channels; any number does


@register_backend(name="without_a_compiler")
def without_a_compiler(*_):
    raise RuntimeError("no C++ compiler is here\nand more that nobody wants to read")


@pytest.fixture(autouse=True)
def forget():
    """What torch has compiled: it looks at all of it before it compiles more."""
    yield
    torch.compiler.reset()


class Network(torch.nn.Module):
    def __init__(self, a, b):
        super().__init__()
        self.conv = torch.nn.Conv2d(a, b, 3)

    def forward(self, x):
        return self.conv(x).tanh()


class Model(torch.nn.Module):
    """A complete model as far as the compiler is concerned: two networks, of which the first may run alone."""

    def __init__(self):
        super().__init__()
        self.flow_estimator, self.renderer = Network(3, 2), Network(2, 3)

    def forward(self, image):
        return self.renderer(self.flow_estimator(image))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Model()


@pytest.fixture
def image():
    torch.manual_seed(1)
    return torch.rand(1, 3, 8, 8) * 2 - 1


def numbers(model, *inputs) -> list[torch.Tensor]:
    """What it makes, and the gradients of all weights."""
    out = model(*inputs)
    out = getattr(out, "image", out)
    return [out.detach(), *torch.autograd.grad(out.square().mean(), list(model.parameters()))]


def is_compiled(model) -> bool:
    return all(network._compiled_call_impl is not None for network in model.children())


def assert_same(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        # rounding in single precision, through two networks and back
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-6)


def test_a_compiled_model_gives_the_same_numbers(model, image):
    plain = numbers(model, image)
    compile_networks(model, "aot_eager")
    with warnings.catch_warnings():
        warnings.simplefilter("error", CompilerWarning)
        assert_same(numbers(model, image), plain)
    assert is_compiled(model)


def test_each_network_is_compiled_at_its_first_call(model, image):
    graphs = []

    @register_backend(name="counting")
    def counting(graph, _):
        graphs.append(graph)
        return graph.forward

    compile_networks(model, "counting")
    assert len(graphs) == 0
    model.flow_estimator(image)
    assert len(graphs) == 1  # a stage that trains F alone gains, too
    model(image)
    assert len(graphs) == 2


def test_names_of_weights_stay_what_they_are(model):
    names = list(model.state_dict())
    compile_networks(model)
    assert list(model.state_dict()) == [name for name, _ in model.named_parameters()] == names


def test_where_compiling_fails_the_model_runs_uncompiled(model, image):
    plain = numbers(model, image)
    compile_networks(model, "without_a_compiler")
    with pytest.warns(CompilerWarning) as told:
        out = numbers(model, image)
    assert len(told) == 1  # for both networks
    assert "no C++ compiler is here" in str(told[0].message)
    assert "nobody wants to read" not in str(told[0].message)
    assert all(map(torch.equal, out, plain))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        numbers(model, image)


def test_a_network_runs_once_a_call_but_for_the_first_with_gradients(model, image):
    runs = []

    @register_backend(name="running")
    def running(graph, _):
        return lambda *inputs: runs.append(1) or graph.forward(*inputs)

    def count(*inputs):
        runs.clear()
        model.flow_estimator(*inputs)
        return len(runs)

    compile_networks(model, "running")
    with torch.no_grad():
        assert [count(image), count(image)] == [1, 1]
    assert [count(image), count(image)] == [2, 1]


class NoWayBack(torch.autograd.Function):
    @staticmethod
    def forward(_, x):
        return x.clone()

    @staticmethod
    def backward(*_):
        raise RuntimeError("expected stride 1==64")


@register_backend(name="without_a_way_back")
def without_a_way_back(graph, _):
    return lambda *inputs: tuple(map(NoWayBack.apply, graph.forward(*inputs)))


def test_where_the_backward_pass_fails_the_model_runs_uncompiled(model, image):
    """As torch 2.13 does where channels are moved last: known before a step of training depends on it."""
    plain = numbers(model, image)
    compile_networks(model, "without_a_way_back")
    with torch.no_grad():
        assert torch.equal(model(image), plain[0])
    assert is_compiled(model)
    with pytest.warns(CompilerWarning, match="expected stride"):
        assert all(map(torch.equal, numbers(model, image), plain))
    assert not is_compiled(model)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_torch_that_cannot_compile_is_told_at_once(model, image, monkeypatch):
    def fails(*_, **__):
        raise RuntimeError("torch.compile is not supported on this Python")

    monkeypatch.setattr(torch, "compile", fails)
    with pytest.warns(CompilerWarning, match="not supported on this Python"):
        compile_networks(model)
    assert torch.isfinite(model(image)).all()


def test_inputs_that_do_not_fit_are_no_fault_of_the_compiler(model, image):
    compile_networks(model, "eager")
    with warnings.catch_warnings():
        warnings.simplefilter("error", CompilerWarning)
        with pytest.raises(RuntimeError, match="to have 3 channels, but got 2"):
            model(image[:, :2])
    assert is_compiled(model)


def test_a_copy_has_its_own_weights(model, image):
    compile_networks(model, "eager")
    model(image)
    other = copy.deepcopy(model)
    for parameter in other.parameters():
        torch.nn.init.zeros_(parameter)
    assert not is_compiled(other)
    assert other(image).abs().max() == 0
    assert model(image).abs().max() > 0


def test_a_backend_that_torch_does_not_have_is_told_with_the_nearest(model):
    with pytest.raises(ConfigError, match="did you mean 'inductor'"):
        compile_networks(model, "indctor")


def test_a_loaded_model_is_compiled_where_asked_for(tiny_config):
    assert is_compiled(posegen.load_model(tiny_config, compile=True))
    assert not is_compiled(posegen.load_model(tiny_config))


def test_pairs_and_clips_are_trained_compiled_where_asked_for(tiny_config):
    config = load_config(tiny_config, {"trainer.compile": "eager"})
    assert is_compiled(MODELS.build_part({**config.trainer, "model": config.model}).model)
    config = load_config(tiny_config)
    assert not is_compiled(MODELS.build_part({**config.trainer, "model": config.model}).model)


@pytest.mark.parametrize("first", [True, False], ids=["compiled, then not", "not, then compiled"])
def test_a_run_goes_on_with_the_compiler_or_without(tiny_config, trained, tmp_path, monkeypatch, first):
    """Here a compiler that gives back what it is given, so that the weights are those of a run without a break."""
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda call, **_: compiled.append(call) or call)
    work_dir = tmp_path / "run"
    command = ["train", str(tiny_config), "--work-dir", str(work_dir)]
    with_it = ["--cfg-options", "trainer.compile=True"]
    assert main([*command, *(with_it if first else [])]) == 0
    assert len(compiled) == (2 if first else 0)  # F and G
    for iteration in range(5, LAST + 1):
        (work_dir / f"iter_{iteration}.pth").unlink()
    assert main([*command, "--resume", *([] if first else with_it)]) == 0
    assert len(compiled) == 2
    ours, theirs = (read_weights(folder / f"iter_{LAST}.pth")["state_dict"] for folder in (work_dir, trained))
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.fixture
def pair_model():
    torch.manual_seed(0)
    return PairModel(
        FlowEstimator(STRUCTURE, (1,), base_width=4, max_width=8, depth=2, init_gain=0.5),
        LocalAttentionRenderer(STRUCTURE, (1,), (3,), base_width=4, max_width=8, depth=1, init_gain=0.5),
    )


@pytest.fixture
def pair():
    torch.manual_seed(1)
    return torch.rand(1, 3, 16, 16) * 2 - 1, *torch.rand(2, 1, STRUCTURE, 16, 16)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_the_networks_give_the_same_numbers(pair_model, pair, backend):
    if backend == "inductor" and not any(map(shutil.which, ("g++", "c++", "clang++"))):
        pytest.skip("no C++ compiler is here")
    plain, moved = numbers(pair_model, *pair), pair_model.transfer(*pair).image
    compile_networks(pair_model, backend)
    with warnings.catch_warnings():
        warnings.simplefilter("error", CompilerWarning)
        assert_same([pair_model.transfer(*pair).image], [moved])
        if backend == "aot_eager":  # inductor's backward pass takes a compiler a minute
            assert_same(numbers(pair_model, *pair), plain)
