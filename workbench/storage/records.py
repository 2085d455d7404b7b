"""How a trial came out, one folder a trial, and how it comes back as values and data frames."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.storage.atomic import always, new_folder, write_text
from workbench.storage.checksums import is_sealed, measured, sealed
from workbench.storage.experiment_summary import read_summary
from workbench.storage.older_records import curve_of, predictions_of, record_of
from workbench.storage.result_files import (
    CURVE,
    MADE_ANEW,
    PREDICTIONS,
    RECORD,
    SUMMARY,
    TRIALS,
    ResultsError,
    check_fields,
    read_json,
    read_lines,
    shapes_of,
)

if TYPE_CHECKING:
    import pandas

TAKEN = "validation_metrics"  # in a line of a curve: by name, what a validation gave
CONTRACTS = "contracts"  # in a record's provenance: of plugins, the rules they break, or why that is not known
DONE, FAILED = "done", "failed"
FILES = "files"  # in a record's provenance: [bytes, SHA-256] of the files beside it, by name
LIKELY = "log_probability"  # in a line of predictions.jsonl: of the given answer, where a model gave it
SCORE, COUNTS = "score.", "counts."  # columns of `read_predictions` with a metric's score, its counts, begin with this


@dataclass(frozen=True)
class Record:
    """One trial and its outcome; `metrics` is flat, `scales` says how each metric is to be read."""

    id: str
    status: str
    experiment: str
    axes: dict[str, str]
    spec: dict[str, Any]
    metrics: dict[str, float]
    scales: dict[str, dict[str, bool]]
    provenance: dict[str, Any]
    error: dict[str, str] | None


def write_trial(
    folder: Path,
    record: Record,
    predictions: Iterable[Mapping[str, Any]],
    curve: Iterable[Mapping[str, Any]],
    check: Callable[[], None] = always,
) -> None:
    """Write a trial's folder, all of it or nothing, and that where `check` raises, which is called last; a folder of an
    earlier run is replaced."""
    content = dataclasses.asdict(record)
    content["metrics"] = {name: _finite(value) for name, value in record.metrics.items()}
    with new_folder(folder, ResultsError, check) as temporary:
        _write_lines(temporary / PREDICTIONS, predictions)
        _write_lines(temporary / CURVE, map(_step, curve))
        content["provenance"][FILES] = {name: measured(temporary / name) for name in (PREDICTIONS, CURVE)}
        text = json.dumps(sealed(content), indent=1, allow_nan=False)
        (temporary / RECORD).write_text(text + "\n", encoding="utf-8")


def relabel(folder: Path, experiment: str, axes: Mapping[str, str]) -> None:
    """Give the record of a trial's folder the labels the trial has now; of all files only record.json changes. One that
    was changed by others keeps the checksum that says so."""
    file = folder / RECORD
    content = read_json(file)
    if (content.get("experiment"), content.get("axes")) != (experiment, dict(axes)):
        whole = is_sealed(content)
        content |= {"experiment": experiment, "axes": dict(axes)}
        content = sealed(content) if whole else content
        write_text(file, json.dumps(content, indent=1, allow_nan=False) + "\n")


def read_record(folder: Path) -> Record:
    """The record of a trial's folder; `ResultsError` when it is missing, damaged, or not what was written."""
    file = folder / RECORD
    content = read_json(file)
    record = record_from(file, content)
    if is_sealed(content) is False:
        raise ResultsError(f"{file} is not what was written: its checksum differs. {MADE_ANEW}")
    return record


def record_from(file: Path, content: Mapping[str, Any]) -> Record:
    """The record that a file has as its content, whatever its checksum says; `ResultsError` when it is damaged."""
    check_fields(file, content, Record)
    if content["status"] not in (DONE, FAILED):
        raise ResultsError(
            f"{file} is damaged: 'status' is {content['status']!r}, neither '{DONE}' nor '{FAILED}'. {MADE_ANEW}"
        )
    for name, value in content["metrics"].items():
        if value is not None and not isinstance(value, int | float):
            raise ResultsError(f"{file} is damaged: the metric '{name}' is {value!r}, not a number. {MADE_ANEW}")
    if not isinstance(content["provenance"].get(FILES, {}), dict):
        raise ResultsError(f"{file} is damaged: '{FILES}' is {content['provenance'][FILES]!r}. {MADE_ANEW}")
    content = record_of(content)
    metrics = {name: math.nan if value is None else value for name, value in content["metrics"].items()}
    return Record(**{**{name: content[name] for name, _, _ in shapes_of(Record)}, "metrics": metrics})


def read_records(results_folder: Path) -> list[Record]:
    """The records of all trials that finished or failed, in the order of the experiment when it is known."""
    return [read_record(folder) for folder in trial_folders(results_folder)]


def trial_folders(results_folder: Path) -> list[Path]:
    """The folders of all trials that have a record, in the order of the experiment when it is known."""
    trials = results_folder / TRIALS
    if not trials.is_dir():
        return []
    found = [folder for folder in trials.iterdir() if folder.is_dir() and not folder.name.startswith(".")]
    folders = [folder for folder in sorted(found) if (folder / RECORD).exists()]
    if not (results_folder / SUMMARY).is_file():
        return folders
    with suppress(ResultsError):  # a damaged summary is told by whoever needs what it says
        order = {id_: place for place, id_ in enumerate(read_summary(results_folder).trials)}
        folders.sort(key=lambda folder: order.get(folder.name, len(order)))
    return folders


def records_frame(records: Sequence[Record]) -> pandas.DataFrame:
    """One row a trial: `id`, `status`, every axis, every metric. What a trial lacks is missing there."""
    import pandas

    return pandas.DataFrame([{"id": each.id, "status": each.status, **each.axes, **each.metrics} for each in records])


def read_predictions(folder: Path) -> pandas.DataFrame:
    """One row a question and condition; the score of metric m is the column `score.m`, and what adds up to a
    metric of all answers `counts.m`. Empty when there is no file."""
    import pandas

    lines = predictions_of(read_lines(folder / PREDICTIONS))
    for line in lines:
        for name, score in line.pop("scores", {}).items():
            line[SCORE + name] = score
        for name, numbers in line.pop("counts", {}).items():
            line[COUNTS + name] = numbers
    columns = ["condition", "id", "image", "group", "question", "answers", "answer", "loss"]
    return pandas.DataFrame(lines) if lines else pandas.DataFrame(columns=columns)


def read_curve(folder: Path) -> pandas.DataFrame:
    """One row a training step: phase, step, steps, loss, rate, images, seconds, and where it was followed by a
    validation its validation_loss and, by name, validation_metrics. Empty when there is no file."""
    import pandas

    lines = curve_of(read_lines(folder / CURVE))
    columns = ["phase", "step", "steps", "loss", "rate", "images", "seconds", "validation_loss", TAKEN]
    for line in lines:
        if taken := line.get(TAKEN):
            line[TAKEN] = {name: math.nan if each is None else each for name, each in taken.items()}
    return pandas.DataFrame(lines) if lines else pandas.DataFrame(columns=columns)


def altered_files(folder: Path, record: Record) -> list[str]:
    """The files beside a record that are not what was written with it, by their checksums; missing ones apart."""
    files = record.provenance.get(FILES, {})
    there = {name: written for name, written in files.items() if (folder / name).is_file()}
    return [name for name, written in there.items() if measured(folder / name) != list(written)]


def _write_lines(file: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    with file.open("w", encoding="utf-8") as out:
        for line in lines:
            plain = {key: _finite(value) if isinstance(value, float) else value for key, value in line.items()}
            out.write(json.dumps(plain, ensure_ascii=False) + "\n")


def _step(line: Mapping[str, Any]) -> Mapping[str, Any]:
    """A line of a curve; a metric of some answers may have no value."""
    taken = line.get(TAKEN)
    return {**line, TAKEN: {name: _finite(each) for name, each in taken.items()}} if taken else line


def _finite(value: float) -> float | None:
    """JSON has no NaN: such a number is written as null and read as NaN again."""
    return value if math.isfinite(value) else None
