"""posegen: pose transfer and image animation with global flow and local attention (GFLA, arXiv 2003.00696).

    import posegen
    model = posegen.load_model("configs/gfla_fashion.py", checkpoint="x.pth")
    out = model.transfer(source, source_structure, target_structure)

Names are imported at first use: ``import posegen`` imports neither torch nor torchvision.
"""

from typing import TYPE_CHECKING
from typing import Any as _Any

from . import plugin_access as _plugin_access
from .errors import (
    CheckpointError,
    ConfigError,
    DataError,
    MissingWeightsError,
    PosegenError,
)
from .version import __version__

if TYPE_CHECKING:
    from . import ops
    from .api import from_pretrained, load_model
    from .inference import Inferencer
    from .records import Pair, PairBatch, Transfer

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

_MODULES = {
    "Inferencer": "inference",
    "Pair": "records",
    "PairBatch": "records",
    "Transfer": "records",
    "from_pretrained": "api",
    "load_model": "api",
    "ops": "ops",
}


def __getattr__(name: str) -> _Any:
    """Import a public name at first use (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module = import_module(f".{_MODULES[name]}", __name__)
    return module if name == _MODULES[name] else getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _plugins() -> _Any:
    from . import plugins

    return plugins


_plugin_access.provide(_plugins)
