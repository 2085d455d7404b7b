"""What a precision of an experiment file means to torch, which one a device takes by itself, and what another costs."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from functools import cache

import torch
from torch.nn import functional

from workbench.devices.capabilities import multiplies

_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
MEASURED_WIDTH, MEASURED_TIMES = 256, 5


def dtype_of(precision: str) -> torch.dtype:
    """`bf16` -> `torch.bfloat16`. What `auto` means is decided when an experiment is loaded (`auto_precision.py`)."""
    if precision not in _TYPES:
        raise ValueError(f"the precision '{precision}' is none to compute in: {', '.join(_TYPES)}")
    return _TYPES[precision]


def autocast(device: torch.device, precision: str) -> AbstractContextManager:
    """Mixed precision: matrix products in that precision, weights in fp32."""
    return torch.autocast(device.type, dtype_of(precision), enabled=precision != "fp32")


def native_precision(device: str) -> str:
    """What `auto` means on a device: bf16 where it multiplies bf16 natively, else fp32."""
    return "bf16" if is_native("bf16", device) else "fp32"


def is_native(precision: str, device: str) -> bool:
    """Whether the device multiplies in that precision by instructions of its own."""
    return multiplies(device, dtype_of(precision))


@cache
def slowdown(precision: str, device: str) -> float:
    """How many times as long as in fp32 a product takes, measured here and now on a small one, on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as workers compute; where another process is busy, two take as long as they like
    try:
        return _product_seconds(precision, device) / _product_seconds("fp32", device)
    finally:
        torch.set_num_threads(threads)


def _product_seconds(precision: str, device: str) -> float:
    """The shortest of a few products: what else the machine does can only make one longer."""
    hidden, weight = torch.randn(2, MEASURED_WIDTH, MEASURED_WIDTH, device=device, dtype=dtype_of(precision))
    seconds = []
    for _ in range(1 + MEASURED_TIMES):
        started = time.perf_counter()
        functional.linear(hidden, weight).sum().item()  # a GPU has done it when its sum is here
        seconds.append(time.perf_counter() - started)
    return min(seconds[1:])
