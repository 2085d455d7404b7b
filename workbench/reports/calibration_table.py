"""The table of calibration: of every trial, whether it knows when it is right."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy

from workbench.reports.experiment_results import Study, seed_label
from workbench.reports.number_format import fixed, share
from workbench.reports.table_formats import Column, Table
from workbench.reports.tables import format_of, legend, stale_cell, stale_columns
from workbench.reports.wording import spoken
from workbench.statistics.calibration import Calibration, calibration
from workbench.statistics.design import SEED
from workbench.storage.conditions import WITH_IMAGE
from workbench.storage.records import LIKELY, Record

MEANING = (
    "Confidence is the probability of exactly the answer that was given. No intervals: these are of the trained models"
    " and these questions, and a calibration error of few answers is too large."
)


def calibration_table(study: Study) -> Table | None:
    """A row for each trial whose predictions say how probable its answers were; None where none does, or where the
    first metric is no share that is better when larger."""
    reading = next((each for each in study.readings if each.name == study.primary), None)
    scale = study.scale(study.primary)
    if reading is None or reading.metric is not None or not (reading.share and scale.higher_is_better):
        return None
    found = {record.id: _of_trial(study, record, reading.column) for record in study.done}
    rows: list[dict[str, Any]] = []
    for record in study.done:
        known = found[record.id]
        if known is None:
            continue
        axes = {axis: record.axes.get(axis, "") for axis in study.compared}
        row = {"id": record.id, **axes, SEED: seed_label(record), **dataclasses.asdict(known)}
        rows.append(row | stale_cell(study, record))
    if not rows:
        return None
    missing = len(study.done) - len(rows)
    notes = [MEANING, *([f"{missing} of {len(study.done)} trials did not keep it."] if missing else [])]
    caption = f"Whether a model knows when it is right, by {format_of(study, study.primary).words}."
    return Table("calibration", caption, _columns(study), rows, [*notes, *legend(study)])


def _of_trial(study: Study, record: Record, column: str) -> Calibration | None:
    frame = study.predictions[record.id]
    if LIKELY not in frame or column not in frame:
        return None
    shown = ((frame["condition"] == WITH_IMAGE) & frame[LIKELY].notna() & frame[column].notna()).to_numpy()
    if not shown.any():
        return None
    likely, scores = (frame[name].to_numpy()[shown].astype(numpy.float64) for name in (LIKELY, column))
    return calibration(numpy.exp(likely), scores)


def _columns(study: Study) -> list[Column]:
    form = format_of(study, study.primary)
    return [
        *(Column(axis, spoken(axis), show=str, numeric=False) for axis in study.compared),
        *([Column(SEED, SEED)] if len(study.seeds) > 1 else []),
        Column("error", "calibration error", "points", share),
        Column("brier", "Brier score", show=_three),
        Column("selective", f"{form.words} of the 80 % most confident", "%", form.value),
        Column("risk", "area under risk and coverage", show=_three),
        *stale_columns(study),
    ]


def _three(value: float) -> str:
    return fixed(value, 3)
