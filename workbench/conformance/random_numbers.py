"""The random numbers that everything in a process shares: torch's, Python's and numpy's."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy
import torch

Chances = dict[str, Any]  # whose -> their state


def chances() -> Chances:
    """Where they are now; asking for them moves them."""
    return {"torch": torch.get_rng_state(), "Python": random.getstate(), "numpy": numpy.random.get_state()}


def start_chances(seed: int) -> None:
    """Start all of them from a seed, as a phase of training does."""
    torch.manual_seed(seed)
    random.seed(seed)
    numpy.random.seed(seed)


@contextmanager
def chance_restored() -> Iterator[None]:
    """After the body they are where they were before it."""
    before = chances()
    try:
        yield
    finally:
        torch.set_rng_state(before["torch"])
        random.setstate(before["Python"])
        numpy.random.set_state(before["numpy"])
