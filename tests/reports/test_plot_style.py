"""Plots look alike, are the same bytes each time, and leave matplotlib as it was."""

from __future__ import annotations

import matplotlib
import pytest

from tests.made_results import write_results
from workbench.reports.comparison_plots import interaction_plot
from workbench.reports.plot_style import LONGEST, image, short_labels
from workbench.reports.plots import all_plots
from workbench.reports.results_data import Study, read_study
from workbench.reports.trial_plots import pareto_plot


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return read_study(write_results(tmp_path_factory.mktemp("plots"), images=30, failed=(5,)), resamples=100)


def test_the_same_results_give_the_same_bytes(study: Study):
    first, second = pareto_plot(study), pareto_plot(study)
    assert first is not None and second is not None
    for kind in ("png", "svg"):
        assert image(first.figure, kind) == image(second.figure, kind)


def test_no_setting_of_matplotlib_is_left_changed(study: Study):
    before = dict(matplotlib.rcParams)
    image(all_plots(study)[0].figure, "png")
    assert dict(matplotlib.rcParams) == before


def test_dollars_in_names_are_no_mathematics(tmp_path):
    axes = {"fusion": ["concat_projection", "$x)_$"], "$r$": ["$2^", "$4$"], "quantizer": ["none", "int8"]}
    drawn = all_plots(read_study(write_results(tmp_path, images=12, axes=axes), resamples=50))
    assert {"interaction_fusion_quantizer", "pareto", "curves"} <= {plot.name for plot in drawn}
    for plot in drawn:
        assert image(plot.figure, "png")


def test_the_labels_of_a_heat_map_do_not_overlap(study: Study):
    figure = interaction_plot(study, "quantizer", "fusion").figure
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in figure.axes[0].get_xticklabels()]
    assert not any(a.overlaps(b) for a, b in zip(boxes, boxes[1:], strict=False))


@pytest.mark.parametrize("labels", [["vit", "clip"], [], ["x" * LONGEST]])
def test_labels_that_have_room_stay_as_they_are(labels):
    assert short_labels(labels) == labels


def test_long_labels_are_cut_in_the_middle_and_told_apart():
    one, other, third = (f"{'a' * 60}{middle}{'b' * 60}" for middle in ("x", "y", ""))
    found = short_labels([one, other, third, "c" * 50 + "d"])
    assert len(set(found)) == 4
    assert max(map(len, found)) <= LONGEST
    assert found[3].endswith("cd")
