"""The table of controls: what every trial scores without its image, in one sense or another, and what that leaves."""

from __future__ import annotations

from typing import Any

from workbench.reports.experiment_results import GAIN, Study, seed_label
from workbench.reports.table_formats import Column, Table
from workbench.reports.tables import format_of, legend, stale_cell, stale_columns, trial_intervals
from workbench.reports.trial_rows import TrialRows
from workbench.reports.visual_gains import SHOWN, compared_with, gain_over
from workbench.reports.wording import joined, spoken
from workbench.statistics.design import SEED
from workbench.storage.conditions import ASKED_WITH, CONTROLS
from workbench.storage.records import Record


def control_table(study: Study) -> Table | None:
    """Every control of every trial with its gain; None where none was asked."""
    asked = [control for control in CONTROLS if f"{GAIN}.{control}" in study.samples]
    if not asked:
        return None
    gains = {control: trial_intervals(study, f"{GAIN}.{control}") for control in asked}
    scores = {control: trial_intervals(study, f"{study.primary}.{control}") for control in asked}
    rows = []
    for place, record in enumerate(study.done):
        axes = {axis: record.axes.get(axis, "") for axis in study.compared}
        for control in asked:
            questions = _questions(study, record, control)
            if not questions:
                continue
            row: dict[str, Any] = {"id": record.id, **axes, SEED: seed_label(record), "control": control}
            row |= {"questions": questions, "score": scores[control][place], "gain": gains[control][place]}
            rows.append(row | stale_cell(study, record))
    form, gain = format_of(study, study.primary), format_of(study, f"{GAIN}.{asked[0]}")
    columns = [
        *(Column(axis, spoken(axis), show=str, numeric=False) for axis in study.compared),
        *([Column(SEED, SEED)] if len(study.seeds) > 1 else []),
        Column("control", "control", numeric=False),
        Column("questions", "questions", show="{:,}".format),
        Column("score", f"{form.words} under it", form.unit, form.interval),
        Column("gain", "gain over it", gain.difference_unit, gain.interval),
        *stale_columns(study),
    ]
    caption = (
        f"What is shown in place of the right image, and the gain in {form.words} of the right one over it, over the"
        " same questions, with 95 % intervals."
    )
    return Table("controls", caption, columns, rows, [*control_notes(study, asked), *legend(study)])


def control_notes(study: Study, asked: list[str]) -> list[str]:
    """What each control is, which of them the visual gain is against, and how many questions it left out."""
    notes = [f"{control}: {SHOWN[control]}." for control in asked]
    if compared_with(study):
        notes.append(f"The visual gain is that over {gain_over(study)}.")
    for control in asked:
        counts = {name: _counted(study, name, control) for name in ("left_out", "presumed")}
        if counts["left_out"]:
            notes.append(f"{control} left out {counts['left_out']} that it had nothing to show for.")
        if counts["presumed"]:
            notes.append(f"Of {counts['presumed']} it is only likely that another answer is right there.")
    return notes


def _questions(study: Study, record: Record, control: str) -> int:
    return len(TrialRows(study.predictions[record.id]).where("condition", control))


def _counted(study: Study, name: str, control: str) -> str:
    """How many questions the trials tell of, as `12 questions`; nothing where there are none."""
    told = [(record.provenance.get(ASKED_WITH) or {}).get(name, {}).get(control, 0) for record in study.done]
    counts = sorted({count for count in told if count})
    return f"{joined([f'{count:,}' for count in counts], 'or')} questions" if counts else ""
