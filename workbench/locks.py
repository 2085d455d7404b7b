"""Locks between processes: held while a file is open, let go when its process ends, however it ends."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from workbench.atomic import storage_errors


@contextmanager
def locked(file: Path) -> Iterator[bool]:
    """Hold the lock of that name, or yield False at once when somebody else does."""
    with _opened(file) as lock:
        yield _taken(lock)


@contextmanager
def shared_lock(file: Path, when_alone: Callable[[], None]) -> Iterator[None]:
    """Hold a lock that several may hold at once. Whoever finds nobody else calls `when_alone` first, and the others
    wait for that; so they do while `locked` holds it."""
    with _opened(file) as lock:
        if _taken(lock):
            when_alone()
        # The lock may change hands here: another one that is alone for a moment then only does the same again.
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield


def _opened(file: Path) -> BinaryIO:
    with storage_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        return file.open("ab")


def _taken(lock: BinaryIO) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
