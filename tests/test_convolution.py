"""Convolutions with fewer multiplications give what torch's own give."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad as fwAD

from posegen.models.layers import Convolution
from posegen.ops import convolution
from posegen.ops.convolution import convolve, winograd

LAYOUTS = [torch.contiguous_format, torch.channels_last]
ROUNDING = {3: 4e-6, 5: 1e-5}
"""Of single precision, by the size of the filters: about four times what is measured."""


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Images that are small for a test are large enough."""
    monkeypatch.setattr(convolution, "FEWEST_PRODUCTS", dict.fromkeys(LAYOUTS, 2**24))
    monkeypatch.setattr(convolution, "FEWEST_PRODUCTS_OF_GRADIENT", 2**24)


def passed(convolution, *inputs, **settings):
    """Output and the gradients of all inputs, each weighted otherwise."""
    out = convolution(*inputs, **settings)
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).to(out.dtype)
    return [out, *torch.autograd.grad((out * weights).sum(), inputs)]


def inputs(size: int, dtype: torch.dtype, height: int = 13, width: int = 22, made: int = 5, channels: int = 7):
    torch.manual_seed(0)
    shapes = (2, channels, height, width), (made, channels, size, size), (made,)
    return [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in shapes]


@pytest.mark.parametrize("layout", LAYOUTS, ids=["contiguous", "channels-last"])
@pytest.mark.parametrize(("size", "padding"), [(3, 0), (3, 1), (3, 2), (5, 0), (5, 2), (5, 4)])
def test_outputs_and_all_gradients_are_those_of_torch(size, padding, layout):
    """Sizes that tiles do not divide; in double precision, where rounding hides nothing."""
    x, weight, bias = inputs(size, torch.float64)
    x = x.detach().contiguous(memory_format=layout).requires_grad_()
    ours = passed(winograd, x, weight, bias, padding=padding)
    theirs = passed(F.conv2d, x, weight, bias, padding=padding)
    assert ours[0].is_contiguous(memory_format=layout)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12 * b.abs().max().item())


@pytest.mark.parametrize("size", [3, 5])
def test_rounding_in_single_precision_is_a_few_millionths(size):
    """At the width and depth of the networks; against double precision."""
    values = inputs(size, torch.float32, 32, 32, 128, 256)
    ours = passed(winograd, *values, padding=size // 2)
    exact = passed(F.conv2d, *(value.detach().double().requires_grad_() for value in values), padding=size // 2)
    for a, b in zip(ours, exact, strict=True):
        assert (a - b).norm() / b.norm() < ROUNDING[size]


@pytest.mark.parametrize("layout", LAYOUTS, ids=["contiguous", "channels-last"])
def test_the_gradient_of_the_filters_alone_by_minimal_filtering(monkeypatch, layout):
    """The result is torch's to the last bit."""
    monkeypatch.setattr(convolution, "FEWEST_PRODUCTS", dict.fromkeys(LAYOUTS, 2**40))
    monkeypatch.setattr(convolution, "winograd", lambda *_: pytest.fail("all of it"))
    values = inputs(3, torch.float64, 32, 35, 128, 130)
    values[0] = values[0].detach().contiguous(memory_format=layout).requires_grad_()
    calls = []
    gradient = convolution._filter_gradient
    monkeypatch.setattr(convolution, "_filter_gradient", lambda *given: calls.append(True) or gradient(*given))
    ours, theirs = passed(convolve, *values, padding=1), passed(F.conv2d, *values, padding=1)
    assert calls
    assert ours[0].is_contiguous(memory_format=layout)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12 * b.abs().max().item())
    assert torch.equal(ours[0], theirs[0])
    x, weight, _ = values
    assert torch.equal(convolve(x, weight.detach()), F.conv2d(x, weight.detach())), "frozen filters: torch's own"
    assert len(calls) == 1


def test_its_gradient_has_a_gradient_too(monkeypatch):
    monkeypatch.setattr(convolution, "FEWEST_PRODUCTS", dict.fromkeys(LAYOUTS, 2**40))
    torch.manual_seed(0)
    layer, used = Convolution(128, 128, 3, padding=1).double(), []
    through = convolution._through_gradients
    monkeypatch.setattr(
        convolution, "_through_gradients", lambda *given, direct: used.append(direct) or through(*given, direct=direct)
    )
    ours = curvature(layer)
    assert used == [True]
    layer.direct = True
    torch.testing.assert_close(ours, curvature(layer))


@pytest.mark.parametrize("fewest", [2**24, 2**40], ids=["all", "filters alone"])
def test_many_gradients_at_once_are_those_of_torch(monkeypatch, fewest):
    """As a vectorized Jacobian asks for them."""
    monkeypatch.setattr(convolution, "FEWEST_PRODUCTS", dict.fromkeys(LAYOUTS, fewest))
    values = inputs(3, torch.float64, 32, 32, 128, 128)
    weights = torch.randn(2, 2, 128, 32, 32, dtype=torch.float64)
    ours, theirs = (
        torch.autograd.grad(function(*values, padding=1), values, weights, is_grads_batched=True)
        for function in (convolve, F.conv2d)
    )
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_forward_derivatives_are_those_of_torch():
    x, weight = torch.randn(1, 128, 32, 32), torch.randn(128, 128, 3, 3)
    with fwAD.dual_level():
        dual = fwAD.make_dual(x, torch.ones_like(x))
        ours = fwAD.unpack_dual(convolve(dual, weight, padding=1)).tangent
        theirs = fwAD.unpack_dual(F.conv2d(dual, weight, padding=1)).tangent
    torch.testing.assert_close(ours, theirs)


def test_how_images_lie_in_a_batch_changes_nothing(monkeypatch):
    monkeypatch.setattr(convolution, "FEWEST_PRODUCTS", {LAYOUTS[0]: 2**40, LAYOUTS[1]: 2**24})
    x = torch.randn(3, 128, 34, 34).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(128, 128, 3, 3)
    alone = convolve(x[:1], weight)
    for batch in (x[:1].expand(2, -1, -1, -1), x[::2]):
        made = convolve(batch, weight)
        assert torch.equal(made[:1], alone)
        assert made.is_contiguous(memory_format=torch.channels_last)


def test_maps_are_arranged_where_minimal_filtering_serves():
    x, weight = torch.randn(1, 128, 34, 34), torch.randn(128, 128, 3, 3)
    assert convolution.arranged(x, weight).is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(convolution.arranged(x, weight), x)
    inner = x[..., 2:-2, 2:-2].contiguous()
    assert convolution.arranged(inner, weight) is inner, "a result of 28×28"
    assert convolution.arranged(inner, weight, padding=2).is_contiguous(memory_format=torch.channels_last)
    few = x[:, :64].contiguous()
    assert convolution.arranged(few, weight[:, :64]) is few
    with torch.autocast("cpu", torch.bfloat16):
        assert convolution.arranged(x, weight) is x


def test_pieces_of_an_image_are_of_about_one_size():
    """Nine rows of nine tiles are one piece and not eight and one: a small one takes as long as a large one."""
    image, to = torch.randn(256, 38, 38), torch.randn(128, 36, 36)
    for last in (False, True):
        assert len(list(convolution._pieces(image, to, 3, last))) == 1
    tall = [
        target.shape[2]
        for _, target in convolution._pieces(torch.randn(256, 102, 38), to.new_empty(128, 100, 36), 3, True)
    ]
    assert sum(tall) == 25
    assert min(tall) >= max(tall) - 1


def test_images_in_several_pieces_and_filters_in_several_parts_are_the_same(monkeypatch):
    monkeypatch.setattr(convolution, "SCRATCH", 1)
    monkeypatch.setattr(convolution, "FEWEST_TILES", 5)
    monkeypatch.setattr(convolution, "KEPT", 14)
    values = inputs(3, torch.float64)
    for a, b in zip(passed(winograd, *values, padding=1), passed(F.conv2d, *values, padding=1), strict=True):
        torch.testing.assert_close(a, b)


def test_the_gradients_are_those_of_the_function_itself():
    values = inputs(3, torch.float64, 5, 6, 2, 3)
    assert torch.autograd.gradcheck(lambda *given: winograd(*given, padding=1), values)


def test_a_gradient_is_computed_for_what_asks_for_one_alone(monkeypatch):
    x, weight, bias = inputs(3, torch.float64)
    monkeypatch.setattr(convolution, "_filter_gradient", lambda *_: pytest.fail("of frozen filters"))
    winograd(x, weight.detach(), bias.detach(), padding=1).sum().backward()
    assert x.grad is not None


def test_an_image_gives_the_same_to_the_last_bit_alone_and_in_a_batch():
    x = torch.randn(3, 128, 40, 32)
    weight = torch.randn(128, 128, 3, 3)
    assert torch.equal(convolve(x, weight, padding=1)[1:2], convolve(x[1:2], weight, padding=1))


def test_a_batch_without_images_is_one_again():
    x = torch.randn(0, 128, 32, 32, requires_grad=True)
    weight = torch.randn(128, 128, 3, 3, requires_grad=True)
    out = convolve(x, weight, padding=1)
    out.sum().backward()
    assert out.shape == (0, 128, 32, 32)
    assert not weight.grad.any()


def test_threads_do_not_share_scratch_and_leave_no_more_of_it_than_worked_at_once():
    values = inputs(3, torch.float32, 40, 40, 128, 128)
    x, weight, bias = (value.detach() for value in values)
    alone = convolve(x, weight, bias, padding=1)
    convolution.release_scratch()
    for _ in range(3):
        with ThreadPoolExecutor(2) as pool:
            made = list(pool.map(lambda _: convolve(x, weight, bias, padding=1), range(8)))
        assert all(torch.equal(each, alone) for each in made)
    assert len(convolution._free) <= 2


def curvature(layer) -> torch.Tensor:
    """The gradient, for the filters, of the norm of the gradient of a network that ends in the layer and a mean: so
    what comes back to the layer is a constant."""
    x = torch.randn(1, 128, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    (gradient,) = torch.autograd.grad(layer(x.sin()).mean(), x, create_graph=True)
    return torch.autograd.grad(gradient.square().sum(), layer.weight)[0]


def test_the_gradient_of_a_gradient_is_that_of_torch():
    """As gradient penalties ask for it."""
    torch.manual_seed(0)
    layer = Convolution(128, 128, 3, padding=1).double()
    ours = curvature(layer)
    layer.direct = True
    torch.testing.assert_close(ours, curvature(layer))
    values = inputs(3, torch.float64, 5, 6, 2, 3)
    assert torch.autograd.gradgradcheck(lambda *given: winograd(*given, padding=1), values)


def test_a_backward_pass_under_autocast_keeps_its_precision():
    values = inputs(3, torch.float32, 32, 32, 128, 128)
    ours = winograd(*values, padding=1).square().mean()
    with torch.autocast("cpu", torch.bfloat16):
        inside = torch.autograd.grad(ours, values, retain_graph=True)
    for a, b in zip(inside, torch.autograd.grad(ours, values), strict=True):
        assert torch.equal(a, b)


def test_a_call_in_another_mode_leaves_nothing_behind():
    convolution.release_scratch()
    convolution.transforms.cache_clear()
    x, weight = torch.randn(1, 128, 32, 32), torch.randn(128, 128, 3, 3)
    with FakeTensorMode(allow_non_fake_inputs=True) as fake:
        convolve(fake.from_tensor(x), fake.from_tensor(weight), padding=1)
    torch.set_default_device("meta")
    try:
        convolve(x, weight, padding=1)
    finally:
        torch.set_default_device(None)
    torch.testing.assert_close(convolve(x, weight, padding=1), F.conv2d(x, weight, padding=1), rtol=0, atol=1e-3)


def test_transforms_of_functions_take_torchs_own():
    x, weight = torch.randn(1, 128, 32, 32), torch.randn(128, 128, 3, 3)
    ours = torch.func.grad(lambda x: convolve(x, weight, padding=1).square().sum())(x)
    torch.testing.assert_close(ours, torch.func.grad(lambda x: F.conv2d(x, weight, padding=1).square().sum())(x))
    many = torch.randn(2, 1, 128, 32, 32)
    ours = torch.func.vmap(lambda x: convolve(x, weight, padding=1))(many)
    torch.testing.assert_close(ours, torch.func.vmap(lambda x: F.conv2d(x, weight, padding=1))(many))


def test_scratch_of_very_wide_maps_is_given_back(monkeypatch):
    monkeypatch.setattr(convolution, "MOST_KEPT_BYTES", 2**20)
    convolution.release_scratch()
    convolve(torch.randn(1, 128, 32, 32), torch.randn(128, 128, 3, 3), padding=1)
    assert not convolution._free


def used(monkeypatch, x, weight, **settings) -> bool:
    calls = []
    with monkeypatch.context() as patched:
        patched.setattr(convolution, "winograd", lambda *_: calls.append(True))
        convolve(x, weight, **settings)
    return bool(calls)


def test_it_serves_where_it_is_faster(monkeypatch):
    x, weight = torch.randn(1, 128, 32, 32), torch.randn(128, 128, 3, 3)
    assert used(monkeypatch, x, weight, padding=1)
    assert used(monkeypatch, x.double(), weight.double(), padding=1)
    assert not used(monkeypatch, x[..., :8, :8], weight, padding=1), "few products"
    assert not used(monkeypatch, x[:, :64], weight[:, :64], padding=1), "few channels"
    assert not used(monkeypatch, torch.randn(1, 128, 1, 2048), weight, padding=1), "tiles that are mostly empty"
    assert not used(monkeypatch, x, weight[..., :1, :1]), "another size of filters"
    assert not used(monkeypatch, x.bfloat16(), weight.bfloat16(), padding=1), "half precision"
    with torch.autocast("cpu", torch.bfloat16):
        assert not used(monkeypatch, x, weight, padding=1), "half precision"


@pytest.mark.parametrize(
    ("channels", "bias", "padding"),
    [
        (129, None, 1),
        (128, torch.zeros(1), 1),
        (128, torch.zeros(128, dtype=torch.float64), 1),
        (128, None, -1),
    ],
)
def test_what_torch_refuses_is_an_error_of_torch(channels, bias, padding):
    with pytest.raises(RuntimeError):
        convolve(torch.randn(1, channels, 32, 32), torch.randn(128, 128, 3, 3), bias, padding)


@pytest.mark.parametrize("mode", ["zeros", "reflect"])
def test_the_module_is_torchs_in_other_ways(mode):
    torch.manual_seed(0)
    ours = Convolution(128, 130, 3, padding=1, padding_mode=mode)
    theirs = torch.nn.Conv2d(128, 130, 3, padding=1, padding_mode=mode)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(1, 128, 33, 35)
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=1e-5)
    ours.direct = True
    assert torch.equal(ours(x), theirs(x))


def test_scratch_made_in_inference_mode_serves_afterwards():
    convolution.release_scratch()
    x, weight = torch.randn(1, 128, 32, 32), torch.randn(128, 128, 3, 3, requires_grad=True)
    with torch.inference_mode():
        first = convolve(x, weight, padding=1)
    second = convolve(x, weight, padding=1)
    second.sum().backward()
    assert torch.equal(first, second)
    assert weight.grad is not None
