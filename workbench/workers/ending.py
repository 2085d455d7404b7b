"""A run that is asked to end: by SIGTERM or SIGHUP, as a cluster does with a job whose time is over.

The run asks its workers. A phase that trains keeps a last snapshot, from which it goes on to the bit; what else runs
ends where it is. A second signal ends a process at once.
"""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any

SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
GRACE = 20.0  # seconds for last snapshots; clusters commonly kill what still runs 30 seconds after they asked

_leave = os._exit  # a command puts another in its place, for plugins

# A signal is sent to a process, so what became of it is the one thing that each process has once.
_asked, _busy = threading.Event(), threading.Event()


class RunEnded(KeyboardInterrupt):
    """The run was asked to end by a signal."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.number = number


def listen() -> None:
    """From now on this worker ends as soon as its job has kept what it can, when it is asked to, however often. One
    that does not is killed by its launcher."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as `nohup` starts a process
            signal.signal(number, _ask)


def asked_to_end() -> bool:
    """Whether this worker is to end its job."""
    return _asked.is_set()


def set_busy(busy: bool) -> None:
    """Say whether this worker has a job; one without ends at once when it is asked to."""
    (_busy.set if busy else _busy.clear)()


def raise_when_asked() -> dict[int, Any]:
    """From now on this run ends with `RunEnded` when it is asked to. Returns what these signals did before."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, _raise)
    return before


def _ask(number: int, frame: FrameType | None) -> None:
    _asked.set()
    if not _busy.is_set():
        os._exit(0)


def _raise(number: int, frame: FrameType | None) -> None:
    for each in SIGNALS:
        signal.signal(each, _exit)
    raise RunEnded(number)


def _exit(number: int, frame: FrameType | None) -> None:
    _leave(128 + number)
