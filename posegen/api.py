"""Public functions of the package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def load_model(
    config: Any,
    checkpoint: str | Path | None = None,
    device: str | torch.device = "cpu",
    compile: bool | str = False,
    precision: str = "fp32",
) -> Any:
    """Load the complete model of a config, in eval mode.

    Args:
        config: path or name of a config, or a config from :func:`posegen.config.load_config`. A ``.py`` config is code
            and runs; ``.json`` and ``.yaml`` cannot execute anything.
        checkpoint: posegen checkpoint (from training or ``posegen convert``); None: random weights.
        device: device of the model.
        compile: run its networks through torch.compile, which takes minutes at the first call; or the name of a torch
            backend. If that fails, a warning says so: :func:`posegen.acceleration.compile_networks`.
        precision: type in which images are generated without gradients: ``"fp32"``, ``"bf16"``, or ``"auto"``: bf16 on
            a CPU that computes in it natively, else fp32.

    Returns:
        The model, for example :class:`posegen.models.PairModel` with its ``transfer``. Its method
        ``save_pretrained(folder)`` writes it to share: :func:`posegen.sharing.save_pretrained`.

    Raises:
        ConfigError: the config cannot be read or names something that does not exist, or *compile* does.
        CheckpointError: the checkpoint is unreadable or belongs to another architecture.
    """
    from .acceleration import compile_networks, prepare_for_inference
    from .config import load_config
    from .inference.model_source import ModelSource

    loaded = load_config(config) if isinstance(config, (str, Path)) else config
    model = ModelSource(loaded, None if checkpoint is None else Path(checkpoint)).load()
    model.to(device)
    prepare_for_inference(model, precision)
    compile_networks(model, compile)
    return model


def from_pretrained(folder: str | Path, device: str | torch.device = "cpu", revision: str | None = None) -> Any:
    """Load the model of a shared folder, in eval mode. Nothing in the folder executes.

    Args:
        folder: folder as ``model.save_pretrained`` and ``posegen share`` write it, the name of a model that a plugin
            ships, or ``hf://OWNER/NAME``, a model on the Hugging Face Hub, which requires huggingface_hub.
        device: device of the model.
        revision: branch, tag or commit of a model on the Hub; None: the newest.

    Returns:
        The model, as :func:`load_model` returns it.

    Raises:
        ConfigError: the config is broken, would execute something, or needs plugins that are not installed.
        CheckpointError: the weights are broken, missing, or belong to another architecture; a fetched file has not the
            checksum that the Hub gives.
        MissingWeightsError: no such folder or name, or it cannot be fetched.
    """
    from .acceleration import prepare_for_inference
    from .inference.model_source import ModelSource
    from .sharing import find_shared

    model = ModelSource.in_folder(find_shared(folder, revision)).load().to(device)
    prepare_for_inference(model, "fp32")
    return model
