"""The hash of a file or folder by its content: what a file of data or weights counts by."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from workbench.trial import digest


def file_hash(file: Path) -> str:
    """The hash of a file's content; for a folder, of all files in it. Of a file that is gone, one that none has."""
    members = sorted(each for each in file.rglob("*") if each.is_file()) if file.is_dir() else [file]
    return digest([(each.name, _hash_of(each, *_stamp(each)) if each.exists() else None) for each in members])


def _stamp(file: Path) -> tuple[int, int, int]:
    status = file.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino


@cache
def _hash_of(file: Path, size: int, changed: int, node: int) -> str:
    """Of one file as it is now: read again when its size, time or place on the disk is another."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()[:16]
