"""Random numbers that a check draws are given back."""

from __future__ import annotations

import random

import numpy
import pytest
import torch

from workbench.conformance.copy_and_compare import same
from workbench.conformance.random_numbers import random_states, random_states_restored, seed_all


def draw() -> tuple[float, float, float]:
    """One number of each generator."""
    return float(torch.rand(())), random.random(), float(numpy.random.rand())


def test_the_same_seed_starts_all_generators_alike():
    drawn = []
    with random_states_restored():
        for seed in (3, 3, 4):
            seed_all(seed)
            drawn.append(draw())
    assert drawn[0] == drawn[1]
    assert not set(drawn[0]) & set(drawn[2])


def test_what_is_drawn_in_the_body_moves_no_generator_even_when_it_raises():
    before = random_states()
    with pytest.raises(ZeroDivisionError), random_states_restored():
        draw()
        assert not any(same(state, before[name]) for name, state in random_states().items())
        raise ZeroDivisionError
    assert same(random_states(), before)
