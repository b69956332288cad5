"""What metrics share: those that give a number an image, and those that compare one set of images with another."""

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


class NotComputable(PosegenError):
    """A metric does not apply to these images (too small for its window, too few, no mask, ...). It is reported as not
    computed, with this as the reason, and the others go on."""


@dataclass
class ImageBatch:
    """Images as they are scored: ``generated`` and ``target`` B 3 H W, float32 in [0, 1]; ``names`` one an image;
    ``mask`` B 1 H W in {0, 1}, the subject in the target, where it is known; ``keypoints`` of the targets and
    ``generated_keypoints``, found in the generated images, both in pixels of what is scored; None where not known."""

    generated: Tensor
    target: Tensor
    names: list[str]
    mask: Tensor | None = None
    keypoints: Sequence[Keypoints] | None = None
    generated_keypoints: Sequence[Keypoints] | None = None

    def __len__(self) -> int:
        return len(self.generated)


class PairMetric(BaseMetric):
    """Measures each image of a data set, and takes means. Subclasses implement :meth:`measure`.

    Images are scored as the model made them, clamped to [-1, 1]: there is no round trip through 8 bits or a
    file. That is for the protocols of published figures, which ask for one.

    Args:
        prefix: put before the names of the values, as ``prefix/name``; two metrics of one name need it.

    Attributes:
        units: unit of each value by its name (``"dB"``, ``"px"``); a name that is missing has none.
        higher_is_better: by name of the value.
        per_image: after :meth:`compute_metrics`, one dict an image: its name and its values.
    """

    default_prefix = ""  # None would make mmengine warn of a missing prefix
    units: dict[str, str] = {}
    higher_is_better: dict[str, bool] = {}

    def __init__(self, prefix: str = "") -> None:
        super().__init__(prefix=prefix)
        self.per_image: list[dict[str, Any]] = []

    @abstractmethod
    def measure(self, batch: PairBatch, out: Transfer) -> dict[str, Tensor]:
        """The values of each image of a batch.

        Args:
            batch: the pairs, on the device of *out*.
            out: what the model made of them; the image is float32 in [-1, 1].

        Returns:
            Tensors of length B by name of the value. NaN: not defined for this image. A value that the data
            set does not allow (it knows no exact flow, ...) is left out.
        """

    def process(self, data_batch: PairBatch | ClipBatch, data_samples: Sequence[Transfer | Animation]) -> None:
        """Measure a batch and keep one plain dict an image.

        Args:
            data_batch: the pairs; or clips, of which every frame is a pair with its reference.
            data_samples: what the trainer's ``val_step`` returns: one Transfer, or Animation, for the whole batch.

        Raises:
            PosegenError: the model made values that are not finite. They would become NaN, be taken for
                undefined, and left out of the mean.
            ValueError: *measure* returned a value that is not one number an image, or sizes do not fit.
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
                    f"{type(self).__name__}: {name!r} must have one number an image, shape ({len(batch)},); "
                    f"got {tuple(value.shape)}"
                )
        columns = {name: value.detach().double().tolist() for name, value in values.items()}
        rows = [
            {"name": image_name, **{name: column[k] for name, column in columns.items()}}
            for k, image_name in enumerate(batch.names)
        ]
        # One result an item of the data set, as mmengine counts them when it gathers those of several processes: a
        # pair's one row, or the rows of all frames of a clip.
        each = len(rows) // len(data_batch)
        self.results += [rows[start : start + each] for start in range(0, len(rows), each)]

    def compute_metrics(self, results: list[list[dict[str, Any]]]) -> dict[str, float]:
        """The mean over images of each value, NaN ignored; values that no image has are left out."""
        self.per_image = [row for rows in results for row in rows]
        numbers: dict[str, list[float]] = {}
        for row in self.per_image:
            for name, value in row.items():
                if name != "name" and not math.isnan(value):
                    numbers.setdefault(name, []).append(value)
        # fsum: the mean does not depend on how the images were batched
        return {name: math.fsum(values) / len(values) for name, values in numbers.items()}


class ImageMetric(PairMetric):
    """A number an image that needs the result and the target alone. Subclasses implement :meth:`score`.

    So it scores what a model makes while it trains, and also the images of any method, read from files.

    Attributes:
        variants: for each argument of which several are in use in published work, the values it can have; a study of
            how far each choice moves the score goes through them.
        extractor: of a metric that reads weights: network and checksum of the file; it is stored with the scores.
    """

    variants: ClassVar[dict[str, tuple[Any, ...]]] = {}
    extractor = ""
    _warned = False

    @abstractmethod
    def score(self, images: ImageBatch) -> dict[str, Tensor]:
        """The values of each image of a batch, of length B, by name. NaN: not defined for this image.

        Raises:
            NotComputable: not defined for such images at all.
        """

    def measure(self, batch: PairBatch, out: Transfer) -> dict[str, Tensor]:
        """What :meth:`score` gives for the model's images; nothing, and a warning, where it does not apply to them."""
        try:
            return self.score(ImageBatch((out.image + 1) / 2, (batch.target + 1) / 2, batch.names, batch.foreground))
        except NotComputable as error:
            if not self._warned:
                print_log(f"{type(self).__name__} is not computed: {error}", "current", logging.WARNING)
            self._warned = True
            return {}


class SetMetric(BaseMetric):
    """Compares the set of all generated images with a set of real ones. Subclasses implement :meth:`extract`,
    :meth:`statistics` and :meth:`compare`.

    Built into a config's evaluator, it compares with the targets of the same data set. ``posegen evaluate`` compares
    with the real images that the protocol names. Images are rounded to 8 bits first, as if they had been files.

    Args:
        prefix: see :class:`PairMetric`.

    Attributes:
        units, higher_is_better, variants: see :class:`ImageMetric`.
        needs_real: False: a metric of the generated images alone.
        least_images: of each set; fewer are :class:`NotComputable`.
        extractor: what the features come from, in full (network, weights' checksum, resizing): statistics of a real set
            are kept under it, and metrics that have it and the very method :meth:`extract` in common share their
            features. Empty: nothing is shared.
    """

    default_prefix = ""
    units: dict[str, str] = {}
    higher_is_better: dict[str, bool] = {}
    variants: ClassVar[dict[str, tuple[Any, ...]]] = {}
    needs_real = True
    least_images = 2
    extractor = ""

    def __init__(self, prefix: str = "") -> None:
        super().__init__(prefix=prefix)

    @abstractmethod
    def extract(self, images: Tensor) -> np.ndarray:
        """Features B D of images uint8 B 3 H W."""

    @property
    def source_of_features(self) -> object:
        """Equal for metrics whose features are the same."""
        return (type(self).extract, self.extractor) if self.extractor else id(self)

    @abstractmethod
    def statistics(self, features: np.ndarray) -> dict[str, np.ndarray]:
        """What is kept of a real set, N D, to be compared with: arrays by name."""

    @abstractmethod
    def compare(self, generated: np.ndarray, real: dict[str, np.ndarray]) -> dict[str, float]:
        """The values by name, for the features of the generated images N D and the statistics of the real ones.

        Raises:
            NotComputable: too few images.
        """

    def interval(
        self, generated: np.ndarray, real: dict[str, np.ndarray], rng: np.random.Generator, draws: int
    ) -> dict[str, tuple[float, float]]:
        """A 95 % interval of each value by a bootstrap over the generated images; none: no names.

        Resampled sets hold images twice, which makes a distance of sets larger: the interval is the spread of the
        resampled values around *their* mean, set around the value itself.
        """
        values = self.compare(generated, real)
        drawn = [self.compare(generated[rng.integers(len(generated), size=len(generated))], real) for _ in range(draws)]
        return {name: centered_interval(value, [each[name] for each in drawn]) for name, value in values.items()}

    def advice(self, generated: int, real: int) -> str:
        """What a reader should know of values from so many images; empty: nothing."""
        return ""

    def process(self, data_batch: PairBatch | ClipBatch, data_samples: Sequence[Transfer | Animation]) -> None:
        """Keep the features of a batch: of what was made, and of the targets."""
        pairs, made = as_pairs(data_batch, *data_samples)
        out = _prepare(made)
        _check_finite(pairs.names, out)
        generated = self.extract(_quantized(out.image))
        real = self.extract(_quantized(pairs.target)) if self.needs_real else generated
        rows = list(zip(generated, real, strict=True))
        each = len(rows) // len(data_batch)  # one result an item of the data set, see PairMetric
        self.results += [rows[start : start + each] for start in range(0, len(rows), each)]

    def compute_metrics(self, results: list[list[tuple[np.ndarray, np.ndarray]]]) -> dict[str, float]:
        """The values over the whole data set; none, and a warning, where there are too few images."""
        generated, real = (np.stack(part) for part in zip(*(row for rows in results for row in rows), strict=True))
        try:
            if len(generated) < self.least_images:
                raise NotComputable(f"needs {self.least_images} images or more, got {len(generated)}")
            return self.compare(generated, self.statistics(real) if self.needs_real else {})
        except NotComputable as error:
            print_log(f"{type(self).__name__} is not computed: {error}", "current", logging.WARNING)
            return {}


def centered_interval(value: float, drawn: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """*value* plus the 2.5 and 97.5 % quantiles of resampled values around their own mean."""
    low, high = np.quantile(np.asarray(drawn) - np.mean(drawn), (0.025, 0.975))
    return float(value + low), float(value + high)


def _quantized(images: Tensor) -> Tensor:
    return images.float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)


def _prepare(out: Transfer) -> Transfer:
    """The image in [-1, 1], all in float32, on a device that can compute in float64."""
    device = "cpu" if out.image.device.type == "mps" else out.image.device
    return replace(
        out,
        image=out.image.to(device, torch.float32).clamp(-1, 1),
        flows=[flow.to(device, torch.float32) for flow in out.flows],
        masks=[mask.to(device, torch.float32) for mask in out.masks],
    )


def _check_finite(names: list[str], out: Transfer) -> None:
    for what, tensor in [("image", out.image), *(("flow", flow) for flow in out.flows[-1:])]:
        finite = tensor.isfinite().flatten(1).all(1).tolist()
        bad = [name for name, fine in zip(names, finite, strict=True) if not fine]
        if bad:
            shown = ", ".join(bad[:5]) + (f" and {len(bad) - 5} more" if len(bad) > 5 else "")
            raise PosegenError(f"the model made {what}s with values that are not finite, for {shown}")
