"""Tables of a report that take the questions apart: by their group (language, domain, type of answer, strategy), and by
whether the image comes from outside."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy

from workbench.reports.experiment_results import Study, seed_label
from workbench.reports.metric_format import MetricFormat, Scale
from workbench.reports.metric_samples import auroc_sample
from workbench.reports.number_format import share
from workbench.reports.table_formats import Column, Table
from workbench.reports.tables import format_of, legend, stale_cell, stale_columns
from workbench.reports.wording import spoken
from workbench.statistics.design import SEED
from workbench.statistics.estimates import Interval, Sample
from workbench.storage.conditions import PRIOR

MEASURES, OUTSIDE = ("energy", "distance"), ("auroc", "withheld", "answered")  # of the records' `outside` numbers
BY = "by"  # the column that says of a row that no model answered
AUROC = MetricFormat("auroc", Scale(True, False), 3)
WITH_INTERVALS = 3_000  # cells of the table: with more, drawing their intervals would take minutes


def group_table(study: Study) -> Table | None:
    """Every metric of every trial in each group, with how many questions that rests on; None without groups."""
    if not study.groups.names or not study.samples:
        return None
    measures = [name for name in study.measures if any(name in found for found in study.groups.samples.values())]
    drawn = len(study.done) * len(study.groups.names) * len(measures) <= WITH_INTERVALS
    rows = []
    for group, found in study.groups.samples.items():
        intervals = {name: _intervals(found[name], drawn) for name in measures if name in found}
        for place, record in enumerate(study.done):
            axes = {axis: record.axes.get(axis, "") for axis in study.compared}
            row: dict[str, Any] = {"id": record.id, **axes, SEED: seed_label(record), "group": group}
            row["questions"], row["images"] = study.groups.asked(record.id, group)
            row |= stale_cell(study, record)
            rows.append(row | {name: each[place] for name, each in intervals.items()})
        rows += _prior_rows(study, group, measures, drawn)
    by = [Column(BY, "answered by", numeric=False)] if any(BY in row for row in rows) else []
    caption = f"Each group of questions{', with 95 % intervals over its images' if drawn else ''}."
    return Table("groups", caption, [*_columns(study, measures, by), *stale_columns(study)], rows, legend(study))


def outside_table(study: Study) -> Table | None:
    """How well each trial tells images from outside, and what withholding answers gains; None if none was tried."""
    measures = [each for each in MEASURES if not numpy.isnan(study.numbers(f"outside.{each}.auroc")).all()]
    if not measures or study.primary not in study.samples:
        return None
    rows = []
    samples = {each: told_apart(study, each) for each in measures}
    intervals = {each: _intervals(sample, drawn=True) for each, sample in samples.items()}
    for place, record in enumerate(study.done):
        axes = {axis: record.axes.get(axis, "") for axis in study.compared}
        for measure in measures:
            row: dict[str, Any] = {"id": record.id, **axes, SEED: seed_label(record), "measure": measure}
            row |= {each: record.metrics.get(f"outside.{measure}.{each}", math.nan) for each in OUTSIDE}
            row["auroc"] = intervals[measure][place]
            row |= stale_cell(study, record)
            rows.append(row | {"all": float(study.samples[study.primary].estimates[place])})
    form = format_of(study, study.primary)
    columns = [
        *_trial_columns(study),
        Column("measure", "strangeness by", numeric=False),
        Column("auroc", "AUROC", show=AUROC.interval),
        Column("withheld", "withheld of outside", "%", share),
        Column("answered", f"{form.words} of the answered", form.unit, form.value),
        Column("all", f"{form.words} of all", form.unit, form.value),
        *stale_columns(study),
    ]
    caption = "Images from outside: how often one looks stranger than one of the evaluation (AUROC), how many of their"
    return Table(
        "outside",
        f"{caption} answers are withheld, and the score of what is still answered.",
        columns,
        rows,
        legend(study),
    )


def told_apart(study: Study, measure: str) -> Sample:
    """The AUROC of a measure in every trial, from the single questions; resampled over images."""
    frames = [study.predictions[record.id] for record in study.done]
    resamples = len(study.samples[study.primary].replicates)
    return auroc_sample(frames, measure, [seed_label(record) for record in study.done], resamples)


def _intervals(sample: Sample, drawn: bool) -> Sequence[Interval]:
    if not drawn:
        return [Interval(float(each), math.nan, math.nan) for each in sample.estimates]
    return sample.intervals


def _prior_rows(study: Study, group: str, measures: Sequence[str], drawn: bool) -> list[dict[str, Any]]:
    """What the prior answers in a group: one row where it is the same beside all trials, else one for each."""
    found = {name: sample for name, sample in study.groups.prior[group].items() if name in measures}
    if not found:
        return []
    intervals = {name: _intervals(sample, drawn) for name, sample in found.items()}
    alike = all(len(set(numpy.round(sample.estimates, 9))) == 1 for sample in found.values())
    rows = []
    for place, record in enumerate(study.done[:1] if alike else study.done):
        axes = (
            {} if alike else {axis: record.axes.get(axis, "") for axis in study.compared} | {SEED: seed_label(record)}
        )
        questions, images = study.groups.asked(record.id, group)
        row = {"id": "", **axes, "group": group, BY: PRIOR, "questions": questions, "images": images}
        rows.append(row | {name: each[place] for name, each in intervals.items()})
    return rows


def _columns(study: Study, measures: Sequence[str], by: Sequence[Column]) -> list[Column]:
    forms = {name: format_of(study, name) for name in measures}
    return [
        Column("group", "group", numeric=False),
        *by,
        *_trial_columns(study),
        Column("questions", "questions", show="{:,}".format),
        Column("images", "images", show="{:,}".format),
        *(Column(name, each.words, each.unit, each.interval) for name, each in forms.items()),
    ]


def _trial_columns(study: Study) -> list[Column]:
    axes = [Column(axis, spoken(axis), show=str, numeric=False) for axis in study.compared]
    return [*axes, *([Column(SEED, SEED)] if len(study.seeds) > 1 else [])]
