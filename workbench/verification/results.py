"""Checks a whole results folder with its report, or a report that somebody was given without results."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from workbench.registry import Registry
from workbench.reports.manifest import MANIFEST
from workbench.reports.page import PAGE, REPORT
from workbench.storage.experiment_summary import read_summary
from workbench.storage.result_files import MADE_ANEW, RECORD, SUMMARY, TRIALS, ResultsError
from workbench.verification.outcome import Outcome, Said, Unchecked, outcome_of
from workbench.verification.report_files import check_report
from workbench.verification.trial_files import check_trial


@dataclass(frozen=True)
class Found:
    """What is to be verified: the results folder, the report's folder, or both."""

    results: Path | None
    report: Path | None


def find(source: Path) -> Found:
    """A results folder, the report in one, or its page; `ResultsError` where it is none of these."""
    folder = source.parent if source.is_file() and source.name in (PAGE, MANIFEST) else source
    if not folder.exists():
        raise ResultsError(f"there is no folder {folder}. Give a results folder or its report")
    if (folder / SUMMARY).is_file():
        return Found(folder, folder / REPORT if (folder / REPORT).is_dir() else None)
    if (folder / MANIFEST).is_file() or (folder / PAGE).is_file():
        around = folder.resolve().parent
        return Found(around if folder.resolve().name == REPORT and (around / SUMMARY).is_file() else None, folder)
    raise ResultsError(f"{folder} is neither a results folder, which has {SUMMARY}, nor a report, which has {MANIFEST}")


def verify(found: Found, registry: Registry) -> Outcome:
    """Score, compute and write everything anew, and say what is otherwise. Raises `ResultsError` where the summary, a
    record or a manifest cannot be read."""
    return outcome_of(_said(found, registry))


def _said(found: Found, registry: Registry) -> Iterator[Said]:
    if found.results is None:
        yield Unchecked("answers, scores and records", "the results lie in no folder around the report")
    else:
        yield from _trials(found.results, registry)
    if found.report is not None:
        yield from check_report(found.report, REPORT, found.results, registry)
    else:
        yield Unchecked("tables and sentences made anew", "no report was written")


def _trials(results: Path, registry: Registry) -> Iterator[Said]:
    summary = read_summary(results)
    folders = sorted(file.parent for file in (results / TRIALS).glob(f"*/{RECORD}"))
    for folder in folders:
        if not folder.name.startswith("."):
            yield from _trial(folder, registry)
    absent = set(summary.trials) - {folder.name for folder in folders}
    if absent:
        yield Unchecked("trials of the experiment", "they have no record: not run yet, or gone", len(absent))


def _trial(folder: Path, registry: Registry) -> list[Said]:
    """What is said of a trial; a record whose inner parts are of other types than records have is damaged."""
    try:
        return list(check_trial(folder, f"{TRIALS}/{folder.name}", registry))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        told = f"{type(error).__name__}: {error}"
        raise ResultsError(f"{folder / RECORD} is damaged: {told}. {MADE_ANEW}") from error
