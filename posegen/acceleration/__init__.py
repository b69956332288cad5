"""Run a model faster without changing it: minimal filtering and recomputation, bfloat16, torch.compile.

It is applied from outside: the networks of :mod:`posegen.models` are plain PyTorch and do not import it.
"""

from .choices import Choices, accelerate, prepare_for_inference
from .compiling import CompilerWarning, compile_networks
from .precision import native_bfloat16, resolve_precision
from .recompute import recompute_activations

__all__ = [
    "Choices",
    "CompilerWarning",
    "accelerate",
    "compile_networks",
    "native_bfloat16",
    "prepare_for_inference",
    "recompute_activations",
    "resolve_precision",
]
