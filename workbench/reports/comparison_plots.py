"""The plots that compare values of axes: one axis by itself, and two together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy
import pandas
import seaborn
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from workbench.reports.experiment_results import Study
from workbench.reports.metric_format import MetricFormat
from workbench.reports.plot_style import (
    COLORS,
    FAINT,
    INK,
    MOST_COLUMNS,
    MOST_ROWS,
    MUTED,
    WIDTH,
    Plot,
    factor_of,
    heat_map,
    in_unit,
    new_figure,
    short_labels,
)
from workbench.reports.tables import format_of
from workbench.reports.visual_gains import BETTER_OF_TWO, EARLIER, OVER, compared_with
from workbench.reports.wording import capital, joined, spoken
from workbench.statistics.effects import Effect
from workbench.statistics.estimates import Interval
from workbench.statistics.verdicts import BASELINE, SAME, UNCLEAR
from workbench.storage.conditions import PRIOR


def axis_plot(study: Study, axis: str) -> Plot:
    """Left each value's score beside the control its gain is against and the prior, right its difference to the
    baseline."""
    form = format_of(study, study.primary)
    known = [effect for effect in study.effects(axis) if effect.trials]
    shown = _shown(study, axis, {each.value: each.mean.estimate for each in known}, MOST_ROWS)
    effects = [effect for effect in known if effect.value in shown]
    figure = new_figure(WIDTH, 1.15 + 0.42 * len(effects))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1.25, 1))
    rows = range(len(effects))
    _draw_scores(left, study, axis, effects, form)
    _draw_differences(right, effects, form)
    labels = zip(effects, short_labels([each.value for each in effects]), strict=True)
    left.set_yticks(rows, [f"{label} (baseline)" if each.verdict == BASELINE else label for each, label in labels])
    left.set_ylim(len(effects) - 0.45, -0.55)
    for side in (left, right):
        side.grid(axis="x", color=FAINT, linewidth=0.7)
        side.tick_params(axis="y", length=0)
        seaborn.despine(ax=side, left=True)
    dashed = joined([OVER[name] for name in _shown_controls(study)])
    caption = (
        f"{capital(spoken(axis))}. Left: {form.words} of each value with its 95 % interval; small dots are"
        f" single trials{f', dashed is {dashed}' if dashed else ''}. Right: difference"
        f" to {study.baseline(axis)}; hollow where it cannot be told from zero"
        f"{', pink where it is of single trained models' if any(not each.luck for each in effects) else ''}."
        f"{_left_out(axis, len(effects), len(known))}"
    )
    return Plot(f"{form.name}_by_{axis.replace('.', '_')}", caption, figure)


def interaction_plot(study: Study, rows: str, columns: str) -> Plot:
    """The score of every pair of values of two axes, averaged over the rest."""
    form = format_of(study, study.primary)
    frame, balanced = _balanced(study, rows, columns)
    table = frame.pivot_table(index=rows, columns=columns, values="score", aggfunc="mean") * factor_of(form)
    every = [_in_use(study, axis) for axis in (rows, columns)]
    means = table.mean(axis=1).to_dict(), table.mean(axis=0).to_dict()
    kept = [
        _shown(study, axis, {value: own.get(value, numpy.nan) for value in values}, most)
        for axis, values, own, most in zip((rows, columns), every, means, (MOST_ROWS, MOST_COLUMNS), strict=True)
    ]
    table = table.reindex(index=kept[0], columns=kept[1])
    scores = factor_of(form) * study.samples[study.primary].estimates
    limits = float(numpy.nanmin(scores)), float(numpy.nanmax(scores))
    figure = heat_map(table, form, spoken(rows), spoken(columns), limits)
    caption = (
        f"{capital(form.words)}{in_unit(form)} by {spoken(rows)} and {spoken(columns)},"
        " averaged over the rest."
        f"{'' if balanced else ' Some trials are missing: not every field averages over the same ones.'}"
        f"{''.join(_left_out(axis, len(a), len(b)) for axis, a, b in zip((rows, columns), kept, every, strict=True))}"
    )
    return Plot(f"interaction_{rows}_{columns}".replace(".", "_"), caption, figure)


def _shown(study: Study, axis: str, means: Mapping[str, float], most: int) -> list[str]:
    """The values that a plot has room for, in their order: all, or the baseline and those with the best means."""
    if len(means) <= most:
        return list(means)
    sign, baseline = -1 if study.scale(study.primary).higher_is_better else 1, study.baseline(axis)
    first = sorted(means, key=lambda value: (value != baseline, numpy.isnan(means[value]), sign * means[value]))
    return [value for value in means if value in set(first[:most])]


def _left_out(axis: str, shown: int, known: int) -> str:
    """That a plot does not show all; nothing where it does."""
    if shown == known:
        return ""
    return f" Shown are {shown} of {known} values of {spoken(axis)}, the baseline and the best; the table has all."


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
    for name in _shown_controls(study):
        _draw_control(axes, name, [_control(study, axis, effect.value, name) for effect in effects], factor)
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


def _draw_control(axes: Axes, name: str, values: Sequence[float], factor: float) -> None:
    """Dashed: one line where a control is the same beside all values, else a mark beside each."""
    known = [(factor * value, row) for row, value in enumerate(values) if not numpy.isnan(value)]
    if not known:
        return
    style = {"color": MUTED, "linestyle": (0, (3, 2)), "linewidth": 1.3}
    if len({round(value, 6) for value, _ in known}) == 1:
        axes.plot([known[0][0]] * 2, [known[0][1] - 0.3, known[-1][1] + 0.3], **style)
    else:
        for value, row in known:
            axes.plot([value] * 2, [row - 0.3, row + 0.3], **style)
    axes.annotate(
        OVER[name].removeprefix("the "),
        (known[0][0], known[0][1] - 0.3),
        xytext=(0, 2),
        textcoords="offset points",
        fontsize=7.5,
        color=MUTED,
        ha="center",
        va="bottom",
    )


def _shown_controls(study: Study) -> list[str]:
    """What is drawn: the control that gains are against, and the prior wherever it was asked."""
    there = [*compared_with(study), PRIOR] if study.has_gain else [PRIOR]
    return [
        name for name in dict.fromkeys(there) if name == BETTER_OF_TWO or f"{study.primary}.{name}" in study.samples
    ]


def _control(study: Study, axis: str, value: str, name: str) -> float:
    """The score under a control of the trials with that value, averaged as their score is; NaN where one has none."""
    chosen = EARLIER if name == BETTER_OF_TWO else (name,)
    found = [study.samples[full].estimates for each in chosen if (full := f"{study.primary}.{each}") in study.samples]
    if not found:
        return float("nan")
    better = numpy.fmax if study.scale(study.primary).higher_is_better else numpy.fmin
    best = better.reduce(found)
    design = study.design(axis)
    weights = design.weights(value, design.cells_for(value))
    return float(weights @ numpy.where(weights != 0, best, 0.0))
