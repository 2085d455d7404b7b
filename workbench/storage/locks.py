"""Locks between processes: held while a file is open, let go when its process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from workbench.storage.atomic import storage_errors


@contextmanager
def locked(file: Path) -> Iterator[bool]:
    """Hold the lock of that name, or yield False at once when somebody else does."""
    while True:
        with _opened(file) as lock:
            mine = _taken(lock)
            if mine and not _is_still(lock, file):  # it was removed meanwhile, and others may hold a new one
                continue
            yield mine
            return


@contextmanager
def locked_in_turn(file: Path) -> Iterator[None]:
    """Hold the lock of that name, when all who held it before have let it go."""
    while True:
        with _opened(file) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not _is_still(lock, file):  # it was removed meanwhile, and others may hold a new one
                continue
            yield
            return


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


def remove_unheld(file: Path) -> None:
    """Remove the file of a lock unless somebody holds it."""
    with locked(file) as mine:
        if mine:
            file.unlink(missing_ok=True)


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


def _is_still(lock: BinaryIO, file: Path) -> bool:
    """Whether the open file is the one that has the name now."""
    try:
        return os.path.samestat(os.fstat(lock.fileno()), file.stat())
    except FileNotFoundError:
        return False
