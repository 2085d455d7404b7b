"""Which images a phase uses, and in which order they come: pass after pass, each in a new order."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from workbench.contracts.example import Example
from workbench.data.image_views import Keys


class Sampler:
    """Batches of sets of images, shuffled anew each pass; a batch may span two passes."""

    def __init__(self, sets: Sequence[Keys], generator: random.Random):
        self.sets = tuple(sets)
        self.generator = generator
        self._waiting: list[Keys] = []

    def next(self, size: int) -> list[Keys]:
        """The next `size` sets."""
        while len(self._waiting) < size:
            order = list(self.sets)
            self.generator.shuffle(order)
            self._waiting += order
        taken = self._waiting[:size]
        del self._waiting[:size]
        return taken

    def state(self) -> Tensor:
        """The rest of the current pass [waiting sets], each by its place among all."""
        places = {each: place for place, each in enumerate(self.sets)}
        return torch.tensor([places[each] for each in self._waiting], dtype=torch.long)

    def restore(self, waiting: Tensor) -> None:
        """Go on with the pass that `state` gave the rest of."""
        self._waiting = [self.sets[place] for place in waiting.tolist()]


def share_of(sets: Iterable[Keys], share: float) -> list[Keys]:
    """That share of some sets of images, at least one, in their order. It depends on nothing but their keys, and a
    larger share holds a smaller one: so the influence of the amount of data is not mixed with that of the choice."""
    everything = list(sets)
    if share == 1:
        return everything
    chosen = set(by_hash("share", everything)[: max(1, round(share * len(everything)))])
    return [each for each in everything if each in chosen]


def limited(sets: Iterable[Keys], limit: int | None) -> list[Keys]:
    """At most so many of some sets of images, in their order. Which, depends on nothing but their keys, so it is the
    same ones in every trial, from every seed and on every machine; a larger limit holds a smaller one."""
    everything = list(sets)
    if limit is None or limit >= len(everything):
        return everything
    chosen = set(by_hash("limit", everything)[:limit])
    return [each for each in everything if each in chosen]


def by_hash(purpose: str, sets: Iterable[Keys]) -> list[Keys]:
    """The sets in an order that looks random and depends on nothing but the purpose and each set's own keys."""
    return sorted(sets, key=lambda keys: hashlib.sha256(f"{purpose}/{chr(10).join(keys)}".encode()).digest())


def sample_examples(examples: list[Example], most: int | None, generator: random.Random) -> list[Example]:
    """At most so many of an image's examples."""
    if most is None or len(examples) <= most:
        return examples
    return generator.sample(examples, most)
