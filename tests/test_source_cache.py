"""What a renderer computes of a source alone is kept, and changes no bit of what is made."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from posegen.app.source_cache import MOST_KEPT, SourceCache
from posegen.errors import InputError
from posegen.models import BaselineRenderer, FlowEstimator, LocalAttentionRenderer, PairModel

STRUCTURE = 4  # channels
SIZE = (32, 48)


@pytest.fixture
def model() -> PairModel:
    torch.manual_seed(0)
    small = dict(base_width=8, max_width=16, init_gain=0.5)
    estimator = FlowEstimator(STRUCTURE, (2, 1), depth=3, **small)
    return PairModel(estimator, LocalAttentionRenderer(STRUCTURE, (2, 1), (3, 5), depth=2, **small)).eval()


@pytest.fixture
def encoded(model, monkeypatch) -> list[Tensor]:
    """The sources whose encoding was computed, in order."""
    seen, encode = [], model.renderer.encode_source

    def counting(source: Tensor) -> list[Tensor]:
        seen.append(source)
        return encode(source)

    monkeypatch.setattr(model.renderer, "encode_source", counting)
    return seen


def image(seed: int) -> Tensor:
    return 2 * torch.rand(1, 3, *SIZE, generator=torch.Generator().manual_seed(seed)) - 1


def structure(seed: int) -> Tensor:
    return torch.rand(1, STRUCTURE, *SIZE, generator=torch.Generator().manual_seed(seed))


def differing(model: PairModel, source: Tensor, encoding: object) -> list[Tensor]:
    """What differs, in any bit, where *encoding* is given; empty: nothing."""
    inputs = source, structure(1), structure(2)
    made, expected = model.transfer(*inputs, encoding), model.transfer(*inputs)
    pairs = zip([made.image, *made.flows, *made.masks], [expected.image, *expected.flows, *expected.masks], strict=True)
    return [got for got, wanted in pairs if not torch.equal(got, wanted)]


def test_with_an_encoding_the_result_is_the_same_to_the_last_bit(model, encoded):
    cache = SourceCache()
    for _ in range(2):  # of equal pixels, as another request brings them
        known = cache.encoding(model, image(0))
        assert len(encoded) == 1
        assert differing(model, image(0), known) == []


def test_the_encoding_that_is_given_is_the_one_that_is_used(model):
    assert len(differing(model, image(0), model.encode_source(image(3)))) == 1  # the image: F sees the source itself


def test_another_source_gets_its_own_encoding(model, encoded):
    cache, first, second = SourceCache(), image(0), image(0)
    second[0, 0, 0, 0] += 1 / 255  # half a step of one pixel
    for source in (first, second, first):
        assert differing(model, source, cache.encoding(model, source)) == []
    assert len(encoded) == 2


def test_the_sources_that_were_asked_for_last_are_kept_and_no_more(model, encoded):
    cache = SourceCache()
    for seed in [*range(MOST_KEPT), 1, 0]:
        cache.encoding(model, image(seed))
    assert len(encoded) == MOST_KEPT
    for seed in (MOST_KEPT, 0, 1):  # the one before 1 and 0 that was asked for longest ago goes: 2
        cache.encoding(model, image(seed))
    assert len(encoded) == MOST_KEPT + 1
    cache.encoding(model, image(2))
    assert len(encoded) == MOST_KEPT + 2


def test_weights_that_change_drop_what_is_kept(model, encoded):
    cache = SourceCache()
    cache.encoding(model, image(0))
    torch.manual_seed(1)
    for weight in model.renderer.parameters():
        torch.nn.init.normal_(weight, std=0.1)  # in place, as a checkpoint is loaded
    assert differing(model, image(0), cache.encoding(model, image(0))) == []
    assert len(encoded) == 2


def test_another_model_drops_what_is_kept(model, encoded):
    cache = SourceCache()
    cache.encoding(model, image(0))
    torch.manual_seed(1)
    renderer = LocalAttentionRenderer(STRUCTURE, (2, 1), (3, 5), depth=2, base_width=8, max_width=16)
    other = PairModel(model.flow_estimator, renderer).eval()
    assert differing(other, image(0), cache.encoding(other, image(0))) == []
    cache.encoding(model, image(0))
    assert len(encoded) == 2


def test_a_model_that_encodes_no_source_has_nothing_to_keep():
    baseline = PairModel(None, BaselineRenderer(STRUCTURE, base_width=8)).eval()
    assert SourceCache().encoding(baseline, image(0)) is None
    assert SourceCache().encoding(torch.nn.Identity(), image(0)) is None


def test_a_source_that_does_not_fit_is_refused(model):
    with pytest.raises(InputError, match="source must be B 3 H W"):
        model.encode_source(torch.zeros(1, 4, *SIZE))
