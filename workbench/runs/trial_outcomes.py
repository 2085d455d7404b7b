"""Which trials of a run have their result, which have failed, and which stages the others still need."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from workbench.runs.run_outcome import RunOutcome
from workbench.runs.trial_record import record_of
from workbench.storage.records import write_trial
from workbench.workers.failure import in_words

if TYPE_CHECKING:
    from workbench.runs.experiment_folder import ExperimentFolder
    from workbench.runs.plan import AnyStage, Plan
    from workbench.runs.stages import Stage

TIME_LIMIT = "TimeLimit"  # the type of the error of a stage that took longer than it may


class TrialOutcomes:
    """Follows the trials of a plan, and writes the records of those that fail. `provenance` is what all records of the
    run have in common."""

    def __init__(self, plan: Plan, folder: ExperimentFolder, provenance: dict[str, Any]):
        self.plan = plan
        self.folder = folder
        self.provenance = provenance
        self.outcome = RunOutcome(kept=sorted(plan.finished), failed_before=frozenset(plan.failed))
        self.outcome.failed |= {id_: in_words(record.error or {}) for id_, record in plan.failed.items()}
        # Of trials that failed for good, no run asks for the snapshots any more.
        self.lasting = {id_ for id_, outline in plan.failed.items() if _lasts(outline.error or {})}
        # How many trials that can still succeed go through a stage: what nobody needs any more is not begun.
        self._users = Counter(key for _, chain in self._open() for key in plan.keys_of(chain))

    @property
    def done(self) -> set[str]:
        """The trials that have their result, from this run or an earlier one."""
        return {*self.plan.finished, *self.outcome.done}

    def finish(self, trial: str) -> None:
        """The trial has its result, and needs no stage any more."""
        self.outcome.done.append(trial)

    def fail(self, failed: AnyStage, error: dict[str, Any], undone: set[str]) -> set[str]:
        """Every trial that needs the failed stage gets a record that says why it has no result; of its stages, some may
        be done (not in `undone`). Returns the keys of stages that nobody needs any more."""
        unneeded: set[str] = set()
        for id_, chain in list(self._open()):
            if not any(failed.key in (each.key, *self.plan.needs(each)) for each in chain if each.key in undone):
                continue
            keys = self.plan.keys_of(chain)
            self._users.subtract(keys)
            unneeded |= {key for key in keys if not self._users[key]}
            if self.folder.holds_result_of(chain[-1]):  # another run had more luck, and what is finished stays
                self.finish(id_)
            else:
                self._write_failed(chain[-1], error)
        return unneeded

    def _write_failed(self, evaluation: Stage, error: dict[str, Any]) -> None:
        id_ = evaluation.trial.id
        write_trial(self.folder.trial(id_), record_of(evaluation, self.provenance, None, error), [], [])
        self.outcome.failed[id_] = in_words(error)
        if _lasts(error):
            self.lasting.add(id_)

    def _open(self) -> Iterator[tuple[str, list[Stage]]]:
        """The trials that can still succeed, and their stages."""
        for id_, chain in self.plan.chains.items():
            if not (id_ in self.plan.finished or id_ in self.outcome.failed or id_ in self.outcome.done):
                yield id_, chain


def _lasts(error: Mapping[str, Any]) -> bool:
    """Whether a stage that failed so has no use for its snapshots: one that ran out of time can go on from them."""
    return not error.get("transient") and error.get("type") != TIME_LIMIT
