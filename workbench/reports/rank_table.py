"""The table of ranks: for every value of every axis the chance that it is the best, and the ranks it may have."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy

from workbench.reports.experiment_results import Study
from workbench.reports.number_format import fixed
from workbench.reports.table_formats import Column, Table
from workbench.reports.tables import format_of, legend
from workbench.reports.wording import joined, spoken
from workbench.statistics.design import Cell
from workbench.statistics.estimates import Estimate, Interval
from workbench.statistics.ranks import Rank, ranks

METHODS, MODELS = "methods", "these trained models"
CAPTION = (
    "How sure the order of values is: the chance that each is the best of its axis, its rank (expected, and where 95 %"
    " of draws lie), and the chance that it is better than the baseline."
)
MEANING = (
    "Chances are of a posterior under a flat prior, from the differences, errors and degrees of freedom that verdicts"
    " have. They are not corrected for being many, and a chance of 95 % is no verdict."
)


@dataclass(frozen=True)
class AxisRanks:
    """The ranks of an axis's values, by value, or none; what they are about, and what a reader has to know of it."""

    ranks: dict[str, Rank]
    about: str = METHODS
    note: str = ""


def axis_ranks(study: Study, axis: str) -> AxisRanks:
    """The values that were compared with the baseline, with it. Where some of them have seeds enough to tell of
    methods, the others are left out."""
    design, baseline = study.design(axis), study.baseline(axis)
    known = {value: each for value in design.present if (each := _difference(study, axis, value)) is not None}
    if not known:
        return AxisRanks({}, note="no value was compared with the baseline")
    told = {value: each for value, each in known.items() if each.luck}
    about, chosen = (METHODS, told) if told else (MODELS, known)
    if len({_cells(study, axis, value) for value in chosen}) > 1:
        return AxisRanks({}, note="values were compared over different combinations of the other axes")
    found = ranks([*chosen.values()], study.scale(study.primary).higher_is_better)
    by_value = dict(zip([baseline, *chosen], found, strict=True))
    left = [value for value in known if value not in chosen]
    note = f"{joined(left)} left out, with one seed to compare" if left else ""
    return AxisRanks({value: by_value[value] for value in design.present if value in by_value}, about, note)


def rank_table(study: Study) -> Table | None:
    """A row for each value of each axis; None where nothing was compared."""
    if study.primary not in study.samples:
        return None
    rows, notes = [], []
    for axis in study.compared:
        found = axis_ranks(study, axis)
        verdicts = {each.value: each.verdict for each in study.effects(axis)}
        for value, rank in found.ranks.items():
            row = {"axis": spoken(axis), "value": value, "best": rank.best, "rank": rank.rank}
            row |= {"over_baseline": rank.over_reference, "verdict": verdicts[value], "about": found.about}
            rows.append(row)
        notes += [f"{spoken(axis)}: {found.note}."] if found.note else []
    if not rows:
        return None
    columns = [
        Column("axis", "axis", numeric=False),
        Column("value", "value", numeric=False),
        Column("best", "chance of being best", "%", chance),
        Column("rank", "rank", show=_rank),
        Column("over_baseline", "chance of being better than the baseline", "%", chance),
        Column("verdict", "verdict", numeric=False),
        Column("about", "about", numeric=False),
    ]
    return Table("ranks", f"{_caption(study)}", columns, rows, [MEANING, *_models(rows), *notes, *legend(study)])


def chance(share: float) -> str:
    """As `97.3`; at the ends no more than random draws can tell."""
    if math.isnan(share):
        return fixed(share, 1)
    return "<0.1" if share < 0.001 else ">99.9" if share > 0.999 else fixed(100 * share, 1)


def _caption(study: Study) -> str:
    return f"{CAPTION[:-1]}, by {format_of(study, study.primary).words}."


def _models(rows: Sequence[dict[str, object]]) -> list[str]:
    if not any(row["about"] == MODELS for row in rows):
        return []
    return ["With one seed the chances are those of the trained models, over the questions, and not of methods."]


def _difference(study: Study, axis: str, value: str) -> Estimate | None:
    found = study.comparisons.pairs.get((axis, value, study.baseline(axis)))
    return None if found is None or math.isnan(found.estimate.p) else found.estimate


def _cells(study: Study, axis: str, value: str) -> frozenset[Cell]:
    """What its difference to the baseline goes over."""
    design, baseline = study.design(axis), study.baseline(axis)
    weights = design.difference(value, baseline, design.cells_for(value, baseline))
    return frozenset(design.others[place] for place in numpy.flatnonzero(weights))


def _rank(rank: Interval) -> str:
    low, high = (f"{each:g}" for each in (rank.low, rank.high))
    return f"{fixed(rank.estimate, 1)} [{low}, {high}]"
