"""What an experiment asked, as it stands beside its trials: whose folder it is, and in which order they come."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.storage.atomic import storage_errors, write_text
from workbench.storage.checksums import is_sealed, sealed
from workbench.storage.result_files import (
    MADE_ANEW,
    SUMMARY,
    TEST_LOG,
    TEXT,
    TRIALS,
    ResultsError,
    check_fields,
    read_json,
)

TEXT_CHECKSUM = "text_sha256"  # of the experiment file's own text, as it lies beside the summary


@dataclass(frozen=True)
class Summary:
    """What an experiment asked. `axes` has every axis with its labels in order, `metrics` the primary one first;
    `statistics` how the report is to compare; `final` are the ids of the trials that are tested at the end; `matched`
    what was set to make variants alike, each with what it was to come to (`aimed`) and what it came to (`reached`);
    `file` is where the experiment file of the last run lay, from the folder, where that is known."""

    name: str
    question: str
    axes: dict[str, list[str]]
    baseline: dict[str, str]
    metrics: list[str]
    trials: list[str]
    text: str
    statistics: dict[str, Any] = field(default_factory=dict)
    final: list[str] = field(default_factory=list)
    matched: list[dict[str, Any]] = field(default_factory=list)
    file: str = ""


def claim_results(folder: Path, name: str) -> None:
    """Make the results folder of the experiment `name`; `ResultsError` when it belongs to something else. A damaged
    summary is no obstacle where other files say that a run left it: the next one writes it anew."""
    with storage_errors(folder, ResultsError):
        folder.mkdir(parents=True, exist_ok=True)
        present = {entry.name for entry in folder.iterdir() if not entry.name.startswith(".")}
    if SUMMARY in present:
        owner = _owner(folder, present)
        if owner not in (name, None):
            raise ResultsError(
                f"{folder} holds the results of the experiment '{owner}', not of '{name}'."
                " Rename the experiment or give another folder with --results"
            )
    elif present - {TEXT, TRIALS, TEST_LOG, "report"}:
        raise ResultsError(
            f"{folder} holds other files ({', '.join(sorted(present)[:3])}) and no {SUMMARY}:"
            " it is no results folder. Give another folder with --results"
        )


def _owner(folder: Path, present: Set[str]) -> str | None:
    """The experiment that a folder is of; None where its summary is damaged, and what lies beside it is that of a
    run."""
    try:
        return read_summary(folder).name
    except ResultsError as error:
        if present & {TEXT, TRIALS}:
            return None
        raise ResultsError(
            f"{error}, or nothing beside it is of a run: then move it away, or give another folder with --results"
        ) from error


def write_summary(folder: Path, summary: Mapping[str, Any], text: str) -> None:
    """Write what was asked: `summary` as experiment.json, the experiment file's own text beside it."""
    with storage_errors(folder, ResultsError):
        folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / TEXT, text)
    whole = json.loads(json.dumps({**summary, TEXT_CHECKSUM: _checksum(text.encode())}, default=list))
    write_text(folder / SUMMARY, json.dumps(sealed(whole), indent=1) + "\n")


def read_summary(folder: Path) -> Summary:
    """What was asked; `ResultsError` when `folder` is no results folder, or what it asked is not what was written."""
    file = folder / SUMMARY
    if not file.is_file():
        raise ResultsError(f"{folder} is no results folder: it has no {SUMMARY}. Run the experiment first")
    content = read_json(file)
    if is_sealed(content) is False:
        raise ResultsError(f"{file} is not what was written: its checksum differs. {MADE_ANEW}")
    text = folder / TEXT
    content = {"final": [], "statistics": {}, "matched": [], "file": "", **content}  # folders of before there was that
    written = text.read_bytes() if text.is_file() else b""
    content["text"] = written.decode("utf-8", "replace")
    check_fields(file, content, Summary)
    _check_within(file, content)
    if content.get(TEXT_CHECKSUM, _checksum(written)) != _checksum(written):
        raise ResultsError(f"{text} is not what was written: its checksum differs. {MADE_ANEW}")
    return summary_of(content)


def _check_within(file: Path, content: Mapping[str, Any]) -> None:
    """`ResultsError` where a part of the summary holds something else than it should."""
    lists = {name: content[name] for name in ("metrics", "trials", "final")}
    lists |= {f"axes.{axis}": labels for axis, labels in content["axes"].items()}
    wrong = [name for name, each in lists.items() if not _are_texts(each)]
    wrong += ["baseline"] * (not _are_texts(list(content["baseline"].values())))
    wrong += ["metrics"] * (not content["metrics"])
    wrong += ["matched"] * (not all(isinstance(each, dict) for each in content["matched"]))
    if wrong:
        raise ResultsError(f"{file} is damaged: '{wrong[0]}' is not what a run writes there. {MADE_ANEW}")


def _checksum(written: bytes) -> str:
    return hashlib.sha256(written).hexdigest()


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def summary_of(content: Mapping[str, Any]) -> Summary:
    """The parts of a summary; what else there is, older or newer, is left out."""
    return Summary(**{each.name: content[each.name] for each in dataclasses.fields(Summary) if each.name in content})
