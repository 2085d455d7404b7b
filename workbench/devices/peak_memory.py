"""The most memory a stage took."""

from __future__ import annotations

import re
import resource
import sys
import threading
import time
import weakref
from pathlib import Path

import psutil

PAUSE = 0.05  # seconds between two looks
UNIT = 1 if sys.platform == "darwin" else 1024  # bytes in which a system counts `ru_maxrss` (getrusage(2))


class PeakMemory:
    """The most memory this process held since the object was made, in bytes: on a GPU its own, else resident.

    Linux keeps a mark of the most, which can be set back (`process` is where: proc(5), `clear_refs`). Elsewhere the
    mark is that of the process's whole life: it counts where it rose meanwhile, and else the most that was seen by
    looking again and again, which may miss what was held for less than a moment.
    """

    def __init__(self, device: str, process: Path = Path("/proc/self")):
        self.device = device
        self._status = process / "status"
        self._seen: _Seen | None = None
        if device.startswith("cuda"):
            import torch

            torch.cuda.reset_peak_memory_stats(device)
            return
        try:
            (process / "clear_refs").write_text("5")
            _mark(self._status)
        except (OSError, ValueError):
            self._seen = _Seen()

    def peak_bytes(self) -> int:
        """Bytes at the highest point."""
        if self.device.startswith("cuda"):
            import torch

            return torch.cuda.max_memory_allocated(self.device)
        return self._seen.most() if self._seen else _mark(self._status)


class _Seen:
    """Looks at what the process holds, in a thread that ends when nobody has this object any more."""

    def __init__(self):
        self._process = psutil.Process()
        self._before = _most_ever()
        self._most = 0
        self.look()
        threading.Thread(target=_look_on, args=(weakref.ref(self),), daemon=True).start()

    def look(self) -> None:
        """What it holds now."""
        self._most = max(self._most, self._process.memory_info().rss)

    def most(self) -> int:
        """Bytes since the beginning."""
        self.look()
        ever = _most_ever()
        return ever if ever > self._before else self._most


def _look_on(reference: weakref.ref[_Seen]) -> None:
    while (seen := reference()) is not None:
        seen.look()
        del seen  # while it sleeps, this thread keeps nothing alive
        time.sleep(PAUSE)


def _most_ever() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT


def _mark(status: Path) -> int:
    [kibibytes] = re.findall(r"^VmHWM:\s+(\d+) kB$", status.read_text(), re.MULTILINE)
    return int(kibibytes) * 1024
