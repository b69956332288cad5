"""Networks: the flow estimator F, the renderer G, discriminators, and the complete model."""

from .discriminator import ResidualDiscriminator
from .flow_estimator import FlowEstimator
from .pair_model import PairModel
from .renderer import LocalAttentionRenderer

__all__ = ["FlowEstimator", "LocalAttentionRenderer", "PairModel", "ResidualDiscriminator"]
