"""The folder of an experiment's results, as a run finds it and leaves it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.config.experiment import Experiment
from workbench.runs.auto_precision import summary_to_keep
from workbench.storage.experiment_summary import claim_results, write_summary
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
        """An experiment file may change from run to run, but one that asks something else and has no trial of the
        folder is another experiment: `ResultsError`."""
        if not self._has_summary():
            return
        there, ids = read_summary(self.path), {trial.id for trial in self.experiment.trials}
        if there.question != self.experiment.question and not ids & set(there.trials):
            raise ResultsError(
                f"{self.path} holds the results of another experiment of the same name, which asks '{there.question}'"
                " and shares no trial with this one. Give this one a 'name' of its own, give another folder with"
                " --results, or move that folder away"
            )

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
            write_summary(self.path, self.experiment.summary(), self.experiment.text)
        gone = {id_ for id_ in (*outcome.done, *outcome.kept) if not (self.trial(id_) / RECORD).is_file()}
        outcome.forget(gone)
        return len(gone)

    def _has_summary(self) -> bool:
        return (self.path / SUMMARY).is_file()


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
