"""Loss that compares the flow on limbs with their key points (not published: docs/experiments/paperdolls.md)."""

from __future__ import annotations

import torch
from torch import Tensor

from posegen.data.keypoints import KeypointLayout, get_layout
from posegen.errors import ConfigError
from posegen.losses import Loss, LossInputs, point_error
from posegen.models.priors import perpendicular
from posegen.ops import heatmap_peaks
from posegen.registry import LOSSES


@LOSSES.register_module()
class LimbFlow(Loss):
    """Distance of the flow along each limb from the motion of its two key points, in pixels of the flow.

    The sampling correctness sees only as far as its window: it cannot pull a flow to an arm that has moved further. The
    key points can, and every data set of people has them. A point at a share t of a limb in the target comes from the
    share t of the same limb in the source, and what lies beside the limb from the same side of it (limbs turn, and are
    as thick wherever they point); the loss is the mean absolute difference, x and y added, over points on all limbs
    whose ends are present in both images, summed over levels, its mean over pairs. A pair without such a limb counts as
    0.

    The structure's first channels must be heat maps of *layout*: a key point lies at the maximum of its map, between
    pixels where the map is a Gaussian that says so (``subpixel`` of the encoder).

    Args:
        layout: of the key points, or its name.
        samples: points on a limb.
        thickness: pixels of the image from the line between the key points to the points on either side of it; every
            third point lies on the line itself. 0: all do.
        weight: factor in the total.

    Raises:
        ConfigError: an argument out of range; in use, structures of fewer channels than the layout has points.
    """

    looks_at = "flow"

    def __init__(
        self, layout: str | KeypointLayout = "openpose18", samples: int = 9, thickness: float = 0.0, weight: float = 1.0
    ) -> None:
        super().__init__(weight)
        if samples < 1 or thickness < 0:
            raise ConfigError(f"LimbFlow: samples must be 1 or more, thickness 0 or more; got {samples=}, {thickness=}")
        self.layout = get_layout(layout)
        first, second = zip(*self.layout.limbs, strict=True)
        self.ends = (list(first), list(second))
        self.shares = (torch.arange(samples) + 0.5) / samples
        self.aside = thickness * torch.tensor([-1.0, 0.0, 1.0]).repeat(samples)[:samples]

    def forward(self, inputs: LossInputs) -> Tensor:
        batch = inputs.batch
        size = (batch.target.shape[-2], batch.target.shape[-1])
        source, in_source = self._limbs(batch.source_structure)
        target, in_target = self._limbs(batch.target_structure)
        present = (in_source & in_target)[..., None].expand(target.shape[:3]).flatten(1)  # B L·samples
        points, moved = target.flatten(1, 2), (source - target).flatten(1, 2)
        terms = [point_error(flow.float(), points, moved, present, size) for flow in inputs.out.flows]
        return torch.stack(terms).sum()

    def _limbs(self, structure: Tensor) -> tuple[Tensor, Tensor]:
        """Sample points on the limbs, B L samples 2, (x, y) in pixels of the structure; and which are present, B L."""
        if structure.shape[1] < len(self.layout):
            needs = f"{len(self.layout)} key points of layout {self.layout.name!r}"
            raise ConfigError(
                f"LimbFlow needs {needs}, and the structures have {structure.shape[1]} channels; set its layout to the "
                "structure's"
            )
        maps = structure[:, : len(self.layout)]
        points, present = heatmap_peaks(maps)
        first, second = (points[:, ends, None] for ends in self.ends)  # B L 1 2
        limb = second - first
        normal = perpendicular(limb) / torch.linalg.vector_norm(limb, dim=-1, keepdim=True).clamp(min=1)
        along = first + limb * self.shares.to(points.device)[:, None] + normal * self.aside.to(points.device)[:, None]
        return along, present[:, self.ends[0]] & present[:, self.ends[1]]
