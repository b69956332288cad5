"""posegen: move images. A modular toolkit built on global flow and local attention (GFLA, arXiv 2003.00696).

import posegen
model = posegen.load_model("configs/gfla_fashion.py", checkpoint="x.pth")
out = model.transfer(source, source_structure, target_structure)
"""

from ._torchvision import make_importable as _make_torchvision_importable

_make_torchvision_importable()

from . import ops  # noqa: E402
from .api import load_model  # noqa: E402
from .errors import (  # noqa: E402
    CheckpointError,
    ConfigError,
    DataError,
    MissingWeightsError,
    PosegenError,
)
from .records import Pair, PairBatch, Transfer  # noqa: E402
from .version import __version__  # noqa: E402

__all__ = [
    "CheckpointError",
    "ConfigError",
    "DataError",
    "MissingWeightsError",
    "Pair",
    "PairBatch",
    "PosegenError",
    "Transfer",
    "__version__",
    "load_model",
    "ops",
]
