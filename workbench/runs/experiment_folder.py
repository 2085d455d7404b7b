"""What a run checks of the folder of its experiment's results, before it begins and when it has ended."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from workbench.config.experiment import Experiment
from workbench.runs.plan import Plan
from workbench.storage.records import (
    RECORD,
    SUMMARY,
    TEXT,
    TRIALS,
    ResultsError,
    read_record,
    read_summary,
    relabel,
    write_summary,
)


def check_same(experiment: Experiment, folder: Path) -> None:
    """An experiment file may change from run to run, but one that asks something else and has no trial of the folder
    is another experiment."""
    if not (folder / SUMMARY).is_file():
        return
    there = read_summary(folder)
    if there.question != experiment.question and not {trial.id for trial in experiment.trials} & set(there.trials):
        raise ResultsError(
            f"{folder} holds the results of another experiment of the same name, which asks '{there.question}' and"
            " shares no trial with this one. Give this one a 'name' of its own, give another folder with --results,"
            " or move that folder away"
        )


def origin_of(folder: Path) -> Path | None:
    """An experiment file as it may lie where the one of these results lay: the folder of plugins beside it counts."""
    for file in sorted(folder.glob(f"{TRIALS}/*/{RECORD}")):
        with suppress(ResultsError):  # which a report tells of
            return Path(str(read_record(file.parent).provenance.get("folder", "."))) / "any.yaml"
    return None


def last_run_of(file: Path, results: Path) -> Path | None:
    """The folder of results whose last run had this very experiment file, to the letter."""
    if not file.is_file():
        return None
    kept = [each for each in sorted(results.glob(f"*/{TEXT}")) if (each.parent / SUMMARY).is_file()]
    return next((each.parent for each in kept if each.read_bytes() == file.read_bytes()), None)


def check_still_there(experiment: Experiment, folder: Path, outcome: Outcome, console: Console) -> None:
    """Somebody may have removed the folder while the run was going on: what is gone is not called done."""
    if not (folder / SUMMARY).is_file():
        write_summary(folder, experiment.summary(), experiment.text)
    there = {id_ for id_ in (*outcome.done, *outcome.kept) if (folder / TRIALS / id_ / RECORD).is_file()}
    gone = len(outcome.done) + len(outcome.kept) - len(there)
    outcome.done = [id_ for id_ in outcome.done if id_ in there]
    outcome.kept = [id_ for id_ in outcome.kept if id_ in there]
    if gone:
        told = f"note: {gone} finished trials were removed from {folder} during the run. Run again to make them anew"
        console.print(told, style="yellow", markup=False, soft_wrap=True)


def relabel_kept(experiment: Experiment, folder: Path, plan: Plan) -> None:
    """What a kept trial is called depends on the other values of its axes, which may have changed since."""
    for trial in experiment.trials:
        label = trial.experiment, dict(trial.axes)
        if plan.labels.get(trial.id, label) != label:
            relabel(folder / TRIALS / trial.id, trial.experiment, trial.axes)


@dataclass
class Outcome:
    """How a run ended: ids of trials. `failed` are told with the reason, those included that failed before."""

    done: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    failed_before: frozenset[str] = frozenset()
