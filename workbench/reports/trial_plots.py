"""The plots that show trials one by one: score against cost, and training curves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy
import pandas
import seaborn
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from workbench.reports.best_of import of_trials, scored
from workbench.reports.experiment_results import Study
from workbench.reports.metric_format import MetricFormat
from workbench.reports.plot_style import (
    COLORS,
    DASHES,
    FAINT,
    INK,
    MARKERS,
    MUTED,
    WIDTH,
    Dash,
    Plot,
    add_legend,
    factor_of,
    in_unit,
    look,
    new_figure,
    place_of,
)
from workbench.reports.steps_to_target import looks
from workbench.reports.tables import format_of, trial_intervals
from workbench.reports.wording import capital, joined
from workbench.statistics.estimates import Interval

POINTS, POINTS_OF_MANY = 24_000, 30  # of a panel of curves, and of one curve where there are many
DECADE = 10


def pareto_plot(study: Study) -> Plot | None:
    """Score against size and against latency; the step line joins the trials that no other beats in both."""
    intervals = trial_intervals(study, study.primary) if study.primary in study.samples else []
    costs = [("bytes", "size (MB)", 1e-6), ("latency_ms", "latency of an answer (ms)", 1.0)]
    shown = [cost for cost in costs if not numpy.isnan(study.numbers(cost[0])).all()]
    if not shown or not intervals:
        return None
    form = format_of(study, study.primary)
    figure = new_figure(WIDTH, 3.7)
    panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    hue, shape = look(study)
    steps, costs_of_trials = 0, [unit * study.numbers(name) for name, _, unit in shown]
    for panel, (_, label, _), numbers in zip(panels, shown, costs_of_trials, strict=True):
        steps += _draw_pareto(panel, study, numbers, intervals, form)
        panel.set_xlabel(label)
    panels[0].set_ylabel(f"{form.words}{in_unit(form)}")
    add_legend(figure, study, hue, shape)
    names = joined([label.partition(" (")[0] for _, label, _ in shown])
    told = f" The dashed line is the Pareto front {of_trials(study)}." if steps else ""
    if not steps and scored(study) > 1:
        differ = any(len(numpy.unique(numbers[~numpy.isnan(numbers)])) > 1 for numbers in costs_of_trials)
        told = f" The cheapest {of_trials(study)} is also the best." if differ else " All cost the same."
    caption = f"{capital(form.words)} against {names}; one mark a trial, bars are 95 % intervals.{told}"
    return Plot("pareto", caption, figure)


def curves_plot(study: Study) -> Plot | None:
    """The training loss of every training, smoothed, phase by phase."""
    curves = _distinct(study)
    phases = list(dict.fromkeys(phase for _, curve in curves for phase in curve["phase"]))
    if not phases:
        return None
    figure = new_figure(WIDTH, 3.4)
    panels = figure.subplots(1, len(phases), squeeze=False)[0]
    hue, shape = look(study, [id_ for id_, _ in curves])
    several = False
    for panel, phase in zip(panels, phases, strict=True):
        for ids, part in _distinct_in(phase, curves):
            color, dash = _color_of_all(study, ids, hue), _dash_of_all(study, ids, shape)
            several |= color == INK
            panel.plot(*_smoothed(part, len(curves)), color=color, linestyle=dash, linewidth=1.3, alpha=0.9)
        panel.set_title(phase, fontsize=10, color=INK)
        panel.set_yscale("log")
        panel.set_xlabel("step")
        panel.grid(color=FAINT, linewidth=0.7)
        _write_plainly(panel)
        panel.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        seaborn.despine(ax=panel)
    panels[0].set_ylabel("training loss (nats)")
    add_legend(figure, study, hue, shape, dashes=True)
    shared = "; one that trials of several colours share is dark" if several else ""
    caption = f"Training loss, smoothed, by phase. Trials that share a training share its line{shared}."
    return Plot("curves", caption, figure)


def _distinct_in(
    phase: str, curves: Sequence[tuple[str, pandas.DataFrame]]
) -> list[tuple[list[str], pandas.DataFrame]]:
    """One part for each training of a phase, with the trials that have it."""
    found: dict[tuple, tuple[list[str], pandas.DataFrame]] = {}
    for id_, curve in curves:
        part = curve.loc[curve["phase"] == phase]
        if len(part):
            found.setdefault(tuple(part["loss"]), ([], part))[0].append(id_)
    return list(found.values())


def _color_of_all(study: Study, ids: Sequence[str], hue: str | None) -> str:
    """The colour of some trials, or one that stands for no value where theirs differ."""
    places = {place_of(study, id_, hue) for id_ in ids}
    return COLORS[places.pop()] if len(places) == 1 else INK


def _dash_of_all(study: Study, ids: Sequence[str], shape: str | None) -> Dash:
    places = {place_of(study, id_, shape) for id_ in ids}
    return DASHES[places.pop()] if len(places) == 1 else DASHES[0]


def validation_plot(study: Study) -> Plot | None:
    """The first metric that trainings took of held-out answers, step by step, with what was to be reached; one that has
    a target comes before others."""
    targets = study.summary.statistics.get("steps_to") or {}
    names = sorted(study.summary.metrics, key=lambda name: name not in targets)
    taken = {name: parts for name in names if (parts := _looks(study, name))}
    if not taken:
        return None
    name, parts = next(iter(taken.items()))
    phases = list(dict.fromkeys(phase for _, phase, _ in parts))
    form = MetricFormat(name, study.scale(name), 1)
    wanted = targets.get(name)
    figure = new_figure(WIDTH, 3.4)
    panels = figure.subplots(1, len(phases), squeeze=False, sharey=True)[0]
    hue, shape = look(study, list(dict.fromkeys(id_ for id_, _, _ in parts)))
    for panel, phase in zip(panels, phases, strict=True):
        for id_, _, taken in (part for part in parts if part[1] == phase):
            color, dash = place_of(study, id_, hue), DASHES[place_of(study, id_, shape)]
            steps, values = zip(*taken, strict=True)
            scaled = [factor_of(form) * each for each in values]
            panel.plot(steps, scaled, color=COLORS[color], linestyle=dash, linewidth=1.2, alpha=0.85)
        if wanted is not None:
            panel.axhline(factor_of(form) * wanted, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        panel.set_title(phase, fontsize=10, color=INK)
        panel.set_xlabel("step")
        panel.grid(color=FAINT, linewidth=0.7)
        panel.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        seaborn.despine(ax=panel)
    _leave_out_the_beginning(panels[0], [value for *_, taken in parts for _, value in taken[len(taken) // 3 :]], form)
    panels[0].set_ylabel(f"{form.words}{in_unit(form)}")
    add_legend(figure, study, hue, shape, dashes=True)
    line = f" The dashed line is what was to be reached, {form.quantity(wanted)}." if wanted is not None else ""
    return Plot("validation", f"{capital(form.words)} of answers about held-out images, while training.{line}", figure)


def _leave_out_the_beginning(panel: Axes, later: Sequence[float], form: MetricFormat) -> None:
    """Show what becomes of trainings behind their first third: how they begin would take all the room."""
    low, high = min(later), max(later)
    margin = 0.06 * (high - low)
    if margin > 0:
        panel.set_ylim(factor_of(form) * (low - margin), factor_of(form) * (high + margin))


def _looks(study: Study, metric: str) -> list[tuple[str, str, list[tuple[int, float]]]]:
    """Of each training and phase that took the metric: the trial, the phase, and (step, value) each time."""
    found = [
        (id_, str(phase), looks(part, metric))
        for id_, curve in _distinct(study)
        for phase, part in curve.groupby("phase", sort=False)
    ]
    return [each for each in found if each[2]]


def pareto_front(costs: numpy.ndarray, scores: numpy.ndarray, higher_is_better: bool) -> list[int]:
    """Places of those that no other beats: none is as cheap and better, or cheaper and as good; cheapest first."""
    sign = 1 if higher_is_better else -1
    known = [place for place in range(len(costs)) if not numpy.isnan(costs[place]) and not numpy.isnan(scores[place])]
    front, best = [], -numpy.inf
    for place in sorted(known, key=lambda place: (costs[place], -sign * scores[place])):
        if sign * scores[place] > best:
            front.append(place)
            best = sign * scores[place]
    return front


def _draw_pareto(
    axes: Axes, study: Study, costs: numpy.ndarray, intervals: Sequence[Interval], form: MetricFormat
) -> int:
    """Draw one panel; how many steps its Pareto front has: none where one trial is the cheapest and the best."""
    factor, (hue, shape) = factor_of(form), look(study)
    for cost, interval, id_ in zip(costs, intervals, study.axes.index, strict=True):
        color, marker = COLORS[place_of(study, id_, hue)], MARKERS[place_of(study, id_, shape)]
        axes.plot(
            [cost, cost],
            [factor * interval.low, factor * interval.high],
            color=color,
            linewidth=1,
            alpha=0.45,
            zorder=2,
        )
        axes.plot(
            cost,
            factor * interval.estimate,
            marker,
            color=color,
            markersize=6.5,
            markeredgecolor="white",
            markeredgewidth=0.6,
            zorder=3,
        )
    front = pareto_front(costs, numpy.array([each.estimate for each in intervals]), form.scale.higher_is_better)
    scores = [factor * intervals[place].estimate for place in front]
    axes.step(costs[front], scores, where="post", color=MUTED, linewidth=1.1, linestyle=(0, (4, 3)), zorder=1)
    axes.grid(color=FAINT, linewidth=0.7)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.set_xlim(left=max(0.0, axes.get_xlim()[0]))
    seaborn.despine(ax=axes)
    return max(0, len(front) - 1)


def _distinct(study: Study) -> list[tuple[str, pandas.DataFrame]]:
    """One curve for each training: trials that differ in what comes after share theirs."""
    seen: dict[tuple, tuple[str, pandas.DataFrame]] = {}
    for id_, curve in study.curves.items():
        if len(curve):
            seen.setdefault(tuple(curve["loss"]), (id_, curve))
    return list(seen.values())


def _smoothed(part: pandas.DataFrame, curves: int) -> tuple[list[float], list[float]]:
    """Steps and loss, averaged with weights that fall off over a fiftieth of the phase; at most 400 points, and fewer
    where hundreds of curves lie over each other."""
    most = max(POINTS_OF_MANY, min(400, POINTS // curves))
    loss = part["loss"].astype(float).ewm(span=max(2, len(part) // 50)).mean()
    every = max(1, len(part) // most)
    return list(part["step"])[::every], list(loss)[::every]


def _write_plainly(panel: Axes) -> None:
    """The numbers of a logarithmic axis as 0.1, 0.2, 0.5 rather than powers of ten; where it covers less than a decade,
    which would have one of these or none, as on any axis."""
    low, high = panel.get_ylim()
    if high < DECADE * low:
        panel.yaxis.set_major_locator(MaxNLocator(5))
        panel.yaxis.set_minor_locator(NullLocator())
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.yaxis.set_minor_formatter(FuncFormatter(_two_or_five))


def _two_or_five(value: float, _: int) -> str:
    leading = value / 10 ** numpy.floor(numpy.log10(value))
    return f"{value:g}" if round(leading) in (2, 5) else ""
