"""Checksums that tell whether a file is the one that was written: of whole files, and of what a JSON file says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.storage.hashing import canonical
from workbench.storage.places import regular

SEAL = "sha256"  # the key in a JSON file that holds the checksum of all the others


def measured(file: Path) -> list[Any]:
    """The bytes that a file has, and the SHA-256 of its content, as they stand in records and manifests."""
    with regular(file).open("rb") as opened:
        checksum = hashlib.file_digest(opened, "sha256").hexdigest()
        return [opened.tell(), checksum]


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content with a checksum of its own, over all else that it says."""
    told = {name: value for name, value in content.items() if name != SEAL}
    # What is read again has texts as its only keys, and lists as its only sequences.
    return {**told, SEAL: _checksum(json.loads(json.dumps(told)))}


def is_sealed(content: Mapping[str, Any]) -> bool | None:
    """Whether content, as it was read from JSON, is what was sealed; None where it has no checksum, as that of earlier
    versions."""
    told = {name: value for name, value in content.items() if name != SEAL}
    return content[SEAL] == _checksum(told) if SEAL in content else None


def _checksum(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical(content).encode()).hexdigest()
