"""What trials took to compute, in seconds of the workers that did it: those of the report, and all tries of the folder.

Two numbers are told of training: what each trial would have taken had it shared nothing, and what the distinct stages
took that were trained, each of them once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from workbench.reports.experiment_results import Study
from workbench.reports.trainings import Training
from workbench.storage.records import DONE, Record


@dataclass(frozen=True)
class Spent:
    """Of some trials: how many `finished` and how many `failed`, the seconds of training as if nothing were shared
    (`alone`) and of its distinct stages (`once`, None where records do not say), those of evaluation, and of how many
    finished trials neither is on record."""

    finished: int
    failed: int
    alone: float
    once: float | None
    evaluation: float
    untimed: int


def spent(records: Sequence[Record], trainings: Mapping[str, Sequence[Training]]) -> Spent:
    """What these trials took; `trainings` by the ids of trials."""
    done = [record for record in records if record.status == DONE]
    times = [(_seconds(each, "training_seconds"), _seconds(each, "evaluation_seconds")) for each in done]
    known = all(record.id in trainings for record in done)
    distinct = {training for record in done for training in trainings.get(record.id, ())}
    return Spent(
        finished=len(done),
        failed=len(records) - len(done),
        alone=_total(training for training, _ in times),
        once=math.fsum(seconds for _, seconds in distinct) if known else None,
        evaluation=_total(evaluation for _, evaluation in times),
        untimed=sum(math.isnan(training) or math.isnan(evaluation) for training, evaluation in times),
    )


def all_tries(study: Study) -> list[Record]:
    """Every record of the folder: of the report's trials, of those tested at the end, and of those left out."""
    return [*study.records, *(study.final.records if study.final else []), *study.left_out]


def seconds_of(records: Iterable[Record], name: str) -> list[float]:
    """That time of each trial that has it on record."""
    return [each for record in records if not math.isnan(each := _seconds(record, name))]


def _seconds(record: Record, name: str) -> float:
    return record.metrics.get(name, math.nan)


def _total(seconds: Iterable[float]) -> float:
    return math.fsum(each for each in seconds if not math.isnan(each))
