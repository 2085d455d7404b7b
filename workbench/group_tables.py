"""The table of a report that takes the questions apart by their group: language, domain, type of answer, strategy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy

from workbench.notation import spoken
from workbench.statistics import SEED, Interval, Sample, infer
from workbench.study import Study, seed_of
from workbench.tables import Column, Table, notation_of

WITH_INTERVALS = 3_000  # cells of the table: with more, drawing their intervals would take minutes


def group_table(study: Study) -> Table | None:
    """Every metric of every trial in each group, with how many questions that rests on; None without groups."""
    if not study.groups or not study.samples:
        return None
    measures = [name for name in study.measures if any(name in found for found in study.grouped.values())]
    drawn = len(study.done) * len(study.groups) * len(measures) <= WITH_INTERVALS
    rows = []
    for group, found in study.grouped.items():
        intervals = {name: _intervals(found[name], drawn) for name in measures if name in found}
        for place, record in enumerate(study.done):
            axes = {axis: record.axes.get(axis, "") for axis in study.compared}
            row: dict[str, Any] = {"id": record.id, **axes, SEED: seed_of(record), "group": group}
            row["questions"], row["pictures"] = study.asked(record.id, group)
            rows.append(row | {name: each[place] for name, each in intervals.items()})
    caption = f"Each group of questions{', with 95 % intervals over its pictures' if drawn else ''}."
    return Table("groups", caption, _columns(study, measures), rows)


def _intervals(sample: Sample, drawn: bool) -> Sequence[Interval]:
    if not drawn:
        return [Interval(float(each), math.nan, math.nan) for each in sample.estimates]
    count = len(sample.estimates)
    return [infer(sample, weights, range(count)).interval for weights in numpy.eye(count)]


def _columns(study: Study, measures: Sequence[str]) -> list[Column]:
    notations = {name: notation_of(study, name) for name in measures}
    return [
        Column("group", "group", numeric=False),
        *(Column(axis, spoken(axis), show=str, numeric=False) for axis in study.compared),
        *([Column(SEED, SEED)] if len(study.seeds) > 1 else []),
        Column("questions", "questions", show="{:,}".format),
        Column("pictures", "pictures", show="{:,}".format),
        *(Column(name, each.words, each.unit, each.interval) for name, each in notations.items()),
    ]
