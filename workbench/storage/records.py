"""What a trial leaves on disk, one folder a trial, and how it comes back as values and data frames.

results/<experiment>/experiment.json, experiment.yaml      what was asked (`Summary`)
results/<experiment>/trials/<id>/record.json               one `Record`
results/<experiment>/trials/<id>/predictions.jsonl         one line a question and condition
results/<experiment>/trials/<id>/curve.jsonl               one line a training step
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from workbench.errors import UserError
from workbench.storage.atomic import new_folder, storage_errors, write_text
from workbench.storage.older_records import curve_of, predictions_of, record_of

if TYPE_CHECKING:
    import pandas

CONTRACTS = "contracts"  # in a record's provenance: of plugins, the rules they break, or why that is not known

DONE, FAILED = "done", "failed"
RECORD, PREDICTIONS, CURVE = "record.json", "predictions.jsonl", "curve.jsonl"
SUMMARY, TEXT, TRIALS = "experiment.json", "experiment.yaml", "trials"
FILES = "files"  # in a record's provenance: [bytes, SHA-256] of the files beside it, by name
SCORE, COUNTS = "score.", "counts."  # columns of `read_predictions` with a metric's score, its counts, begin with this


class ResultsError(UserError):
    """The border to results on the disk: what a run or an export left is missing, damaged, in use, of something else,
    or cannot be written."""


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


class Present(BaseModel):
    """A mapping in a record that is there and whose content is not looked at."""


class Origin(BaseModel):
    """What the provenance of a record says of the stage that made it."""

    model_config = ConfigDict(strict=True)

    key: str | None = None
    before: str | None = None
    files: dict[str, tuple[int, str]] = {}  # [bytes, SHA-256] by name


class Outline(BaseModel):
    """What a plan asks of a record. Of what it does not ask it only checks that it is there: thousands of records are
    looked at before a run begins, and to build all of each takes four times as long."""

    model_config = ConfigDict(strict=True)

    id: str
    status: Literal["done", "failed"]
    experiment: str
    axes: dict[str, Any]
    spec: Present
    metrics: dict[str, float | None]
    scales: Present
    provenance: Origin
    error: dict[str, Any] | None


@dataclass(frozen=True)
class Summary:
    """What an experiment asked. `axes` has every axis with its labels in order, `metrics` the primary one first."""

    name: str
    question: str
    axes: dict[str, list[str]]
    baseline: dict[str, str]
    metrics: list[str]
    trials: list[str]
    text: str


def write_trial(
    folder: Path, record: Record, predictions: Iterable[Mapping[str, Any]], curve: Iterable[Mapping[str, Any]]
) -> None:
    """Write a trial's folder, all of it or nothing; a folder of an earlier run is replaced."""
    content = dataclasses.asdict(record)
    content["metrics"] = {name: _finite(value) for name, value in record.metrics.items()}
    with new_folder(folder, ResultsError) as temporary:
        _write_lines(temporary / PREDICTIONS, predictions)
        _write_lines(temporary / CURVE, curve)
        content["provenance"][FILES] = {name: _measured(temporary / name) for name in (PREDICTIONS, CURVE)}
        (temporary / RECORD).write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def relabel(folder: Path, experiment: str, axes: Mapping[str, str]) -> None:
    """Give the record of a trial's folder the labels the trial has now; of all files only record.json changes."""
    file = folder / RECORD
    content = _read_json(file)
    if (content.get("experiment"), content.get("axes")) != (experiment, dict(axes)):
        content |= {"experiment": experiment, "axes": dict(axes)}
        write_text(file, json.dumps(content, indent=1, allow_nan=False) + "\n")


def read_record(folder: Path) -> Record:
    """The record of a trial's folder; `ResultsError` when it is missing or damaged."""
    file = folder / RECORD
    content = _read_json(file)
    _check_fields(file, content, Record)
    if content["status"] not in (DONE, FAILED):
        raise ResultsError(f"{file} is damaged: 'status' is {content['status']!r}, neither '{DONE}' nor '{FAILED}'")
    for name, value in content["metrics"].items():
        if value is not None and not isinstance(value, int | float):
            raise ResultsError(f"{file} is damaged: the metric '{name}' is {value!r}, not a number")
    content = record_of(content)
    metrics = {name: math.nan if value is None else value for name, value in content["metrics"].items()}
    return Record(**{**{name: content[name] for name, _, _ in _shapes(Record)}, "metrics": metrics})


def read_outline(folder: Path | str) -> Outline | None:
    """The outline of the record of a trial's folder; None where `read_record` would raise."""
    try:
        with open(f"{folder}/{RECORD}", "rb") as file:  # noqa: PTH123 (a Path takes thrice as long)
            return Outline.model_validate_json(file.read())
    except OSError:
        return None
    except ValidationError:  # damaged, or text that only the other reader takes
        try:
            return _outline_of(read_record(Path(folder)))
        except ResultsError:
            return None


def is_whole(folder: Path | str, outline: Outline) -> bool:
    """Whether the files beside a record have the sizes they were written with."""
    try:
        return all(os.stat(f"{folder}/{name}").st_size == size for name, (size, _) in outline.provenance.files.items())  # noqa: PTH116
    except OSError:
        return False


def altered_files(folder: Path, record: Record) -> list[str]:
    """The files beside a record that are not what was written with it, by their checksums; missing ones apart."""
    files = record.provenance.get(FILES, {})
    there = {name: measured for name, measured in files.items() if (folder / name).is_file()}
    return [name for name, measured in there.items() if _measured(folder / name) != list(measured)]


def holds_result_of(folder: Path, key: str) -> bool:
    """Whether the record there is a good one, made by the stage of that key."""
    record = read_outline(folder)
    return record is not None and (record.status, record.provenance.key) == (DONE, key) and is_whole(folder, record)


def read_records(results_folder: Path) -> list[Record]:
    """The records of all trials that finished or failed, in the order of the experiment when it is known."""
    trials = results_folder / TRIALS
    if not trials.is_dir():
        return []
    folders = [folder for folder in trials.iterdir() if folder.is_dir() and not folder.name.startswith(".")]
    records = [read_record(folder) for folder in sorted(folders) if (folder / RECORD).exists()]
    if not (results_folder / SUMMARY).is_file():
        return records
    order = {id_: place for place, id_ in enumerate(read_summary(results_folder).trials)}
    return sorted(records, key=lambda record: order.get(record.id, len(order)))


def records_frame(records: Sequence[Record]) -> pandas.DataFrame:
    """One row a trial: `id`, `status`, every axis, every metric. What a trial lacks is missing there."""
    import pandas

    return pandas.DataFrame([{"id": each.id, "status": each.status, **each.axes, **each.metrics} for each in records])


def read_predictions(folder: Path) -> pandas.DataFrame:
    """One row a question and condition; the score of metric m is the column `score.m`, and what adds up to a
    metric of all answers `counts.m`. Empty when there is no file."""
    import pandas

    lines = predictions_of(_read_lines(folder / PREDICTIONS))
    for line in lines:
        for name, score in line.pop("scores", {}).items():
            line[SCORE + name] = score
        for name, numbers in line.pop("counts", {}).items():
            line[COUNTS + name] = numbers
    columns = ["condition", "id", "image", "group", "question", "answers", "answer", "loss"]
    return pandas.DataFrame(lines) if lines else pandas.DataFrame(columns=columns)


def read_curve(folder: Path) -> pandas.DataFrame:
    """One row a training step: phase, step, steps, loss, rate, images, seconds, validation_loss (missing where a step
    has none). Empty when there is no file."""
    import pandas

    lines = curve_of(_read_lines(folder / CURVE))
    columns = ["phase", "step", "steps", "loss", "rate", "images", "seconds", "validation_loss"]
    return pandas.DataFrame(lines) if lines else pandas.DataFrame(columns=columns)


def claim_results(folder: Path, name: str) -> None:
    """Make the results folder of the experiment `name`; `ResultsError` when it belongs to something else."""
    with storage_errors(folder, ResultsError):
        folder.mkdir(parents=True, exist_ok=True)
        present = {entry.name for entry in folder.iterdir() if not entry.name.startswith(".")}
    if SUMMARY in present:
        owner = read_summary(folder).name
        if owner != name:
            raise ResultsError(
                f"{folder} holds the results of the experiment '{owner}', not of '{name}'."
                " Rename the experiment or give another folder with --results"
            )
    elif present - {TEXT, TRIALS, "report"}:
        raise ResultsError(
            f"{folder} holds other files ({', '.join(sorted(present)[:3])}) and no {SUMMARY}:"
            " it is no results folder. Give another folder with --results"
        )


def write_summary(folder: Path, summary: Mapping[str, Any], text: str) -> None:
    """Write what was asked: `summary` as experiment.json, the experiment file's own text beside it."""
    with storage_errors(folder, ResultsError):
        folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / TEXT, text)
    write_text(folder / SUMMARY, json.dumps(dict(summary), indent=1, default=list) + "\n")


def read_summary(folder: Path) -> Summary:
    """What was asked; `ResultsError` when `folder` is no results folder."""
    file = folder / SUMMARY
    if not file.is_file():
        raise ResultsError(f"{folder} is no results folder: it has no {SUMMARY}. Run the experiment first")
    content = _read_json(file)
    text = folder / TEXT
    content["text"] = text.read_text(encoding="utf-8") if text.is_file() else ""
    _check_fields(file, content, Summary)
    return summary_of(content)


def summary_of(content: Mapping[str, Any]) -> Summary:
    """The parts of a summary; what else there is, older or newer, is left out."""
    return Summary(**{field.name: content[field.name] for field in dataclasses.fields(Summary)})


def _outline_of(record: Record) -> Outline:
    known = {name: value for name, value in record.provenance.items() if name in Origin.model_fields}
    return Outline.model_construct(**{**vars(record), "provenance": Origin.model_construct(**known)})


def _finite(value: float) -> float | None:
    """JSON has no NaN: such a number is written as null and read as NaN again."""
    return value if math.isfinite(value) else None


def _measured(file: Path) -> list[Any]:
    content = file.read_bytes()
    return [len(content), hashlib.sha256(content).hexdigest()]


def _write_lines(file: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    with file.open("w", encoding="utf-8") as out:
        for line in lines:
            plain = {key: _finite(value) if isinstance(value, float) else value for key, value in line.items()}
            out.write(json.dumps(plain, ensure_ascii=False) + "\n")


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ResultsError(f"{file} cannot be read: {error}. {_advice(file)}") from error
    if not isinstance(content, dict):
        raise ResultsError(f"{file} is damaged: it holds no JSON object. {_advice(file)}")
    return content


def _advice(file: Path) -> str:
    """What to do about a damaged file: a run makes it again, and only what belongs to it alone has to go."""
    return f"Delete {'it' if file.name == SUMMARY else 'its folder'} and run again"


def _check_fields(file: Path, content: Mapping[str, Any], form: type) -> None:
    """Every field is there, and is a mapping, a list or a text where the dataclass says so."""
    for name, shape, optional in _shapes(form):
        if name not in content:
            raise ResultsError(f"{file} is damaged: '{name}' is missing. {_advice(file)}")
        value = content[name]
        if not isinstance(value, shape) and not (optional and value is None):
            raise ResultsError(f"{file} is damaged: '{name}' is {value!r}. {_advice(file)}")


@cache
def _shapes(form: type) -> list[tuple[str, type, bool]]:
    """Of each field of a dataclass: its name, the type it has in JSON, and whether it may be null."""
    shapes = {"dict": dict, "list": list, "str": str}
    kinds = [(field.name, str(field.type)) for field in dataclasses.fields(form)]
    return [(name, shapes[kind.partition("[")[0]], kind.endswith("| None")) for name, kind in kinds]


def _read_lines(file: Path) -> list[dict[str, Any]]:
    if not file.is_file():
        return []
    try:
        lines = [line for line in file.read_text(encoding="utf-8").split("\n") if line]
        found = json.loads(f"[{','.join(lines)}]")  # one call is several times faster than one a line
        if not all(isinstance(line, dict) for line in found):
            raise ValueError("every line has to be a JSON object")
        return found
    except (OSError, ValueError) as error:
        raise ResultsError(f"{file} is damaged{_place(file)}: {error}. Delete its folder and run again") from error


def _place(file: Path) -> str:
    """Which line of a damaged file is wrong, as ` in line 3`."""
    for number, line in enumerate(file.read_bytes().split(b"\n"), start=1):
        try:
            json.loads(line or b"{}")
        except ValueError:
            return f" in line {number}"
    return ""
