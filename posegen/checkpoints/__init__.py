"""Checkpoint files, and the weights in them: plain data, sealed with a checksum, loaded without executing anything."""

from .reading import AVERAGED, check_weights, load_weights, read_checkpoint, read_model_weights, state_of

__all__ = ["AVERAGED", "check_weights", "load_weights", "read_checkpoint", "read_model_weights", "state_of"]
