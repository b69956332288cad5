"""Networks: flow estimators F, renderers G, discriminators, and the complete models of pairs and of clips."""

from .ablations import BaselineRenderer, BilinearRenderer, GlobalAttentionRenderer
from .base import Discriminator, FlowEstimatorBase, GenerativeModel, Renderer
from .clip_flow import JointFlowEstimator, SeparateFlowEstimators
from .clip_model import ClipModel
from .clip_renderer import ClipRenderer
from .discriminator import DifferenceDiscriminator, ResidualDiscriminator, TemporalDiscriminator
from .flow_estimator import FlowEstimator
from .local_attention_renderer import LocalAttentionRenderer
from .pair_model import PairModel

__all__ = [
    "BaselineRenderer",
    "BilinearRenderer",
    "ClipModel",
    "ClipRenderer",
    "DifferenceDiscriminator",
    "Discriminator",
    "FlowEstimator",
    "FlowEstimatorBase",
    "GenerativeModel",
    "GlobalAttentionRenderer",
    "JointFlowEstimator",
    "LocalAttentionRenderer",
    "PairModel",
    "Renderer",
    "ResidualDiscriminator",
    "SeparateFlowEstimators",
    "TemporalDiscriminator",
]
