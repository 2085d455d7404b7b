"""The plots of a report; `write_plots` saves them as PNG and SVG. The same results give the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

from workbench.reports.comparison_plots import axis_plot, interaction_plot
from workbench.reports.experiment_results import Study
from workbench.reports.group_plots import groups_plot
from workbench.reports.plot_style import Plot, image, plain_style
from workbench.reports.trial_plots import curves_plot, pareto_plot, validation_plot
from workbench.storage.atomic import write_bytes

PAIRS = 6  # more interactions than these say little on one page


def all_plots(study: Study) -> list[Plot]:
    """Every plot that the results allow, in the order of a report."""
    if not study.done:
        return []
    with plain_style():
        plots = [axis_plot(study, axis) for axis in study.compared if study.primary in study.samples]
        pairs = list(combinations(study.compared, 2))[:PAIRS]
        plots += [interaction_plot(study, *pair) for pair in pairs if study.primary in study.samples]
        one_by_one = (pareto_plot(study), groups_plot(study), validation_plot(study), curves_plot(study))
        return [*plots, *_present(*one_by_one)]


def write_plots(plots: Sequence[Plot], folder: Path) -> None:
    """Save each plot as NAME.png (150 dpi) and NAME.svg."""
    for plot in plots:
        write_bytes(folder / f"{plot.name}.png", image(plot.figure, "png"))
        write_bytes(folder / f"{plot.name}.svg", plot.svg)


def _present(*plots: Plot | None) -> list[Plot]:
    return [plot for plot in plots if plot is not None]
