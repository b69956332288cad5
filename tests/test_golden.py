"""Golden parity: operations, losses and networks agree with the published model to a relative error of 1e-4, fp32."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import posegen
from posegen.config import load_config
from posegen.engine.convert import convert
from posegen.losses import AdversarialLoss
from posegen.losses.correctness import sampling_correctness
from posegen.losses.style import gram
from posegen.ops import affine_residual, sample_gaussian
from posegen.ops.reference import local_attention_by_patches
from posegen.registry import DISCRIMINATORS, MODELS

from .golden_arrays import BAR, arrays, golden, relative_error

CONFIGS = Path(__file__).parents[1] / "configs"
PARAMETERS = {"market": 12_926_471, "fashion": 14_047_395}


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("formulation", ["fast", "patches"])
def test_local_attention_and_its_gradients(size, formulation):
    stored = {k.removeprefix(f"n{size}:"): v for k, v in arrays("ops").items() if k.startswith(f"n{size}:")}
    source, target, flow = (stored[name].clone().requires_grad_() for name in ("source", "target", "flow"))
    block = posegen.ops.LocalAttention(source.shape[1], size)
    block.patch_conv.weight.data = stored["w:fully_connect_layer.0.weight"]
    block.patch_conv.bias.data = stored["w:fully_connect_layer.0.bias"]
    block.kernel_conv.weight.data = stored["w:fully_connect_layer.2.weight"]
    block.kernel_conv.bias.data = stored["w:fully_connect_layer.2.bias"]

    if formulation == "fast":
        out = block(source, target, flow)
    else:
        out = local_attention_by_patches(block, source, target, flow)
    gradients = torch.autograd.grad(out, [source, target, flow, block.patch_conv.weight], stored["grad_out"])

    assert relative_error(out, stored["out"]) < BAR
    assert relative_error(block.kernel(source, target, flow), stored["kernel"]) < BAR
    for gradient, name in zip(gradients, ("d_source", "d_target", "d_flow", "d_w0"), strict=True):
        assert relative_error(gradient, stored[name]) < BAR, name


@pytest.mark.parametrize("size", [3, 5])
def test_gaussian_sampling_and_its_gradients(size):
    stored = {k.removeprefix(f"gauss{size}:"): v for k, v in arrays("ops").items() if k.startswith(f"gauss{size}:")}
    source, flow = (stored[name].clone().requires_grad_() for name in ("source", "flow"))
    out = sample_gaussian(source, flow)
    d_source, d_flow = torch.autograd.grad(out, [source, flow], stored["grad_out"])
    assert relative_error(out, stored["out"]) < BAR
    assert relative_error(d_source, stored["d_source"]) < BAR
    assert relative_error(d_flow, stored["d_flow"]) < BAR


@pytest.mark.parametrize("case", [0, 1])
def test_sampling_correctness(case):
    stored = arrays("losses")
    flow = stored[f"correct{case}:flow"].clone().requires_grad_()
    source, target = stored["correct:source_feat"], stored["correct:target_feat"]

    loss = sampling_correctness(source, target, flow)
    (d_flow,) = torch.autograd.grad(loss, flow)
    assert relative_error(loss, stored[f"correct{case}:gauss:loss"]) < BAR
    assert relative_error(d_flow, stored[f"correct{case}:gauss:d_flow"]) < BAR

    masked = sampling_correctness(source, target, flow, mask=stored[f"correct{case}:mask"])
    assert relative_error(masked, stored[f"correct{case}:masked_loss"]) < BAR


@pytest.mark.parametrize("size", [3, 5])
def test_affine_regularization(size):
    stored = arrays("losses")
    flow = stored[f"affine{size}:flow"].clone().requires_grad_()
    loss = affine_residual(flow, size).mean()
    (d_flow,) = torch.autograd.grad(loss, flow)
    assert relative_error(loss, stored[f"affine{size}:loss"]) < BAR
    assert relative_error(d_flow, stored[f"affine{size}:d_flow"]) < BAR


def test_gram_matrix():
    stored = arrays("losses")
    assert relative_error(gram(stored["gram:x"]), stored["gram:g"]) < BAR


@pytest.mark.parametrize("mode", ["lsgan", "hinge"])
def test_adversarial_terms(mode):
    stored = arrays("losses")
    loss, logits = AdversarialLoss(mode), stored["adv:pred"]
    assert relative_error(loss.real(logits), stored[f"adv:{mode}:d_real"]) < BAR
    assert relative_error(loss.generated(logits), stored[f"adv:{mode}:d_fake"]) < BAR
    step = posegen.losses.LossInputs(batch=None, out=None, features=None, logits=logits)  # type: ignore[arg-type]
    assert relative_error(loss(step), stored[f"adv:{mode}:g"]) < BAR
    halved = (stored[f"adv:{mode}:d_real"] + stored[f"adv:{mode}:d_fake"]) / 2
    assert relative_error(loss.discriminate(logits, logits), halved) < BAR


@pytest.fixture(params=["market", "fashion"])
def data_set(request):
    return request.param


def saved_as_published(state, path, prefix=""):
    """A weight file as the published ones: a plain state dict in the old, non-zip format."""
    torch.save({prefix + key: value for key, value in state.items()}, path, _use_new_zipfile_serialization=False)
    return path


@pytest.mark.parametrize("prefix", ["", "module."])
def test_published_model_through_the_converter(data_set, prefix, tmp_path):
    expected = golden(f"pose_{data_set}")
    config = load_config(CONFIGS / f"gfla_{data_set}.py")
    published = saved_as_published(expected.state, tmp_path / "latest_net_G.pth", prefix)
    torch.save(convert(config, published), tmp_path / "ours.pth")

    model = posegen.load_model(CONFIGS / f"gfla_{data_set}.py", tmp_path / "ours.pth")
    out = model.transfer(**expected.inputs)

    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[data_set] == expected.about["params"]
    stride = expected.about["image_stride"]
    assert relative_error(out.image[..., ::stride, ::stride], expected.arrays["image"]) < BAR
    assert len(out.flows) == len(out.masks) == len(expected.about["attn_layer"])
    for index, (flow, mask) in enumerate(zip(out.flows, out.masks, strict=True)):
        assert relative_error(flow, expected.arrays[f"flow{index}"]) < BAR
        assert relative_error(mask, expected.arrays[f"mask{index}"]) < BAR
    assert not out.image.requires_grad


def test_a_published_file_given_as_a_checkpoint_points_to_the_converter(tmp_path):
    published = saved_as_published(golden("pose_market").state, tmp_path / "latest_net_G.pth", "module.")
    with pytest.raises(posegen.CheckpointError, match="posegen convert"):
        posegen.load_model(CONFIGS / "gfla_market.py", published)


def test_published_discriminator_through_the_converter(data_set, tmp_path):
    expected = golden(f"disc_{data_set}")
    config = load_config(CONFIGS / f"gfla_{data_set}.py")
    converted = convert(config, saved_as_published(expected.state, tmp_path / "latest_net_D.pth"))["state_dict"]
    discriminator = DISCRIMINATORS.build_part(config.trainer.discriminator).eval()
    discriminator.load_state_dict({name.removeprefix("discriminator."): value for name, value in converted.items()})
    assert sum(p.numel() for p in discriminator.parameters()) == expected.about["params"]
    assert relative_error(discriminator(expected.inputs["image"]), expected.arrays["logits"]) < BAR


def test_flow_estimator_of_deepfashion_has_the_published_size():
    model = MODELS.build_part(load_config(CONFIGS / "gfla_fashion.py").model)
    assert sum(p.numel() for p in model.flow_estimator.parameters()) == 6_608_212
