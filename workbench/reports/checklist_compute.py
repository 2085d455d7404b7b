"""The checklist's item on compute: the machines, what a trial took, and what all tries of the folder took together."""

from __future__ import annotations

import math
from collections.abc import Sequence

from workbench.reports.checklist_points import PARTLY, UNKNOWN, YES, Point, values_of
from workbench.reports.compute_spent import Spent, all_tries, seconds_of, spent
from workbench.reports.experiment_results import Study
from workbench.reports.number_format import counted, duration, significant
from workbench.reports.wording import joined
from workbench.storage.records import DONE

UNFINISHED = "No trial has finished, and what others took is not on record."
NOT_KEPT = (
    "Not on record, and so in none of these times: features of images that a frozen encoder made once, validations on"
    " the way of a training (earlier versions counted them as training), what was computed again after an interruption,"
    " trials that failed, results that a later run replaced or that were removed, and other folders of results."
)
LEAST = "It is the least that was computed."


def compute(study: Study) -> list[Point]:
    """Workers, memory, the time of a trial, of those reported, and of all tries."""
    return [_workers(study), _memory(study), _each(study), _reported(study), _everything(study)]


def _workers(study: Study) -> Point:
    asked = "type of worker"
    if not study.done:
        return Point(asked, UNKNOWN, [UNFINISHED])
    if not study.machines:
        return Point(asked, UNKNOWN, ["The records do not name the processor."])
    told = [f"{joined(study.machines)}."]
    devices = values_of(study.done, "provenance", "device")
    told += [f"Device: {', '.join(map(str, devices))}."] if devices else []
    for name, words in (("cores", "cores that could be used"), ("threads", "threads of a worker")):
        values = values_of(study.done, "provenance", name)
        told += [f"{words.capitalize()}: {', '.join(map(str, values))}."] if values else []
    unknown = "How many workers ran at once, whose machines they were and what energy they took is not on record."
    return Point(asked, YES, [*told, unknown])


def _memory(study: Study) -> Point:
    peaks = [peak for each in study.done if not math.isnan(peak := each.metrics.get("peak_memory_bytes", math.nan))]
    whole = "How much memory and disk the machine had is not on record."
    if not peaks:
        return Point("memory", UNKNOWN, [whole])
    low, high = (f"{significant(pick(peaks) / 1e9)} GB" for pick in (min, max))
    told = f"A stage held {high if low == high else f'{low} to {high}'} at the most, by trial: on a GPU what PyTorch"
    told = f"{told} held there, else the process of the worker."
    missing = len(study.done) - len(peaks)
    return Point("memory", PARTLY, [told, *([f"Of {counted(missing, 'trial')} unknown."] if missing else []), whole])


def _each(study: Study) -> Point:
    asked, told = "time of each trial", []
    for name, words in (
        ("training_seconds", "Training, as if nothing were shared"),
        ("evaluation_seconds", "Evaluation"),
    ):
        told += [f"{words}: {_range(seconds_of(study.done, name))}."] if seconds_of(study.done, name) else []
    if not told:
        return Point(asked, UNKNOWN, [_no_times(study)])
    untimed = spent(study.records, study.trainings).untimed
    told += [f"Of {untimed} of {counted(len(study.done), 'trial')} one of the two is not on record."] if untimed else []
    return Point(
        asked, PARTLY if untimed else YES, [*told, "By the clock of the worker, which did one stage at a time."]
    )


def _no_times(study: Study) -> str:
    return "The records have no times." if study.done else UNFINISHED


def _range(seconds: Sequence[float]) -> str:
    low, high = (duration(pick(seconds)) for pick in (min, max))
    return low if low == high else f"{low} to {high}"


def _reported(study: Study) -> Point:
    found = spent(study.records, study.trainings)
    asked = "time of the trials reported"
    if not found.finished or not found.alone + found.evaluation:
        return Point(asked, UNKNOWN, [_no_times(study)])
    return Point(asked, PARTLY if found.untimed or found.once is None else YES, [_sum(found)])


def _sum(found: Spent) -> str:
    """The time of some trials in a sentence, by both ways to count training."""
    shared = (
        "which stages trials shared is not on record"
        if found.once is None
        else f"{duration(found.once)} with each stage that trials share counted once"
    )
    training = f"{duration(found.alone)} of training as if nothing were shared, {shared}"
    evaluation = f"{duration(found.evaluation)} of evaluation" if found.evaluation else "evaluation is not on record"
    missing = f"; of {counted(found.untimed, 'trial')} a time is not on record" if found.untimed else ""
    return f"{counted(found.finished, 'finished trial')}: {training}; {evaluation}{missing}."


def _everything(study: Study) -> Point:
    """Whether more was computed than is reported. How much more can only be told at the least."""
    asked = "more than that, for all tries"
    tries = all_tries(study)
    told = []
    if study.final is not None:
        told.append(f"{counted(len(study.final.records), 'trial')} more asked the test split.")
    if study.left_out:
        told.append(f"{counted(len(study.left_out), 'trial')} more in the folder, not part of the report.")
    failed = sum(record.status != DONE for record in tries)
    told += [f"{counted(failed, 'trial')} failed, after a time that is not on record."] if failed else []
    if study.stale:
        told.append(f"{counted(len(study.stale), 'result')} out of date would have to be computed again.")
    found = spent(tries, study.trainings)
    if len(tries) > len(study.records):
        told.append(f"All that the folder tells of: {_sum(found)}")
    told = told or ["The folder tells of no other tries."]
    if found.finished:
        told.append(
            "Where trials shared stages, less was computed than these times say." if found.once is None else LEAST
        )
    return Point(asked, PARTLY, [*told, NOT_KEPT])
