"""One file a loss, one signature for all: ``loss(step) -> scalar``, multiplied by its ``weight`` in the config."""

from .adversarial import AdversarialLoss, TemporalAdversarialLoss
from .affine import AffineRegularization
from .correctness import SamplingCorrectness
from .features import VGG19Features
from .matched_points import MatchedPoints, point_error
from .perceptual import PerceptualLoss
from .reconstruction import ReconstructionLoss
from .step import FeatureCache, FeatureMemory, Loss, Step
from .style import StyleLoss

__all__ = [
    "AdversarialLoss",
    "AffineRegularization",
    "FeatureCache",
    "FeatureMemory",
    "Loss",
    "MatchedPoints",
    "PerceptualLoss",
    "ReconstructionLoss",
    "SamplingCorrectness",
    "Step",
    "StyleLoss",
    "TemporalAdversarialLoss",
    "VGG19Features",
    "point_error",
]
