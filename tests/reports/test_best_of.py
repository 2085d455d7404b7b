"""Whatever is called the best says of how many, and once that the best of many is too good."""

from __future__ import annotations

from dataclasses import replace

import numpy
import pytest

from tests.made_results import write_results
from tests.reports.read_page import Page
from workbench.reports.best_of import best_first, in_trials, of_how_many, of_trials, scored, the_best
from workbench.reports.group_plots import groups_plot
from workbench.reports.key_figures import key_figures
from workbench.reports.page import render
from workbench.reports.results_data import Study, read_study
from workbench.reports.tables import all_tables, trials_table
from workbench.reports.trial_plots import pareto_plot

FUSIONS = {"fusion": ["concat_projection", "cross_attention", "gated"]}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = write_results(tmp_path_factory.mktemp("whole"), images=12, axes=FUSIONS, seeds=(0, 1))
    return read_study(folder, resamples=20)


@pytest.fixture(scope="module")
def some(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """One trial of six failed, one is still to be run."""
    folder = write_results(
        tmp_path_factory.mktemp("some"), images=12, axes=FUSIONS, seeds=(0, 1), failed=(1,), left_out=(2,)
    )
    return read_study(folder, resamples=20)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return read_study(write_results(tmp_path_factory.mktemp("alone"), images=12, axes={}), resamples=20)


def test_trials_are_counted_and_those_that_were_asked_for_besides(whole, some, alone):
    assert [scored(study) for study in (whole, some, alone)] == [6, 4, 1]
    assert of_trials(whole) == "of 6 trials"
    assert of_trials(some) == "of the 4 of 6 trials with a score"
    assert in_trials(whole) == "6 trials from 2 seeds"
    assert in_trials(some) == "4 of 6 trials from 2 seeds"
    assert in_trials(alone) == "1 trial"


def test_a_trial_without_a_score_is_none_that_the_best_was_picked_from(whole):
    sample = whole.samples["vqa_accuracy"]
    estimates = numpy.where(numpy.arange(6) == 2, numpy.nan, sample.estimates)
    study = replace(whole, samples={**whole.samples, "vqa_accuracy": replace(sample, estimates=estimates)})
    assert of_trials(study) == "of the 5 of 6 trials with a score"
    assert "highest VQA accuracy of 5 trials" in [what for _, _, what in key_figures(study)]


def test_the_table_of_trials_says_of_how_many_and_once_that_the_best_is_too_good(whole, some, alone):
    assert trials_table(whole).caption.startswith("All trials, the best of 6 trials first, with 95 % intervals")
    assert best_first(some) == "the best of the 4 of 6 trials with a score first"
    [told] = [note for note in trials_table(some).notes if "too good" in note]
    assert told.startswith("The best score of the 4 of 6 trials with a score is too good on average")
    assert told.endswith("on new questions expect less of that trial.")
    assert trials_table(alone).caption.startswith("All trials, the best first, with")
    assert not any("too good" in note for note in trials_table(alone).notes)


def test_where_there_is_no_choice_or_no_score_nothing_is_too_good(alone, tmp_path):
    assert of_how_many(alone) == ""
    none = read_study(write_results(tmp_path, axes=FUSIONS, failed=(0, 1, 2)), resamples=10)
    assert of_how_many(none) == ""
    assert best_first(none) == "the best first"


def test_the_best_trial_is_called_the_best_of_so_many(whole, alone):
    assert the_best(whole, 0) == "the best of 6 trials (concat_projection, seed 0)"
    assert the_best(alone, 0) == "the only trial"


def test_plots_say_of_how_many(whole, some):
    for study, told in ((whole, "of 6 trials"), (some, "of the 4 of 6 trials with a score")):
        plot = pareto_plot(study)
        assert plot is not None
        assert plot.caption.endswith((f"Pareto front {told}.", f"The cheapest {told} is also the best."))
    plot = groups_plot(whole)
    assert plot is not None
    assert plot.caption.endswith("the best of 3 first.")


def test_the_page_says_of_how_many_wherever_it_says_best(whole, alone):
    text = Page(render(whole, all_tables(whole), [], None)).text
    assert text.count("By the best of 6 trials (") == 2, "answered right, and wrong"
    assert "highest VQA accuracy of 6 trials" in text
    assert "best of 6 trials" in text.partition("Provenance")[2]
    assert text.count("too good on average") == 1
    assert "By the only trial." in Page(render(alone, all_tables(alone), [], None)).text


def test_the_best_of_equals_is_too_good_by_what_of_how_many_says():
    """The claim itself: of trials that are truly alike, the best score is above the truth, more so of more."""
    random = numpy.random.default_rng(0)
    means = [(random.random((2_000, count, 200)) < 0.8).mean(-1).max(-1).mean() for count in (1, 4, 12)]
    assert means[0] == pytest.approx(0.8, abs=0.005)
    assert 0.81 < means[1] < means[2]
