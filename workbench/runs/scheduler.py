"""Runs an experiment: which stages are missing, handed to workers as soon as they can begin, progress shown."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from workbench.config.experiment import Experiment
from workbench.contracts.launcher import Advance, Crew, Finished, Launcher
from workbench.registry import Registry
from workbench.runs.auto_precision import precision_notes, summary_to_keep
from workbench.runs.clean import left_to_do
from workbench.runs.costs import Costs
from workbench.runs.experiment_folder import Outcome, check_same, check_still_there, relabel_kept
from workbench.runs.plan import AnyStage, Plan, Planner
from workbench.runs.priority import Order
from workbench.runs.progress import Board
from workbench.runs.provenance import of_trial, provenance
from workbench.runs.stage_work import HeldElsewhere, prepare
from workbench.runs.stages import Stage
from workbench.runs.tracking import Tracking, tracking_of
from workbench.runs.workplace import StageJob
from workbench.storage.artifacts import ARTIFACTS, ArtifactError, ArtifactStore
from workbench.storage.atomic import storage_errors
from workbench.storage.hashing import digest
from workbench.storage.records import (
    CONTRACTS,
    FAILED,
    TRIALS,
    Record,
    claim_results,
    holds_result_of,
    write_summary,
    write_trial,
)

if TYPE_CHECKING:
    from workbench.conformance.verdicts import Judgement

LOOK_AGAIN = 1.0  # seconds until a stage that another run does is looked for again
TIME_LIMIT = "TimeLimit"  # the type of the error of a stage that took longer than it may
ATTEMPTS = 2  # times a stage is tried whose worker was killed, or found no memory or disk


@dataclass(frozen=True)
class RunOptions:
    """How a run goes about its work; none of it changes a result.

    `retry`: trials that failed are tried again; `fail_fast`: the first failure ends the run; `time_limit`: seconds a
    stage may take; `checkpoint_seconds` between two checkpoints of a phase; `feature_bytes` that kept features may
    take on the disk; `share`: stages that are equal run once; `contracts`: what was found of the plugins, for records
    and to be remembered.
    """

    retry: bool = False
    fail_fast: bool = False
    time_limit: float | None = None
    checkpoint_seconds: float = 60.0
    feature_bytes: int | None = None
    share: bool = True
    contracts: Judgement | None = None


def run(
    experiment: Experiment,
    registry: Registry,
    results: Path,
    launcher: Launcher,
    device: str,
    console: Console,
    options: RunOptions | None = None,
) -> Outcome:
    """Do what is missing. A stage that fails fails the trials that need it and stops no other."""
    options = options or RunOptions()
    folder = results / experiment.name
    claim_results(folder, experiment.name)
    check_same(experiment, folder)
    with storage_errors(results / ARTIFACTS):
        (results / ARTIFACTS).mkdir(exist_ok=True)
    store = ArtifactStore(results / ARTIFACTS)
    with store.in_use():
        planner = Planner(experiment, registry, results, options.feature_bytes, options.share)
        plan = planner.plan(options.retry)
        notes = [*precision_notes(experiment, folder, device), *plan.notes]
        if options.contracts:
            options.contracts.remember()
        write_summary(folder, summary_to_keep(experiment, folder), experiment.text)
        relabel_kept(experiment, folder, plan)
        for note in notes:
            console.print(f"note: {note}", style="yellow", markup=False, soft_wrap=True)
        outcome = Outcome(kept=sorted(plan.finished), failed_before=frozenset(plan.failed))
        outcome.failed |= {id_: (record.error or {}).get("message", "") for id_, record in plan.failed.items()}
        if plan.missing:
            with tracking_of(experiment, registry, folder, console) as tracking:
                _Drive(planner, plan, folder, launcher, device, options, outcome, tracking).run(console)
            check_still_there(experiment, folder, outcome, console)
        else:
            store.write_needed(_name_of(experiment), left_to_do(plan, plan.finished, _lasting(plan), store))
    return outcome


class _Drive:
    """One run over the missing stages of a plan: begins what can begin and listens, until nothing is left."""

    def __init__(
        self,
        planner: Planner,
        plan: Plan,
        folder: Path,
        launcher: Launcher,
        device: str,
        options: RunOptions,
        outcome: Outcome,
        tracking: Tracking,
    ):
        self.planner, self.plan = planner, plan
        self.folder, self.launcher, self.device, self.options = folder, launcher, device, options
        self.outcome, self.tracking, self.store = outcome, tracking, planner.store
        self.costs = Costs(plan, self.store)
        self.order = Order(plan, self.costs)
        self.waiting, self.undone = dict(plan.missing), set(plan.missing)
        self.running: dict[str, float] = {}  # key -> when it began
        self.not_before: dict[str, float] = {}  # key -> when to look again for what another run does
        self.tried: Counter[str] = Counter()
        self.lasting = _lasting(plan)
        self.alone: set[str] = set()  # keys of stages that ran out of memory beside others
        self.common: dict[str, Any] = {}
        # How many trials that can still succeed go through a stage: what nobody needs any more is not begun.
        live = [stages for id_, stages in plan.chains.items() if id_ not in plan.finished and id_ not in plan.failed]
        self.users = Counter(key for stages in live for key in self._keys_of(stages))

    def run(self, console: Console) -> None:
        """Until every stage is done, failed, or belongs to a trial that failed."""
        name = _name_of(self.planner.experiment)
        self.store.write_needed(name, {*self.plan.distinct(), *self.plan.missing})
        # Each worker adds its own device and number of threads; workers change no result, so their number is left out.
        # Paths among the options are relative to where the experiment file lies.
        folder = str(self.planner.experiment.path.resolve().parent)
        contracts = self.options.contracts.for_records() if self.options.contracts else {}
        self.common = {**provenance(self.device), "folder": folder, CONTRACTS: contracts}
        self.launcher.open(Crew(self._prepare(), self.device))
        try:
            with Board(console, self.plan) as self.board:
                while (self.waiting or self.running) and not (self.options.fail_fast and self._failed_now()):
                    self._begin()
                    for message in self.launcher.news(timeout=0.5 if self.running else 0.1):
                        self._hear(message)
                    self._stop_slow()
        finally:
            self.launcher.close()
        done = {*self.plan.finished, *self.outcome.done}
        self.store.write_needed(name, left_to_do(self.plan, done, self.lasting, self.store))

    def _prepare(self) -> partial:
        folders, seconds = self.planner.registry.folders, self.options.checkpoint_seconds
        return partial(prepare, folders, self.store.folder, self.folder, self.common, seconds)

    def _begin(self) -> None:
        now = time.monotonic()
        ready = [stage for stage in self.waiting.values() if self.not_before.get(stage.key, 0) <= now]
        ready = [stage for stage in ready if not any(key in self.undone for key in self.plan.needs(stage))]
        for stage in self.order.sort(ready):
            if len(self.running) >= self.launcher.slots():
                return
            if stage.key not in self.waiting:  # one before it failed, and nobody needs it any more
                continue
            if self.not_before.pop(stage.key, None) is not None and self._is_there(stage):
                del self.waiting[stage.key]
                self._done(stage, Finished(stage.key))
            elif self._is_too_large(stage):
                self.waiting.pop(stage.key, None)
            elif self._fits(stage):
                del self.waiting[stage.key]
                self.running[stage.key] = now
                self.tried[stage.key] += 1
                self.board.begin(stage)
                self.launcher.begin(StageJob(stage, tuple(each.key for each in self.plan.features.get(stage.key, ()))))

    def _is_too_large(self, stage: AnyStage) -> bool:
        """Whether it does not fit into memory even alone: then it has failed, until there is more."""
        told = self.costs.too_large(stage, self.launcher.memory())
        if told is not None:
            error = {"type": "MemoryError", "message": told, "traceback": "", "transient": True}
            self._fail(stage, Finished(stage.key, error))
        return told is not None

    def _fits(self, stage: AnyStage) -> bool:
        """Whether there is memory for it beside what runs. Alone, a stage may always try."""
        if not self.running:
            return True
        budget = self.launcher.memory()
        if stage.key in self.alone or self.alone & set(self.running):
            return False
        running = [self.plan.missing[key] for key in self.running]
        return budget is None or sum(map(self.costs.memory_bytes, [*running, stage])) <= budget

    def _hear(self, message: Advance | Finished) -> None:
        stage = self.plan.missing[message.key]
        if isinstance(message, Advance):
            if not message.total:  # the worker is up and begins: what it took to start is not the stage's
                self.running[stage.key] = time.monotonic()
            self.board.advance(stage, message)
            self.tracking.advance(stage, message)
            return
        began = self.running.pop(stage.key)
        error = message.error or {}
        if error.get("type") == HeldElsewhere.__name__:
            self._wait(stage, "another run does it")
            self.not_before[stage.key] = time.monotonic() + LOOK_AGAIN
            self.tried[stage.key] -= 1
        elif error.get("type") == ArtifactError.__name__ and self.tried[stage.key] < ATTEMPTS:
            self._wait(stage, f"{error['message']}; it is made again")
            self._make_again(error["key"])
        elif error.get("transient") and self.tried[stage.key] < ATTEMPTS:
            self.alone.add(stage.key)
            self._wait(stage, f"{error['message']}; it is tried once more, alone")
        elif error:
            self._fail(stage, message)
        else:
            self._done(stage, message, time.monotonic() - began)

    def _wait(self, stage: AnyStage, why: str) -> None:
        self.board.wait(stage, why)
        self.waiting[stage.key] = stage

    def _make_again(self, key: str) -> None:
        """What this stage left is damaged: it is done again, before those that need it."""
        if key in self.undone:  # another stage found the same damage before
            return
        with self.store.lock(key) as mine:
            if mine:  # otherwise another run makes it again just now
                self.store.remove(key)
        added = self.planner.require(self.plan, key, "what it left is damaged") or [self.plan.missing[key]]
        for each in added:
            self.waiting.setdefault(each.key, each)
            self.undone.add(each.key)
            self.tried.pop(each.key, None)
        self.board.expect(len(added))

    def _done(self, stage: AnyStage, message: Finished, seconds: float | None = None) -> None:
        """`seconds`: what it took, unless another run did it."""
        self.board.finish(stage, message)
        self.undone.discard(stage.key)
        self.costs.learn(stage, seconds)
        if isinstance(stage, Stage) and stage.evaluates:
            self.outcome.done.append(stage.trial.id)
            self.tracking.finish(stage.trial.id)

    def _is_there(self, stage: AnyStage) -> bool:
        if stage.evaluates:
            return holds_result_of(self.folder / TRIALS / stage.trial.id, stage.key)
        return self.store.has(stage.key)

    def _stop_slow(self) -> None:
        """A stage that takes longer than it may is ended with its worker."""
        limit = self.options.time_limit
        for key in [key for key, began in self.running.items() if limit and time.monotonic() - began > limit]:
            self.launcher.stop(key)
            message = (
                f"the stage was stopped after {limit:g} seconds. If it only needs longer, give more with --time-limit"
            )
            self._hear(Finished(key, {"type": TIME_LIMIT, "message": message, "traceback": "", "transient": False}))

    def _failed_now(self) -> bool:
        return bool(set(self.outcome.failed) - self.outcome.failed_before)

    def _fail(self, failed: AnyStage, message: Finished) -> None:
        """Every trial that needs the failed stage gets a record that says why it has no result."""
        error = {**(message.error or {}), "stage": failed.name}
        if error.get("transient") and self.tried[failed.key] > 1:
            error["message"] += f" (tried {self.tried[failed.key]} times)"
        self.board.finish(failed, Finished(failed.key, error))
        for stages in list(self._chains_that_need(failed)):
            trial = stages[-1].trial
            for key in self._keys_of(stages):
                self.users[key] -= 1
                if not self.users[key]:
                    self.waiting.pop(key, None)
            if self._is_there(stages[-1]):  # another run had more luck, and what is finished stays
                self.outcome.done.append(trial.id)
                continue
            provenance_ = {**of_trial(self.common, trial), **stages[-1].made_by()}
            record = Record(
                trial.id, FAILED, trial.experiment, dict(trial.axes), trial.spec(), {}, {}, provenance_, error
            )
            write_trial(self.folder / TRIALS / trial.id, record, [], [])
            self.outcome.failed[trial.id] = error["message"]
            if _lasts(error):
                self.lasting.add(trial.id)

    def _keys_of(self, stages: list[Stage]) -> set[str]:
        """A chain's stages and the features they read."""
        return {key for stage in stages for key in (stage.key, *self.plan.needs(stage))}

    def _chains_that_need(self, failed: AnyStage) -> Iterator[list[Stage]]:
        for id_, stages in self.plan.chains.items():
            if id_ in self.plan.finished or id_ in self.outcome.failed or id_ in self.outcome.done:
                continue
            if any(failed.key in (each.key, *self.plan.needs(each)) for each in stages if each.key in self.undone):
                yield stages


def _lasts(error: Mapping[str, Any]) -> bool:
    """Whether a stage that failed so has no use for its checkpoints: one that ran out of time can go on from them."""
    return not error.get("transient") and error.get("type") != TIME_LIMIT


def _lasting(plan: Plan) -> set[str]:
    """The ids of trials that failed for good before."""
    return {id_ for id_, outline in plan.failed.items() if _lasts(outline.error or {})}


def _name_of(experiment: Experiment) -> str:
    """Runs of one experiment that ask for other trials are told apart: one may be finished and the other not."""
    return f"{experiment.name}-{digest(sorted(trial.id for trial in experiment.trials))}"
