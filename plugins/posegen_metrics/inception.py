"""Inception v3 features, in the variants that published scores use."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from posegen.errors import CheckpointError, ConfigError, nearest
from posegen.evaluation import SetMetric
from posegen.torchvision_import import import_torchvision
from posegen.weights import WeightsFile, read_weights, sha256

from .weights import INCEPTION_CLEAN, INCEPTION_PYTORCH_FID, INCEPTION_TORCHVISION, find_weights

SIDE = 299
PROGRAM_SHA256 = INCEPTION_CLEAN.sha256
MOST_OF_A_PROGRAM = 256 << 20  # bytes; the published one has 91 MB
IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Network(nn.Module):
    """Base of the networks: built from a weight file, applied to images uint8 B 3 H W on the network's device.

    Raises:
        CheckpointError: the file is damaged or holds another network.
    """

    def features(self, images: Tensor) -> Tensor:
        """Return the output of the last pooling, B 2048."""
        raise NotImplementedError

    def probabilities(self, images: Tensor) -> Tensor:
        """Return the probabilities of the ImageNet classes, B C; only for :data:`CLASSIFIERS`."""
        raise NotImplementedError


class TorchScriptNetwork(Network):
    """Network of 2015 that defines FID, converted to TorchScript by NVIDIA, with TensorFlow's resize inside.

    TorchScript is a program that torch's interpreter runs. A config may name any path, so only the published file is
    run.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        try:
            self.base = torch.jit.load(_published_program(path), map_location="cpu").eval()
            self.layers = self.base.layers  # without the resize
        except (RuntimeError, ValueError, AttributeError) as error:
            reason = str(error).strip().splitlines()[0].split(". ")[0]  # the rest is about torch's internals
            raise CheckpointError(f"{path} is not NVIDIA's TorchScript Inception: {reason}") from error

    def features(self, images: Tensor) -> Tensor:
        return self.base(images.float(), return_features=True).view(len(images), -1)

    def probabilities(self, images: Tensor) -> Tensor:
        # The original score was computed without the bias of the last layer; NVIDIA's file has a switch for it.
        return self.base(images.float(), no_output_bias=True)


class CleanNetwork(TorchScriptNetwork):
    """The same network after clean-fid's resize: Pillow's bicubic, not rounded (arXiv 2104.11222)."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.resize = _build_resizer("clean")

    def features(self, images: Tensor) -> Tensor:
        return self.layers((_resize_each(self.resize, images) - 128) / 128).view(len(images), -1)


class PyTorchFIDNetwork(Network):
    """Network of 2015 as converted by pytorch-fid, after a bilinear resize without antialiasing."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        import_torchvision()
        from cleanfid import inception_pytorch
        from torchvision.models import inception_v3

        with torch.device("meta"):
            network = inception_v3(weights=None, num_classes=1008, aux_logits=False, init_weights=False)
            # Some branches pool otherwise than torchvision's. clean-fid has these blocks, but builds the network in a
            # function that downloads.
            network.Mixed_5b = inception_pytorch.FIDInceptionA(192, pool_features=32)
            network.Mixed_5c = inception_pytorch.FIDInceptionA(256, pool_features=64)
            network.Mixed_5d = inception_pytorch.FIDInceptionA(288, pool_features=64)
            network.Mixed_6b = inception_pytorch.FIDInceptionC(768, channels_7x7=128)
            network.Mixed_6c = inception_pytorch.FIDInceptionC(768, channels_7x7=160)
            network.Mixed_6d = inception_pytorch.FIDInceptionC(768, channels_7x7=160)
            network.Mixed_6e = inception_pytorch.FIDInceptionC(768, channels_7x7=192)
            network.Mixed_7b = inception_pytorch.FIDInceptionE_1(1280)
            network.Mixed_7c = inception_pytorch.FIDInceptionE_2(2048)
        self.network = _load(network, path)
        self.network.fc = nn.Identity()
        self.resize = _build_resizer("legacy_pytorch")

    def features(self, images: Tensor) -> Tensor:
        return self.network(_resize_each(self.resize, images) / 255 * 2 - 1)


class TorchvisionNetwork(Network):
    """torchvision's Inception v3, after an antialiased bilinear resize to 299×299 and ImageNet's normalization."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        import_torchvision()
        from torchvision.models import inception_v3

        with torch.device("meta"):
            # transform_input: the weights are Google's and want [-1, 1]; torchvision undoes ImageNet's normalization
            network = inception_v3(weights=None, aux_logits=True, transform_input=True, init_weights=False)
        self.network = _load(network, path)
        self.classifier = self.network.fc
        self.network.fc = nn.Identity()

    def features(self, images: Tensor) -> Tensor:
        resized = F.interpolate(images.float() / 255, (SIDE, SIDE), mode="bilinear", antialias=True)
        mean, deviation = (resized.new_tensor(each).view(3, 1, 1) for each in (IMAGENET_MEAN, IMAGENET_DEVIATION))
        return self.network((resized - mean) / deviation)

    def probabilities(self, images: Tensor) -> Tensor:
        return self.classifier(self.features(images)).softmax(1)  # type: ignore[operator]


@dataclass(frozen=True)
class Kind:
    """A variant of the features: network, weight file, and a description of the resize."""

    network: Callable[[Path], Network]
    file: WeightsFile
    resize: str


KINDS = {
    "clean": Kind(CleanNetwork, INCEPTION_CLEAN, "Pillow bicubic, not rounded"),
    "legacy_tensorflow": Kind(TorchScriptNetwork, INCEPTION_CLEAN, "bilinear inside the network, as TensorFlow 1"),
    "legacy_pytorch": Kind(PyTorchFIDNetwork, INCEPTION_PYTORCH_FID, "bilinear without antialiasing, as pytorch-fid"),
    "torchvision": Kind(TorchvisionNetwork, INCEPTION_TORCHVISION, "bilinear, antialiased"),
}
"""Variants by name: clean-fid's modes, and torchvision's network."""
FEATURES = tuple(KINDS)
CLASSIFIERS = ("torchvision", "legacy_tensorflow")
"""Variants that give class probabilities."""


class Inception:
    """Feature extractor read from a weight file.

    Args:
        features: one of :data:`FEATURES`.
        weights: path of the file; None: the published file in torch's cache folder, with its checksum verified. The
            checksum of a program (``clean``, ``legacy_tensorflow``) is verified for any path.

    Attributes:
        description: network, SHA-256 of the file, and resize: everything the features depend on.

    Raises:
        ConfigError: no such features.
        MissingWeightsError: the file does not exist. Nothing is downloaded.
        CheckpointError: the file is damaged or holds another network.
    """

    def __init__(self, features: str, weights: str | Path | None = None) -> None:
        if features not in KINDS:
            raise ConfigError(
                f"there are no features {features!r}{nearest(features, FEATURES)}\nthere are: {', '.join(FEATURES)}"
            )
        kind = KINDS[features]
        path = find_weights(kind.file, weights)
        self.network = kind.network(path).eval().requires_grad_(False)
        self.description = f"{features}: {kind.file.file_name}, SHA-256 {sha256(path)}, {SIDE}×{SIDE} {kind.resize}"

    def features(self, images: Tensor) -> np.ndarray:
        """Compute features float32 B 2048 of images uint8 B 3 H W."""
        return self._run(self.network.features, images)

    def probabilities(self, images: Tensor) -> np.ndarray:
        """Compute class probabilities float32 B C of images uint8 B 3 H W; only for :data:`CLASSIFIERS`."""
        return self._run(self.network.probabilities, images)

    def _run(self, function: Callable[[Tensor], Tensor], images: Tensor) -> np.ndarray:
        self.network.to(images.device)
        with torch.inference_mode():
            return function(images).float().cpu().numpy()


def _published_program(path: Path) -> io.BytesIO:
    """Return the bytes of a program file. CheckpointError: it is not the published one."""
    with path.open("rb") as stream:
        content = stream.read(MOST_OF_A_PROGRAM)
    digest = hashlib.sha256(content).hexdigest()
    if digest != PROGRAM_SHA256:
        raise CheckpointError(
            f"{path} is damaged, or another file: it is a program, and only the published one is run. Its SHA-256 is "
            f"{digest}, expected {PROGRAM_SHA256}. Download it: {INCEPTION_CLEAN.address}"
        )
    return io.BytesIO(content)


def _load(network: nn.Module, path: Path) -> nn.Module:
    """Give a network on the meta device the tensors of a file: all of them, and no others."""
    state = read_weights(path)
    try:
        network.load_state_dict(state, assign=True)
    except (RuntimeError, TypeError) as error:
        problem = str(error).splitlines()[-1].strip().split(",")[0]  # one key of many
        raise CheckpointError(f"{path} holds another network than this Inception v3: {problem}") from error
    return network.float()


def _build_resizer(mode: str) -> Callable[[np.ndarray], np.ndarray]:
    import_torchvision()  # clean-fid imports it
    from cleanfid.resize import build_resizer

    with warnings.catch_warnings():  # clean-fid turns off all warnings of the process here
        return build_resizer(mode)


def _resize_each(resize: Callable[[np.ndarray], np.ndarray], images: Tensor) -> Tensor:
    """Resize images uint8 B 3 H W with one of clean-fid's resizers: float32 B 3 299 299 in [0, 255]."""
    resized = [resize(image) for image in images.permute(0, 2, 3, 1).cpu().numpy()]
    return torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2).to(images.device)


class InceptionMetric(SetMetric):
    """Base of metrics of Inception features.

    Args:
        features, weights: see :class:`Inception`.
        prefix: see :class:`SetMetric`.
    """

    packages = ("clean-fid", "torchvision")

    def __init__(self, features: str, weights: str | Path | None, prefix: str = "") -> None:
        super().__init__(prefix)
        self.inception = Inception(features, weights)
        self.extractor = self.inception.description

    def extract(self, images: Tensor) -> np.ndarray:
        """Compute features B 2048 of images uint8 B 3 H W."""
        return self.inception.features(images)
