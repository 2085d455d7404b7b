"""Random numbers of their own for each purpose, from the one seed of a trial."""

from __future__ import annotations

import hashlib


def derived_seed(seed: int, purpose: str) -> int:
    """56 bits of a trial's seed and a word, such as `controls`, that have nothing to do with those of another word:
    what one part draws does not shift what another draws."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{purpose}".encode()).digest()[:7], "big")
