"""Random numbers of their own for each purpose, from the one seed of a trial."""

from __future__ import annotations

import hashlib


def derived_seed(seed: int, purpose: str) -> int:
    """The seed of one purpose, made of the trial's seed and its name: no part's random numbers depend on another's."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{purpose}".encode()).digest()[:7], "big")
