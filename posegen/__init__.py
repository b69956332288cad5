"""posegen: move images. A modular toolkit built on global flow and local attention (GFLA, arXiv 2003.00696).

import posegen
model = posegen.load_model("configs/gfla_fashion.py", checkpoint="x.pth")
out = model.transfer(source, source_structure, target_structure)
"""

from typing import TYPE_CHECKING
from typing import Any as _Any

from . import plugin_access as _plugin_access
from ._torchvision import make_importable as _make_torchvision_importable

_make_torchvision_importable()


def _plugins() -> _Any:
    from . import plugins

    return plugins


_plugin_access.provide(_plugins)

from . import ops  # noqa: E402
from .api import from_pretrained, load_model  # noqa: E402
from .errors import (  # noqa: E402
    CheckpointError,
    ConfigError,
    DataError,
    MissingWeightsError,
    PosegenError,
)
from .records import Pair, PairBatch, Transfer  # noqa: E402
from .version import __version__  # noqa: E402

if TYPE_CHECKING:
    from .inference import Inferencer

__all__ = [
    "CheckpointError",
    "ConfigError",
    "DataError",
    "Inferencer",
    "MissingWeightsError",
    "Pair",
    "PairBatch",
    "PosegenError",
    "Transfer",
    "__version__",
    "from_pretrained",
    "load_model",
    "ops",
]


def __getattr__(name: str) -> _Any:
    """``posegen.Inferencer``, whose libraries take seconds to import, when it is asked for."""
    if name != "Inferencer":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .inference import Inferencer

    return Inferencer
