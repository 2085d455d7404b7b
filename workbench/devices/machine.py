"""What a process may use of its machine: cores and memory, no more than its container has."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

from workbench.devices.cgroups import cores_allowed, memory_left


def usable_cores(root: Path = Path("/")) -> int:
    """How many threads compute at once and at full speed: cores that this process may run on, and of a container's
    share of their time the whole ones. At least 1. `root` as in `cgroups`."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    allowed = cores_allowed(root)
    return cores if allowed is None else max(1, min(cores, int(allowed)))


def free_memory(root: Path = Path("/")) -> int:
    """Bytes of main memory that can still be had without swapping."""
    left = memory_left(root)
    free = psutil.virtual_memory().available
    return free if left is None else min(free, left)


def too_many(device: str, wanted: int) -> str | None:
    """What is wrong where a phase wants so many devices of that kind; None where there are as many here."""
    kind = device.partition(":")[0]
    if kind == "cpu":
        return None
    if kind != "cuda":
        return f"{wanted} devices are wanted, and the device {device} is only one: leave 'devices' out"
    import torch

    there = torch.cuda.device_count()
    if wanted <= there:
        return None
    fewer = f"write 'devices: {there}', or less" if there > 1 else "leave 'devices' out"
    return f"{wanted} devices are wanted, and this machine has {there} GPU{'s' if there > 1 else ''}: {fewer}"
