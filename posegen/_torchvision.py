"""Lets a CUDA build of torchvision be imported beside a CPU build of torch.

PyPI's torchvision is built for CUDA. Beside a CPU torch its compiled ops do not load, and registering their shape
functions (``torchvision._meta_registrations``) fails with ``operator torchvision::nms does not exist``, which takes
down lpips, clean-fid and mmengine's Runner, none of which uses those ops. Where, and only where, that import fails so,
the registrations are left out. Run once by ``import posegen``; see ``docs/architecture.md``.
"""

from __future__ import annotations

import importlib
import sys
import types

REGISTRATIONS = "torchvision._meta_registrations"


def make_importable() -> str:
    """Import torchvision, without its op registrations where they cannot work.

    Returns:
        ``"whole"``, ``"without compiled ops"``, or ``"absent"`` (no torchvision is installed).
    """
    if REGISTRATIONS in sys.modules:
        return "whole" if hasattr(sys.modules[REGISTRATIONS], "__file__") else "without compiled ops"
    try:
        importlib.import_module("torchvision")
    except ModuleNotFoundError as error:
        if error.name != "torchvision":
            raise
        return "absent"
    except RuntimeError as error:
        if "torchvision::" not in str(error) or "does not exist" not in str(error):
            raise
        for name in [n for n in sys.modules if n == "torchvision" or n.startswith("torchvision.")]:
            del sys.modules[name]
        sys.modules[REGISTRATIONS] = types.ModuleType(REGISTRATIONS)
        importlib.import_module("torchvision")
        return "without compiled ops"
    return "whole"
