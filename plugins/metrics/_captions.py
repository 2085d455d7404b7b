"""What the caption metrics share: words, and how often each run of them occurs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

MAX_ORDER = 4


def words(caption: str) -> list[str]:
    """Lower-case words without punctuation; apostrophes and hyphens within words stay."""
    return re.findall(r"\w+(?:['\u2019-]\w+)*", caption.lower())


def runs(tokens: Sequence[str]) -> Counter[tuple[str, ...]]:
    """How often each run of one to four words occurs."""
    return Counter(
        tuple(tokens[start : start + order])
        for order in range(1, MAX_ORDER + 1)
        for start in range(len(tokens) - order + 1)
    )
