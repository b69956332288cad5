"""Metrics, one file each, with the protocols and scores of publications.

Images: SSIM, MS-SSIM, PSNR, L1, LPIPS, masked SSIM and LPIPS, SSIM of the subject, distance of features, key-point
distance, each also of a baseline; error of flows and masks where the data set knows the exact motion. Clips: temporal
consistency. Sets: FID, KID, Inception score.
"""

from __future__ import annotations

from typing import Any

from posegen.hookspecs import hookimpl


@hookimpl
def posegen_register() -> None:
    """Import the metrics, which register themselves by name."""
    from . import (  # noqa: F401
        baseline,
        feature_distance,
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
