"""Locks between processes: held while a file is open, let go when its process ends, however it ends."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(file: Path, shared: bool = False) -> Iterator[bool]:
    """Hold the lock of that name, or yield False at once when somebody else does. Several may hold a shared one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("ab") as opened:
        try:
            fcntl.flock(opened, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
