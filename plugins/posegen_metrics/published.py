"""Published scores: printed in papers, or reported by users who scored released weights and images again.

Each was looked up in the paper or in an issue, named by repository and number. Many tables are missing.
"""

from __future__ import annotations

from posegen.evaluation import PublishedScore

from .protocols import CFLD, GFLA, PATN, PIDM

FASHION = "DeepFashion, in-shop, 8,570 test pairs"
FASHION_UNSAID = "DeepFashion, in-shop"
MARKET = "Market-1501, test pairs"
UNSAID = "The issue does not say how images were resized, stored and compared."

PUBLISHED = (
    PublishedScore(
        "GFLA",
        MARKET,
        {"fid": 19.751, "lpips": 0.2817, "mask_lpips": 0.1482},
        "gfla-market",
        "Ren et al., CVPR 2020 (arXiv 2003.00696)",
    ),
    PublishedScore(
        "GFLA",
        FASHION,
        {"fid": 10.573, "lpips": 0.2341},
        "gfla-fashion",
        f"Ren et al., CVPR 2020 (arXiv 2003.00696); FID also in {GFLA} issue 92",
        "Users report other scores with the released weights: see the next two.",
    ),
    PublishedScore(
        "GFLA, released weights",
        FASHION,
        {"fid": 9.87, "lpips": 0.197},
        "",
        f"{GFLA} issue 70",
        "Scored again by two users, true images resized to 256×256 in another way; with a bilinear filter, says one "
        "of them (cuiaiyu/dressing-in-order issue 47).",
    ),
    PublishedScore(
        "GFLA, released weights",
        FASHION_UNSAID,
        {"fid": 14.101},
        "",
        f"{GFLA} issue 92",
        "Scored again by a user, true images resized to 256×256; the issue has no answer.",
    ),
    PublishedScore(
        "GFLA, run by a user",
        FASHION_UNSAID,
        {"ssim": 0.65, "ssim_256": 0.68},
        "",
        f"{GFLA} issue 42",
        "On images of 176×256; the paper prints no SSIM.",
    ),
    PublishedScore(
        "PATN",
        FASHION_UNSAID,
        {"ssim": 0.773},
        "patn-fashion",
        f"Zhu et al., CVPR 2019 (arXiv 1904.03349), as quoted in {GFLA} issue 42",
        "On images padded with white, which raises SSIM.",
    ),
    PublishedScore(
        "PATN, released weights",
        MARKET,
        {"ssim": 0.281508094, "mask_ssim": 0.799356671, "inception_score": 3.1618128},
        "patn-market",
        f"{PATN} issue 31",
        "Scored again by a user with the repository's script; the paper prints other values.",
    ),
    PublishedScore(
        "Dressing in Order",
        FASHION_UNSAID,
        {"fid": 13.10},
        "gfla-fashion",
        "Cui et al., ICCV 2021, as quoted in cuiaiyu/dressing-in-order issue 47",
        "At 256×256, with true and training images resized by the authors of GFLA.",
    ),
    PublishedScore(
        "Dressing in Order, released weights",
        FASHION_UNSAID,
        {"fid": 12.25},
        "",
        "cuiaiyu/dressing-in-order issue 47",
        "The same images; true ones resized with a bilinear filter.",
    ),
    PublishedScore(
        "DPTN, released images",
        FASHION,
        {"fid": 11.4556},
        "",
        "PangzeCheung/Dual-task-Pose-Transformer-Network issue 7",
        "Scored again by the authors, with GFLA's script against the whole training set (their issue 9); the size is "
        "not known.",
    ),
    PublishedScore(
        "PIDM, released images",
        FASHION_UNSAID,
        {"fid": 6.94},
        "",
        f"{PIDM} issue 37",
        "Scored again by a user against the 48,674 images of train.lst at 256×256, with Pillow's bicubic filter, but "
        "stored as JPEG; the user says that the paper prints another value.",
    ),
    PublishedScore(
        "PIDM, released images",
        FASHION_UNSAID,
        {"ssim": 0.7168},
        "",
        f"{PIDM} issue 4",
        f"Printed as 71.68, with GFLA's script, as in the score file next to the images. {UNSAID}",
    ),
    PublishedScore(
        "CFLD, released weights",
        FASHION_UNSAID,
        {"fid": 6.676, "lpips": 0.1705, "ssim": 0.6993, "ssim_256": 0.7234, "psnr": 17.617},
        "cfld",
        f"{CFLD} issue 37",
        "By a user with the repository's script; they differ from the paper. Released weights are of the last epoch, "
        "the paper's training was stopped early (issue 27).",
    ),
    PublishedScore(
        "X-MDPT, the 33 MB model",
        FASHION_UNSAID,
        {"fid": 7.42},
        "",
        "Pham et al., Cross-view Masked Diffusion Transformers for Person Image Synthesis, ICML 2024 (arXiv "
        "2402.01516), abstract",
        "The abstract does not say how images were resized, stored and compared.",
    ),
    PublishedScore(
        "Pose with Style, released weights",
        FASHION_UNSAID,
        {"psnr": 17.7, "ssim": 0.70},
        "",
        "BadourAlBahar/pose-with-style issue 15",
        "By a user with GFLA's script; the paper scores the subject alone, with silhouettes.",
    ),
    PublishedScore(
        "CoCosNet, released results",
        FASHION_UNSAID,
        {"fid": 13.05},
        "",
        "microsoft/CoCosNet issue 40",
        "Scored again by a user against the true test images.",
    ),
    PublishedScore(
        "CoCosNet, released results",
        FASHION_UNSAID,
        {"fid": 15.0},
        "",
        "fnzhan/UNITE issue 10",
        "By the same user: 4,993 images of 256×256 as JPEG against as many true test images, by pytorch-fid.",
    ),
)
