"""Renderers of the paper's ablation study (GFLA, arXiv 2003.00696, section 4.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..ops import Reduction, sample_bilinear
from ..registry import RENDERERS
from .base import Renderer
from .layers import INIT_GAIN, NormKind, ToImage, encode, encoder, initialize
from .local_attention_renderer import LocalAttentionRenderer, check_levels, decoder, renderer_widths


class Sampling(nn.Module):
    """Move source features along a flow, without a kernel."""

    def forward(self, source_features: Tensor, target_features: Tensor, flow: Tensor) -> Tensor:
        """Return source features at the places that the flow B 2 H W points at, B C H W from maps B C H W."""
        return sample_bilinear(source_features, flow).to(target_features.dtype)


@RENDERERS.register_module()
class BilinearRenderer(LocalAttentionRenderer):
    """Ablation "bilinear sampling": source features are warped by the flow alone, without a kernel.

    Arguments as :class:`LocalAttentionRenderer`; *kernel_sizes* and *reduction* have no effect.
    """

    published = ()

    def build_attention(
        self, widths: Sequence[int], levels: Sequence[int], kernel_sizes: Sequence[int], reduction: Reduction
    ) -> nn.ModuleDict:
        return nn.ModuleDict({str(k): Sampling() for k in levels})


class GlobalAttention(nn.Module):
    """Attend from every target location to all source locations: softmax of the scaled similarity of projections.

    PyTorch's fused attention works in tiles: the matrix of all by all locations is never in memory.

    Args:
        channels: of source and target features.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query, self.key = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1)

    def forward(self, source_features: Tensor, target_features: Tensor) -> Tensor:
        """Return attended source features, B C H W, from maps B C H W."""
        query, key = self.query(target_features), self.key(source_features)
        maps = (query, key, source_features)
        # B 1 HW C: one head; the tiled kernel needs adjacent channels
        q, k, v = (x.flatten(2).transpose(1, 2).unsqueeze(1).contiguous() for x in maps)
        attended = F.scaled_dot_product_attention(q, k, v)
        return attended.squeeze(1).transpose(1, 2).unflatten(2, target_features.shape[-2:])


@RENDERERS.register_module()
class GlobalAttentionRenderer(Renderer):
    """Ablation "global attention": no flow; attended source features are added.

    Arguments as :class:`LocalAttentionRenderer`; *kernel_sizes* and *reduction* have no effect.
    """

    def __init__(
        self,
        structure_channels: int,
        levels: Sequence[int] = (3, 2),
        kernel_sizes: Sequence[int] = (3, 5),
        base_width: int = 64,
        max_width: int = 512,
        depth: int = 3,
        image_channels: int = 3,
        reduction: Reduction = "mean",
        init_gain: float = INIT_GAIN,
        norm: NormKind = "instance",
    ) -> None:
        super().__init__()
        check_levels(levels, kernel_sizes, depth)
        self.structure_channels, self.image_channels = structure_channels, image_channels
        self.depth = depth
        widths = renderer_widths(base_width, max_width, depth)
        self.target_encoder = encoder([structure_channels, *widths[1:]], norm)
        self.residual, self.up = decoder(widths, norm)
        self.to_image = ToImage(widths[0], image_channels)
        self.source_encoder = encoder([image_channels, *widths[1:]], norm)
        self.attention = nn.ModuleDict({str(k): GlobalAttention(widths[k]) for k in levels})
        initialize(self, init_gain)
        initialize(self.to_image)
        initialize(self.attention)

    def forward(
        self, source: Tensor, source_structure: Tensor, target_structure: Tensor, flows: Any = (), masks: Any = ()
    ) -> Tensor:
        """Render the target image, as :meth:`LocalAttentionRenderer.forward`, without flows and masks."""
        features = encode(self.source_encoder, source)
        out = encode(self.target_encoder, target_structure)[-1]
        for k in range(self.depth, 0, -1):
            if str(k) in self.attention:
                out = out + self.attention[str(k)](features[k], out)
            out = self.up[str(k)](self.residual[str(k)](out))
        return self.to_image(out)


@RENDERERS.register_module()
class BaselineRenderer(Renderer):
    """Ablation "baseline": an encoder-decoder on source image and both structures; no flow and no attention.

    Arguments as :class:`LocalAttentionRenderer`; *levels*, *kernel_sizes* and *reduction* have no effect.
    """

    def __init__(
        self,
        structure_channels: int,
        levels: Sequence[int] = (3, 2),
        kernel_sizes: Sequence[int] = (3, 5),
        base_width: int = 64,
        max_width: int = 512,
        depth: int = 3,
        image_channels: int = 3,
        reduction: Reduction = "mean",
        init_gain: float = INIT_GAIN,
        norm: NormKind = "instance",
    ) -> None:
        super().__init__()
        check_levels(levels, kernel_sizes, depth)
        self.structure_channels, self.image_channels = structure_channels, image_channels
        self.depth = depth
        widths = renderer_widths(base_width, max_width, depth)
        self.target_encoder = encoder([image_channels + 2 * structure_channels, *widths[1:]], norm)
        self.residual, self.up = decoder(widths, norm)
        self.to_image = ToImage(widths[0], image_channels)
        initialize(self, init_gain)
        initialize(self.to_image)

    def forward(
        self, source: Tensor, source_structure: Tensor, target_structure: Tensor, flows: Any = (), masks: Any = ()
    ) -> Tensor:
        """Render the target image, as :meth:`LocalAttentionRenderer.forward`, without flows and masks."""
        everything = torch.cat([source, source_structure, target_structure], dim=1)
        out = encode(self.target_encoder, everything)[-1]
        for k in range(self.depth, 0, -1):
            out = self.up[str(k)](self.residual[str(k)](out))
        return self.to_image(out)
