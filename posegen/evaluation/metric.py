"""Base classes of metrics: of single images, and of sets of images."""

from __future__ import annotations

import logging
import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from torch import Tensor

from ..data.keypoints import Keypoints
from ..errors import PosegenError
from ..records import Animation, ClipBatch, PairBatch, Transfer, as_pairs

OPENCV = ("opencv-python-headless", "opencv-python")
"""Packages that bring OpenCV; the first comes with posegen."""


class NotComputable(PosegenError):
    """A metric does not apply to these images (too small for its window, too few, no mask, ...).

    It is reported as not computed, with this message as the reason; other metrics go on.
    """


@dataclass
class ImageBatch:
    """Images as they are scored.

    Attributes:
        generated, target: B 3 H W, float32 in [0, 1].
        names: of the pairs, one per image.
        mask: B 1 H W in {0, 1}, the subject in the target; None: unknown.
        keypoints: of the targets, in pixels of the scored images; None: unknown.
        generated_keypoints: found in the generated images, likewise.
    """

    generated: Tensor
    target: Tensor
    names: list[str]
    mask: Tensor | None = None
    keypoints: Sequence[Keypoints] | None = None
    generated_keypoints: Sequence[Keypoints] | None = None

    def __len__(self) -> int:
        return len(self.generated)


class PairMetric(BaseMetric):
    """Metric of single images, averaged. Subclasses implement :meth:`measure`.

    Images are scored as the model generates them, clamped to [-1, 1], without a round trip through 8 bits or a file;
    protocols of published scores add such a round trip.

    Args:
        prefix: prepended to the names of the values, as ``prefix/name``; needed if two metrics share a name.

    Attributes:
        units: unit of each value by its name (``"dB"``, ``"px"``).
        higher_is_better: by name of the value.
        packages: libraries that decide the values; their versions are stored with the scores.
        per_image: after :meth:`compute_metrics`, one dict per image: its name and its values.
    """

    default_prefix = ""  # None would make mmengine warn about a missing prefix
    units: dict[str, str] = {}
    higher_is_better: dict[str, bool] = {}
    packages: tuple[str, ...] = ()

    def __init__(self, prefix: str = "") -> None:
        super().__init__(prefix=prefix)
        self.per_image: list[dict[str, Any]] = []

    @abstractmethod
    def measure(self, batch: PairBatch, out: Transfer) -> dict[str, Tensor]:
        """Compute the values of each image of a batch.

        Args:
            batch: the pairs, on the device of *out*.
            out: the model's output; the image is float32 in [-1, 1].

        Returns:
            Tensors of length B by name of the value. NaN: undefined for this image. A value that the data set does not
            allow (no exact flow, ...) is left out.
        """

    def process(self, data_batch: PairBatch | ClipBatch, data_samples: Sequence[Transfer | Animation]) -> None:
        """Measure a batch.

        Args:
            data_batch: the pairs; or clips, of which every frame is a pair with its reference.
            data_samples: output of the trainer's ``val_step``: one Transfer or Animation for the whole batch.

        Raises:
            PosegenError: the model's output has values that are not finite, which a mean would ignore.
            ValueError: *measure* returned a value that is not one number per image, or sizes do not fit.
        """
        pairs, made = as_pairs(data_batch, *data_samples)
        out = _prepare(made)
        batch = pairs.to(out.image.device)
        if out.image.shape != batch.target.shape:
            raise ValueError(f"images {tuple(out.image.shape)} for targets {tuple(batch.target.shape)}")
        _check_finite(batch.names, out)
        values = self.measure(batch, out)
        for name, value in values.items():
            if value.shape != (len(batch),):
                raise ValueError(
                    f"{type(self).__name__}: {name!r} must have one number per image, shape ({len(batch)},); "
                    f"got {tuple(value.shape)}"
                )
        columns = {name: value.detach().double().tolist() for name, value in values.items()}
        rows = [
            {"name": image_name, **{name: column[k] for name, column in columns.items()}}
            for k, image_name in enumerate(batch.names)
        ]
        self.results += _by_item(rows, len(data_batch))

    def compute_metrics(self, results: list[list[dict[str, Any]]]) -> dict[str, float]:
        """Average each value over images, without NaN; values that no image has are left out."""
        self.per_image = [row for rows in results for row in rows]
        numbers: dict[str, list[float]] = {}
        for row in self.per_image:
            for name, value in row.items():
                if name != "name" and not math.isnan(value):
                    numbers.setdefault(name, []).append(value)
        # fsum: the mean does not depend on how the images were batched
        return {name: math.fsum(values) / len(values) for name, values in numbers.items()}


class ImageMetric(PairMetric):
    """Metric of single images that needs only the generated and the true image. Subclasses implement :meth:`score`.

    It also scores images of any method, read from files.

    Attributes:
        variants: values of arguments that differ between publications; the sensitivity study tries each of them.
        extractor: network and checksum of its weights, for metrics that use one; stored with the scores.
    """

    variants: ClassVar[dict[str, tuple[Any, ...]]] = {}
    extractor = ""
    _warned = False

    @abstractmethod
    def score(self, images: ImageBatch) -> dict[str, Tensor]:
        """Compute the values of each image of a batch, length B, by name. NaN: undefined for this image.

        Raises:
            NotComputable: undefined for such images at all.
        """

    def measure(self, batch: PairBatch, out: Transfer) -> dict[str, Tensor]:
        """Score the model's images; a metric that does not apply warns once and gives no values."""
        try:
            return self.score(ImageBatch((out.image + 1) / 2, (batch.target + 1) / 2, batch.names, batch.foreground))
        except NotComputable as error:
            if not self._warned:
                print_log(f"{type(self).__name__} is not computed: {error}", "current", logging.WARNING)
            self._warned = True
            return {}


class SetMetric(BaseMetric):
    """Metric of the set of generated images against a set of real ones.

    Subclasses implement :meth:`extract`, :meth:`statistics` and :meth:`compare`. In a config's evaluator, the real
    images are the targets of the data set; in ``posegen evaluate`` the protocol names them. Images are rounded to 8
    bits first.

    Args:
        prefix: see :class:`PairMetric`.

    Attributes:
        units, higher_is_better, packages, variants: see :class:`PairMetric` and :class:`ImageMetric`.
        needs_real: False: a metric of the generated images alone.
        least_images: minimum size of each set; smaller ones are :class:`NotComputable`.
        extractor: source of the features in full (network, checksum of the weights, resizing). Statistics of a real set
            are cached under it, and metrics with the same extractor and the same :meth:`extract` share features. Empty:
            nothing is shared.
    """

    default_prefix = ""
    units: dict[str, str] = {}
    higher_is_better: dict[str, bool] = {}
    packages: ClassVar[tuple[str, ...]] = ()
    variants: ClassVar[dict[str, tuple[Any, ...]]] = {}
    needs_real = True
    least_images = 2
    extractor = ""

    def __init__(self, prefix: str = "") -> None:
        super().__init__(prefix=prefix)

    @abstractmethod
    def extract(self, images: Tensor) -> np.ndarray:
        """Compute features B D of images uint8 B 3 H W."""

    @property
    def source_of_features(self) -> object:
        """Key that is equal for metrics whose features are the same."""
        return (type(self).extract, self.extractor) if self.extractor else id(self)

    @abstractmethod
    def statistics(self, features: np.ndarray) -> dict[str, np.ndarray]:
        """Reduce the features N D of a real set to the arrays that :meth:`compare` needs, by name."""

    @abstractmethod
    def compare(self, generated: np.ndarray, real: dict[str, np.ndarray]) -> dict[str, float]:
        """Compute the values by name, from features N D of the generated images and the statistics of the real ones.

        Raises:
            NotComputable: too few images.
        """

    def interval(
        self, generated: np.ndarray, real: dict[str, np.ndarray], rng: np.random.Generator, draws: int
    ) -> dict[str, tuple[float, float]]:
        """Compute a 95 % interval of each value by a bootstrap over the generated images.

        Resampled sets contain images twice, which makes a distance of sets larger; so the interval is the spread of the
        resampled values around *their* mean, centered at the value itself.
        """
        values = self.compare(generated, real)
        drawn = [self.compare(generated[rng.integers(len(generated), size=len(generated))], real) for _ in range(draws)]
        return {name: centered_interval(value, [each[name] for each in drawn]) for name, value in values.items()}

    def advice(self, generated: int, real: int) -> str:
        """Return a note for readers of values from sets of these sizes; empty: none."""
        return ""

    def process(self, data_batch: PairBatch | ClipBatch, data_samples: Sequence[Transfer | Animation]) -> None:
        """Keep the features of the generated images and of the targets of a batch."""
        pairs, made = as_pairs(data_batch, *data_samples)
        out = _prepare(made)
        _check_finite(pairs.names, out)
        generated = self.extract(_quantized(out.image))
        real = self.extract(_quantized(pairs.target)) if self.needs_real else generated
        self.results += _by_item(list(zip(generated, real, strict=True)), len(data_batch))

    def compute_metrics(self, results: list[list[tuple[np.ndarray, np.ndarray]]]) -> dict[str, float]:
        """Compute the values over the whole data set; with too few images, warn and give none."""
        generated, real = (np.stack(part) for part in zip(*(row for rows in results for row in rows), strict=True))
        try:
            if len(generated) < self.least_images:
                raise NotComputable(f"needs {self.least_images} images or more, got {len(generated)}")
            return self.compare(generated, self.statistics(real) if self.needs_real else {})
        except NotComputable as error:
            print_log(f"{type(self).__name__} is not computed: {error}", "current", logging.WARNING)
            return {}


def centered_interval(value: float, drawn: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """Add to *value* the 2.5 and 97.5 % quantiles of resampled values around their own mean."""
    low, high = np.quantile(np.asarray(drawn) - np.mean(drawn), (0.025, 0.975))
    return float(value + low), float(value + high)


def _by_item(rows: list[Any], items: int) -> list[list[Any]]:
    """Group rows by item of the data set, a pair or a clip: mmengine counts items when it gathers from processes."""
    each = len(rows) // items
    return [rows[start : start + each] for start in range(0, len(rows), each)]


def _quantized(images: Tensor) -> Tensor:
    return images.float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)


def _prepare(out: Transfer) -> Transfer:
    """Clamp the image to [-1, 1] and convert all to float32, on a device that computes in float64."""
    device = "cpu" if out.image.device.type == "mps" else out.image.device
    return replace(
        out,
        image=out.image.to(device, torch.float32).clamp(-1, 1),
        flows=[flow.to(device, torch.float32) for flow in out.flows],
        masks=[mask.to(device, torch.float32) for mask in out.masks],
    )


def _check_finite(names: list[str], out: Transfer) -> None:
    for kind, tensor in [("image", out.image), *(("flow", flow) for flow in out.flows[-1:])]:
        finite = tensor.isfinite().flatten(1).all(1).tolist()
        bad = [name for name, fine in zip(names, finite, strict=True) if not fine]
        if bad:
            shown = ", ".join(bad[:5]) + (f" and {len(bad) - 5} more" if len(bad) > 5 else "")
            raise PosegenError(f"the model's {kind} has values that are not finite, for {shown}")
