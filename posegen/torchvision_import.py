"""Import a torchvision built for CUDA beside a torch built for CPU.

PyPI's torchvision is built for CUDA. Its compiled operators do not load beside a CPU build of torch, and registering
their shape functions (``torchvision._meta_registrations``) fails with ``operator torchvision::nms does not exist``.
lpips, clean-fid and mmengine's Runner import torchvision and use none of these operators. If, and only if, the import
fails this way, it is repeated without the registrations. Call :func:`import_torchvision` before anything that imports
torchvision.
"""

from __future__ import annotations

import importlib
import sys
import types

REGISTRATIONS = "torchvision._meta_registrations"


def import_torchvision() -> str:
    """Import torchvision, without its operator registrations if they fail.

    Returns:
        ``"whole"``, ``"without compiled ops"``, or ``"absent"`` if torchvision is not installed.
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
