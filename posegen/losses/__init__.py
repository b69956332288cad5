"""One file a loss, one signature for all: ``loss(step) -> scalar``, multiplied by its ``weight`` in the config."""

from .adversarial import AdversarialLoss
from .affine import AffineRegularisation
from .correctness import SamplingCorrectness
from .features import VGG19Features
from .perceptual import PerceptualLoss
from .reconstruction import ReconstructionLoss
from .step import FeatureCache, Loss, Step
from .style import StyleLoss

__all__ = [
    "AdversarialLoss",
    "AffineRegularisation",
    "FeatureCache",
    "Loss",
    "PerceptualLoss",
    "ReconstructionLoss",
    "SamplingCorrectness",
    "Step",
    "StyleLoss",
    "VGG19Features",
]
