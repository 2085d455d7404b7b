"""Plots are drawn for whatever results there are, alike each time, and leave matplotlib as it was."""

from __future__ import annotations

import io
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import numpy
import pytest
from PIL import Image

from tests.made_results import write_results
from workbench.reports.comparison_plots import interaction_plot
from workbench.reports.plot_style import image
from workbench.reports.plots import all_plots, write_plots
from workbench.reports.results_data import Study, read_study
from workbench.reports.trial_plots import curves_plot, groups_plot, pareto_front, pareto_plot


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return read_study(write_results(tmp_path_factory.mktemp("plots"), images=30, failed=(5,)), resamples=100)


def test_each_plot_is_a_png_of_150_dpi_and_an_svg_without_a_date(study: Study, tmp_path: Path):
    plot = groups_plot(study)
    assert plot is not None
    write_plots([plot], tmp_path)
    with Image.open(tmp_path / "groups.png") as opened:
        width = round(150 * plot.figure.get_figwidth())
        assert abs(opened.size[0] - width) <= 1
    text = (tmp_path / "groups.svg").read_text()
    assert ElementTree.fromstring(text).tag.endswith("svg")
    assert "dc:date" not in text


def test_every_kind_of_plot_is_there(study: Study):
    names = [plot.name for plot in all_plots(study)]
    assert names == [
        "vqa_accuracy_by_encoder",
        "vqa_accuracy_by_fusion",
        "vqa_accuracy_by_quantizer",
        "interaction_encoder_fusion",
        "interaction_encoder_quantizer",
        "interaction_fusion_quantizer",
        "pareto",
        "groups",
        "curves",
    ]


def test_the_same_results_give_the_same_bytes(study: Study):
    first, second = pareto_plot(study), pareto_plot(study)
    assert first is not None and second is not None
    for kind in ("png", "svg"):
        assert image(first.figure, kind) == image(second.figure, kind)


def test_no_setting_of_matplotlib_is_left_changed(study: Study):
    before = dict(matplotlib.rcParams)
    image(all_plots(study)[0].figure, "png")
    assert dict(matplotlib.rcParams) == before


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


def test_the_labels_of_a_heat_map_do_not_overlap(study: Study):
    figure = interaction_plot(study, "quantizer", "fusion").figure
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in figure.axes[0].get_xticklabels()]
    assert not any(a.overlaps(b) for a, b in zip(boxes, boxes[1:], strict=False))


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
    assert "dashed" in plot.caption
    alone = read_study(write_results(tmp_path, axes={"fusion": ["concat_projection"]}), resamples=100)
    plot = pareto_plot(alone)
    assert plot is not None
    assert "dashed" not in plot.caption


def test_trials_that_share_a_training_share_its_curve(study: Study):
    plot = curves_plot(study)
    assert plot is not None
    assert [axes.get_title() for axes in plot.figure.axes] == ["align", "tune"]
    assert [axes.get_yscale() for axes in plot.figure.axes] == ["log", "log"]
    assert len(plot.figure.axes[0].lines) == 6


@pytest.mark.parametrize(
    "results",
    [
        {"axes": {}},
        {"axes": {"fusion": ["concat_projection", "gated"]}},
        {"axes": {"fusion": ["gated"]}, "seeds": (0, 1)},
        {"conditions": ("image",), "left_out": tuple(range(1, 11))},
        {"failed": tuple(range(12))},
    ],
)
def test_small_and_broken_experiments_are_drawn_as_far_as_they_go(tmp_path: Path, results: dict):
    small = read_study(write_results(tmp_path, images=8, **results), resamples=20)
    plots = all_plots(small)
    assert bool(plots) == bool(small.done)
    for plot in plots[:2]:
        assert Image.open(io.BytesIO(image(plot.figure, "png"))).size[0] > 100


def test_dollars_in_names_are_no_mathematics(tmp_path):
    axes = {"fusion": ["concat_projection", "$x)_$"], "$r$": ["$2^", "$4$"], "quantizer": ["none", "int8"]}
    drawn = all_plots(read_study(write_results(tmp_path, images=12, axes=axes), resamples=50))
    assert {"interaction_fusion_quantizer", "pareto", "curves"} <= {plot.name for plot in drawn}
    for plot in drawn:
        assert image(plot.figure, "png")
