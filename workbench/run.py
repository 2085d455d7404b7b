"""Runs an experiment: which stages are missing, handed to workers as soon as they can begin, progress shown."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from rich.console import Console

from workbench.artifacts import ArtifactStore
from workbench.atomic import storage_errors
from workbench.compose import build_dataset
from workbench.experiment import Experiment
from workbench.fit import sizes_of
from workbench.progress import Board
from workbench.provenance import provenance
from workbench.records import (
    DONE,
    FAILED,
    SUMMARY,
    TRIALS,
    Record,
    ResultsError,
    claim_results,
    read_record,
    read_summary,
    relabel,
    write_summary,
    write_trial,
)
from workbench.registry import Registry
from workbench.stages import Stage, chain
from workbench.trial import Trial
from workbench.workers import Advance, Finished, Pool, Setup

ARTIFACTS = "artifacts"


@dataclass(frozen=True)
class Plan:
    """The stages of every trial, and which of them are still to be done."""

    chains: dict[str, list[Stage]]  # by trial id
    finished: frozenset[str]  # ids of trials
    missing: dict[str, Stage]  # by key, in the order of the trials

    def waits_for(self, stage: Stage) -> bool:
        """Whether the stage before is still to be done."""
        return stage.before is not None and stage.before in self.missing


@dataclass
class Outcome:
    """How a run ended: ids of trials."""

    done: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def make_plan(experiment: Experiment, registry: Registry, results: Path) -> Plan:
    """Compare the experiment with what `results` (the folder of all experiments) already holds."""
    store = ArtifactStore(results / ARTIFACTS)
    prints: dict[str, str] = {}

    def fingerprint(trial: Trial) -> str:
        dataset = trial.components["dataset"]
        name = repr(dataset.spec())
        if name not in prints:
            prints[name] = build_dataset(trial, registry).fingerprint()
        return prints[name]

    chains = {trial.id: chain(trial, registry, fingerprint) for trial in experiment.trials}
    finished = {
        id_ for id_, stages in chains.items() if _is_done(results / experiment.name / "trials" / id_, stages[-1])
    }
    missing: dict[str, Stage] = {}
    for id_, stages in chains.items():
        if id_ in finished:
            continue
        needed = [stages[-1]]
        for stage in reversed(stages[:-1]):
            if store.has(stage.key):
                break
            needed.insert(0, stage)
        missing |= {stage.key: stage for stage in needed if stage.key not in missing}
    return Plan(chains, frozenset(finished), missing)


def run(
    experiment: Experiment, registry: Registry, results: Path, workers: int | None, device: str, console: Console
) -> Outcome:
    """Do what is missing. A stage that fails fails the trials that need it and stops no other."""
    folder = results / experiment.name
    claim_results(folder, experiment.name)
    _check_same(experiment, folder)
    plan = make_plan(experiment, registry, results)
    # What cannot fit is told now, not when its turn comes; sizes themselves are not needed here.
    sizes_of([trial for trial in experiment.trials if trial.id not in plan.finished], registry)
    with storage_errors(results / ARTIFACTS):
        (results / ARTIFACTS).mkdir(exist_ok=True)
    write_summary(folder, experiment.summary(), experiment.text)
    _relabel(experiment, folder)
    outcome = Outcome(kept=sorted(plan.finished))
    if not plan.missing:
        return outcome
    count = min(workers or _cores(), _width(plan))
    threads = max(1, _cores() // count)
    common = provenance(device, threads, count)
    setup = Setup(registry.folders, results / ARTIFACTS, folder, device, threads, common)
    # Waiting threads that spin take the time of a neighbour's; the workers inherit this.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with Board(console, plan) as board, Pool(count, setup) as pool:
        _drive(plan, pool, board, folder, common, outcome)
    return outcome


def _check_same(experiment: Experiment, folder: Path) -> None:
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


def _relabel(experiment: Experiment, folder: Path) -> None:
    """What a kept trial is called depends on the other values of its axes, which may have changed since."""
    for trial in experiment.trials:
        try:
            relabel(folder / TRIALS / trial.id, trial.experiment, trial.axes)
        except ResultsError:  # missing or damaged: its trial is run, and its record made anew
            continue


def _drive(plan: Plan, pool: Pool, board: Board, folder: Path, common: dict[str, Any], outcome: Outcome) -> None:
    """Begin what can begin, listen to the workers, until nothing is left."""
    waiting = dict(plan.missing)
    running: dict[str, Stage] = {}
    undone = set(plan.missing)
    while waiting or running:
        for stage in _ready(waiting.values(), undone, pool.free):
            running[stage.key] = waiting.pop(stage.key)
            board.begin(stage)
            pool.begin(stage)
        for message in pool.news(timeout=0.5):
            stage = running[message.key]
            if isinstance(message, Advance):
                board.advance(stage, message)
                continue
            del running[stage.key]
            board.finish(stage, message)
            if message.error is None:
                undone.discard(stage.key)
                if stage.evaluates:
                    outcome.done.append(stage.trial.id)
            else:
                _fail(plan, stage, message, waiting, folder, common, outcome)


def _ready(waiting: Iterable[Stage], undone: set[str], free: int) -> list[Stage]:
    """The stages that can begin, as many as there are free workers: those that many others wait for come first."""
    can = [stage for stage in waiting if stage.before not in undone]
    return sorted(can, key=lambda stage: -(len(stage.trial.phases) - stage.index))[:free]


def _fail(
    plan: Plan,
    stage: Stage,
    message: Finished,
    waiting: dict[str, Stage],
    folder: Path,
    common: dict[str, Any],
    outcome: Outcome,
) -> None:
    """Every trial that needs the failed stage gets a record that says why it has no result."""
    for id_, stages in plan.chains.items():
        if id_ in plan.finished or stage.key not in [each.key for each in stages]:
            continue
        for each in stages:
            waiting.pop(each.key, None)
        trial = stages[-1].trial
        error = {**(message.error or {}), "stage": stage.name}
        provenance_ = {**common, "key": stages[-1].key, "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
        record = Record(id_, FAILED, trial.experiment, dict(trial.axes), trial.spec(), {}, {}, provenance_, error)
        write_trial(folder / "trials" / id_, record, [], [])
        outcome.failed[id_] = error["message"]


def _is_done(folder: Path, last: Stage) -> bool:
    """Whether the record there is that of this very stage: same spec, same code, same data."""
    if not (folder / "record.json").is_file():
        return False
    try:
        record = read_record(folder)
    except ResultsError:  # a damaged record is made again
        return False
    return record.status == DONE and record.provenance.get("key") == last.key


def _width(plan: Plan) -> int:
    """How many workers have something to do most of the time: as many as phases that can train side by side. A lone
    training gets all cores as threads; where nothing is left to train, the evaluations count."""
    side_by_side = Counter(stage.index for stage in plan.missing.values() if not stage.evaluates)
    return max(side_by_side.values(), default=len(plan.missing))


@cache
def _cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
