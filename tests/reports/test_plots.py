"""Plots are drawn for whatever results there are, and written as PNG and SVG."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

from tests.made_results import write_results
from workbench.reports.group_plots import groups_plot
from workbench.reports.plot_style import MOST_ROWS, image
from workbench.reports.plots import all_plots, write_plots
from workbench.reports.results_data import Study, read_study


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


def test_labels_longer_than_a_plot_leave_room_for_it(tmp_path: Path):
    axes = {axis: [f"{axis}_{'as_long_as_some_like_it_' * 5}{place}" for place in range(3)] for axis in ("a", "b")}
    study = read_study(write_results(tmp_path, images=6, axes=axes), resamples=50)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for plot in all_plots(study):
            assert plot.svg


def test_of_hundreds_of_values_a_plot_shows_the_baseline_and_the_best_and_says_so(tmp_path: Path):
    axes = {"reader": [f"reader {place}" for place in range(60)]}
    study = read_study(write_results(tmp_path, images=6, axes=axes), resamples=50)
    by_name = {plot.name: plot for plot in all_plots(study)}
    plot = by_name["vqa_accuracy_by_reader"]
    told = [label.get_text() for label in plot.figure.axes[0].get_yticklabels()]
    best = max(study.effects("reader"), key=lambda effect: effect.mean.estimate)
    assert len(told) == MOST_ROWS
    assert told[0] == "reader 0 (baseline)"
    assert best.value in told or best.value == "reader 0"
    assert f"Shown are {MOST_ROWS} of 60 values of reader" in plot.caption
    assert f"Shown are the best {MOST_ROWS}: the table has all." in by_name["groups"].caption
