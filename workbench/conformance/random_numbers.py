"""The random numbers that everything in a process shares: torch's, Python's and numpy's."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy
import torch

RandomStates = dict[str, Any]  # whose generator -> its state


def random_states() -> RandomStates:
    """The state of each generator; drawing from one changes its own."""
    return {"torch": torch.get_rng_state(), "Python": random.getstate(), "numpy": numpy.random.get_state()}


def seed_all(seed: int) -> None:
    """Start all of them from a seed, as a phase of training does."""
    torch.manual_seed(seed)
    random.seed(seed)
    numpy.random.seed(seed)


@contextmanager
def random_states_restored() -> Iterator[None]:
    """Whatever the body draws, what is drawn after it is what would have been drawn without it."""
    before = random_states()
    try:
        yield
    finally:
        torch.set_rng_state(before["torch"])
        random.setstate(before["Python"])
        numpy.random.set_state(before["numpy"])
