"""Runs an experiment: which stages are missing, handed to workers as soon as they can begin, progress shown."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from workbench.config.experiment import Experiment
from workbench.contracts.launcher import Crew, Finished, Launcher, Node
from workbench.registry import Registry
from workbench.runs.clean import left_to_do
from workbench.runs.costs import Costs
from workbench.runs.device_counts import device_notes
from workbench.runs.experiment_folder import ExperimentFolder
from workbench.runs.message_handler import MessageHandler
from workbench.runs.placement import Placement
from workbench.runs.plan import AnyStage, Plan
from workbench.runs.planner import Planner
from workbench.runs.progress import ProgressDisplay
from workbench.runs.provenance import provenance
from workbench.runs.run_outcome import RunOutcome
from workbench.runs.same_run import proved
from workbench.runs.stage_queue import StageQueue
from workbench.runs.stage_work import prepare
from workbench.runs.stages import Stage
from workbench.runs.tracking import Tracking, tracking_of
from workbench.runs.trial_outcomes import TIME_LIMIT, TrialOutcomes
from workbench.runs.workplace import StageJob
from workbench.storage.artifacts import ARTIFACTS
from workbench.storage.askings import AskedLog
from workbench.storage.atomic import storage_errors
from workbench.storage.chosen_store import remember_store
from workbench.storage.hashing import digest
from workbench.storage.records import CONTRACTS
from workbench.storage.run_notes import RunNotes
from workbench.workers.ending import GRACE, RunEnded

if TYPE_CHECKING:
    from workbench.conformance.verdicts import Judgement
    from workbench.storage.claims import Claims

WORKERS = ".workers"  # below the kept stages: what workers on other machines are reached by
LOOK_AHEAD = 200  # stages that find no room are passed by, before the next message is waited for


@dataclass(frozen=True)
class RunOptions:
    """How a run goes about its work; none of it changes a result.

    `retry`: trials that failed are tried again; `fail_fast`: the first failure ends the run; `time_limit`: seconds a
    stage may take; `snapshot_seconds` between two snapshots of a phase; `feature_bytes` that kept features may
    take on the disk; `share`: stages that are equal run once; `contracts`: what was found of the plugins, for records
    and to be remembered; `final`: the test split is asked, about the trials that are named for it; `store`: the URL
    where stages are kept from now on, in place of the folder of results.
    """

    retry: bool = False
    fail_fast: bool = False
    time_limit: float | None = None
    snapshot_seconds: float = 60.0
    feature_bytes: int | None = None
    share: bool = True
    contracts: Judgement | None = None
    final: bool = False
    store: str | None = None


def run(
    experiment: Experiment,
    registry: Registry,
    results: Path,
    launcher: Launcher,
    device: str,
    console: Console,
    options: RunOptions | None = None,
) -> RunOutcome:
    """Do what is missing. A stage that fails fails the trials that need it and stops no other.

    `ResultsError` and `StorageError` when the results cannot be written there, `CompositionError` and `DataError` when
    the parts of a trial do not fit: before anything runs.
    """
    options = options or RunOptions()
    folder = ExperimentFolder(experiment, results)
    asked = experiment.on_test() if options.final else experiment
    folder.claim()
    with storage_errors(results / ARTIFACTS):
        (results / ARTIFACTS).mkdir(exist_ok=True)
    if options.store:
        remember_store(results / ARTIFACTS, options.store)
    planner = Planner(asked, registry, results, options.feature_bytes, options.share)
    notes = RunNotes(planner.store.folder)
    with notes.in_use() as here, planner.store.store.claims(here) as claims:
        plan = _plan(planner, folder, device, launcher.elsewhere, options, console)
        common = _common_provenance(experiment, device, options.contracts) if plan.missing else {}
        trials = TrialOutcomes(plan, folder, common)
        if plan.missing:
            with tracking_of(asked, registry, folder.path, console) as tracking:
                _Scheduler(planner, plan, trials, launcher, device, options, console, tracking, claims).run()
        left = left_to_do(plan, trials.done, trials.lasting, planner.store)
        notes.write_needed(_name_of(asked), left)
        if plan.missing and (gone := folder.forget_removed(trials.outcome)):
            told = f"{gone} finished trials were removed from {folder.path} during the run"
            _note(console, f"{told}. Run again to make them anew")
    return trials.outcome


class _Scheduler:
    """One run over the missing stages of a plan: begins what can begin and listens, until nothing is left."""

    def __init__(
        self,
        planner: Planner,
        plan: Plan,
        trials: TrialOutcomes,
        launcher: Launcher,
        device: str,
        options: RunOptions,
        console: Console,
        tracking: Tracking,
        claims: Claims,
    ):
        self.planner, self.plan, self.trials = planner, plan, trials
        self.launcher, self.device, self.options = launcher, device, options
        self.costs = Costs(plan, planner.store)
        self.queue = StageQueue(plan, self.costs)
        self.display = ProgressDisplay(console, plan)
        self.placement, self.claims = Placement(), claims
        self.handler = MessageHandler(planner, plan, self.queue, self.placement, trials, self.display, tracking, claims)
        self.asked_log = AskedLog(trials.folder.path, planner.experiment.text)

    def run(self) -> None:
        """Until every stage is done, failed, or belongs to a trial that failed."""
        needed = {*self.plan.distinct(), *self.plan.missing}
        RunNotes(self.planner.store.folder).write_needed(_name_of(self.planner.experiment), needed)
        with self._same_run() as unlike:
            self.launcher.open(Crew(self._prepare(), self.device, unlike, self.planner.store.folder / WORKERS))
            try:
                self._work()
            except RunEnded:
                self._end_early()
                raise
            finally:
                self.launcher.close()

    def _same_run(self) -> AbstractContextManager[Callable[[], Sequence[str]]]:
        """What workers on other machines show before they do anything."""
        if not self.launcher.elsewhere:
            return nullcontext(tuple)
        return proved(self.planner.store.folder, self.plan.missing.values())

    def _work(self) -> None:
        with self.display:
            while self.queue and not (self.options.fail_fast and self.trials.outcome.failed_now):
                self._begin_ready()
                self._tell_waiting()
                for message in self.launcher.news(timeout=0.5 if self.queue.running else 0.1):
                    self.handler.handle(message)
                self._stop_slow()

    def _end_early(self) -> None:
        """The run was asked to end: what runs keeps what it can, and what is done meanwhile counts."""
        self.launcher.ask_to_end()
        end = time.monotonic() + GRACE
        while self.queue.running and time.monotonic() < end:
            for message in self.launcher.news(timeout=0.2):
                self.handler.handle_at_the_end(message)

    def _prepare(self) -> partial:
        """What workers are told; a plugin there may leave the folder that paths are relative to."""
        folders, store, trials = self.planner.registry.folders, self.planner.store.folder, self.trials.folder.path
        seconds, provenance = self.options.snapshot_seconds, self.trials.provenance
        elsewhere = self.launcher.elsewhere
        return partial(prepare, folders, store.absolute(), trials.absolute(), provenance, seconds, elsewhere)

    def _begin_ready(self) -> None:
        nodes, passed_by = self.launcher.nodes(), 0
        largest, roomy = _largest(nodes), self.placement.with_room(nodes)
        self.placement.begin_round()
        for stage in (ready := self.queue.ready()):
            if stage.key not in self.queue.waiting:  # one before it failed, and nobody needs it any more
                continue
            if self.queue.waited_for_another_run(stage) and self._is_there(stage):
                self.handler.finish(stage)
            elif too_large := self.costs.too_large(stage, largest):
                error = {"type": "MemoryError", "message": too_large, "traceback": "", "transient": True}
                self.handler.fail(stage, error)
            elif node := self._node_for(stage, roomy):
                self._begin(stage, node)
                roomy = self.placement.with_room(roomy)
            else:
                passed_by += 1
            if passed_by > LOOK_AHEAD or not roomy:
                break
        ready.close()

    def _node_for(self, stage: AnyStage, nodes: Sequence[Node]) -> Node | None:
        """Where it may run now. One on several devices has its node to itself: they are that node's."""
        if stage.devices > 1:
            self.placement.keep_alone(stage.key)
        return self.placement.node_for(stage.key, self.costs.memory_bytes(stage), nodes)

    def _is_there(self, stage: AnyStage) -> bool:
        if isinstance(stage, Stage) and stage.evaluates:
            return self.trials.folder.holds_result_of(stage)
        return self.planner.store.has(stage.key)

    def _begin(self, stage: AnyStage, node: Node) -> None:
        token = self._claim(stage)
        if token is None:
            return
        if isinstance(stage, Stage) and stage.evaluates:
            self.asked_log.note(stage.trial.evaluation.split, stage.trial.id, stage.key)
        self.queue.begin(stage)
        self.placement.put(stage.key, self.costs.memory_bytes(stage), node)
        self.display.begin(stage)
        features = tuple(each.key for each in self.plan.features.get(stage.key, ()))
        self.launcher.begin(StageJob(stage, features, node.name, token))

    def _claim(self, stage: AnyStage) -> str | None:
        """The token of a new claim, which no worker that had the stage before knows; None where another run is at it,
        which is told once."""
        token = self.claims.take(stage.key)
        if token is None and self.queue.look_again_later(stage):
            self.display.wait(stage, f"another run does it ({self.claims.holder(stage.key)})")
        return token

    def _tell_waiting(self) -> None:
        """Ask for machines as they are needed, and show what is waited for where none is there."""
        self.launcher.expect(len(self.queue.running) + self.queue.count_ready())
        self.display.wait_for_place("" if self.queue.running else self.launcher.waits_for())

    def _stop_slow(self) -> None:
        """A stage that takes longer than it may is ended with its worker."""
        limit = self.options.time_limit
        for key in self.queue.slower_than(limit) if limit else ():
            self.launcher.stop(key)
            message = (
                f"the stage was stopped after {limit:g} seconds. If it only needs longer, give more with --time-limit"
            )
            error = {"type": TIME_LIMIT, "message": message, "traceback": "", "transient": False}
            self.handler.handle(Finished(key, error))


def _plan(
    planner: Planner, folder: ExperimentFolder, device: str, elsewhere: bool, options: RunOptions, console: Console
) -> Plan:
    """Plan the run; with that everything fits, so the folder learns what is asked now, and the user what to know."""
    of_device = device_notes(planner.experiment, folder.path, device, elsewhere)
    plan = planner.plan(options.retry)
    notes = [*folder.notes(), *of_device, *plan.notes]
    if options.contracts:
        options.contracts.remember()
    folder.write_summary()
    folder.relabel_kept(plan)
    for note in notes:
        _note(console, note)
    return plan


def _common_provenance(experiment: Experiment, device: str, contracts: Judgement | None) -> dict[str, Any]:
    """What all records of the run have in common. Each worker adds its own device and number of threads; workers
    change no result, so their number is left out. Paths among the options are relative to `folder`, where the
    experiment file lies."""
    folder = str(experiment.path.resolve().parent)
    return {**provenance(device), "folder": folder, CONTRACTS: contracts.for_records() if contracts else {}}


def _largest(nodes: Sequence[Node]) -> int | None:
    """The most memory that any node has, in bytes; None where that is not known of all, or no node is there yet."""
    known = [node.memory for node in nodes if node.memory is not None]
    return max(known) if known and len(known) == len(nodes) else None


def _name_of(experiment: Experiment) -> str:
    """Runs of one experiment that ask for other trials are told apart: one may be finished and the other not."""
    return f"{experiment.name}-{digest(sorted(trial.id for trial in experiment.trials))}"


def _note(console: Console, text: str) -> None:
    console.print(f"note: {text}", style="yellow", markup=False, soft_wrap=True)
