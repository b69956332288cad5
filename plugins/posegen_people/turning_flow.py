"""Flow prior of people who turn: what a body in three dimensions adds to similarities of its parts."""

from __future__ import annotations

import itertools
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from posegen.data.keypoints import KeypointLayout
from posegen.errors import ConfigError
from posegen.models.priors import PartFlow, PointPair
from posegen.registry import FLOW_PRIORS
from posegen.weights import read_weights

from .layouts import BODY_PARTS

POINTS = (
    "nose", "left eye", "right eye", "left ear", "right ear", "head top", "neck",
    "left shoulder", "right shoulder", "left elbow", "right elbow", "left wrist", "right wrist",
    "left hip", "right hip", "left knee", "right knee", "left ankle", "right ankle",
)  # fmt: skip
"""Key points that the network sees; a layout that lacks some gives the others."""
TERMS = 6
"""Coefficients of a polynomial of degree 2 in two variables."""
FLOW_STEP = 0.1
"""Unit of the network's flows, in radii of gyration of the source's points."""
SCORE_STEP = 4.0
"""Unit of the network's scores."""
FITTED = Path(__file__).with_name("turning_flow.safetensors")


@FLOW_PRIORS.register_module()
class TurningPartFlow(PartFlow):
    """Correct the flow of each part of a person by what bodies in three dimensions do.

    :class:`~posegen.models.PartFlow` moves parts as flat pieces. When a body turns or leans, its surface moves against
    the line between its joints, and parts cover each other. A small network, which sees the key points of both images
    and no pixel, gives for each part a polynomial of degree 2 in the place on the part, of a flow along and
    across the part, and a number that is added to its score. It was fitted once to the exact flow of people in 3D
    (``tools/fit_turning_flow.py``), with the points of openpose18, coco17 and lsp14. It does not train with the
    flow estimator, and is stored in the model's checkpoint.

    Args:
        layout: a key-point layout of people, or its name.
        width, depth: channels and number of hidden layers.
        fitted: whether the network starts with the weights that ship with posegen; else it corrects nothing.

    Raises:
        ConfigError: the layout is none of people, or the weights have another width or depth.
    """

    given: Tensor

    def __init__(
        self,
        layout: str | KeypointLayout,
        width: int = 384,
        depth: int = 3,
        fitted: bool = True,
    ) -> None:
        super().__init__(layout)
        strangers = [part.name for part in self.parts if part.name not in BODY_PARTS]
        if strangers:
            raise ConfigError(f"TurningPartFlow knows the parts of people; {self.layout.name!r} has {strangers}")
        names = self.layout.names
        given = [names.index(name) if name in names else len(names) for name in POINTS]  # past the end: none
        self.register_buffer("given", torch.tensor(given), persistent=False)
        self.chosen = [BODY_PARTS.index(part.name) for part in self.parts]
        widths = [2 * 3 * len(POINTS) + 1, *[width] * depth]
        layers = [layer for sizes in itertools.pairwise(widths) for layer in (nn.Linear(*sizes), nn.SiLU())]
        head = nn.Linear(width, len(BODY_PARTS) * (2 * TERMS + 1))
        self.network = nn.Sequential(*layers, head)
        if fitted:
            self._load(FITTED)
        else:
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)

    def correct(
        self, flows: Tensor, scores: Tensor, places: Tensor, axes: Tensor, points: PointPair
    ) -> tuple[Tensor, Tensor]:
        (source, scale), (target, target_scale) = (
            self._centered(points.source, points.in_source),
            self._centered(points.target, points.in_target),
        )
        ratio = (scale / target_scale).log().unsqueeze(1)
        outputs = self.network(torch.cat([source, target, ratio], 1)).unflatten(1, (len(BODY_PARTS), -1))
        outputs = outputs[:, self.chosen]
        coefficients = FLOW_STEP * scale[:, None, None, None] * outputs[..., :-1].unflatten(-1, (2, TERMS))
        moved = axes.transpose(-1, -2) @ coefficients @ _polynomial(places)
        return flows + moved, scores + SCORE_STEP * outputs[..., -1:]

    def _centered(self, points: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Return the network's view of key points B K 2, B 3·POINTS: centered, in radii of gyration; and these, B."""
        points, known = (
            F.pad(values, (0, 0, 0, 1))[:, self.given] for values in (points, present.unsqueeze(-1).float())
        )
        count = known.sum(1, keepdim=True).clamp(min=1)
        offsets = (points - (points * known).sum(1, keepdim=True) / count) * known
        radius = (offsets.square().sum((1, 2), keepdim=True) / count).sqrt().clamp(min=2)
        return torch.cat([offsets / radius, known], -1).flatten(1), radius.flatten()

    def _load(self, path: Path) -> None:
        weights = read_weights(path)
        found = {name: tuple(tensor.shape) for name, tensor in self.network.state_dict().items()}
        if found != {name: tuple(tensor.shape) for name, tensor in weights.items()}:
            raise ConfigError(f"the weights of {path.name} have another width or depth: fitted=False starts without")
        weights = {name: tensor.float() for name, tensor in weights.items()}
        self.network.load_state_dict(weights, assign=True)  # models are also built without memory, to be filled later


def _polynomial(places: Tensor) -> Tensor:
    """Terms of a polynomial of degree 2 at places on a part, B P TERMS M from B P 2 M, its middle at the origin."""
    u, v = (2 * places[:, :, 0] - 1).clamp(-2, 2), places[:, :, 1].clamp(-2, 2)
    return torch.stack([torch.ones_like(u), u, v, u * u, u * v, v * v], dim=2)
