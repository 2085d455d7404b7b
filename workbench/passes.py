"""Which pictures a phase uses, and in which order they come: pass after pass, each in a new order."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from workbench.contracts import Example


class Passes:
    """Batches of pictures, shuffled anew each pass; a batch may span two passes."""

    def __init__(self, keys: Sequence[str], chance: random.Random):
        self.keys = tuple(keys)
        self.chance = chance
        self._waiting: list[str] = []

    def next(self, size: int) -> list[str]:
        """The next `size` pictures."""
        while len(self._waiting) < size:
            order = list(self.keys)
            self.chance.shuffle(order)
            self._waiting += order
        taken = self._waiting[:size]
        del self._waiting[:size]
        return taken

    def state(self) -> Tensor:
        """The rest of the current pass [waiting pictures], each by its place among the keys."""
        places = {key: place for place, key in enumerate(self.keys)}
        return torch.tensor([places[key] for key in self._waiting], dtype=torch.long)

    def restore(self, waiting: Tensor) -> None:
        """Go on with that rest."""
        self._waiting = [self.keys[place] for place in waiting.tolist()]


def share_of(keys: Iterable[str], share: float) -> list[str]:
    """That share of the keys, at least one, in their order. It depends on nothing but the keys, and a larger share
    holds a smaller one: so the influence of the amount of data is not mixed with that of the choice."""
    everything = list(keys)
    if share == 1:
        return everything
    drawn = sorted(everything, key=lambda key: hashlib.sha256(f"share/{key}".encode()).digest())
    chosen = set(drawn[: max(1, round(share * len(drawn)))])
    return [key for key in everything if key in chosen]


def sample(examples: list[Example], most: int | None, chance: random.Random) -> list[Example]:
    """At most so many of a picture's examples."""
    if most is None or len(examples) <= most:
        return examples
    return chance.sample(examples, most)
