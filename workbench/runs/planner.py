"""Compares an experiment with what is kept of it, and says which of its distinct stages still have to be done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.conformance.remembered_verdicts import CHECKS
from workbench.data.broken_images import counted, decode, skipped_images
from workbench.model.image_features import needed_by_evaluation, needed_by_phase
from workbench.runs.compatibility import Compatibility
from workbench.runs.plan import AnyStage, Plan
from workbench.runs.shared_features import SharedFeatures, feature_budget
from workbench.runs.stage_reasons import StageReasons, damage_notes
from workbench.runs.stages import Chains, FeatureStage, Stage
from workbench.runs.trial_data import TrialData
from workbench.storage.artifacts import ARTIFACTS
from workbench.storage.chosen_store import open_store
from workbench.storage.record_outline import Outline, read_outline
from workbench.storage.records import DONE, FAILED, TRIALS
from workbench.storage.splits import TRAIN
from workbench.storage.whole_trials import CheckedTrials

if TYPE_CHECKING:
    from workbench.config.component import Component
    from workbench.config.experiment import Experiment
    from workbench.config.trial import Trial
    from workbench.contracts.dataset import Dataset
    from workbench.registry import Registry
    from workbench.runs.model_size import Size


class Planner:
    """Compares an experiment with what `results` (the folder of all experiments) already holds, or what lies where the
    URL `store` says. Without `share`, every trial does all its work for itself."""

    def __init__(
        self,
        experiment: Experiment,
        registry: Registry,
        results: Path,
        feature_bytes: int | None = None,
        share: bool = True,
        store: str | None = None,
    ):
        self.experiment = experiment
        self.registry = registry
        self.store = open_store(results / ARTIFACTS, store)
        self.trials = results / experiment.name / TRIALS
        self.data = TrialData(registry)
        self.compatibility = Compatibility(registry, self.data, experiment.document, self.store.folder / CHECKS)
        self.chains = Chains(registry, self.data.fingerprint, share)
        budget = feature_budget(results) if feature_bytes is None else feature_bytes
        self.features = SharedFeatures(self.chains, self.data, self._kept, budget)
        self._has: dict[str, bool] = {}

    def plan(self, retry: bool = False) -> Plan:
        """The plan. With `retry`, trials that failed are to be done again. `CompositionError` tells what does not fit,
        `DataError` which data cannot be read."""
        trials = self.experiment.trials
        records, damaged = self._read(trials)
        tried = all(records.values())  # then all fitted once, and are looked at again only if there is something to do
        sizes = {} if tried else self.sizes()
        chains = {trial.id: self.chains.chain(trial) for trial in trials}
        plan = Plan(chains, sizes, *self._recorded(chains, records, retry))
        plan.labels = {id_: (each.experiment, each.axes) for id_, each in records.items() if each}
        plan.notes += damage_notes(self.trials, damaged)
        reasons = StageReasons(self.registry, self.trials, records, damaged)
        for id_, chain in chains.items():
            if id_ not in plan.finished and id_ not in plan.failed:
                self._add_missing(plan, chain, reasons)
        plan.sizes |= {} if sizes or not plan.missing else self.sizes()
        if self.chains.share and plan.missing:
            self.features.share(plan)
        plan.notes += self.compatibility.notes(trials, plan.sizes)
        plan.notes += [*self._skipped(), *self.compatibility.dry_passes.untried]
        return plan

    def sizes(self) -> dict[str, Size]:
        """How large the model of each trial is, by its id. `CompositionError` tells what does not fit."""
        return self.compatibility.sizes_of(self.experiment.trials)

    def decode(self) -> int:
        """Decode every image of the trials' data, and return how many; `DataError` names those that cannot be. What
        does not fit is told first."""
        self.sizes()
        images: dict[tuple[Component, str], Dataset] = {}
        for trial in self._trials_of_other_data():
            component, dataset = trial.components["dataset"], self.data.dataset(trial)
            for look in (needed_by_evaluation(trial.evaluation), *map(needed_by_phase, trial.phases)):
                images |= {(component, key): dataset for key in self.data.images(trial, look)}
        decode((dataset, key) for (_, key), dataset in images.items())
        return len(images)

    def require(self, plan: Plan, key: str, why: str) -> list[AnyStage]:
        """Add a stage that was thought to be done, and what it needs; returns what was added, first things first."""
        stage = plan.stage_of(key)
        if stage is None or key in plan.missing:
            return []
        first = stage.source if isinstance(stage, FeatureStage) else stage.before
        before = [] if first is None or self.store.has(first) else self.require(plan, first, why)
        plan.add(stage, why)
        return [*before, stage]

    def _read(self, trials: Sequence[Trial]) -> tuple[dict[str, Outline | None], dict[str, str]]:
        """Of each trial what its record says, and of those whose files are not what was written, which file that is:
        their records count for nothing."""
        checked = CheckedTrials(self.trials)
        records = {trial.id: read_outline(f"{self.trials}/{trial.id}") for trial in trials}
        damaged = {id_: why for id_, outline in records.items() if (why := checked.damage(id_, outline))}
        checked.remember()
        return {id_: None if id_ in damaged else each for id_, each in records.items()}, damaged

    def _recorded(
        self, chains: dict[str, list[Stage]], records: dict[str, Outline | None], retry: bool
    ) -> tuple[frozenset[str], dict[str, Outline]]:
        """The trials that are finished, and those that failed and would fail again."""
        same = {id_: each for id_, each in records.items() if each and each.provenance.key == chains[id_][-1].key}
        finished = (id_ for id_, each in same.items() if each.status == DONE)
        return frozenset(finished), {id_: each for id_, each in same.items() if not retry and _would_fail_again(each)}

    def _add_missing(self, plan: Plan, chain: list[Stage], reasons: StageReasons) -> None:
        """The evaluation, and before it every stage back to the last one that is kept."""
        needed = [chain[-1]]
        for stage in reversed(chain[:-1]):
            if stage.key in plan.missing or self._kept(stage.key):
                break
            needed.insert(0, stage)
        for stage in needed:
            if stage.key not in plan.missing:
                plan.add(stage, reasons.why(stage, chain, plan.missing))

    def _kept(self, key: str) -> bool:
        if key not in self._has:
            self._has[key] = self.store.has(key)
        return self._has[key]

    def _skipped(self) -> list[str]:
        """What is left out of the data, for which every trial of it is told the same."""
        told: dict[str, None] = {}
        for trial in self._trials_of_other_data():
            data, asked, name = self.data.dataset(trial), trial.evaluation, trial.components["dataset"].name
            found = skipped_images(data, asked.split, [asked.task])
            for phase in trial.phases:
                found |= skipped_images(data, TRAIN, phase.tasks)
            told |= {f"{name}, {where}: {counted(each)} are left out": None for where, each in found.items()}
        return list(told)

    def _trials_of_other_data(self) -> Iterator[Trial]:
        """One trial for all that look at the same images."""
        seen: set[tuple] = set()
        for trial in self.experiment.trials:
            parts = (trial.components["dataset"], trial.evaluation, *trial.phases)
            if parts not in seen:
                seen.add(parts)
                yield trial


def _would_fail_again(record: Outline) -> bool:
    """Whether a failure lies in the trial itself; running out of memory or disk, or being killed, may pass."""
    return record.status == FAILED and not (record.error or {}).get("transient")
