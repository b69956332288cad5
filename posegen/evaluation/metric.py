"""What every metric of pairs shares: values an image, and their means over a data set."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from mmengine.evaluator import BaseMetric
from torch import Tensor

from ..errors import PosegenError
from ..records import Animation, ClipBatch, PairBatch, Transfer, as_pairs


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
