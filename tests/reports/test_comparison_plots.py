"""What is drawn of axes is what the statistics say."""

from __future__ import annotations

import numpy
import pytest

from tests.made_results import write_results
from workbench.reports.comparison_plots import interaction_plot
from workbench.reports.plots import all_plots
from workbench.reports.results_data import Study, read_study


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return read_study(write_results(tmp_path_factory.mktemp("plots"), images=30, failed=(5,)), resamples=100)


def test_an_axis_plot_shows_what_the_statistics_say(study: Study):
    left, right = all_plots(study)[1].figure.axes
    effects = study.effects("fusion")
    assert [label.get_text() for label in left.get_yticklabels()] == [
        "concat_projection (baseline)",
        "cross_attention",
        "gated",
    ]
    drawn = [float(numpy.asarray(line.get_xdata())[0]) for line in left.lines if line.get_markersize() == 6.5]
    marks = [x for x in drawn if any(abs(x - 100 * effect.mean.estimate) < 1e-9 for effect in effects)]
    assert len(marks) == 3
    ends = [tuple(numpy.round(numpy.asarray(line.get_xdata(), dtype=float), 6)) for line in right.lines]
    gap = effects[1].difference
    assert (round(100 * gap.low, 6), round(100 * gap.high, 6)) in ends


def test_an_interaction_averages_over_the_same_trials_in_every_field(study: Study):
    """vit + gated + int8 failed, so int8 is left out of encoder x fusion altogether."""
    axes = interaction_plot(study, "encoder", "fusion").figure.axes[0]
    texts = {text.get_text() for text in axes.texts}
    unquantized = study.axes["quantizer"] == "none"
    expected = {f"{100 * value:.1f}" for value in study.samples["vqa_accuracy"].estimates[numpy.array(unquantized)]}
    assert texts == expected
