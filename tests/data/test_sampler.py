"""Which images a phase uses, and in which order they come."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from workbench.data.sampler import Sampler, by_hash, limited, share_of


def test_every_pass_takes_every_image_once_in_a_new_order():
    keys = [(str(number),) for number in range(10)]
    order = Sampler(keys, random.Random(3))
    taken = [key for _ in range(10) for key in order.next(4)]
    passes = [taken[start : start + 10] for start in range(0, 40, 10)]
    assert all(sorted(each) == sorted(keys) for each in passes)
    assert len({tuple(each) for each in passes}) == 4
    assert keys == [(str(number),) for number in range(10)], "the caller's list is as it was"


def test_a_batch_larger_than_the_data_is_filled_from_several_passes():
    order = Sampler([("a",), ("b",), ("c",)], random.Random(0))
    batches = [order.next(8) for _ in range(3)]
    assert [len(batch) for batch in batches] == [8, 8, 8]
    assert Counter(key for batch in batches for (key,) in batch) == {"a": 8, "b": 8, "c": 8}


KEYS = [(str(number),) for number in range(40)]


def test_a_sampler_goes_on_in_the_middle_of_a_pass():
    generator = random.Random(5)
    sampler = Sampler(KEYS, generator)
    sampler.next(25)
    waiting, drawn = sampler.state(), generator.getstate()
    expected = [sampler.next(10) for _ in range(5)]
    other = random.Random(6)
    resumed = Sampler(KEYS, other)
    resumed.restore(waiting)
    other.setstate(drawn)
    assert [resumed.next(10) for _ in range(5)] == expected


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 1.0])
def test_a_share_keeps_the_order_holds_smaller_ones_and_depends_on_the_keys_alone(share):
    chosen = share_of(KEYS, share)
    assert len(chosen) == max(1, round(40 * share))
    assert chosen == [key for key in KEYS if key in chosen]
    assert set(share_of(KEYS, share / 2)) <= set(chosen)
    assert set(share_of(reversed(KEYS), share)) == set(chosen)


def test_the_order_by_hash_is_another_for_each_purpose_and_the_same_for_every_order():
    one, other = by_hash("one", KEYS), by_hash("other", KEYS)
    assert one == by_hash("one", reversed(KEYS))
    assert sorted(one) == sorted(other) == sorted(KEYS)
    assert KEYS != one != other
    assert by_hash("one", [("a", "b"), ("ab",)]) in ([("a", "b"), ("ab",)], [("ab",), ("a", "b")])


@pytest.mark.parametrize("limit", [1, 3, 20, 39])
def test_a_limit_draws_the_same_sets_in_their_order_and_a_larger_one_holds_a_smaller(limit):
    chosen = limited(KEYS, limit)
    assert len(chosen) == limit
    assert chosen == [key for key in KEYS if key in chosen]
    assert set(chosen) <= set(limited(KEYS, limit + 1))
    assert set(limited(reversed(KEYS), limit)) == set(chosen)
    assert chosen != KEYS[:limit]


def test_no_limit_and_one_that_is_not_reached_leave_every_set():
    assert limited(KEYS, None) == limited(KEYS, 40) == limited(KEYS, 99) == list(KEYS)
