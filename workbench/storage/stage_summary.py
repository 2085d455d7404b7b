"""The summary of a kept stage: what it says of itself, whose it is, and the size and checksum of every other file.

It is written last: a stage is there when its summary is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.storage.older_records import stage_of
from workbench.storage.places import regular

SUMMARY = "stage.json"
FILES, OWN = "files", "checksum"  # in it: [bytes, SHA-256] by file name, and the SHA-256 of the summary itself
KEY = "key"  # in it: whose it is, since two stages may hold weights of the same names and sizes

DAMAGED = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What reading a summary that is damaged may raise."""


def write_summary(folder: Path, key: str, summary: Mapping[str, Any]) -> None:
    """Write the summary of a stage whose files all lie in the folder."""
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    sums = {file.relative_to(folder).as_posix(): [file.stat().st_size, checksum_of_file(file)] for file in files}
    whole = json.loads(json.dumps({**summary, KEY: key, FILES: sums}))
    text = json.dumps({**whole, OWN: _checksum_of(whole)}, indent=1)
    (folder / SUMMARY).write_text(text, encoding="utf-8")


def parse_summary(content: bytes, key: str) -> dict[str, Any]:
    """What a summary says; one of `DAMAGED` when it is not what was written, or that of another stage."""
    summary = json.loads(content)
    if summary.pop(OWN) != _checksum_of(summary):
        raise ValueError(f"{SUMMARY} is not what was written (its checksum differs)")
    if summary.pop(KEY, key) != key:  # earlier versions did not say whose it is
        raise ValueError(f"{SUMMARY} is that of another stage")
    return stage_of(summary)


def has_sizes(folder: Path, summary: Mapping[str, Any]) -> bool:
    """Whether all files of a stage have the size they had when they were written; `OSError` where one is missing."""
    return all((folder / name).stat().st_size == size for name, (size, _) in summary[FILES].items())


def checksum_of_file(file: Path) -> str:
    """The SHA-256 of what a file holds."""
    with regular(file).open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _checksum_of(summary: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(summary, sort_keys=True).encode()).hexdigest()
