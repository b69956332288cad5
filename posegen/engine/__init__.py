"""Training of staged GANs by mmengine's Runner, with fixes of mmengine (``docs/architecture.md``)."""

from ..checkpoints import load_weights, read_checkpoint
from . import progress, run_status, sample_sheets, statistics  # noqa: F401  they register their hooks
from .averaging import EMAHook
from .build import build_tester, build_trainer
from .checkpoint import PlainCheckpoints, VerifiedCheckpoints
from .clip_trainer import ClipTrainer
from .interruption import EXIT_SAVED, Interrupted
from .loop import EndlessSampler, StagedTrainLoop
from .not_finite import NotFiniteError
from .optimizers import StageOptimizers
from .reproduce import reproduce_step
from .stages import Stage
from .trainer import PairTrainer, Trainer

__all__ = [
    "EXIT_SAVED",
    "ClipTrainer",
    "EMAHook",
    "EndlessSampler",
    "Interrupted",
    "NotFiniteError",
    "PairTrainer",
    "PlainCheckpoints",
    "Stage",
    "StageOptimizers",
    "StagedTrainLoop",
    "Trainer",
    "VerifiedCheckpoints",
    "build_tester",
    "build_trainer",
    "load_weights",
    "read_checkpoint",
    "reproduce_step",
]
