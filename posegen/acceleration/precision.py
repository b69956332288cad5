"""The precision of inference, and whether a processor computes in bfloat16."""

from __future__ import annotations

import os

import torch

from ..errors import ConfigError, nearest

PRECISIONS = ("auto", "fp32", "bf16")
WITHOUT_BFLOAT16 = {"SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI"}
"""Values of ``ONEDNN_MAX_CPU_ISA`` that forbid the instructions for bfloat16; oneDNN ignores unknown values."""


def native_bfloat16(device: torch.device | str = "cpu") -> bool:
    """Return whether convolutions and matrix products in bfloat16 are native, and so faster than in float32.

    On a CPU they are computed by oneDNN. That needs a processor with AVX512-BF16 or AMX, a PyTorch with oneDNN, and no
    limit in the environment: ``ATEN_CPU_CAPABILITY`` (PyTorch's own kernels) or ``ONEDNN_MAX_CPU_ISA`` (oneDNN's, which
    ``torch.cpu.get_capabilities`` does not know). Elsewhere bfloat16 is emulated, many times slower. On CUDA it needs
    compute capability 8.0.
    """
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.is_available() and torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA") or ""
    if limit.upper() in WITHOUT_BFLOAT16 or torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "AVX2"):
        return False
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def resolve_precision(precision: str, device: torch.device | str) -> torch.dtype:
    """Return the type in which networks generate images.

    Args:
        precision: ``"fp32"``, ``"bf16"``, or ``"auto"``: bf16 on a CPU that computes in it natively, fp32 elsewhere.
        device: where the model is.

    Raises:
        ConfigError: another value.
    """
    if precision not in PRECISIONS:
        raise ConfigError(
            f"there is no precision {precision!r}{nearest(precision, PRECISIONS)}; choose {', '.join(PRECISIONS)}"
        )
    if precision == "auto":
        precision = "bf16" if torch.device(device).type == "cpu" and native_bfloat16(device) else "fp32"
    return torch.bfloat16 if precision == "bf16" else torch.float32
