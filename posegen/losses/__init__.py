"""Losses with one signature: ``loss(inputs) -> scalar``; the trainer multiplies by ``weight``."""

from .adversarial import AdversarialLoss, TemporalAdversarialLoss
from .affine import AffineRegularization
from .base import FeatureCache, Loss, LossInputs
from .correctness import SamplingCorrectness
from .exact_motion import ExactFlowLoss, ExactVisibilityLoss
from .features import VGG16Features, VGG19Features
from .matched_points import MatchedPoints, point_error
from .perceptual import PerceptualLoss
from .photometric import PhotometricLoss
from .reconstruction import ReconstructionLoss
from .smoothness import FlowSmoothness
from .structural import StructuralLoss
from .style import StyleLoss

__all__ = [
    "AdversarialLoss",
    "AffineRegularization",
    "ExactFlowLoss",
    "ExactVisibilityLoss",
    "FeatureCache",
    "FlowSmoothness",
    "Loss",
    "LossInputs",
    "MatchedPoints",
    "PerceptualLoss",
    "PhotometricLoss",
    "ReconstructionLoss",
    "SamplingCorrectness",
    "StructuralLoss",
    "StyleLoss",
    "TemporalAdversarialLoss",
    "VGG16Features",
    "VGG19Features",
    "point_error",
]
