"""Figures that others have printed, and that users found when they scored released weights and images again.

Only what could be looked up: in the project's ``spec: gfla`` and ``spec: protocols``, which quote the papers, or in an
issue thread, named by its repository and number. Many tables are missing here; a figure from memory would be worse.
"""

from __future__ import annotations

from posegen.evaluation import PublishedScore

from .protocols import CFLD, GFLA, PATN, PIDM

FASHION = "DeepFashion, in-shop, 8,570 test pairs"
FASHION_UNSAID = "DeepFashion, in-shop"
MARKET = "Market-1501, test pairs"
UNSAID = "The thread does not say how images were sized, stored and compared, so it stands apart."

PUBLISHED = (
    PublishedScore(
        "GFLA",
        MARKET,
        {"fid": 19.751, "lpips": 0.2817, "mask_lpips": 0.1482},
        "gfla-market",
        "Ren et al., CVPR 2020 (arXiv 2003.00696), as quoted in spec: gfla",
    ),
    PublishedScore(
        "GFLA",
        FASHION,
        {"fid": 10.573, "lpips": 0.2341},
        "gfla-fashion",
        f"Ren et al., CVPR 2020 (arXiv 2003.00696), as quoted in spec: gfla; FID also in {GFLA} issue 92",
        "Users find other figures with the released weights: see the two below.",
    ),
    PublishedScore(
        "GFLA, released weights",
        FASHION,
        {"fid": 9.87, "lpips": 0.197},
        "",
        f"{GFLA} issue 70",
        "Scored again by two users, true images resized to 256×256 some other way; by a bilinear filter, says one of "
        "them (cuiaiyu/dressing-in-order issue 47).",
    ),
    PublishedScore(
        "GFLA, released weights",
        FASHION_UNSAID,
        {"fid": 14.101},
        "",
        f"{GFLA} issue 92",
        "Scored again by a user, true images resized to 256×256; the thread has no answer.",
    ),
    PublishedScore(
        "GFLA, run by a user",
        FASHION_UNSAID,
        {"ssim": 0.65, "ssim_256": 0.68},
        "",
        f"{GFLA} issue 42",
        "Of images of 256×176; the paper prints no SSIM.",
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
        "Scored again by a user with the repository's own script; not what the paper prints.",
    ),
    PublishedScore(
        "Dressing in Order",
        FASHION_UNSAID,
        {"fid": 13.10},
        "gfla-fashion",
        "Cui et al., ICCV 2021, as quoted in cuiaiyu/dressing-in-order issue 47",
        "At 256×256, with true and training images that the authors of GFLA had shrunk.",
    ),
    PublishedScore(
        "Dressing in Order, released weights",
        FASHION_UNSAID,
        {"fid": 12.25},
        "",
        "cuiaiyu/dressing-in-order issue 47",
        "The same images; true ones shrunk by a bilinear filter instead.",
    ),
    PublishedScore(
        "DPTN, released images",
        FASHION,
        {"fid": 11.4556},
        "",
        "PangzeCheung/Dual-task-Pose-Transformer-Network issue 7",
        "Scored again by the authors, by GFLA's script against the whole training set (their issue 9); the size is not "
        "said.",
    ),
    PublishedScore(
        "PIDM, released images",
        FASHION_UNSAID,
        {"fid": 6.94},
        "",
        f"{PIDM} issue 37",
        "Scored again by a user against the 48,674 images of train.lst at 256×256, by Pillow's bicubic filter, but "
        "stored as JPEG; the user says that the paper prints another.",
    ),
    PublishedScore(
        "PIDM, released images",
        FASHION_UNSAID,
        {"ssim": 0.7168},
        "",
        f"{PIDM} issue 4",
        f"As 71.68, by GFLA's script, the same as in the file of scores beside the images. {UNSAID}",
    ),
    PublishedScore(
        "CFLD, released weights",
        FASHION_UNSAID,
        {"fid": 6.676, "lpips": 0.1705, "ssim": 0.6993, "ssim_256": 0.7234, "psnr": 17.617},
        "cfld",
        f"{CFLD} issue 37",
        "By a user with the repository's own script, who finds them different from the paper. Released weights are of "
        "the last epoch, the paper's training was stopped early (issue 27).",
    ),
    PublishedScore(
        "X-MDPT, the 33 MB model",
        FASHION_UNSAID,
        {"fid": 7.42},
        "",
        "Pham et al., Cross-view Masked Diffusion Transformers for Person Image Synthesis, ICML 2024 (arXiv "
        "2402.01516), abstract",
        "The abstract does not say how images were sized, stored and compared, so it stands apart.",
    ),
    PublishedScore(
        "Pose with Style, released weights",
        FASHION_UNSAID,
        {"psnr": 17.7, "ssim": 0.70},
        "",
        "BadourAlBahar/pose-with-style issue 15",
        "By a user with GFLA's script; the paper scores the subject alone, by silhouettes.",
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
