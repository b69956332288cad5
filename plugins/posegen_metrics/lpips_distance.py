"""Learned perceptual similarity (Zhang et al., The Unreasonable Effectiveness of Deep Features, CVPR 2018)."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from posegen.errors import CheckpointError, ConfigError, nearest
from posegen.evaluation import ImageBatch, ImageMetric, NotComputable
from posegen.registry import METRICS
from posegen.torchvision_import import import_torchvision
from posegen.weights import read_weights, sha256

from .weights import ALEXNET, SQUEEZENET, VGG16, find_weights

BACKBONES = {"alex": ALEXNET, "vgg": VGG16, "squeeze": SQUEEZENET}
VERSIONS = ("0.1", "0.0")
LEAST = {"alex": 31, "vgg": 16, "squeeze": 17}
"""Minimum width and height of an image; of a smaller one, the network's last layers have no pixel."""


@METRICS.register_module()
class LPIPS(ImageMetric):
    """``lpips``: distance of features of generated and true image, 0 = equal, computed by the package ``lpips``.

    Args:
        net: ``"alex"`` (used by published scores), ``"vgg"`` or ``"squeeze"``.
        version: version of the method and its linear weights, which are in the package: ``"0.1"``, or ``"0.0"`` of the
            paper's first edition, whose images are not scaled as the network expects (an error of its authors).
        weights: torchvision's ImageNet weights of the network; None: the published file in torch's cache folder.
        prefix: see :class:`PairMetric`.

    Raises:
        MissingWeightsError: the weight file does not exist. Nothing is downloaded.
        CheckpointError: the weight file is damaged or holds another network.
    """

    higher_is_better = {"lpips": False}
    packages = ("lpips", "torchvision")
    variants = {"net": tuple(BACKBONES), "version": VERSIONS}

    def __init__(
        self, net: str = "alex", version: str = "0.1", weights: str | Path | None = None, prefix: str = ""
    ) -> None:
        super().__init__(prefix)
        self.distance = LPIPSDistance(net, version, weights)
        self.extractor = self.distance.extractor

    def score(self, images: ImageBatch) -> dict[str, Tensor]:
        """Compute ``lpips`` of each image. NotComputable: images smaller than the network's layers allow."""
        return {"lpips": self.distance(images.generated, images.target)}


class LPIPSDistance:
    """The network of LPIPS with its weights. Arguments and errors as :class:`LPIPS`."""

    def __init__(self, net: str, version: str, weights: str | Path | None) -> None:
        for what, name, known in (("network", net, BACKBONES), ("version", version, VERSIONS)):
            if name not in known:
                hint = f"{nearest(name, known)}\nthere are: {', '.join(known)}"
                raise ConfigError(f"LPIPS has no {what} {name!r}{hint}")
        path = find_weights(BACKBONES[net], weights)
        self.extractor = f"LPIPS {version}, {net}, backbone SHA-256 {sha256(path)}"
        self.network = build_network(net, version, path)
        self.net, self.least = net, LEAST[net]

    @torch.no_grad()
    def __call__(self, first: Tensor, second: Tensor) -> Tensor:
        """Compute distances, B, of images B 3 H W in [0, 1].

        Raises:
            NotComputable: the images are smaller than :data:`LEAST`.
        """
        height, width = first.shape[-2:]
        if min(height, width) < self.least:
            raise NotComputable(
                f"LPIPS with {self.net!r} needs images of {self.least}×{self.least} or more, got {width}×{height}"
            )
        network = self.network.to(first.device)
        return network(2 * first.float() - 1, 2 * second.float() - 1).flatten()


def build_network(net: str, version: str, path: Path) -> nn.Module:
    """Build the network of ``lpips`` with its linear weights and the backbone weights of a torchvision file."""
    import_torchvision()
    import lpips

    linear = read_weights(Path(lpips.__file__).parent / "weights" / f"v{version}" / f"{net}.pth")
    # On the meta device, no memory is spent on weights that are replaced, nor on the classifier.
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torchvision's, about the way lpips calls it
        network = lpips.LPIPS(net=net, version=version, pretrained=False, pnet_rand=True, verbose=False)
    own = network.state_dict()
    shared = {name: weight for name, weight in own.items() if name.startswith("scaling_layer.")}  # constants
    layers = {name: linear[name.replace("lins.", "lin")] for name in own if name.startswith("lin")}
    backbone = {name: _published_name(name) for name in own if name.startswith("net.")}
    network.load_state_dict(shared | layers | _read_backbone(path, net, backbone, own), assign=True)
    return network.requires_grad_(False)


def _published_name(name: str) -> str:
    """Convert a name: ``net.slice2.3.weight`` of lpips is torchvision's ``features.3.weight``."""
    return "features." + name.split(".", 2)[2]


def _read_backbone(path: Path, net: str, names: dict[str, str], own: dict[str, Tensor]) -> dict[str, Tensor]:
    """Read the backbone weights from torchvision's file, by the names of lpips."""
    state = read_weights(path)
    title = BACKBONES[net].name
    if not isinstance(state, dict):
        raise CheckpointError(f"{path} is not {title}: it holds a {type(state).__name__}")
    problems = []
    for name, published in names.items():
        stored, shape = state.get(published), tuple(own[name].shape)
        if not isinstance(stored, Tensor):
            problems.append(f"{published} is missing")
        elif stored.shape != shape:
            problems.append(f"{published} has shape {tuple(stored.shape)}, not {shape}")
    if problems:
        raise CheckpointError(f"{path} is not {title}: " + "; ".join(problems))
    return {name: state[published] for name, published in names.items()}
