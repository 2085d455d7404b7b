"""The nearest of all values is found, whichever the plugin takes; where halving would mislead, that is said."""

from __future__ import annotations

import random

import pytest

from workbench.runs.knob_search import KnobSearch, NotGrowing


def best(count, target: int, values) -> int:
    """By looking at every value."""
    return min(abs(found - target) for value in values if (found := count(value)) is not None)


@pytest.mark.parametrize("seed", range(60))
def test_the_nearest_is_that_of_looking_at_every_value(seed: int):
    draw = random.Random(seed)
    step, most = draw.choice([1, 2, 3, 8, 12]), draw.choice([400, 10_000])
    square, line, rest = draw.randint(0, 9), draw.randint(1, 50), draw.randint(0, 10_000)

    def count(value: int) -> int | None:
        return None if value % step or value > most else square * value * value + line * value + rest

    start, target = step * draw.randint(1, 30), draw.randint(1, 200_000)
    found = next(KnobSearch(count, start, target).nearest_first())
    assert found.count == count(found.value)
    assert abs(found.count - target) == best(count, target, range(1, 25_000))


def test_the_next_nearest_come_behind_it():
    found = KnobSearch(lambda value: 10 * value, 4, 101).nearest_first()
    assert [next(found).value for _ in range(5)] == [10, 11, 9, 12, 8]


def test_what_is_written_is_kept_where_another_value_comes_no_nearer():
    assert next(KnobSearch(lambda value: 10 * value, 10, 105).nearest_first()).value == 10
    assert next(KnobSearch(lambda value: 10 * value, 11, 105).nearest_first()).value == 11


def test_a_value_that_is_written_may_itself_be_refused():
    assert next(KnobSearch(lambda value: None if value % 6 else value, 16, 30).nearest_first()).value == 30
    assert next(KnobSearch(lambda value: None if value % 6 else value, 16, 3).nearest_first()).value == 6
    assert next(KnobSearch(lambda value: None if value % 6 else value, 16, 300).nearest_first()).value == 300
    assert next(KnobSearch(lambda value: None if value > 9 else value, 16, 300).nearest_first()).value == 9


def test_there_may_be_no_value_at_all():
    assert list(KnobSearch(lambda value: None, 4, 10).nearest_first()) == []


@pytest.mark.parametrize(
    ("count", "target"),
    [
        (lambda value: 7, 3),
        (lambda value: 7, 2000),
        (lambda value: 100 - value, 3),
        (lambda value: 100 - value, 2000),
        (lambda value: 50 + (-1) ** value * value, 2000),
    ],
)
def test_an_option_that_does_not_make_a_model_larger_is_named(count, target: int):
    with pytest.raises(NotGrowing, match="does not make the model larger"):
        next(KnobSearch(count, 4, target).nearest_first())


def test_few_values_are_looked_at():
    asked: list[int] = []

    def count(value: int) -> int:
        asked.append(value)
        return value * value

    next(KnobSearch(count, 64, 10_000_000).nearest_first())
    assert len(asked) < 40
    assert len(asked) == len(set(asked))


def test_an_option_that_ends_to_make_a_model_larger_is_not_turned_for_ever():
    asked: list[int] = []

    def count(value: int) -> int:
        asked.append(value)
        return min(value, 50)

    with pytest.raises(NotGrowing, match="more of it than 64 does not make the model larger"):
        next(KnobSearch(count, 8, 1000).nearest_first())
    assert max(asked) == 128
    assert next(KnobSearch(count, 8, 40).nearest_first()).value == 40
