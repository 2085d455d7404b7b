"""What is drawn of axes is what the statistics say."""

from __future__ import annotations

import json

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


def dashed(study: Study) -> list[list[tuple[float, float]]]:
    """The dashed lines of the plot of fusions, each as its points."""
    left = all_plots(study)[0].figure.axes[0]
    lines = [line for line in left.lines if line.get_linestyle() == "--"]
    return [[(float(x), float(y)) for x, y in numpy.asarray(line.get_xydata())] for line in lines]


def test_the_prior_is_one_dashed_line_across_all_values(tmp_path):
    folder = write_results(
        tmp_path, images=30, axes={"fusion": ["concat_projection", "gated"]}, conditions=("image", "prior"),
        gain_against="prior",
    )  # fmt: skip
    frames = sorted(folder.glob("trials/*/predictions.jsonl"))
    lines = [json.loads(line) for line in frames[0].read_text().splitlines()]
    prior = [line for line in lines if line["condition"] == "prior"]
    own = [json.loads(line) for line in frames[1].read_text().splitlines()]
    frames[1].write_text(
        "".join(json.dumps(line) + "\n" for line in [*(x for x in own if x["condition"] == "image"), *prior])
    )
    study = read_study(folder, resamples=50)
    score = 100 * float(numpy.mean([line["scores"]["vqa_accuracy"] for line in prior]))
    [line] = dashed(study)
    assert [x for x, _ in line] == pytest.approx([score, score])
    assert (line[0][1], line[1][1]) == (-0.3, 1.3), "from the first value to the last"
    assert "prior" in {text.get_text() for text in all_plots(study)[0].figure.axes[0].texts}


def test_a_control_that_differs_by_value_is_marked_beside_each_and_the_prior_as_well(tmp_path):
    axes = {"fusion": ["concat_projection", "gated"]}
    conditions = ("image", "prior", "mean_image")
    made = write_results(tmp_path, images=30, axes=axes, conditions=conditions, gain_against="mean_image")
    study = read_study(made, resamples=50)
    drawn = sorted(line[0][0] for line in dashed(study))
    controls = [study.samples[f"vqa_accuracy.{each}"].estimates for each in ("mean_image", "prior")]
    assert drawn == pytest.approx(sorted(100 * numpy.concatenate(controls)))
    assert "dashed is the mean image and the prior" in all_plots(study)[0].caption


def test_old_trials_have_the_better_control_beside_each_value(tmp_path):
    study = read_study(write_results(tmp_path, images=30, axes={"fusion": ["gated", "concat_projection"]}), 50)
    controls = [study.samples[f"vqa_accuracy.{each}"].estimates for each in ("no_image", "shuffled")]
    assert sorted(line[0][0] for line in dashed(study)) == pytest.approx(sorted(100 * numpy.max(controls, axis=0)))
    assert "dashed is the better control" in all_plots(study)[0].caption
