"""Random numbers of their own for each purpose, from the one seed of a trial."""

from __future__ import annotations

import hashlib


def seed_of(seed: int, purpose: str) -> int:
    """A seed of its own for each purpose, so that one part's random numbers do not depend on another's."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{purpose}".encode()).digest()[:7], "big")
