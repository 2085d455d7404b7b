"""The table of what makes scores differ: axes, pairs of axes, seeds, images, and what is left."""

from __future__ import annotations

import math
from typing import Any

import numpy

from workbench.reports.experiment_results import Study
from workbench.reports.number_format import share
from workbench.reports.table_formats import Column, Table
from workbench.reports.tables import format_of, legend
from workbench.reports.wording import joined, spoken
from workbench.statistics.balanced_grid import BalancedGrid, balanced_part
from workbench.statistics.design import SEED
from workbench.statistics.estimates import Interval
from workbench.statistics.variance_shares import NOTHING, Part, score_shares, trial_parts

LEAST = 1e-4  # 0.01 %: less is not written in digits
HIGHER = "three axes or more together"
ALIKE, APART = "seed, alike in all", "seed, in each configuration otherwise"
TRIALS, IMAGE, TOGETHER = "all trials", "image", "image and trial together"
MEANING = (
    "Estimated is what is left of an axis's share without the luck of training, of these questions; the interval is"
    " wide where seeds are few. Shares are of this grid: with other values, or other questions, they are others."
)
ONE_SEED = (
    "With one seed nobody knows what seeds would change: their share is in those of the axes, which say nothing of"
    " methods."
)


def variance_table(study: Study) -> Table | None:
    """A row for each source of variance; None where nothing was compared. Where the sources cannot be told apart, no
    rows, and the reason below them."""
    sample = study.samples.get(study.primary)
    if sample is None or not study.compared or len(study.done) < 2:
        return None
    reason, grid = "", None
    if sample.sums is None:
        reason = "the metric is made of all answers together, and single answers have no score"
    else:
        grid = balanced_part(study.axes, {axis: study.summary.axes[axis] for axis in study.compared})
        if grid is None:
            reason = "no two values of an axis have trials of the same combinations and seeds"
        elif not _asked_alike(sample.sums[grid.places.ravel()]):
            reason = "trials were not asked the same questions"
    if grid is None or sample.sums is None or reason:
        return Table("variance", _caption(study), _columns(), [], [f"Not told: {reason}."])
    return Table("variance", _caption(study), _columns(), _rows(study, grid, sample.sums), _notes(study, grid))


def _asked_alike(sums: numpy.ndarray) -> bool:
    """sums [T,2,P]"""
    counts = sums[:, 1]
    return not numpy.isnan(sums).any() and bool((counts == counts[0]).all())


def _rows(study: Study, grid: BalancedGrid, sums: numpy.ndarray) -> list[dict[str, Any]]:
    places = grid.places.ravel()
    counts = sums[places[0], 1]
    asked = counts > 0
    scores = sums[places, 0][:, asked] / counts[asked]  # [T,P]
    means = (sums[places, 0].sum(1) / counts.sum()).reshape(grid.places.shape)
    design = study.design(study.compared[0])
    strata = len({design.strata[place] for place in places})
    parts = trial_parts(means, [spoken(axis) for axis in grid.axes], strata)
    levels = score_shares(scores, counts[asked], len(study.samples[study.primary].replicates))
    rows = [_part(" × ".join(each.factors), each, levels.trials) for each in (*parts["axis"], *parts["pair"])]
    rows += [_part(HIGHER, each, levels.trials) for each in parts["higher"]]
    for name, kind in ((ALIKE, "seed"), (APART, "luck")):
        rows += [_part(name, each, levels.trials) for each in parts[kind]] or [{"source": name}]
    whole = {"source": TRIALS, "share": 1.0, "of_scores": Interval(levels.trials, math.nan, math.nan)}
    scored = [{"source": IMAGE, "of_scores": levels.image}, {"source": TOGETHER, "of_scores": levels.together}]
    return [*rows, whole, *scored]


def _part(name: str, part: Part, of_trials: float) -> dict[str, Any]:
    row: dict[str, Any] = {"source": name, "sum_of_squares": part.sum_of_squares, "freedom": part.freedom}
    row |= {"share": part.share, "of_scores": Interval(part.share * of_trials, math.nan, math.nan)}
    return row | ({} if part.estimated is NOTHING else {"estimated": part.estimated})


def _columns() -> list[Column]:
    return [
        Column("source", "source", numeric=False),
        Column("sum_of_squares", "sum of squares", show="{:.3g}".format),
        Column("freedom", "degrees of freedom"),
        Column("share", "share among trials", "%", _share),
        Column("estimated", "estimated", "%", _interval),
        Column("of_scores", "share of all scores", "%", _interval),
    ]


def _caption(study: Study) -> str:
    return f"What makes {format_of(study, study.primary).words} differ, with 95 % intervals."


def _notes(study: Study, grid: BalancedGrid) -> list[str]:
    notes = [MEANING] if len(grid.levels[SEED]) > 1 else [ONE_SEED]
    notes += [_left_out(grid)] if grid.left_out else []
    return [*notes, *legend(study)]


def _left_out(grid: BalancedGrid) -> str:
    """What the table does not rest on."""
    left: dict[str, list[str]] = {}
    for factor, level in grid.left_out:
        left.setdefault(factor, []).append(level)
    told = [f"{spoken(factor)} {joined(levels)}" for factor, levels in left.items()]
    return f"Trials are missing: this is of the {grid.places.size} that make a full grid, without {joined(told)}."


def _interval(interval: Interval) -> str:
    bounds = "" if math.isnan(interval.low) else f" [{_share(interval.low)}, {_share(interval.high)}]"
    return f"{_share(interval.estimate)}{bounds}"


def _share(part: float) -> str:
    """In percent; what is next to nothing as that, and not to seven decimals."""
    return "<0.01" if 0 < part < LEAST else share(part)
