"""What is left of a grid has every combination once, and as little is left out as one level after the other allows."""

from __future__ import annotations

from itertools import product

import pandas

from workbench.statistics.balanced_grid import balanced_part

LABELS = {"fusion": ["a", "b", "c"], "size": ["s", "m"]}


def frame(missing: set[tuple[str, ...]], seeds: str = "01") -> pandas.DataFrame:
    rows = [each for each in product(*LABELS.values(), seeds) if each not in missing]
    return pandas.DataFrame(rows, columns=[*LABELS, "seed"])


def test_a_full_grid_is_kept_whole_with_every_trial_in_its_place():
    axes = frame(set()).sample(frac=1, random_state=1).reset_index(drop=True)
    grid = balanced_part(axes, LABELS)
    assert grid
    assert grid.places.shape == (3, 2, 2)
    assert list(grid.left_out) == []
    for (i, fusion), (j, size), (k, seed) in product(*map(enumerate, ("abc", "sm", "01"))):
        assert tuple(axes.iloc[grid.places[i, j, k]]) == (fusion, size, seed)


def test_a_seed_goes_before_a_value_that_is_missing_no_more():
    grid = balanced_part(frame({("a", "s", "2")}, seeds="012"), LABELS)
    assert grid
    assert list(grid.left_out) == [("seed", "2")]
    assert grid.places.shape == (3, 2, 2)


def test_a_value_that_most_is_missing_of_goes_and_an_axis_without_values_to_compare_with_it():
    grid = balanced_part(frame({("c", size, seed) for size in "sm" for seed in "01"} - {("c", "s", "0")}), LABELS)
    assert grid
    assert list(grid.left_out) == [("fusion", "c")]
    assert grid.levels == {"fusion": ["a", "b"], "size": ["s", "m"], "seed": ["0", "1"]}
    grid = balanced_part(frame({(fusion, "m", seed) for fusion in "abc" for seed in "01"} - {("a", "m", "0")}), LABELS)
    assert grid
    assert grid.axes == ["fusion"]
    assert grid.places.shape == (3, 2)


def test_without_two_values_to_compare_nothing_is_left():
    assert balanced_part(frame(set(product("bc", "sm", "01")) | {("a", "m", "0"), ("a", "m", "1")}), LABELS) is None
    twice = pandas.concat([frame(set()), frame(set())]).reset_index(drop=True)
    assert balanced_part(twice, LABELS) is None
