"""Pretrained weights of the metrics.

Checksums are the first digits of the SHA-256 in torchvision's file names, unless a comment says otherwise.
"""

from __future__ import annotations

from posegen.weights import WeightsFile, find_weights

__all__ = [
    "ALEXNET",
    "ALL",
    "INCEPTION_CLEAN",
    "INCEPTION_PYTORCH_FID",
    "INCEPTION_TORCHVISION",
    "SQUEEZENET",
    "VGG16",
    "WeightsFile",
    "find_weights",
]


def _torchvision(name: str, file_name: str, used_by: tuple[str, ...]) -> WeightsFile:
    digits = file_name.removesuffix(".pth").rpartition("-")[2]
    return WeightsFile(name, file_name, f"https://download.pytorch.org/models/{file_name}", digits, used_by=used_by)


ALEXNET = _torchvision("AlexNet, ImageNet (torchvision)", "alexnet-owt-7be5be79.pth", ("LPIPS", "MaskedLPIPS"))
VGG16 = _torchvision("VGG-16, ImageNet (torchvision)", "vgg16-397923af.pth", ("LPIPS", "MaskedLPIPS"))
SQUEEZENET = _torchvision(
    "SqueezeNet 1.1, ImageNet (torchvision)", "squeezenet1_1-b8a52dc0.pth", ("LPIPS", "MaskedLPIPS")
)
SETS = ("FID", "KID", "InceptionScore")
INCEPTION_TORCHVISION = _torchvision("Inception v3, ImageNet (torchvision)", "inception_v3_google-0cc3c7bd.pth", SETS)
INCEPTION_CLEAN = WeightsFile(
    "Inception 2015-12-05, TorchScript (NVIDIA, read by clean-fid)",
    "inception-2015-12-05.pt",
    "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/inception-2015-12-05.pt",
    # NVIDIA publishes none; this one is in k-diffusion's evaluation.py (crowsonkb/k-diffusion), which verifies it.
    "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4",
    used_by=SETS,
)
"""clean-fid keeps it in /tmp, which is world-writable; TorchScript is code, so it is not read from there."""
INCEPTION_PYTORCH_FID = WeightsFile(
    "Inception 2015-12-05, PyTorch (pytorch-fid)",
    "pt_inception-2015-12-05-6726825d.pth",
    "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
    "6726825d",  # in the file name, as torchvision's
    used_by=SETS,
)

ALL = (ALEXNET, VGG16, SQUEEZENET, INCEPTION_TORCHVISION, INCEPTION_CLEAN, INCEPTION_PYTORCH_FID)
