"""The table tells what it rests on, and tells nothing where sources cannot be told apart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.made_results import write_results
from tests.reports import made_counts
from workbench.reports.results_data import read_study
from workbench.reports.table_formats import Table
from workbench.reports.variance_table import variance_table
from workbench.statistics.estimates import Interval

AXES = {"encoder": ["vit", "clip"], "fusion": ["concat_projection", "gated"]}


def table_of(folder: Path) -> Table:
    table = variance_table(read_study(folder, resamples=100))
    assert table
    return table


def test_sources_stand_one_below_the_other_and_add_up(tmp_path):
    table = table_of(write_results(tmp_path, images=40, axes=AXES, seeds=(0, 1, 2)))
    assert [row["source"] for row in table.rows] == [
        "encoder",
        "fusion",
        "encoder × fusion",
        "seed, alike in all",
        "seed, in each configuration otherwise",
        "all trials",
        "image",
        "image and trial together",
    ]
    assert sum(row["share"] for row in table.rows[:5]) == pytest.approx(1)
    assert sum(row["of_scores"].estimate for row in table.rows[5:]) == pytest.approx(1)
    assert sum(row["of_scores"].estimate for row in table.rows[:5]) == pytest.approx(
        table.rows[5]["of_scores"].estimate
    )
    assert table.csv().splitlines()[0] == (
        "source,sum_of_squares,freedom,share,estimated,estimated.low,estimated.high,of_scores,of_scores.low,of_scores.high"
    )


def test_with_one_seed_the_seeds_share_is_not_known_and_the_table_says_so(tmp_path):
    table = table_of(write_results(tmp_path, images=40, axes=AXES))
    seeds = [row for row in table.rows if row["source"].startswith("seed")]
    assert seeds == [{"source": "seed, alike in all"}, {"source": "seed, in each configuration otherwise"}]
    assert not any("estimated" in row for row in table.rows)
    assert "nobody knows what seeds would change" in " ".join(table.notes)


def test_what_is_next_to_nothing_is_no_number_of_seven_decimals(tmp_path):
    columns = {column.key: column for column in table_of(write_results(tmp_path, images=20, axes=AXES)).columns}
    assert [columns["share"].show(each) for each in (0.0, 1.2e-7, 0.0004, 0.334)] == ["0.0", "<0.01", "0.040", "33.4"]
    assert columns["of_scores"].show(Interval(2e-5, 0.0, 3e-5)) == "<0.01 [0.0, <0.01]"


def test_of_an_unbalanced_grid_the_balanced_part_is_told_and_what_was_left_out(tmp_path):
    axes = {"encoder": ["vit", "clip"], "fusion": ["concat_projection", "cross_attention", "gated"]}
    table = table_of(write_results(tmp_path, images=40, axes=axes, seeds=(0, 1), left_out=(10, 11)))
    assert table.rows[1]["freedom"] == 1
    assert "of the 8 that make a full grid, without fusion gated" in " ".join(table.notes)


def test_where_sources_cannot_be_told_apart_the_reason_stands_in_place_of_numbers(tmp_path):
    lonely = table_of(write_results(tmp_path / "a", images=10, axes=AXES, left_out=(0, 3)))
    assert lonely.rows == []
    assert "no two values of an axis" in " ".join(lonely.notes)
    together = table_of(made_counts.write(tmp_path / "b"))
    assert together.rows == []
    assert "made of all answers together" in " ".join(together.notes)


def test_trials_that_were_asked_otherwise_are_not_held_against_each_other(tmp_path):
    folder = write_results(tmp_path, images=20, axes=AXES)
    file = sorted(folder.glob("trials/*/predictions.jsonl"))[0]
    lines = [line for line in file.read_text().splitlines() if json.loads(line)["id"] != "test-3-1"]
    file.write_text("\n".join(lines) + "\n")
    table = table_of(folder)
    assert table.rows == []
    assert "not asked the same questions" in " ".join(table.notes)


def test_without_an_axis_there_is_no_table(tmp_path):
    assert variance_table(read_study(write_results(tmp_path, images=10, axes={}, seeds=(0, 1)), resamples=50)) is None
