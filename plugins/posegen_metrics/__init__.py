"""Metrics of pairs: SSIM and MS-SSIM, PSNR, L1, LPIPS, masked ones, key points, and where the exact motion is known the
error of flows and masks; of clips: temporal consistency; of sets: FID, KID and the Inception score.

The same door as anybody's plugin: an entry point of group ``posegen``. Values are means over images.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from posegen.hookspecs import hookimpl

if TYPE_CHECKING:
    from posegen.evaluation import Protocol, PublishedScore
    from posegen.evaluation.pairing import NamingConvention
    from posegen.weights import WeightsFile


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
def posegen_weights() -> Sequence[WeightsFile]:
    """Those of perceptual metrics and metrics of sets."""
    from . import weights

    return weights.ALL


@hookimpl
def posegen_protocols() -> Sequence[Protocol]:
    """Those of papers, and ours."""
    from . import protocols

    return protocols.PROTOCOLS


@hookimpl
def posegen_published_scores() -> Sequence[PublishedScore]:
    """Figures that have a source."""
    from . import published

    return published.PUBLISHED


@hookimpl
def posegen_naming_conventions() -> Sequence[NamingConvention]:
    """Names that published methods give to results."""
    from . import naming

    return naming.CONVENTIONS
