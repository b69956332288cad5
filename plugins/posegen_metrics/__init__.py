"""Metrics of pairs: SSIM, PSNR, L1, and the error of the flow where the exact one is known.

The same door as anybody's plugin: an entry point of group ``posegen``. Values are means over images.
"""

from __future__ import annotations

from posegen.hookspecs import hookimpl


@hookimpl
def posegen_register() -> None:
    """One metric a file."""
    from . import flow_error, l1, psnr, ssim  # noqa: F401
