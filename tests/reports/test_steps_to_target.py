"""How soon trainings got there: arrivals from curves, the table, its sentences, its plot, and what a file may ask."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pandas
import pytest

from tests.made_results import write_results
from workbench.reports.experiment_results import Study
from workbench.reports.page import render
from workbench.reports.plots import all_plots
from workbench.reports.results_data import read_study
from workbench.reports.steps_to_target import Arrivals, Target, arrival, longest_wait, median_steps, targets_of
from workbench.reports.steps_to_target_table import (
    LATER,
    ONE_SEED,
    SAME_TRAINING,
    SOONER,
    steps_to_rows,
    steps_to_sentences,
    steps_to_table,
)
from workbench.reports.tables import all_tables
from workbench.statistics.censored_ranks import Arrival
from workbench.statistics.verdicts import BASELINE, NO_RESULT, UNCLEAR

AT_90 = Target("vqa_accuracy", 0.9, True)


def study_of(folder: Path, seeds: int, axes: dict[str, list[str]] | None = None, **made) -> Study:
    made = {"steps_to": {"vqa_accuracy": 0.9}, **made}
    results = write_results(folder, images=40, seeds=tuple(range(seeds)), axes=axes, **made)
    return read_study(results, resamples=200)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return study_of(tmp_path_factory.mktemp("steps"), 6)


def curve(*values: float | None, phase: str = "tune") -> pandas.DataFrame:
    metrics = [None if each is None else {"vqa_accuracy": each} for each in values]
    return pandas.DataFrame({"phase": phase, "step": range(1, len(values) + 1), "validation_metrics": metrics})


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((None, 0.5, None, 0.9, None, 0.95), Arrival(4, True, 2)),
        ((0.95, 0.2, 0.3), Arrival(1, True, 0)),
        ((None, 0.5, None, 0.8), Arrival(4, False, 4)),
        ((None, 0.5, None, None), Arrival(2, False, 2)),
        ((None, float("nan")), Arrival(2, False, 2)),
        ((None, None), None),
        ((), None),
    ],
)
def test_a_training_is_there_at_the_first_look_that_finds_it(values, expected):
    assert arrival(curve(*values), AT_90) == expected


def test_less_may_be_better_and_steps_of_several_phases_that_look_are_added():
    sinking = curve(0.9, 0.5, 0.3)
    assert arrival(sinking, Target("vqa_accuracy", 0.4, False)) == Arrival(3, True, 2)
    both = pandas.concat([curve(None, None, phase="align"), curve(0.1, 0.2, 0.3), curve(0.4, 0.95, phase="last")])
    assert arrival(both, AT_90) == Arrival(5, True, 4), "align never looked"


def test_a_curve_of_before_there_were_metrics_has_no_arrival():
    assert arrival(curve(0.95).drop(columns="validation_metrics"), AT_90) is None


def test_the_median_is_not_reached_where_half_of_the_trainings_were_not_there():
    there, not_there = (Arrival(100, True, 90),), (Arrival(100, False, 100),)
    assert median_steps([there, there, not_there]) == 100
    assert median_steps([there, not_there]) == math.inf
    assert math.isnan(median_steps([]))


def test_the_value_that_is_sooner_is_found_and_no_other(study: Study):
    verdicts = {(row.axis, row.value): row.verdict for row in steps_to_rows(study)}
    assert verdicts == {
        ("encoder", "vit"): BASELINE,
        ("encoder", "clip"): UNCLEAR,
        ("fusion", "concat_projection"): BASELINE,
        ("fusion", "cross_attention"): SOONER,
        ("fusion", "gated"): UNCLEAR,
        ("quantizer", "none"): BASELINE,
        ("quantizer", "int8"): SAME_TRAINING,
    }


def test_trials_that_share_a_training_count_once(study: Study):
    arrivals = Arrivals(study, AT_90)
    blocks = arrivals.of_value("fusion", "gated")
    assert (len(blocks), len(blocks[0])) == (6, 2), "six seeds; two encoders, and quantizers that train alike"
    assert arrivals.of_both("quantizer", "none", "int8") == ([], [])


def test_a_seed_that_lacks_a_combination_is_left_out_of_its_value_alone(tmp_path):
    axes = {"fusion": ["concat_projection", "cross_attention"], "encoder": ["vit", "clip"]}
    study = study_of(tmp_path, 3, axes, left_out=(0,))
    arrivals = Arrivals(study, AT_90)
    mine, theirs = arrivals.of_both("fusion", "cross_attention", "concat_projection")
    assert (len(mine), len(theirs)) == (3, 2)


def test_combinations_in_which_nobody_looks_do_not_take_the_others_with_them(study: Study):
    """A phase that only one encoder has, or an axis of what a phase validates with."""
    blind = {record.id for record in study.done if record.axes["encoder"] == "clip"}
    curves = {
        id_: each.drop(columns="validation_metrics") if id_ in blind else each for id_, each in study.curves.items()
    }
    some = replace(study, curves=curves)
    verdicts = {(row.axis, row.value): (row.verdict, row.trainings) for row in steps_to_rows(some)}
    assert verdicts["fusion", "cross_attention"] == (SOONER, 6)
    assert verdicts["fusion", "concat_projection"] == (BASELINE, 6)
    assert verdicts["encoder", "clip"] == (NO_RESULT, 0)
    assert verdicts["quantizer", "int8"][0] == SAME_TRAINING


def test_the_table_and_the_answer_say_who_was_sooner_and_by_how_much(study: Study):
    table = steps_to_table(study)
    assert table is not None
    text = table.markdown()
    assert "| VQA accuracy of 90.0 % | fusion | cross\\_attention | 12 of 12 |" in text
    assert "looked for every 10 steps: a training may have got there by up to 9 steps sooner" in text
    told = steps_to_sentences(study)
    assert len(told) == 2
    assert told[0] == "By how soon it reaches VQA accuracy of 90.0 %, clip cannot be told from vit."
    assert told[1].startswith("cross_attention reaches VQA accuracy of 90.0 % sooner than concat_projection: 0.")
    assert "times the steps (0.57 to 1.0, p = 0.006)." in told[1]


def test_the_page_has_the_section_and_the_plot(study: Study):
    plots = all_plots(study)
    assert "what was to be reached, 90.0 %" in next(each for each in plots if each.name == "validation").caption
    table = steps_to_table(study)
    assert table is not None
    page = render(study, [*all_tables(study), table], plots, None)
    assert "How soon it gets there" in page
    assert '<span class="verdict better">sooner</span>' in page


def test_the_plot_is_of_the_metric_that_has_a_target(study: Study):
    """Whatever is taken beside it and stands before it in the experiment."""
    curves = {id_: each.copy() for id_, each in study.curves.items()}
    for each in curves.values():
        taken = each["validation_metrics"]
        each["validation_metrics"] = [{**one, "loss": 1.0} if isinstance(one, dict) else None for one in taken]
    other = replace(study, curves=curves, summary=replace(study.summary, metrics=["loss", "vqa_accuracy"]))
    plot = next(each for each in all_plots(other) if each.name == "validation")
    assert plot.caption.startswith("VQA accuracy of answers")
    assert "what was to be reached, 90.0 %" in plot.caption


def test_few_seeds_are_told_that_they_cannot_tell(tmp_path):
    axes = {"fusion": ["concat_projection", "cross_attention", "gated"]}
    table = steps_to_table(study_of(tmp_path, 3, axes))
    assert table is not None
    assert {row["verdict"] for row in table.rows} == {BASELINE, UNCLEAR}
    assert any(
        "With 3 seeds beside 3 no difference could have been told, however large" in note for note in table.notes
    )


def test_a_verdict_of_more_seeds_beside_fewer_says_what_it_presumes(tmp_path, study: Study):
    axes = {"fusion": ["concat_projection", "cross_attention"]}
    table = steps_to_table(study_of(tmp_path, 7, axes, left_out=(0, 1)))
    assert table is not None
    assert SOONER in {row["verdict"] for row in table.rows}
    assert any(note.startswith("7 seeds are compared with 5: p is too small where") for note in table.notes)
    equal = steps_to_table(study)
    assert equal is not None
    assert not any("are compared with" in note for note in equal.notes)


def test_of_one_seed_nothing_is_said(tmp_path):
    rows = steps_to_rows(study_of(tmp_path, 1, {"fusion": ["concat_projection", "cross_attention"]}))
    assert [row.verdict for row in rows] == [BASELINE, ONE_SEED]


def test_a_target_that_nobody_reached_tells_nobody_apart(tmp_path):
    axes = {"fusion": ["concat_projection", "cross_attention"]}
    nobody = study_of(tmp_path, 6, axes, steps_to={"vqa_accuracy": 2.0})
    assert [row.verdict for row in steps_to_rows(nobody)] == [BASELINE, UNCLEAR]
    assert {row.reached for row in steps_to_rows(nobody)} == {0}
    table = steps_to_table(nobody)
    assert table is not None
    assert "not reached" in table.markdown()


def test_seen_from_the_sooner_value_the_other_is_later(tmp_path):
    study = study_of(tmp_path, 6, {"fusion": ["concat_projection", "cross_attention"]})
    turned = replace(study, summary=replace(study.summary, baseline={"fusion": "cross_attention"}))
    assert [row.verdict for row in steps_to_rows(turned)] == [LATER, BASELINE]


def test_without_a_baseline_nothing_is_compared_and_nothing_called_the_same(tmp_path):
    study = study_of(tmp_path, 3, {"fusion": ["cross_attention", "gated"]})
    assert study.baseline("fusion") == "concat_projection"
    assert [row.verdict for row in steps_to_rows(study)] == [NO_RESULT, NO_RESULT]


def test_where_nothing_is_to_be_reached_nothing_is_told(tmp_path):
    plain = study_of(tmp_path, 2, {"fusion": ["concat_projection", "gated"]}, steps_to=None)
    assert targets_of(plain) == []
    assert steps_to_table(plain) is None
    assert steps_to_sentences(plain) == []
    assert "validation" not in [plot.name for plot in all_plots(plain)]


def test_looks_are_as_far_apart_as_the_furthest(study: Study):
    assert longest_wait(study, AT_90) == 10
