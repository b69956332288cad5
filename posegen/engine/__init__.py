"""What makes mmengine's Runner train a staged GAN, and what mends mmengine where it needs it."""

from . import sample_sheets  # noqa: F401  registers itself
from .checkpoint import PlainCheckpoints, load_weights, read_checkpoint
from .clip_trainer import ClipTrainer
from .distributed import GradientAveraging, unwrapped
from .loop import EndlessSampler, StagedTrainLoop
from .optimizers import StageOptimizers
from .runner import build_tester, build_trainer
from .stages import Stage
from .trainer import PairTrainer, Trainer

__all__ = [
    "ClipTrainer",
    "EndlessSampler",
    "GradientAveraging",
    "PairTrainer",
    "PlainCheckpoints",
    "Stage",
    "StageOptimizers",
    "StagedTrainLoop",
    "Trainer",
    "build_tester",
    "build_trainer",
    "load_weights",
    "read_checkpoint",
    "unwrapped",
]
