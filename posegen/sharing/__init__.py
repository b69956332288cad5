"""Models as folders that can be given away: safetensors, a JSON config, a model card. Nothing in them executes."""

from .find import (
    CARD,
    CONFIG,
    WEIGHTS,
    SharedModel,
    example_numbers,
    find_shared,
    is_shared,
    read_shared_config,
    shared_models,
)
from .save import check_destination, check_no_paths, save_pretrained, shared_config, with_config

__all__ = [
    "CARD",
    "CONFIG",
    "WEIGHTS",
    "SharedModel",
    "check_destination",
    "check_no_paths",
    "example_numbers",
    "find_shared",
    "is_shared",
    "read_shared_config",
    "save_pretrained",
    "shared_config",
    "shared_models",
    "with_config",
]
