"""What is drawn of trials: the front that nobody beats, and each training once."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest

from tests.made_results import write_results
from workbench.reports.plot_style import COLORS, INK
from workbench.reports.results_data import Study, read_study
from workbench.reports.trial_plots import _write_plainly, curves_plot, pareto_front, pareto_plot


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


def test_where_all_cost_the_same_no_trial_is_the_cheapest(tmp_path: Path):
    study = read_study(write_results(tmp_path, images=12, axes={"fusion": ["gated", "early"]}), resamples=20)
    for record in study.done:
        record.metrics.update(bytes=4e6, latency_ms=6.0)
    plot = pareto_plot(study)
    assert plot is not None
    assert plot.caption.endswith("bars are 95 % intervals. All cost the same.")


def test_a_training_that_several_values_share_has_the_color_of_none(tmp_path: Path):
    study = read_study(write_results(tmp_path, images=12, axes={"fusion": ["gated", "early"]}), resamples=20)
    first, second = study.curves.values()
    aligned = first["phase"] == "align"
    second.loc[aligned, "loss"] = first.loc[aligned, "loss"]
    plot = curves_plot(study)
    assert plot is not None
    colors = [[str(line.get_color()) for line in panel.lines] for panel in plot.figure.axes]
    assert colors == [[INK], [COLORS[0], COLORS[1]]]
    assert "one that trials of several colours share is dark" in plot.caption


def test_no_two_values_are_drawn_alike_however_many_there_are(tmp_path: Path):
    axes = {
        "encoder": [f"encoder {number}" for number in range(7)],
        "fusion": [f"fusion {number}" for number in range(8)],
    }
    plot = curves_plot(read_study(write_results(tmp_path, images=3, axes=axes), resamples=5))
    assert plot is not None
    looks = [(line.get_color(), line._dash_pattern) for line in plot.figure.axes[0].lines]  # pyright: ignore
    assert len({str(each) for each in looks}) == len(looks) == 56


def test_values_without_a_finished_trial_take_no_color_and_stand_in_no_legend(tmp_path: Path):
    axes = {"fusion": [f"fusion {number}" for number in range(12)]}
    left_out = (0, 2, 4, 6, 8, 10)
    plot = pareto_plot(read_study(write_results(tmp_path, images=12, axes=axes, left_out=left_out), resamples=20))
    assert plot is not None
    (legend,) = plot.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [f"fusion {number}" for number in range(1, 12, 2)]
    colors = [handle.get_color() for handle in legend.legend_handles]  # pyright: ignore
    assert len(set(colors)) == 6


@pytest.mark.parametrize("limits", [(1.5, 6.0), (0.98, 1.04), (0.02, 9.0), (0.3, 2.9)])
def test_a_logarithmic_axis_says_where_it_is(study: Study, limits):
    """From 1.5 to 6 a single number stood beside it."""
    plot = curves_plot(study)
    assert plot is not None
    panel = plot.figure.axes[0]
    panel.set_ylim(*limits)
    _write_plainly(panel)
    plot.figure.draw_without_rendering()
    labels = [*panel.yaxis.get_majorticklabels(), *panel.yaxis.get_minorticklabels()]
    shown = [each for each in labels if each.get_text() and limits[0] <= each.get_position()[1] <= limits[1]]
    assert len(shown) >= 3


def test_trials_that_share_a_training_share_its_curve(study: Study):
    plot = curves_plot(study)
    assert plot is not None
    assert [axes.get_title() for axes in plot.figure.axes] == ["align", "tune"]
    assert [axes.get_yscale() for axes in plot.figure.axes] == ["log", "log"]
    assert len(plot.figure.axes[0].lines) == 6
