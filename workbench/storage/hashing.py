"""Hashes of what is to be told apart: plain values, files by their content, and what something is made of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

MadeOf = dict[str, str]  # "plugin:fusion gated" -> hash of its source, "version:torch" -> "2.13.0", ...
_CANONICAL = json.JSONEncoder(sort_keys=True, default=list)


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


def key_of(made_of: Mapping[str, str]) -> str:
    """The key of what is made of this; the order does not matter."""
    text = "\n".join([f"{name}={made_of[name]}" for name in sorted(made_of)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def digest(value: Any) -> str:
    """A short hash of plain JSON values; the order of keys does not matter."""
    return short_hash(canonical(value))


def canonical(value: Any) -> str:
    """Plain JSON values as a text that is the same for equal ones."""
    return _CANONICAL.encode(value)


def short_hash(text: str) -> str:
    """Twelve hexadecimal digits that tell texts apart."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]
