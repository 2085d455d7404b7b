"""What an experiment asked, as it stands beside its trials: whose folder it is, and in which order they come."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.storage.atomic import storage_errors, write_text
from workbench.storage.result_files import SUMMARY, TEST_LOG, TEXT, TRIALS, ResultsError, check_fields, read_json


@dataclass(frozen=True)
class Summary:
    """What an experiment asked. `axes` has every axis with its labels in order, `metrics` the primary one first;
    `statistics` how the report is to compare; `final` are the ids of the trials that are tested at the end; `matched`
    what was set to make variants alike, each with what it was to come to (`aimed`) and what it came to (`reached`)."""

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
    elif present - {TEXT, TRIALS, TEST_LOG, "report"}:
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
    content = read_json(file)
    text = folder / TEXT
    content = {"final": [], "statistics": {}, "matched": [], **content}  # folders of before there was that
    content["text"] = text.read_text(encoding="utf-8") if text.is_file() else ""
    check_fields(file, content, Summary)
    return summary_of(content)


def summary_of(content: Mapping[str, Any]) -> Summary:
    """The parts of a summary; what else there is, older or newer, is left out."""
    return Summary(**{each.name: content[each.name] for each in dataclasses.fields(Summary) if each.name in content})
