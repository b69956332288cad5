"""Networks: flow estimators F, renderers G, discriminators, and the two complete models, of pairs and of clips."""

from .clip_flow import JointFlowEstimator, SeparateFlowEstimators
from .clip_model import ClipModel
from .discriminator import DifferenceDiscriminator, ResidualDiscriminator, TemporalDiscriminator
from .flow_estimator import FlowEstimator, FlowPyramid
from .pair_model import PairModel
from .renderer import (
    BaselineRenderer,
    BilinearRenderer,
    ClipRenderer,
    GlobalAttentionRenderer,
    LocalAttentionRenderer,
    Renderer,
)

__all__ = [
    "BaselineRenderer",
    "BilinearRenderer",
    "ClipModel",
    "ClipRenderer",
    "DifferenceDiscriminator",
    "FlowEstimator",
    "FlowPyramid",
    "GlobalAttentionRenderer",
    "JointFlowEstimator",
    "LocalAttentionRenderer",
    "PairModel",
    "Renderer",
    "ResidualDiscriminator",
    "SeparateFlowEstimators",
    "TemporalDiscriminator",
]
