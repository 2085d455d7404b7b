"""`exclude` and `baseline`: which trials their patterns mean, and what is refused."""

from __future__ import annotations

import pytest

from tests.experiment_files import GRID, check_refused, load, with_grid

# What is broken: text of the good file, what stands there instead (`#!` marks the line the message must name),
# the key the message must name, and a part of its advice.
BROKEN_PATTERNS = {
    "pattern of no axis": (GRID, GRID + "exclude: [{quantiser: rough}] #!\n", "exclude.0.quantiser", "'quantizer'?"),
    "pattern of no value": (
        GRID,
        GRID + "exclude: [{quantizer: rogh}] #!\n",
        "exclude.0.quantizer",
        "Did you mean 'rough'?",
    ),
    "pattern that matches twice the same": (
        GRID,
        GRID + "exclude:\n  - {quantizer: rough, seed: 0}\n  - {quantizer: 3} #!\n",
        "exclude.1.quantizer",
        "Values: exact, rough",
    ),
    "empty pattern": (GRID, GRID + "exclude: [{}] #!\n", "exclude.0", "Write {axis: value}"),
    "everything excluded": (GRID, GRID + "exclude: [{seed: 0}] #!\n", "exclude", "Exclude fewer"),
    "baseline of no axis": (GRID, GRID + "baseline: {fusion: glue} #!\n", "baseline.fusion", "Axes: quantizer, seed"),
    "baseline of no value": (GRID, GRID + "baseline: {quantizer: exakt} #!\n", "baseline.quantizer", "'exact'?"),
    "baseline that is excluded": (
        GRID,
        GRID + "exclude: [{quantizer: rough}]\nbaseline: {quantizer: rough} #!\n",
        "baseline",
        "Write the values of one of the trials",
    ),
    "baseline that means several": (
        GRID,
        "grid:\n  fusion: [{name: glue, depth: 1}, {name: glue, depth: 2}]\nbaseline: {fusion: glue} #!\n",
        "baseline.fusion",
        "Write one of: 'glue(depth=1)', 'glue(depth=2)'",
    ),
}


@pytest.mark.parametrize("broken", BROKEN_PATTERNS)
def test_a_broken_pattern_is_refused_with_its_line_its_key_and_advice(tmp_path, broken):
    check_refused(tmp_path, *BROKEN_PATTERNS[broken])


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        ("{adapter: slim}", ["whole"]),
        ("{adapter: slim(rank=2)}", ["slim(rank=4)", "whole"]),
        ("{adapter: {name: slim, rank: 4}}", ["slim(rank=2)", "whole"]),
        ("{adapter: {name: whole}}", ["slim(rank=2)", "slim(rank=4)"]),
    ],
)
def test_exclude_leaves_out_trials_by_label_value_or_name(tmp_path, pattern, left):
    grid = "grid:\n  adapter: [{name: slim, rank: 2}, {name: slim, rank: 4}, whole]\n"
    experiment = load(tmp_path, with_grid(grid) + f"exclude: [{pattern}]\n")
    assert experiment.axes["adapter"] == tuple(left)


def test_a_pattern_excludes_only_trials_that_match_all_its_entries(tmp_path):
    text = with_grid("grid:\n  fusion: [glue, tape]\n  quantizer: [exact, rough]\n")
    experiment = load(tmp_path, text + "exclude: [{fusion: glue, quantizer: rough}]\n")
    assert [trial.label for trial in experiment.trials] == ["glue, exact, 0", "tape, exact, 0", "tape, rough, 0"]


def test_an_option_that_one_plugin_lacks_is_allowed_where_its_trials_are_excluded(tmp_path):
    text = with_grid("grid:\n  fusion: [glue, tape]\n  fusion.depth: [1, 2]\n")
    experiment = load(tmp_path, text + "exclude: [{fusion: tape}]\n")
    assert [trial.axes["fusion.depth"] for trial in experiment.trials] == ["1", "2"]


@pytest.mark.parametrize(
    ("baseline", "chosen"),
    [
        ("{}", ("glue", "exact")),
        ("{quantizer: rough}", ("glue", "rough")),
        ("{fusion: {name: tape}, quantizer: rough}", ("tape", "rough")),
    ],
)
def test_the_baseline_is_the_first_trial_that_agrees_with_what_is_given(tmp_path, baseline, chosen):
    text = with_grid("grid:\n  fusion: [glue, tape]\n  quantizer: [exact, rough]\n")
    found = load(tmp_path, text + f"baseline: {baseline}\n").baseline
    assert (found["fusion"], found["quantizer"], found["seed"]) == (*chosen, "0")
