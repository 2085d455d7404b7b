"""Every generator a phase may draw from starts from its seed, and goes on where it was."""

from __future__ import annotations

import json
import random

import numpy
import pytest
import torch

from workbench.training.random_state import RandomState

CPU = torch.device("cpu")


def drawn(state: RandomState) -> list[float]:
    """A number of each generator."""
    return [
        state.data.random(),
        random.random(),
        float(numpy.random.random()),
        float(torch.rand(())),
        random.gauss(0, 1),
    ]


def test_the_same_seed_and_phase_draw_the_same_whatever_was_drawn_before():
    first = drawn(RandomState(3, "tune", CPU))
    assert drawn(RandomState(3, "tune", CPU)) == first


@pytest.mark.parametrize(("seed", "phase"), [(4, "tune"), (3, "align")])
def test_another_seed_or_phase_draws_other_numbers_everywhere(seed, phase):
    first, other = drawn(RandomState(3, "tune", CPU)), drawn(RandomState(seed, phase, CPU))
    assert all(one != two for one, two in zip(first, other, strict=True))


def test_what_comes_next_is_kept_through_json_in_the_middle_of_a_pair_of_normal_numbers():
    state = RandomState(3, "tune", CPU)
    drawn(state)  # `gauss` has made a second number, which is waiting
    tensors, values = state.state()
    expected = drawn(state)
    other = RandomState(9, "other", CPU)
    other.restore({name: each.clone() for name, each in tensors.items()}, json.loads(json.dumps(values)))
    assert drawn(other) == expected


def test_what_a_piece_draws_follows_from_its_batch_and_number_and_shifts_nothing_else():
    state = RandomState(3, "tune", torch.device("cpu"))
    expected = _one_of_each()
    state = RandomState(3, "tune", torch.device("cpu"))
    with state.of_piece(1, 0, "passes"):
        first = _one_of_each()
    with state.of_piece(1, 1, "passes"):
        second = _one_of_each()
    with state.of_piece(1, 0, "passes"):
        assert _one_of_each() == first != second
    assert _one_of_each() == expected


def _one_of_each() -> tuple[float, float, float]:
    return float(torch.rand(())), random.random(), float(numpy.random.random())
