"""Locks between processes: held while a file is open, let go when its process ends, however it ends.

Some file systems have none (NFS without its lock service, Lustre without `-o flock`, some of FUSE), and some only among
the processes of one machine. There everybody gets every lock: nothing may rest on a lock alone. What is made under one
is written whole under another name first, and runs tell each other by files that they are there (`run_claims.py`).
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from workbench.storage.atomic import StorageError, storage_errors

LOCKS = ".locks"  # in the folder of a store
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}
"""What `flock` ends with where a file system has no locks."""


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
            _flock(lock, fcntl.LOCK_EX)
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
        _flock(lock, fcntl.LOCK_SH)
        yield


@contextmanager
def kept_locked(file: Path) -> Iterator[tuple[int, int] | None]:
    """Hold the lock of a new file of one's own; yields the device and the number by which `is_held` knows it again, or
    None where the file system has no locks."""
    with _opened(file) as lock:
        mine = _flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield _place(lock) if mine else None


def is_held(file: Path, place: tuple[int, int]) -> bool | None:
    """Whether somebody on this machine holds the lock of `kept_locked`; None where that cannot be known: there is no
    such file, or it is not seen here as its owner sees it."""
    try:
        with file.open("r+b") as lock:
            free = _flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB) if _place(lock) == place else None
    except BlockingIOError:
        return True
    except (OSError, StorageError):
        return None
    return None if free is None else not free


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
        _flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _flock(lock: BinaryIO, how: int) -> bool | None:
    """Take a lock; None where the file system has none. `BlockingIOError` where it is held, `StorageError` for whatever
    else the system says."""
    try:
        fcntl.flock(lock, how)
    except OSError as error:
        if error.errno in NO_LOCKS:
            return None
        if isinstance(error, BlockingIOError):
            raise
        with storage_errors(Path(lock.name)):
            raise
    return True


def _place(lock: BinaryIO) -> tuple[int, int]:
    status = os.fstat(lock.fileno())
    return status.st_dev, status.st_ino


def _is_still(lock: BinaryIO, file: Path) -> bool:
    """Whether the open file is the one that has the name now."""
    try:
        return os.path.samestat(os.fstat(lock.fileno()), file.stat())
    except FileNotFoundError:
        return False
