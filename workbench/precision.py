"""What a precision of an experiment file means to torch."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def dtype_of(precision: str) -> torch.dtype:
    """`bf16` -> `torch.bfloat16`."""
    return _TYPES[precision]


def autocast(device: torch.device, precision: str) -> AbstractContextManager:
    """Mixed precision: matrix products in that precision, weights in fp32."""
    return torch.autocast(device.type, dtype_of(precision), enabled=precision != "fp32")
