"""The figures at the head of a report are those of the best trial."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.made_results import write_results
from workbench.reports.key_figures import best_trial, key_figures
from workbench.reports.results_data import Study, read_study


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return read_study(write_results(tmp_path, images=30, failed=(5,)), resamples=20)


def test_the_figures_are_those_of_the_trial_with_the_best_score(study: Study):
    place = best_trial(study)
    assert place is not None
    scores = study.samples["vqa_accuracy"].estimates
    assert scores[place] == max(scores)
    told = {what: (figure, unit) for figure, unit, what in key_figures(study)}
    assert told["trials finished"] == ("11 of 12", "")
    assert told["highest VQA accuracy of 11 trials"] == (f"{100 * scores[place]:.1f}", "%")
    assert told["size of that model"] == (f"{study.done[place].metrics['bytes'] / 1e6:.2f}", "MB")


def test_where_less_is_better_the_best_trial_has_the_least(study: Study):
    by_loss = replace(study, summary=replace(study.summary, metrics=("loss",)))
    place = best_trial(by_loss)
    assert place is not None
    assert study.samples["loss"].estimates[place] == min(study.samples["loss"].estimates)
    assert "lowest loss of 11 trials" in [what for _, _, what in key_figures(by_loss)]


def test_a_best_trial_that_is_out_of_date_is_said_to_be(study: Study):
    place = best_trial(study)
    assert place is not None
    stale = replace(study, stale={study.done[place].id: ("the code",)})
    assert "highest VQA accuracy of 11 trials, out of date" in [what for _, _, what in key_figures(stale)]


def test_without_a_score_only_the_count_of_trials_is_told(tmp_path: Path):
    none = read_study(write_results(tmp_path, failed=tuple(range(12))), resamples=20)
    assert best_trial(none) is None
    assert key_figures(none) == [("0 of 12", "", "trials finished")]
