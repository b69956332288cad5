"""Acceleration from outside: the same numbers by faster means, chosen by measurement and stored."""

from __future__ import annotations

import copy
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch._dynamo import register_backend
from torch.autograd import forward_ad

import posegen
from posegen.acceleration import (
    Choices,
    CompilerWarning,
    accelerate,
    compile_networks,
    native_bfloat16,
    prepare_for_inference,
    recompute_activations,
    resolve_precision,
)
from posegen.acceleration import choices as chosen
from posegen.acceleration import minimal_filtering as minimal
from posegen.acceleration.choices import measure_shape
from posegen.cli import main
from posegen.config import load_config
from posegen.engine import build_trainer, trainer
from posegen.errors import ConfigError
from posegen.models import FlowEstimator, LocalAttentionRenderer, PairModel
from posegen.models.layers import Encode, Residual, Skip, ToImage, Up
from posegen.ops import LocalAttention
from posegen.weights import read_weights

FORMATS = [torch.contiguous_format, torch.channels_last]
ROUNDING = {3: 4e-6, 5: 1e-5}
"""Relative error in single precision by filter size: about four times what is measured."""


def always(choice):
    """A measurement that always chooses the same."""
    return lambda *_: choice


MINIMAL = always(" ".join(minimal.ALL))


def unmeasured(*_):
    pytest.fail("this convolution is left to PyTorch")


def passed(function, *inputs, **settings):
    """Output and the gradients of all inputs, each output weighted differently."""
    out = function(*inputs, **settings)
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).to(out.dtype)
    return [out, *torch.autograd.grad((out * weights).sum(), inputs)]


def inputs(size, dtype=torch.float64, height=13, width=22, made=5, channels=7):
    torch.manual_seed(0)
    shapes = (2, channels, height, width), (made, channels, size, size), (made,)
    return [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in shapes]


def large(dtype=torch.float32, batch=1):
    """An image and filters that are large enough to be measured."""
    torch.manual_seed(0)
    return torch.randn(batch, 128, 48, 48, dtype=dtype), torch.randn(128, 128, 3, 3, dtype=dtype)


def assert_close(ours, theirs, tolerance=1e-12):
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=tolerance * b.abs().max().item())


# Minimal filtering --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", FORMATS, ids=["contiguous", "channels-last"])
@pytest.mark.parametrize(("size", "padding"), [(3, 0), (3, 1), (3, 2), (5, 0), (5, 2), (5, 4)])
def test_outputs_and_gradients_are_those_of_pytorch(size, padding, format):
    """Sizes that are no multiple of a tile; in double precision, where rounding hides nothing."""
    x, weight, bias = inputs(size)
    x = x.detach().contiguous(memory_format=format).requires_grad_()
    ours = passed(minimal.convolve, x, weight, bias, padding=padding)
    assert_close(ours, passed(F.conv2d, x, weight, bias, padding=padding))
    assert ours[0].is_contiguous(memory_format=format)


@pytest.mark.parametrize("parts", [[], ["output"], ["input_gradient"], ["weight_gradient"]])
def test_each_part_can_be_chosen_alone(parts):
    values = inputs(3)
    assert_close(passed(minimal.convolve, *values, padding=1, minimal=parts), passed(F.conv2d, *values, padding=1))


@pytest.mark.parametrize("size", [3, 5])
def test_rounding_in_single_precision_is_a_few_millionths(size):
    """At the widths of the networks; against double precision."""
    values = inputs(size, torch.float32, 32, 32, 128, 256)
    ours = passed(minimal.convolve, *values, padding=size // 2)
    exact = passed(F.conv2d, *(value.detach().double().requires_grad_() for value in values), padding=size // 2)
    for a, b in zip(ours, exact, strict=True):
        assert (a - b).norm() / b.norm() < ROUNDING[size]


def test_pieces_of_an_image_and_parts_of_the_filters_give_the_same(monkeypatch):
    monkeypatch.setattr(minimal, "PIECE", 1)
    monkeypatch.setattr(minimal, "TILES_AT_ONCE", 5)
    monkeypatch.setattr(minimal, "FILTERS_AT_ONCE", 14)
    values = inputs(3)
    assert_close(passed(minimal.convolve, *values, padding=1), passed(F.conv2d, *values, padding=1))


def test_second_derivatives_are_those_of_finite_differences():
    values = inputs(3, height=5, width=6, made=2, channels=3)
    assert torch.autograd.gradgradcheck(lambda *given: minimal.convolve(*given, padding=1), values)


def test_a_batch_of_gradients_is_that_of_pytorch():
    values, weights = inputs(3), torch.randn(2, 2, 5, 13, 22, dtype=torch.float64)
    ours, theirs = (
        torch.autograd.grad(function(*values, padding=1, **settings), values, weights, is_grads_batched=True)
        for function, settings in ((minimal.convolve, {}), (F.conv2d, {}))
    )
    assert_close(ours, theirs)


def test_frozen_filters_get_no_gradient(monkeypatch):
    x, weight, bias = inputs(3)
    monkeypatch.setattr(minimal, "minimal_weight_gradient", unmeasured)
    minimal.convolve(x, weight.detach(), bias.detach(), padding=1).sum().backward()
    assert x.grad is not None


def test_an_image_gives_the_same_bits_alone_and_in_a_batch():
    x, weight = large(batch=3)
    for batch in (x, x.contiguous(memory_format=torch.channels_last), x[:1].expand(2, -1, -1, -1), x[::2]):
        assert torch.equal(minimal.convolve(batch, weight)[:1], minimal.convolve(batch[:1], weight))


def test_an_empty_batch_gives_an_empty_batch():
    x, weight, bias = inputs(3)
    out = minimal.convolve(x[:0], weight, bias, padding=1)
    out.sum().backward()
    assert out.shape == (0, 5, 13, 22)
    assert not weight.grad.any()


def test_a_backward_pass_under_autocast_keeps_its_precision():
    values = inputs(3, torch.float32)
    out = minimal.convolve(*values, padding=1).square().mean()
    with torch.autocast("cpu", torch.bfloat16):
        inside = torch.autograd.grad(out, values, retain_graph=True)
    assert all(map(torch.equal, inside, torch.autograd.grad(out, values)))


def test_threads_do_not_share_scratch_memory():
    x, weight = large()
    alone = minimal.convolve(x, weight)
    with ThreadPoolExecutor(2) as pool:
        assert all(torch.equal(made, alone) for made in pool.map(lambda _: minimal.convolve(x, weight), range(8)))


def test_scratch_memory_of_inference_mode_is_used_outside_of_it():
    minimal.release_scratch()
    x, weight, _ = inputs(3)
    with torch.inference_mode():
        first = minimal.convolve(x, weight)
    second = minimal.convolve(x, weight)
    second.sum().backward()
    assert torch.equal(first, second)


# Choices ------------------------------------------------------------------------------------------------------


def test_a_shape_is_measured_once_whatever_the_batch():
    measured = []
    choices = Choices(measure=lambda *given: measured.append(given) or "output")
    x, weight = large(batch=2)
    for batch in (x, x[:1]):
        assert_close([choices.convolve(batch, weight, padding=1)], [F.conv2d(batch, weight, padding=1)], 1e-5)
    assert len(measured) == 1
    assert [*choices.by_shape.values()] == ["output"]


@pytest.mark.parametrize("faster", ["direct", "minimal"])
def test_the_measurement_chooses_what_takes_less_time(faster, monkeypatch):
    seconds = {"direct": (1.0, 2.0), "minimal": (2.0, 1.0)}[faster]
    monkeypatch.setattr(chosen, "_times", lambda direct, minimal: (direct(), minimal(), seconds)[-1])
    x, weight, _ = inputs(3)
    before = torch.random.get_rng_state()
    choice = measure_shape(x, weight, 1, minimal.ALL, [torch.contiguous_format])
    assert choice == ("" if faster == "direct" else " ".join(minimal.ALL))
    assert torch.equal(torch.random.get_rng_state(), before), "training draws the same random numbers"


def test_choices_are_stored_and_read_again(tmp_path):
    x, weight = large()
    first = Choices(tmp_path / "choices.json", measure=MINIMAL)
    made = first.convolve(x, weight)
    again = Choices(tmp_path / "choices.json", measure=unmeasured)
    assert torch.equal(again.convolve(x, weight), made)
    assert again.by_shape == first.by_shape


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 1}', '{"a": "faster"}'])
def test_a_file_that_holds_no_choices_is_refused(tmp_path, text):
    (tmp_path / "choices.json").write_text(text)
    with pytest.raises(ConfigError, match=r"choices\.json"):
        Choices(tmp_path / "choices.json")


@pytest.mark.parametrize("moved", [False, True], ids=["in its folder", "from a copied checkpoint"])
def test_a_resumed_run_uses_the_choices_of_its_start(moved, tiny_config, tmp_path, monkeypatch):
    """Bit for bit, with choices that a second measurement would not repeat."""
    monkeypatch.setattr(chosen, "MIN_CHANNELS", 1)
    monkeypatch.setattr(chosen, "MIN_PRODUCTS", 1)
    monkeypatch.setattr(chosen, "measure_shape", MINIMAL)
    arguments = ["train", str(tiny_config), "--cfg-options", "flow_iters=1", "full_iters=2", "--work-dir"]
    assert main([*arguments, str(tmp_path / "run")]) == 0
    whole = read_weights(tmp_path / "run" / "iter_3.pth")["state_dict"]
    folder = tmp_path / "copy" if moved else tmp_path / "run"
    folder.mkdir(exist_ok=True)
    (tmp_path / "run" / "iter_3.pth").unlink()
    (tmp_path / "run" / "iter_2.pth").rename(folder / "iter_2.pth")
    monkeypatch.setattr(chosen, "measure_shape", unmeasured)
    assert main([*arguments, str(folder), "--resume"]) == 0
    resumed = read_weights(folder / "iter_3.pth")["state_dict"]
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())


@pytest.mark.parametrize("native", [False, True])
def test_training_is_accelerated_unless_it_computes_in_bf16(native, tiny_config, tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "native_bfloat16", lambda device: native)
    runner = build_trainer(load_config(tiny_config, {"trainer.autocast": "auto"}), tmp_path / "run")
    assert (runner.choices is None) == native


def test_what_acceleration_is_not_for_is_left_to_pytorch():
    choices, (x, weight) = Choices(measure=unmeasured), large()
    pairs = {
        "few products": (x[..., :8, :8], weight),
        "few channels": (x[:, :16], weight[:, :16]),
        "another filter size": (x, weight[..., :1, :1]),
        "half precision": (x.bfloat16(), weight.bfloat16()),
    }
    for reason, (image, filters) in pairs.items():
        assert torch.equal(choices.convolve(image, filters), F.conv2d(image, filters)), reason
    with torch.autocast("cpu", torch.bfloat16):
        assert choices.convolve(x, weight).dtype == torch.bfloat16
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(x, torch.ones_like(x))
        assert forward_ad.unpack_dual(choices.convolve(dual, weight)).tangent is not None
    gradient = torch.func.grad(lambda x: choices.convolve(x, weight).square().sum())(x)
    torch.testing.assert_close(gradient, torch.func.grad(lambda x: F.conv2d(x, weight).square().sum())(x))
    assert torch.func.vmap(lambda x: choices.convolve(x, weight))(x[None]).shape == (1, 1, 128, 46, 46)


@pytest.mark.parametrize(("channels", "bias", "padding"), [(129, None, 1), (128, torch.zeros(1), 1), (128, None, -1)])
def test_what_pytorch_refuses_is_its_error(channels, bias, padding):
    with pytest.raises(RuntimeError):
        Choices(measure=unmeasured).convolve(
            torch.randn(1, channels, 48, 48), torch.randn(128, 128, 3, 3), bias, padding
        )


# Models -------------------------------------------------------------------------------------------------------


class Layers(nn.Module):
    """Convolutions of the kinds in the networks, wide enough to be accelerated."""

    def __init__(self):
        super().__init__()
        self.zeros = nn.Conv2d(128, 128, 3, padding=1)
        self.reflect = nn.Conv2d(128, 128, 3, padding=1, padding_mode="reflect")
        self.normed = nn.utils.parametrizations.spectral_norm(nn.Conv2d(128, 128, 3, padding=1))
        self.attention = LocalAttention(128, 3)

    def forward(self, x):
        x = self.normed(self.reflect(self.zeros(x)))
        return self.attention(x, x.flip(1), 0.4 * x[:, :2])


@pytest.fixture
def layers():
    torch.manual_seed(0)
    return Layers().double().eval()


def numbers(model, x):
    out = model(x)
    out = getattr(out, "image", out)
    return [out, *torch.autograd.grad(out.square().mean(), list(model.parameters()))]


@pytest.mark.parametrize("choice", [" ".join(minimal.ALL), "channels_last", f"channels_last {minimal.ALL[0]}"])
def test_an_accelerated_model_computes_the_same(layers, choice):
    x = large(torch.float64)[0]
    plain, names = numbers(layers, x), list(layers.state_dict())
    choices = accelerate(layers, Choices(measure=always(choice)))
    assert_close(numbers(layers, x), plain, 1e-9)
    assert len(choices.by_shape) >= 3
    assert list(layers.state_dict()) == names


def test_a_copy_of_an_accelerated_model_has_its_own_weights(layers):
    accelerate(layers, Choices(measure=MINIMAL))
    x = large(torch.float64)[0]
    before, other = layers(x), copy.deepcopy(layers)
    for parameter in other.parameters():
        nn.init.zeros_(parameter)
    assert not other.zeros(x).any()
    assert torch.equal(layers(x), before)


BLOCKS = {
    "encode": lambda: Encode(8, 16),
    "encode, first": lambda: Encode(8, 16, "group", input_norm=False),
    "residual": lambda: Residual(8, 16),
    "up": lambda: Up(8, 4, 16),
    "skip": lambda: Skip(8),
    "to image": lambda: ToImage(8),
}


def traced(block, x):
    """Output and all gradients of a block, and the bytes that its forward pass keeps for them, weights aside."""
    weights, kept = {parameter.data_ptr() for parameter in block.parameters()}, {}

    def keep(tensor):
        if tensor.data_ptr() not in weights:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = block(x)
    size = sum(storage.nbytes() for storage in kept.values())
    return [out, *torch.autograd.grad(out.square().sum(), [x, *block.parameters()])], size


@pytest.mark.parametrize("kind", BLOCKS)
def test_recomputed_activations_give_the_same_bits_and_keep_less(kind):
    torch.manual_seed(0)
    block, x = BLOCKS[kind](), torch.randn(2, 8, 12, 10, requires_grad=True)
    plain, large = traced(block, x)
    recompute_activations(block)
    again, small = traced(block, x)
    assert all(map(torch.equal, again, plain))
    assert small < 0.7 * large


@pytest.mark.parametrize("accelerated", [False, True])
def test_recomputing_activations_computes_no_convolution_twice(accelerated, monkeypatch):
    block, finished = Residual(128, 128), []
    recompute_activations(block)
    if accelerated:
        accelerate(block, Choices(measure=MINIMAL))
    place, name = (minimal, "minimal_conv2d") if accelerated else (F, "conv2d")
    computed = getattr(place, name)

    def counted(*given, **settings):
        result = computed(*given, **settings)
        finished.append(not settings.get("transposed"))
        return result

    monkeypatch.setattr(place, name, counted)
    block(torch.randn(1, 128, 48, 48, requires_grad=True)).sum().backward()
    assert sum(finished) == 2


def small(**renderer):
    width = dict(levels=(2, 1), base_width=8, max_width=16)
    return PairModel(FlowEstimator(4, **width), LocalAttentionRenderer(4, kernel_sizes=(3, 3), **width, **renderer))


def pair(height=64, width=96):
    torch.manual_seed(0)
    return torch.rand(2, 3, height, width) * 2 - 1, *torch.rand(2, 2, 4, height, width)


def test_a_model_prepared_for_inference_computes_channels_last_and_gives_the_same():
    torch.manual_seed(0)
    model, formats = small(init_gain=0.5).eval().double(), []  # where rounding hides nothing
    nn.init.orthogonal_(model.renderer.to_image.conv.weight)  # an image with contrast
    given = [tensor.double() for tensor in pair()]
    model.renderer.up["1"].register_forward_pre_hook(
        lambda _, inputs: formats.append(inputs[0].is_contiguous(memory_format=torch.channels_last))
    )
    plain = model.transfer(*given).image
    prepare_for_inference(model, "fp32")
    assert_close([model.transfer(*given).image], [plain], 1e-6)
    assert formats == [False, True]
    assert plain.std() > 0.1


# Precision ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("capabilities", "environment", "native"),
    [
        ({"avx512_bf16": True}, {}, True),
        ({"amx_bf16": True}, {"ONEDNN_MAX_CPU_ISA": "all"}, True),
        ({"avx512_f": True}, {}, False),
        ({}, {}, False),
        ({"avx512_bf16": True, "amx_bf16": True}, {"ONEDNN_MAX_CPU_ISA": "avx2"}, False),
        ({"avx512_bf16": True, "amx_bf16": True}, {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}, False),
        ({"avx512_bf16": True, "amx_bf16": True}, {"ATEN_CPU_CAPABILITY": "avx2"}, False),
    ],
)
def test_native_bfloat16_is_what_processor_and_environment_allow(capabilities, environment, native, monkeypatch):
    for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    limit = environment.get("ATEN_CPU_CAPABILITY", "avx512").upper()  # PyTorch reads it once, at its start
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: limit)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert native_bfloat16("cpu") == native
    assert resolve_precision("auto", "cpu") == (torch.bfloat16 if native else torch.float32)


def test_a_pytorch_without_onednn_has_no_native_bfloat16(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert not native_bfloat16("cpu")


def test_auto_is_fp32_on_other_devices_and_an_unknown_precision_is_refused():
    assert resolve_precision("auto", "cuda") == torch.float32
    assert resolve_precision("bf16", "cuda") == torch.bfloat16
    with pytest.raises(ConfigError, match="did you mean 'bf16'"):
        resolve_precision("bf61", "cpu")


def test_a_model_in_bf16_generates_nearly_the_same_in_the_type_of_its_source(tiny_config):
    torch.manual_seed(0)
    models = [posegen.load_model(tiny_config, precision=precision) for precision in ("fp32", "bf16")]
    models[1].load_state_dict(models[0].state_dict())
    source, *structures = torch.rand(1, 3, 32, 32), *torch.rand(2, 1, 18, 32, 32)
    exact, half = (model.transfer(source, *structures) for model in models)
    assert half.image.dtype == half.flows[0].dtype == half.masks[0].dtype == torch.float32
    assert 0 < (half.image - exact.image).abs().max() < 0.01


# torch.compile, with backends that take seconds ---------------------------------------------------------------


@register_backend(name="without_a_compiler")
def without_a_compiler(*_):
    raise RuntimeError("no C++ compiler is here\nand more")


@pytest.fixture
def model():
    torch.manual_seed(0)
    yield nn.ModuleDict({"attention": LocalAttention(4, 3)})
    torch.compiler.reset()


def attended(model):
    torch.manual_seed(1)
    with torch.no_grad():
        return model["attention"](*torch.randn(2, 1, 4, 8, 8), torch.randn(1, 2, 8, 8))


def test_a_compiled_model_gives_the_same_numbers_under_the_same_names(model):
    plain, names = attended(model), list(model.state_dict())
    compile_networks(model, "aot_eager")
    with warnings.catch_warnings():
        warnings.simplefilter("error", CompilerWarning)
        torch.testing.assert_close(attended(model), plain, rtol=1e-3, atol=1e-5)
    assert list(model.state_dict()) == names


def test_without_a_compiler_a_warning_says_so_and_the_model_runs_uncompiled(model):
    plain = attended(model)
    with pytest.warns(CompilerWarning, match="no C\\+\\+ compiler is here$"):
        compile_networks(model, "without_a_compiler")
    assert torch.equal(attended(model), plain)


def test_an_unknown_backend_is_refused_with_the_nearest(model):
    with pytest.raises(ConfigError, match="did you mean 'inductor'"):
        compile_networks(model, "indctor")
