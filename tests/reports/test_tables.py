"""Tables hold the numbers of the statistics, in three formats that other programs read."""

from __future__ import annotations

import csv
import io
import math
import re
from pathlib import Path

import pandas
import pytest

from tests.made_results import write_results
from workbench.reports.metric_format import Scale, format_for
from workbench.reports.number_format import duration, fixed, megabytes, p_value, share, signed, significant
from workbench.reports.results_data import Study, read_study
from workbench.reports.statistics import Interval
from workbench.reports.table_formats import Column, Table, latex, write_tables
from workbench.reports.tables import axis_table, trials_table
from workbench.reports.wording import joined


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return read_study(write_results(tmp_path_factory.mktemp("tables"), images=60, failed=(5,)), resamples=200)


def test_csv_holds_raw_numbers_that_pandas_reads_back(study: Study):
    frame = pandas.read_csv(io.StringIO(axis_table(study, "fusion").csv()))
    effects = study.effects("fusion")
    assert list(frame["vqa_accuracy"]) == [effect.mean.estimate for effect in effects]
    assert list(frame["vqa_accuracy.low"]) == [effect.mean.low for effect in effects]
    assert list(frame["verdict"]) == [effect.verdict for effect in effects]
    assert math.isnan(list(frame["difference"])[0])


def test_the_trials_table_lists_every_trial_with_the_best_first_and_failed_ones_last(study: Study):
    table = trials_table(study)
    scores = [row["vqa_accuracy"].estimate for row in table.rows if row["status"] == "done"]
    assert len(table.rows) == 12
    assert scores == sorted(scores, reverse=True)
    assert table.rows[-1]["status"] == "failed"
    assert "1 failed" in " ".join(table.notes)
    keys = {column.key for column in table.columns}
    assert {"vqa_accuracy", "loss", "visual_gain", "vqa_accuracy.no_image", "vqa_accuracy.shuffled"} <= keys
    assert {"parameters", "trainable_share", "bytes", "latency_ms", "training_seconds"} <= keys


def test_an_axis_that_misses_a_trial_says_over_what_it_compared(study: Study):
    assert "Compared over the 3 of 4 combinations" in " ".join(axis_table(study, "fusion").notes)
    assert "One seed" in " ".join(axis_table(study, "fusion").notes)


def test_every_markdown_row_has_as_many_cells_as_the_heading(study: Study):
    lines = [line for line in trials_table(study).markdown().splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 12
    assert {line.count("|") for line in lines} == {len(trials_table(study).columns) + 1}


def test_latex_is_balanced_and_has_one_cell_a_column(study: Study):
    text = axis_table(study, "fusion").latex()
    assert text.count("{") == text.count("}")
    assert [rule in text for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [True] * 3
    columns = re.search(r"\\begin\{tabular\}\{(\w+)\}", text)
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert columns is not None
    assert {line.count(" & ") + 1 for line in rows} == {len(columns[1])}
    assert r"concat\_projection" in text


def test_what_means_something_to_latex_or_markdown_is_escaped():
    table = Table("t", "50 % of a_b", [Column("x", "x & y", numeric=False)], [{"x": "a|b_c\\{d}<e>"}])
    assert latex("50% & a_b #1 $x^2~\\{}") == (
        r"50\% \& a\_b \#1 \$x\textasciicircum{}2\textasciitilde{}\textbackslash{}\{\}"
    )
    assert r"a|b\_c\textbackslash{}\{d\}\textless{}e\textgreater{}" in table.latex()
    assert "a\\|b\\_c\\\\{d}&lt;e>" in table.markdown()
    assert list(csv.reader(io.StringIO(table.csv())))[1] == ["a|b_c\\{d}<e>"]


def test_each_table_is_written_in_three_formats(study: Study, tmp_path: Path):
    write_tables([trials_table(study), axis_table(study, "encoder")], tmp_path)
    names = sorted(file.name for file in tmp_path.iterdir())
    assert names == [f"{name}.{kind}" for name in ("axis_encoder", "trials") for kind in ("csv", "md", "tex")]


def test_percentages_get_a_second_decimal_only_where_the_intervals_are_narrow_enough_to_mean_it():
    scale = Scale(higher_is_better=True, percent=True)
    wide = [Interval(0.9321, 0.92, 0.94), Interval(0.9324, 0.92, 0.94)]
    narrow = [Interval(0.99812, 0.9979, 0.9983), Interval(0.99823, 0.9980, 0.9984)]
    assert format_for("m", scale, wide).value(0.9321) == "93.2"
    assert format_for("m", scale, narrow).value(0.99812) == "99.81"
    assert format_for("m", Scale(False, False), wide).value(0.25) == "0.250"


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [
        (-0.01, 0.02, "+0.5 [-1.0, +2.0]"),
        (-0.0001, 0.0002, "+0.01 [-0.01, +0.02]"),
        (-0.0009, -0.00003, "-0.046 [-0.090, -0.003]"),  # not up to 0.0: the verdict says `worse`
        (0.00004, 0.02, "+1.002 [+0.004, +2.000]"),
        (0.0, 0.02, "+1.0 [0.0, +2.0]"),
        (0.0, 0.0, "0.0 [0.0, 0.0]"),
    ],
)
def test_a_difference_has_the_decimals_that_its_interval_needs(low: float, high: float, shown: str):
    form = format_for("m", Scale(True, True), [Interval(0.9, 0.88, 0.92)])
    gap = Interval((low + high) / 2, low, high)
    assert form.difference(gap).replace("\N{MINUS SIGN}", "-") == shown


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (fixed(-0.04, 1), "0.0"),
        (fixed(-0.06, 1), "−0.1"),
        (fixed(math.nan, 1), "–"),
        (signed(0.06, 1), "+0.1"),
        (signed(0.04, 1), "0.0"),
        (significant(1310.4), "1,310"),
        (significant(6.144), "6.14"),
        (significant(0.00123), "0.00123"),
        (significant(0), "0"),
        (megabytes(5_240_000), "5.24"),
        (share(0.334), "33.4"),
        (share(0.0029), "0.29"),
        (duration(4.26), "4.3 s"),
        (duration(59.6), "1 min 0 s"),
        (duration(599.6), "10 min"),
        (duration(3590), "1 h 0 min"),
        (duration(7500), "2 h 5 min"),
        (p_value(0.0004), "<0.001"),
        (p_value(0.0312), "0.031"),
        (p_value(0.52), "0.52"),
        (joined(["a", "b", "c"]), "a, b and c"),
        (joined(["a"]), "a"),
        (joined([]), ""),
    ],
)
def test_numbers_are_written_for_people(written: str, expected: str):
    assert written == expected
