"""What a renderer computes of a source alone, kept while the pose is dragged."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor

MOST_KEPT = 8
"""Sources: as many browsers as the model serves at once; each takes 8 MB at 256×256."""


class SourceCache:
    """Encodings (:meth:`posegen.models.PairModel.encode_source`) of the sources that were asked for last.

    Sources are told apart by their pixels, so it does not matter which browser they come from. All are dropped once the
    model is another, or its weights have changed. Not for two threads at once.
    """

    def __init__(self) -> None:
        self._model: Any = lambda: None
        self._weights: list[tuple[int, int]] = []
        self._kept: list[tuple[Tensor, Any]] = []  # the one that was asked for last stands last

    def encoding(self, model: Any, source: Tensor) -> Any:
        """The encoding of a source B 3 H W; None: the model, or its renderer, computes nothing of a source alone."""
        if not hasattr(model, "encode_source"):
            return None
        # the model too: memory of one that is gone may be another's by now
        weights = [(weight.data_ptr(), weight._version) for weight in model.parameters()]
        if self._model() is not model or self._weights != weights:
            self._model, self._weights, self._kept = weakref.ref(model), weights, []
        place = next((k for k, (known, _) in enumerate(self._kept) if torch.equal(known, source)), None)
        found = (source, model.encode_source(source)) if place is None else self._kept.pop(place)
        self._kept = [*self._kept[-MOST_KEPT + 1 :], found]
        return found[1]
