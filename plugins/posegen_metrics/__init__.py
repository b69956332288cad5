"""Metrics of pairs: SSIM and MS-SSIM, PSNR, L1, LPIPS, masked ones, key points, and where the exact motion is known the
error of flows and masks; of clips: temporal consistency; of sets: FID, KID and the Inception score.

The same door as anybody's plugin: an entry point of group ``posegen``. Values are means over images.
"""

from __future__ import annotations

from typing import Any

from posegen.hookspecs import hookimpl


@hookimpl
def posegen_register() -> None:
    """One metric a file."""
    from . import (  # noqa: F401
        fid,
        flow_error,
        inception_score,
        keypoint_distance,
        kid,
        l1,
        lpips_distance,
        masked,
        ms_ssim,
        psnr,
        ssim,
        temporal,
    )


@hookimpl
def posegen_catalogue() -> list[Any]:
    """Return weights of perceptual and set metrics, protocols, published scores, and naming conventions."""
    from . import naming, protocols, published, weights

    return [*weights.ALL, *protocols.PROTOCOLS, *published.PUBLISHED, *naming.CONVENTIONS]
