"""Networks: flow estimators F, renderers G, discriminators, and the complete models of pairs and of clips."""

from .ablations import BaselineRenderer, BilinearRenderer, GlobalAttentionRenderer
from .base import Discriminator, FlowEstimatorBase, GenerativeModel, Renderer
from .clip_flow import JointFlowEstimator, SeparateFlowEstimators
from .clip_model import ClipModel
from .clip_renderer import ClipRenderer
from .composing_renderer import ComposingClipRenderer, ComposingRenderer
from .discriminator import DifferenceDiscriminator, ResidualDiscriminator, TemporalDiscriminator
from .flow_estimator import FlowEstimator
from .guided_flow import GuidedClipFlowEstimator, GuidedFlowEstimator
from .local_attention_renderer import LocalAttentionRenderer
from .pair_model import PairModel
from .priors import FlowCandidates, FlowPrior, PartFlow

__all__ = [
    "BaselineRenderer",
    "BilinearRenderer",
    "ClipModel",
    "ClipRenderer",
    "ComposingClipRenderer",
    "ComposingRenderer",
    "DifferenceDiscriminator",
    "Discriminator",
    "FlowCandidates",
    "FlowEstimator",
    "FlowEstimatorBase",
    "GenerativeModel",
    "FlowPrior",
    "GlobalAttentionRenderer",
    "GuidedClipFlowEstimator",
    "GuidedFlowEstimator",
    "JointFlowEstimator",
    "LocalAttentionRenderer",
    "PairModel",
    "PartFlow",
    "Renderer",
    "ResidualDiscriminator",
    "SeparateFlowEstimators",
    "TemporalDiscriminator",
]
