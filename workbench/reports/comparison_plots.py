"""The plots that compare values of axes: one axis by itself, and two together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy
import pandas
import seaborn
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from workbench.reports.effects import Effect
from workbench.reports.experiment_results import Study
from workbench.reports.metric_format import MetricFormat
from workbench.reports.metric_samples import CONTROLS
from workbench.reports.plot_style import (
    COLORS,
    FAINT,
    INK,
    MUTED,
    WIDTH,
    Plot,
    factor_of,
    heat_map,
    in_unit,
    new_figure,
)
from workbench.reports.statistics import Interval
from workbench.reports.tables import format_of
from workbench.reports.verdicts import BASELINE, SAME, UNCLEAR
from workbench.reports.wording import capital, spoken


def axis_plot(study: Study, axis: str) -> Plot:
    """Left each value's score beside its best control, right its difference to the baseline."""
    form = format_of(study, study.primary)
    effects = [effect for effect in study.effects(axis) if effect.trials]
    figure = new_figure(WIDTH, 1.15 + 0.42 * len(effects))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1.25, 1))
    rows = range(len(effects))
    _draw_scores(left, study, axis, effects, form)
    _draw_differences(right, effects, form)
    left.set_yticks(rows, [f"{each.value} (baseline)" if each.verdict == BASELINE else each.value for each in effects])
    left.set_ylim(len(effects) - 0.45, -0.55)
    for side in (left, right):
        side.grid(axis="x", color=FAINT, linewidth=0.7)
        side.tick_params(axis="y", length=0)
        seaborn.despine(ax=side, left=True)
    caption = (
        f"{capital(spoken(axis))}. Left: {form.words} of each value with its 95 % interval; small dots are"
        f" single trials{', dashed is the better control' if study.has_gain else ''}. Right: difference"
        f" to {study.baseline(axis)}; hollow where it cannot be told from zero"
        f"{', pink where it is of single trained models' if any(not each.luck for each in effects) else ''}."
    )
    return Plot(f"{form.name}_by_{axis.replace('.', '_')}", caption, figure)


def interaction_plot(study: Study, rows: str, columns: str) -> Plot:
    """The score of every pair of values of two axes, averaged over the rest."""
    form = format_of(study, study.primary)
    frame, balanced = _balanced(study, rows, columns)
    table = frame.pivot_table(index=rows, columns=columns, values="score", aggfunc="mean") * factor_of(form)
    table = table.reindex(index=_in_use(study, rows), columns=_in_use(study, columns))
    scores = factor_of(form) * study.samples[study.primary].estimates
    limits = float(numpy.nanmin(scores)), float(numpy.nanmax(scores))
    figure = heat_map(table, form, spoken(rows), spoken(columns), limits)
    caption = (
        f"{capital(form.words)}{in_unit(form)} by {spoken(rows)} and {spoken(columns)},"
        " averaged over the rest."
        f"{'' if balanced else ' Some trials are missing: not every field averages over the same ones.'}"
    )
    return Plot(f"interaction_{rows}_{columns}".replace(".", "_"), caption, figure)


def _balanced(study: Study, rows: str, columns: str) -> tuple[pandas.DataFrame, bool]:
    """Axes and scores of the trials whose other axes were tried with every pair of values; all trials if there are
    none, and then False."""
    rest = [axis for axis in study.compared if axis not in (rows, columns)]
    frame = study.axes.assign(score=study.samples[study.primary].estimates, rest="")
    if rest:
        frame["rest"] = [" / ".join(each) for each in study.axes[rest].astype(str).to_numpy()]
    pairs = len(_in_use(study, rows)) * len(_in_use(study, columns))
    found = {name: len(part[[rows, columns]].drop_duplicates()) for name, part in frame.groupby("rest")}
    whole = frame.loc[[found[name] == pairs for name in frame["rest"]]]
    return (whole, True) if len(whole) else (frame, False)


def _in_use(study: Study, axis: str) -> list[str]:
    return study.design(axis).present


def _draw_scores(axes: Axes, study: Study, axis: str, effects: Sequence[Effect], form: MetricFormat) -> None:
    factor, sample = factor_of(form), study.samples[study.primary]
    for row, effect in enumerate(effects):
        own = sample.estimates[(study.axes[axis] == effect.value).to_numpy()]
        axes.plot(factor * own, numpy.full(len(own), row + 0.22), ".", color=MUTED, markersize=4, alpha=0.7, zorder=2)
        _bar(axes, effect.mean, row, factor, COLORS[0])
        axes.plot(factor * effect.mean.estimate, row, "o", color=COLORS[0], markersize=6.5, zorder=4)
    controls = [_best_control(study, axis, effect.value) for effect in effects]
    known = [(control, row) for row, control in enumerate(controls) if control is not None]
    for control, row in known:
        axes.plot([factor * control] * 2, [row - 0.3, row + 0.3], color=MUTED, linestyle=(0, (3, 2)), linewidth=1.3)
    for control, row in known[:1]:
        axes.annotate(
            "better control",
            (factor * control, row - 0.3),
            xytext=(0, 2),
            textcoords="offset points",
            fontsize=7.5,
            color=MUTED,
            ha="center",
            va="bottom",
        )
    axes.set_xlabel(f"{form.words}{in_unit(form)}")
    axes.xaxis.set_major_locator(MaxNLocator(6))


def _draw_differences(axes: Axes, effects: Sequence[Effect], form: MetricFormat) -> None:
    factor = factor_of(form)
    axes.axvline(0, color=INK, linewidth=0.9, zorder=1)
    for row, effect in enumerate(effects):
        gap = effect.difference
        if numpy.isnan(gap.estimate):
            continue
        unclear = effect.verdict in (UNCLEAR, SAME)
        color = MUTED if unclear else COLORS[1] if effect.luck else COLORS[3]
        _bar(axes, gap, row, factor, color)
        axes.plot(
            factor * gap.estimate,
            row,
            "o",
            markersize=6.5,
            markerfacecolor="white" if unclear else color,
            markeredgecolor=color,
            zorder=4,
        )
        axes.annotate(
            form.for_gap(gap).signed(gap.estimate),
            (factor * gap.estimate, row),
            xytext=(0, 7),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
            color=color,
        )
    unit = f" ({form.difference_unit})" if form.difference_unit else ""
    axes.set_xlabel(f"difference to baseline{unit}")
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.margins(x=0.12)


def _bar(axes: Axes, interval: Interval, row: int, factor: float, color: str) -> None:
    """A horizontal interval."""
    axes.plot(
        [factor * interval.low, factor * interval.high],
        [row, row],
        color=color,
        linewidth=2.2,
        solid_capstyle="butt",
        zorder=3,
    )


def _best_control(study: Study, axis: str, value: str) -> float | None:
    """The better control of each trial with that value, averaged as its score is."""
    names = [name for each in CONTROLS if (name := f"{study.primary}.{each}") in study.samples]
    if not names:
        return None
    better = numpy.fmax if study.scale(study.primary).higher_is_better else numpy.fmin
    best = better.reduce([study.samples[name].estimates for name in names])
    design = study.design(axis)
    weights = design.weights(value, design.cells_for(value))
    return float(weights @ numpy.where(weights != 0, best, 0.0))
