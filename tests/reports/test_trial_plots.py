"""What is drawn of trials: the front that nobody beats, and each training once."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest

from tests.made_results import write_results
from workbench.reports.results_data import Study, read_study
from workbench.reports.trial_plots import curves_plot, pareto_front, pareto_plot


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return read_study(write_results(tmp_path_factory.mktemp("plots"), images=30, failed=(5,)), resamples=100)


@pytest.mark.parametrize("higher", [True, False])
def test_the_pareto_front_is_what_nobody_beats(higher: bool):
    random = numpy.random.default_rng(6)
    costs, scores = random.uniform(size=30), random.uniform(size=30)
    sign = 1 if higher else -1
    beaten = [
        any(
            c <= cost and sign * s >= sign * score and (c, s) != (cost, score)
            for c, s in zip(costs, scores, strict=True)
        )
        for cost, score in zip(costs, scores, strict=True)
    ]
    assert sorted(pareto_front(costs, scores, higher)) == [place for place in range(30) if not beaten[place]]


def test_the_caption_tells_of_a_front_where_there_is_one(study: Study, tmp_path: Path):
    plot = pareto_plot(study)
    assert plot is not None
    assert plot.caption.endswith("The dashed line is the Pareto front of the 11 of 12 trials with a score.")
    alone = read_study(write_results(tmp_path, axes={"fusion": ["concat_projection"]}), resamples=100)
    plot = pareto_plot(alone)
    assert plot is not None
    assert "dashed" not in plot.caption
    assert "cheapest" not in plot.caption, "of one trial"


def test_trials_that_share_a_training_share_its_curve(study: Study):
    plot = curves_plot(study)
    assert plot is not None
    assert [axes.get_title() for axes in plot.figure.axes] == ["align", "tune"]
    assert [axes.get_yscale() for axes in plot.figure.axes] == ["log", "log"]
    assert len(plot.figure.axes[0].lines) == 6
