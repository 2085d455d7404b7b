"""A worker's work: takes a stage that its run has claimed, compares its own sources with the key, and does it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch

from workbench.code_hashes.package_code import CODE, core_code
from workbench.config.component_files import file_named
from workbench.contracts.launcher import Do, Tell
from workbench.devices.device import compute_repeatably, facts_of, repeatably_if_possible
from workbench.errors import UserError
from workbench.registry import Registry, load_registry
from workbench.runs.evaluation_stage import evaluate_trial
from workbench.runs.feature_stage import make_features
from workbench.runs.provenance import machine
from workbench.runs.rank_processes import train_on_ranks
from workbench.runs.same_run import check_here
from workbench.runs.stages import FeatureStage, Stage
from workbench.runs.training_stage import train_phase
from workbench.runs.workplace import StageJob, Workplace
from workbench.storage.chosen_store import open_store
from workbench.storage.hashing import file_hash
from workbench.storage.whole_trials import holds_result_of
from workbench.workers.ending import asked_to_end
from workbench.workers.failure import preempted


def prepare(
    folders: tuple[Path, ...],
    artifacts: Path,
    results: Path,
    provenance: dict[str, Any],
    snapshot_seconds: float,
    elsewhere: bool,
    device: str,
) -> Do:
    """Called once in every worker: loads the plugins and gives the function that does a stage."""
    from torch import _dynamo  # noqa: F401 (the first optimizer loads it, in a second that is not its stage's)

    compute_repeatably(device)
    here = machine() if elsewhere else {}
    provenance = {**provenance, **here, **facts_of(device), "threads": torch.get_num_threads()}
    registry, store = load_registry(folders), open_store(artifacts)
    place = Workplace(registry, store, results, device, provenance, snapshot_seconds, asked_to_end, elsewhere)
    return partial(do_stage, place)


def do_stage(place: Workplace, job: StageJob, tell: Tell) -> None:
    """Do the work of a stage, unless it was done meanwhile; its outcome is on disk when this returns. `ClaimLost` when
    it was given to another worker meanwhile, `UserError` when the code is not that of the key any more."""
    stage = job.stage
    place.check(job)
    if _is_done(job, place):
        return
    if place.elsewhere:
        check_here(stage, place, _changed_sources(stage, place.registry))
    else:
        _check_sources(stage, place.registry)
    repeatably_if_possible(partial(_do, job, place, tell))


def _do(job: StageJob, place: Workplace, tell: Tell, unrepeatable: str | None) -> None:
    stage = job.stage
    if isinstance(stage, FeatureStage):
        make_features(job, stage, place, _ending(tell, place))
    elif stage.evaluates:
        evaluate_trial(job, stage, place, _ending(tell, place), unrepeatable)
    elif stage.devices > 1:
        train_on_ranks(job, place, tell, unrepeatable)
    else:
        train_phase(job, stage, place, tell, unrepeatable)


def _ending(tell: Tell, place: Workplace) -> Tell:
    """Tells how far a stage is that keeps nothing until it is done: when the process is to end, it ends there."""

    def tell_or_end(done: int, total: int, loss: float | None = None) -> None:
        tell(done, total, loss)
        if place.asked_to_end():
            raise preempted("it was asked to end, and begins anew")

    return tell_or_end


def _is_done(job: StageJob, place: Workplace) -> bool:
    stage = job.stage
    if stage.evaluates:
        return holds_result_of(place.results / "trials" / stage.trial.id, stage.key)
    return place.store.has(stage.key) or place.store.share(stage.key, partial(place.check, job))


def _check_sources(stage: Stage | FeatureStage, registry: Registry) -> None:
    """What this process has loaded is what the stage's key was made of, so nothing is kept under a key not its own."""
    changed = _changed_sources(stage, registry)
    if changed:
        found = UserError(f"{', '.join(changed)} changed while the run was going on. Run again")
        found.transient = True
        raise found


def _changed_sources(stage: Stage | FeatureStage, registry: Registry) -> list[str]:
    here = core_code(tuple(name[len(CODE) :] for name in stage.made_of if name.startswith(CODE)))
    for name in stage.made_of:
        if name.startswith("plugin:"):
            here[name] = registry.plugin(*name.removeprefix("plugin:").split(" ", 1)).code_hash
        elif name.startswith("file:"):
            here[name] = file_hash(file_named(name.removeprefix("file:"), stage.trial, registry))
    return sorted(name.partition(":")[2] for name, value in here.items() if stage.made_of.get(name) != value)
