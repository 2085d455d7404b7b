"""How much memory a stage takes."""

from __future__ import annotations

import resource
import sys
from pathlib import Path


class PeakMemory:
    """The most memory this process held since the object was made, in bytes: on a GPU its own, else resident."""

    def __init__(self, device: str):
        self.device = device
        if device.startswith("cuda"):
            import torch

            torch.cuda.reset_peak_memory_stats(device)
            return
        self._reset = _reset_peak()

    def peak_bytes(self) -> int:
        """Bytes at the highest point."""
        if self.device.startswith("cuda"):
            import torch

            return torch.cuda.max_memory_allocated(self.device)
        if self._reset:
            for line in Path("/proc/self/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _reset_peak() -> bool:
    """Start Linux's high-water mark anew; elsewhere the peak is that of the process's whole life."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True
