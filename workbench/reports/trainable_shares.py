"""Which share of the parameters trains: one number where all phases train alike, else one of every phase."""

from __future__ import annotations

import math
from collections.abc import Sequence

from workbench.reports.experiment_results import Study
from workbench.reports.number_format import share
from workbench.reports.table_formats import Column
from workbench.storage.records import Record

TRAINABLE, SHARE = "trainable_parameters", "trainable_share"


def trainable_columns(study: Study) -> list[Column]:
    """A column of shares, or one for each phase, in their order, where a trial trains other parts in another phase."""
    phases = phases_that_differ(study.done)
    if not phases:
        return [Column(SHARE, "trainable", "%", share)]
    return [Column(f"{SHARE}.{phase}", f"trainable in {phase}", "%", share) for phase in phases]


def trainable_cells(record: Record) -> dict[str, float]:
    """What stands there for a trial: of the last phase, and of each one that its record tells of."""
    parameters = record.metrics.get("parameters", math.nan)
    counts = {"": record.metrics.get(TRAINABLE, math.nan), **{f".{name}": each for name, each in _by_phase(record)}}
    return {f"{SHARE}{name}": count / parameters if parameters else math.nan for name, count in counts.items()}


def phases_that_differ(records: Sequence[Record]) -> list[str]:
    """The phases of all these trials, where one trains other numbers of parameters in some; none where records are of a
    version that did not tell."""
    told = [_by_phase(record) for record in records]
    if not any(len({count for _, count in phases}) > 1 for phases in told):
        return []
    most_first = sorted(told, key=len, reverse=True)  # where one trial leaves out a phase, others tell where it belongs
    return list(dict.fromkeys(name for phases in most_first for name, _ in phases))


def _by_phase(record: Record) -> list[tuple[str, float]]:
    start = f"{TRAINABLE}."
    return [(name.removeprefix(start), each) for name, each in record.metrics.items() if name.startswith(start)]
