"""Which trials of a run have their result, which have failed, and which stages the others still need."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
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
        closed = {*plan.finished, *plan.failed}
        self._open = {id_: chain for id_, chain in plan.chains.items() if id_ not in closed}  # these can still succeed
        # By key, which of them go through a stage, in order: what nobody needs any more is not begun.
        self._users: defaultdict[str, dict[str, None]] = defaultdict(dict)
        for id_, chain in self._open.items():
            for key in plan.keys_of(chain):
                self._users[key][id_] = None

    @property
    def done(self) -> set[str]:
        """The trials that have their result, from this run or an earlier one."""
        return {*self.plan.finished, *self.outcome.done}

    def finish(self, trial: str) -> None:
        """The trial has its result, and needs no stage any more."""
        self.outcome.done.append(trial)
        self._open.pop(trial, None)

    def fail(self, failed: AnyStage, error: dict[str, Any], undone: set[str]) -> set[str]:
        """Every trial that needs the failed stage gets a record that says why it has no result; of its stages, some may
        be done (not in `undone`). Returns the keys of stages that nobody needs any more."""
        unneeded: set[str] = set()
        for id_ in list(self._users[failed.key]):
            chain = self._open.get(id_, [])
            if not any(failed.key in (each.key, *self.plan.needs(each)) for each in chain if each.key in undone):
                continue
            for key in self.plan.keys_of(chain):
                self._users[key].pop(id_, None)
                unneeded |= set() if self._users[key] else {key}
            if self.folder.holds_result_of(chain[-1]):  # another run had more luck, and what is finished stays
                self.finish(id_)
            else:
                self._write_failed(chain[-1], error)
        return unneeded

    def _write_failed(self, evaluation: Stage, error: dict[str, Any]) -> None:
        id_ = evaluation.trial.id
        write_trial(self.folder.trial(id_), record_of(evaluation, self.provenance, None, error), [], [])
        self.outcome.failed[id_] = in_words(error)
        self._open.pop(id_)
        if _lasts(error):
            self.lasting.add(id_)


def _lasts(error: Mapping[str, Any]) -> bool:
    """Whether a stage that failed so has no use for its snapshots: one that ran out of time can go on from them."""
    return not error.get("transient") and error.get("type") != TIME_LIMIT
