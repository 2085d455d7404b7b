"""Times several ways of doing the same, in turn, so that a busy machine slows all of them alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Literal

import torch

from workbench.devices.capabilities import instructions
from workbench.devices.device import facts_of
from workbench.devices.precision import is_native
from workbench.runs.provenance import provenance


def compare(title: str, ways: Mapping[str, Callable[[], object]], repeats: int = 9) -> dict[str, float]:
    """Print the median seconds of each way and how many times as fast as the first it is; returns those ratios.

    The ratio is the median of the ratios within a round, one round being each way once.
    """
    for way in ways.values():
        way()
    rounds = [{name: _seconds(way) for name, way in ways.items()} for _ in range(repeats)]
    first = next(iter(ways))
    print(f"\n{title} (median of {repeats} rounds)")
    ratios = {}
    for name in ways:
        ratios[name] = statistics.median(each[first] / each[name] for each in rounds)
        seconds = statistics.median(each[name] for each in rounds)
        print(f"  {name:<44} {1000 * seconds:9.1f} ms   {ratios[name]:5.2f} x")
    return ratios


def print_machine(threads: int, device: str = "cpu") -> None:
    """What the figures were measured on."""
    where = provenance(device) | facts_of(device)
    gpu = f"{where['gpu']}, CUDA {where['cuda']}, " if "gpu" in where else ""
    cpu = f"{where['cpu']} ({instructions()}), {where['cores']} cores"
    print(f"{gpu}{cpu}, {threads} thread(s), torch {where['torch']}")


def native_precisions(device: str) -> list[Literal["fp32", "bf16"]]:
    """fp32, and bf16 where the device multiplies it natively: elsewhere hours would tell nothing."""
    if is_native("bf16", device):
        return ["fp32", "bf16"]
    print("bf16 is left out: this device does not multiply it natively")
    return ["fp32"]


def _seconds(way: Callable[[], object]) -> float:
    _wait()
    started = time.perf_counter()
    way()
    _wait()
    return time.perf_counter() - started


def _wait() -> None:
    """For what a GPU still computes."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
