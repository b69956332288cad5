"""Protocols of published papers, each field with its source, and ``posegen-clean``, the project's own.

Sources are papers, READMEs, issues (by repository and number), and docs/evaluation.md, which lists the choices in use.
A source that begins with "unknown" marks a guess and says which value is used.
"""

from __future__ import annotations

from dataclasses import replace

from posegen.evaluation import Protocol

GFLA = "RenYurui/Global-Flow-Local-Attention"
NTED = "RenYurui/Neural-Texture-Extraction-Distribution"
PATN = "tengteng95/Pose-Transfer"
PIDM = "ankanbhunia/PIDM"
CFLD = "YanzuoLu/CFLD"

GFLA_PAPER = "Ren et al., Deep Image Spatial Transformation for Person Image Generation, CVPR 2020 (arXiv 2003.00696)"
PATN_PAPER = "Zhu et al., Progressive Pose Attention Transfer for Person Image Generation, CVPR 2019 (arXiv 1904.03349)"

# Every argument that changes a score is written out: a changed default must not change scores under the same hash.
BODY_MASK = {
    "type": "BodyMask",
    "layout": "openpose18",
    "radius": 4.0,
    "width": 8.0,
    "closing": 5,
    "reference_height": 128,
}
LPIPS_ALEX = {"type": "LPIPS", "net": "alex", "version": "0.1"}
FID_PYTORCH = {"type": "FID", "features": "legacy_pytorch"}
TRAINING_IMAGES = "all images of the training list"

SAID_LPIPS = (
    "unknown version, taken as 0.1; figures of one paper by this script need 0.0: BadourAlBahar/pose-with-style "
    "issue 13. AlexNet: docs/evaluation.md"
)
SAID_SSIM = "uniform window of 51 on 0..1, printed as SSIM: docs/evaluation.md"
SAID_SSIM_256 = "Gaussian window, data range of the generated image, on 0..255, printed as SSIM_256: docs/evaluation.md"
SAID_MASK = "body mask from the target key points, as PATN draws it: docs/evaluation.md"
SAID_WHOLE_LIST = (
    "PangzeCheung/Dual-task-Pose-Transformer-Network issue 9: 8,570 results against the whole training set"
)
GUESSED_QUALITY = "taken as 75, Pillow's default"
GUESSED_FID = "unknown, taken as the TensorFlow weights through pytorch-fid: which port was used is not said"


GFLA_MARKET = Protocol(
    name="gfla-market",
    citation=GFLA_PAPER,
    size=(128, 64),
    generated_round_trip="jpeg-75",
    real=TRAINING_IMAGES,
    metrics={
        "fid": FID_PYTORCH,
        "lpips": LPIPS_ALEX,
        "mask_lpips": {**LPIPS_ALEX, "type": "MaskedLPIPS"},
        "ssim": {"type": "SSIM", "variant": "uniform51"},
        "ssim_256": {"type": "SSIM", "variant": "ssim256"},
    },
    mask=BODY_MASK,
    sources={
        "size": "Market-1501 (Zheng et al., ICCV 2015): the size of its images",
        "resize": "Market-1501 (Zheng et al., ICCV 2015): the images have this size",
        "generated_round_trip": f"unknown quality, {GUESSED_QUALITY}; results are JPEG files: docs/formats.md",
        "target_round_trip": "Market-1501 (Zheng et al., ICCV 2015): the files of the data set have the scored size",
        "padding": "padding is known for 176×256 only: docs/evaluation.md",
        "real": f"unknown for Market-1501, taken as for DeepFashion: {SAID_WHOLE_LIST}",
        "mask": SAID_MASK,
        "metrics.fid": GUESSED_FID,
        "metrics.lpips": SAID_LPIPS,
        "metrics.mask_lpips": "unknown version, taken as 0.1; LPIPS of image × body mask, AlexNet: docs/evaluation.md",
        "metrics.ssim": SAID_SSIM,
        "metrics.ssim_256": SAID_SSIM_256,
    },
)

GFLA_FASHION = Protocol(
    name="gfla-fashion",
    citation=GFLA_PAPER,
    size=(256, 256),
    resize="pillow-bicubic",
    generated_round_trip="jpeg-75",
    target_round_trip="jpeg-75",
    real=TRAINING_IMAGES,
    metrics={
        "fid": FID_PYTORCH,
        "lpips": LPIPS_ALEX,
        "ssim": {"type": "SSIM", "variant": "uniform51"},
        "ssim_256": {"type": "SSIM", "variant": "ssim256"},
        "psnr": {"type": "PSNR"},
    },
    sources={
        "size": f"{GFLA} issue 53: the high-resolution images are resized to 256×256 directly",
        "resize": f"unknown library, taken as Pillow; bicubic: {GFLA} issue 70. Who was given the authors' own files "
        "says that usual ways of shrinking give other figures: cuiaiyu/dressing-in-order issue 47",
        "generated_round_trip": f"unknown quality, {GUESSED_QUALITY}; results are JPEG files: docs/formats.md",
        "target_round_trip": f"unknown quality, {GUESSED_QUALITY}; JPEG: {GFLA} issue 70",
        "padding": f"{GFLA} issue 53: resized to a square, so there is nothing to pad",
        "real": SAID_WHOLE_LIST,
        "mask": "masked scores are of Market-1501: docs/evaluation.md",
        "metrics.fid": GUESSED_FID,
        "metrics.lpips": SAID_LPIPS,
        "metrics.ssim": f"{SAID_SSIM}; {GFLA} issue 42",
        "metrics.ssim_256": f"{SAID_SSIM_256}; {GFLA} issue 42",
        "metrics.psnr": "printed by the same script: BadourAlBahar/pose-with-style issue 15",
    },
)

GUESSED_PATN_SSIM = (
    "unknown, taken as what follow-ups print as SSIM_256 (docs/evaluation.md): Gaussian window, the generated image's "
    "own data range"
)
GUESSED_PATN_SCORE = (
    f"unknown splits, taken as 10; by TensorFlow 1.4.1: README of {PATN}. Whether padded images are scored is not said"
)

PATN_MARKET = Protocol(
    name="patn-market",
    citation=PATN_PAPER,
    size=(128, 64),
    generated_round_trip="jpeg-75",
    target_round_trip="jpeg-75",
    metrics={
        "ssim": {"type": "SSIM", "variant": "ssim256"},
        "mask_ssim": {"type": "MaskedSSIM", "variant": "ssim256"},
        "inception_score": {"type": "InceptionScore", "features": "legacy_tensorflow", "splits": 10},
    },
    mask=BODY_MASK,
    sources={
        "size": "Market-1501 (Zheng et al., ICCV 2015): the size of its images",
        "resize": "Market-1501 (Zheng et al., ICCV 2015): the images have this size",
        "generated_round_trip": f"unknown quality, {GUESSED_QUALITY}; cut from strips that are stored as JPEG: "
        "Ha0Tang/XingGAN issue 5, budui/Human-Pose-Transfer issue 6",
        "target_round_trip": f"unknown quality, {GUESSED_QUALITY}; true images are cut from the same strips: "
        "budui/Human-Pose-Transfer issue 6",
        "padding": f"{GFLA} issue 42 names padding for DeepFashion only",
        "real": f"no score compares sets: README of {PATN}",
        "mask": SAID_MASK,
        "metrics.ssim": GUESSED_PATN_SSIM,
        "metrics.mask_ssim": GUESSED_PATN_SSIM,
        "metrics.inception_score": GUESSED_PATN_SCORE,
    },
)

PATN_FASHION = Protocol(
    name="patn-fashion",
    citation=PATN_PAPER,
    size=(256, 176),
    generated_round_trip="jpeg-75",
    target_round_trip="jpeg-75",
    padding="white-square",
    metrics={
        "ssim": {"type": "SSIM", "variant": "ssim256"},
        "inception_score": {"type": "InceptionScore", "features": "legacy_tensorflow", "splits": 10},
    },
    sources={
        "size": f"{PATN} issue 19",
        "resize": f"{PATN} issue 19: the middle 176 columns of the 256×256 download are cut out, nothing is resized",
        "generated_round_trip": f"unknown quality, {GUESSED_QUALITY}; cut from strips that are stored as JPEG: "
        "budui/Human-Pose-Transfer issue 6",
        "target_round_trip": f"unknown quality, {GUESSED_QUALITY}; true images are cut from the same strips: "
        "budui/Human-Pose-Transfer issue 6",
        "padding": f"{GFLA} issue 42: 40 white columns on both sides, which raises SSIM",
        "real": f"no score compares sets: README of {PATN}",
        "mask": f"README of {PATN}: masked scores are of Market-1501",
        "metrics.ssim": GUESSED_PATN_SSIM,
        "metrics.inception_score": GUESSED_PATN_SCORE,
    },
)

NTED_PIDM = Protocol(
    name="nted-pidm",
    citation="Ren et al., Neural Texture Extraction and Distribution, CVPR 2022; "
    "Bhunia et al., Person Image Synthesis via Denoising Diffusion Model, CVPR 2023 (arXiv 2211.12500)",
    size=(256, 176),
    resize="pillow-bicubic",
    generated_round_trip="png",
    target_round_trip="png",
    real=TRAINING_IMAGES,
    metrics={
        "fid": FID_PYTORCH,
        "lpips": LPIPS_ALEX,
        "ssim": {"type": "SSIM", "variant": "uniform51"},
    },
    sources={
        "size": f"unknown, taken as 256×176, to which PIDM's results are resized ({PIDM} issue 43); its author "
        f"describes the real images at 256×256 ({PIDM} issue 37)",
        "resize": f"{PIDM} issues 4 and 37: bicubic, by Pillow. Of NTED it is not said ({NTED} issue 9)",
        "generated_round_trip": f"{PIDM} issue 4: PNG",
        "target_round_trip": f"{PIDM} issues 4 and 37: PNG",
        "padding": f"padding is known for PATN's script only: {GFLA} issue 42",
        "real": f"{PIDM} issue 37: the 48,674 images of train.lst; {NTED} issue 9: the training set",
        "mask": f"no masked score is named: {NTED} issue 9",
        "metrics.fid": GUESSED_FID,
        "metrics.lpips": SAID_LPIPS,
        "metrics.ssim": f"unknown, taken as GFLA's SSIM, by which PIDM's stored figure was found again: {PIDM} issue 4",
    },
)

CFLD_PROTOCOL = Protocol(
    name="cfld",
    citation="Lu et al., Coarse-to-Fine Latent Diffusion for Pose-Guided Person Image Synthesis, CVPR 2024 "
    "(arXiv 2402.18078)",
    size=(256, 176),
    resize="torchvision-bicubic",
    generated_round_trip="png",
    target_round_trip="none",
    real=TRAINING_IMAGES,
    metrics={
        "fid": {"type": "FID", "features": "torchvision"},
        "lpips": LPIPS_ALEX,
        "ssim": {"type": "SSIM", "variant": "uniform51"},
        "ssim_256": {"type": "SSIM", "variant": "ssim256"},
        "psnr": {"type": "PSNR"},
    },
    sources={
        "size": f"page of {CFLD}: results at 256×176 and 512×352; the smaller is meant here",
        "resize": f"data set code of {CFLD}: torchvision's bicubic, with antialiasing",
        "generated_round_trip": f"page of {CFLD}, 2024/03/09: results are stored as PNG",
        "target_round_trip": "unknown, taken as none: no source says that true images are stored first",
        "padding": f"padding is known for PATN's script only: {GFLA} issue 42",
        "real": f"unknown list, taken as the whole one; {CFLD} issue 17: the training set",
        "mask": f"{CFLD} issue 37: no masked score is printed",
        "metrics.fid": "unknown resizing, taken as bilinear with antialiasing and ImageNet's normalization; weights: "
        "torchvision's (docs/evaluation.md)",
        "metrics.lpips": "unknown version, taken as 0.1; AlexNet: docs/evaluation.md",
        "metrics.ssim": f"{SAID_SSIM}; {CFLD} issue 37",
        "metrics.ssim_256": f"{SAID_SSIM_256}; {CFLD} issue 37",
        "metrics.psnr": f"{CFLD} issue 37",
    },
)

CLEAN_FID = "Parmar et al., On Aliased Resizing and Surprising Subtleties in GAN Evaluation, CVPR 2022"

POSEGEN_CLEAN = Protocol(
    name="posegen-clean",
    citation="posegen, docs/evaluation.md",
    size=None,
    resize="none",
    generated_round_trip="png",
    target_round_trip="png",
    padding="none",
    real="targets",
    metrics={
        "fid": {"type": "FID", "features": "clean"},
        "kid": {"type": "KID", "features": "clean", "subsets": 100, "subset_size": 1000, "seed": 0},
        "lpips": LPIPS_ALEX,
        "ssim": {"type": "SSIM", "variant": "gaussian"},
        "psnr": {"type": "PSNR"},
        "l1": {"type": "L1"},
    },
    sources={
        "size": "posegen: images are scored at their size; at another size a score measures the resizing as well",
        "resize": "posegen: none. Larger true images should be resized once with Pillow's bicubic filter, which does "
        f"not alias ({CLEAN_FID})",
        "generated_round_trip": "posegen: PNG keeps every pixel; JPEG moves FID by a point or more (microsoft/CoCosNet "
        f"issue 19, {PIDM} issues 4 and 37)",
        "target_round_trip": "posegen: as the generated images; else the file types are compared",
        "padding": f"posegen: none. White columns are the same in all images and raise SSIM ({GFLA} issue 42)",
        "real": "posegen: the true images of the pairs, which have the same poses and sizes; against a training list, "
        f"true images score worse than generated ones ({CFLD} issue 17)",
        "mask": "posegen: none, because a mask depends on the estimator of the key points",
        "metrics.fid": f"posegen: clean-fid, whose resizing does not alias ({CLEAN_FID})",
        "metrics.kid": "posegen: unbiased, while FID grows with fewer images (Bińkowski et al., ICLR 2018)",
        "metrics.lpips": "posegen: AlexNet, as in published scripts (docs/evaluation.md); version 0.1, lpips' default",
        "metrics.ssim": "posegen: the window of Wang et al. (IEEE TIP 2004), a fixed data range. An image's own range "
        "makes the score depend on its darkest and brightest pixel",
        "metrics.psnr": "posegen: of 8-bit images, range 255",
        "metrics.l1": "posegen: mean absolute difference on 0..1",
    },
)

POSEGEN_CLEAN_PEOPLE = replace(
    POSEGEN_CLEAN,
    name="posegen-clean-people",
    metrics={
        **POSEGEN_CLEAN.metrics,
        "mask_lpips": {**LPIPS_ALEX, "type": "MaskedLPIPS"},
        "mask_ssim": {"type": "MaskedSSIM", "variant": "gaussian"},
        "keypoints": {"type": "KeypointDistance", "layout": "openpose18", "threshold": 0.5},
    },
    mask=BODY_MASK,
    sources={
        **POSEGEN_CLEAN.sources,
        "mask": "posegen: PATN's body mask (docs/evaluation.md), from the key points given with --keypoints",
        "metrics.mask_lpips": "posegen: as lpips, of image × body mask",
        "metrics.mask_ssim": "posegen: as ssim, of image × body mask",
        "metrics.keypoints": "posegen: PCKh and average distance of the points given with --generated-keypoints; they "
        "depend on the estimator, so report it with the score",
    },
)

PROTOCOLS = (
    POSEGEN_CLEAN,
    POSEGEN_CLEAN_PEOPLE,
    GFLA_MARKET,
    GFLA_FASHION,
    PATN_MARKET,
    PATN_FASHION,
    NTED_PIDM,
    CFLD_PROTOCOL,
)
