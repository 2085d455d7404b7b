"""The folder of an experiment's results, as a run finds it and leaves it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.config.experiment import Experiment
from workbench.runs.auto_precision import summary_to_keep
from workbench.storage.experiment_summary import Summary, claim_results, write_summary
from workbench.storage.records import RECORD, SUMMARY, TRIALS, ResultsError, read_record, read_summary, relabel
from workbench.storage.result_files import TEXT
from workbench.storage.whole_trials import holds_result_of

if TYPE_CHECKING:
    from workbench.runs.plan import Plan
    from workbench.runs.run_outcome import RunOutcome
    from workbench.runs.stages import Stage


class ExperimentFolder:
    """The folder `results/<name>` of an experiment; `results` is that of all experiments."""

    def __init__(self, experiment: Experiment, results: Path):
        self.experiment = experiment
        self.path = results / experiment.name

    def claim(self) -> None:
        """Make the folder. `ResultsError` when it cannot be written, or belongs to something else."""
        claim_results(self.path, self.experiment.name)
        self.check_same()

    def check_same(self) -> None:
        """An experiment file may change from run to run, but one that has no trial of the folder, and asks something
        else or lies beside the file that was run there, is another experiment: `ResultsError`."""
        there = self._summary()
        if there is None or len(self._lost(there)) < len(there.trials):
            return
        ways = "Give this one a 'name' of its own, give another folder with --results, or move that folder away"
        if there.question != self.experiment.question:
            raise ResultsError(
                f"{self.path} holds the results of another experiment of the same name, which asks '{there.question}'"
                f" and shares no trial with this one. {ways}"
            )
        if self._is_of_another_file(there) and any((self.trial(id_) / RECORD).is_file() for id_ in there.trials):
            raise ResultsError(
                f"{self.path} holds the results of another experiment file: {self._file_of(there)} has the same name"
                f" and asks the same question, and shares no trial with {self.experiment.path}. {ways}"
            )

    def notes(self) -> list[str]:
        """What is to be said of what the folder holds: a summary that is damaged, trials of another file."""
        if self._has_summary() and self._summary() is None:
            return [f"{self.path / SUMMARY} is damaged: a run writes it anew from {self.experiment.path}"]
        there = self._summary()
        if there is None or not self._is_of_another_file(there):
            return []
        lost = [id_ for id_ in self._lost(there) if (self.trial(id_) / RECORD).is_file()]
        told = f"{len(lost)} of the {len(there.trials)} trials in {self.path} are of {self._file_of(there)} alone"
        return [f"{told}: they stay, and `workbench report {self._file_of(there)}` shows them"] if lost else []

    def write_summary(self) -> None:
        """Write what the experiment asks, for reports and later runs. `StorageError` when that is not possible."""
        write_summary(self.path, summary_to_keep(self.experiment, self.path), self.experiment.text)

    def relabel_kept(self, plan: Plan) -> None:
        """What a kept trial is called depends on the other values of its axes, which may have changed since."""
        for *_, evaluation in plan.chains.values():
            trial = evaluation.trial
            label = trial.experiment, dict(trial.axes)
            if plan.labels.get(trial.id, label) != label:
                relabel(self.trial(trial.id), trial.experiment, trial.axes)

    def trial(self, id_: str) -> Path:
        """Where the trial of that id leaves its record."""
        return self.path / TRIALS / id_

    def holds_result_of(self, evaluation: Stage) -> bool:
        """Whether the record of this very evaluation is there, and a good one."""
        return holds_result_of(self.trial(evaluation.trial.id), evaluation.key)

    def forget_removed(self, outcome: RunOutcome) -> int:
        """Somebody may have removed the folder while the run was going on: what is gone is not called done. Returns
        how many trials that are."""
        if not self._has_summary():
            self.write_summary()
        gone = {id_ for id_ in (*outcome.done, *outcome.kept) if not (self.trial(id_) / RECORD).is_file()}
        outcome.forget(gone)
        return len(gone)

    def _has_summary(self) -> bool:
        return (self.path / SUMMARY).is_file()

    def _summary(self) -> Summary | None:
        """What was asked there last; None where nothing was, or the summary is damaged."""
        try:
            return read_summary(self.path) if self._has_summary() else None
        except ResultsError:
            return None

    def _lost(self, there: Summary) -> list[str]:
        """The trials of the last run that this experiment does not have."""
        own = {trial.id for trial in self.experiment.trials}
        return [id_ for id_ in there.trials if id_ not in own]

    def _is_of_another_file(self, there: Summary) -> bool:
        """Whether the last run was of a file that is still there, and another one: not of this one before it was edited
        or moved."""
        other, own = self._file_of(there), self.experiment.path
        return bool(there.file) and other.is_file() and own.is_file() and not other.samefile(own)

    def _file_of(self, there: Summary) -> Path:
        return Path(os.path.normpath(self.path.resolve() / there.file))


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
