"""What an experiment still has to do: its distinct stages, which of them are kept, and why the others are not."""

from __future__ import annotations

import contextlib
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.data.broken_images import counted, decode, skipped_images
from workbench.model.image_features import NeededFeatures, needed_by_evaluation, needed_by_phase, parts_of, passes_of
from workbench.runs.compatibility import Bench, Size, sizes_of
from workbench.runs.stage_keys import differences
from workbench.runs.stages import Chains, FeatureStage, Stage
from workbench.storage.artifacts import ARTIFACTS, ArtifactStore
from workbench.storage.hashing import MadeOf
from workbench.storage.records import DONE, FAILED, Outline, ResultsError, is_whole, read_outline, read_record
from workbench.training.loop import TRAIN

if TYPE_CHECKING:
    from workbench.config.experiment import Experiment
    from workbench.config.trial import Trial
    from workbench.contracts.dataset import Dataset
    from workbench.registry import Registry

SHARE_OF_FREE_DISK = 0.5  # what features may take, unless the run says otherwise

AnyStage = Stage | FeatureStage


@dataclass
class Plan:
    """The stages of every trial, and which of them are still to be done."""

    chains: dict[str, list[Stage]]  # by trial id
    sizes: dict[str, Size]  # by trial id; none when nothing is missing
    finished: frozenset[str]  # ids of trials
    failed: dict[str, Outline]  # by trial id: failures that would only repeat
    missing: dict[str, AnyStage] = field(default_factory=dict)  # by key, in the order of the trials
    features: dict[str, tuple[FeatureStage, ...]] = field(default_factory=dict)  # by key of the stage that reads them
    reasons: dict[str, str] = field(default_factory=dict)  # by key: why it has to be done
    labels: dict[str, tuple[str, dict[str, str]]] = field(default_factory=dict)  # by trial id: as its record has them
    notes: list[str] = field(default_factory=list)

    def needs(self, stage: AnyStage) -> Iterator[str]:
        """The keys of the stages that have to be done before."""
        first = stage.source if isinstance(stage, FeatureStage) else stage.before
        if first is not None:
            yield first
        yield from (each.key for each in self.features.get(stage.key, ()))

    def stage_of(self, key: str) -> AnyStage | None:
        """The stage of that key, if the experiment has it."""
        for stages in (*self.chains.values(), *self.features.values()):
            for stage in stages:
                if stage.key == key:
                    return stage
        return None

    def distinct(self) -> dict[str, Stage]:
        """All stages of the trials by key, done or not."""
        return {stage.key: stage for stages in self.chains.values() for stage in stages}


class Planner:
    """Compares an experiment with what `results` (the folder of all experiments) already holds. Without `share`, every
    trial does all its work for itself."""

    def __init__(
        self,
        experiment: Experiment,
        registry: Registry,
        results: Path,
        feature_bytes: int | None = None,
        share: bool = True,
    ):
        self.experiment = experiment
        self.registry = registry
        self.store = ArtifactStore(results / ARTIFACTS)
        self.trials = results / experiment.name / "trials"
        self.bench = Bench(registry)
        self.chains = Chains(registry, self.bench.fingerprint, share)
        self.feature_bytes = _feature_budget(results) if feature_bytes is None else feature_bytes
        self._has: dict[str, bool] = {}
        self._came_from: set[str | None] = set()
        self._wholes: dict[tuple, FeatureStage] = {}
        self._looked_into: tuple[str, MadeOf] = "", {}

    def plan(self, retry: bool = False) -> Plan:
        """The plan. With `retry`, trials that failed are to be done again. What does not fit is told by an error."""
        trials = self.experiment.trials
        records = {trial.id: read_outline(f"{self.trials}/{trial.id}") for trial in trials}
        tried = all(records.values())  # then all fitted once, and are looked at again only if there is something to do
        sizes = {} if tried else self.sizes()
        chains = {trial.id: self.chains.chain(trial) for trial in trials}
        last = {id_: stages[-1].key for id_, stages in chains.items()}
        same = {id_: each for id_, each in records.items() if each and each.provenance.key == last[id_]}
        finished = {id_ for id_, each in same.items() if each.status == DONE and is_whole(f"{self.trials}/{id_}", each)}
        failed = {id_: each for id_, each in same.items() if not retry and _would_fail_again(each)}
        plan = Plan(chains, sizes, frozenset(finished), failed)
        plan.labels = {id_: (each.experiment, each.axes) for id_, each in records.items() if each}
        self._came_from = {each.provenance.before for each in records.values() if each and each.status == DONE}
        for id_, stages in chains.items():
            if id_ not in finished and id_ not in failed:
                self._add_missing(plan, stages, records[id_])
        plan.sizes |= {} if sizes or not plan.missing else self.sizes()
        if self.chains.share and plan.missing:
            self._share_features(plan)
        plan.notes += self._skipped()
        return plan

    def sizes(self) -> dict[str, Size]:
        """How large the model of each trial is, by its id. What does not fit is told by an error."""
        return sizes_of(self.experiment.trials, self.bench)

    def decode(self) -> int:
        """Decode every image of the trials' data, and return how many; `DataError` names those that cannot be."""
        images: dict[tuple[int, str], Dataset] = {}
        for trial in self._trials_of_other_data():
            dataset = self.bench.dataset(trial)
            for look in (needed_by_evaluation(trial.evaluation), *map(needed_by_phase, trial.phases)):
                images |= {(id(dataset), key): dataset for key in self.bench.images(trial, look)}
        decode((dataset, key) for (_, key), dataset in images.items())
        return len(images)

    def require(self, plan: Plan, key: str, why: str) -> list[AnyStage]:
        """Add a stage that was thought to be done, and what it needs; returns what was added, first things first."""
        stage = plan.stage_of(key)
        if stage is None or key in plan.missing:
            return []
        first = stage.source if isinstance(stage, FeatureStage) else stage.before
        before = [] if first is None or self.store.has(first) else self.require(plan, first, why)
        plan.missing[key], plan.reasons[key] = stage, why
        return [*before, stage]

    def _skipped(self) -> list[str]:
        """What is left out of the data, for which every trial of it is told the same."""
        told: dict[str, None] = {}
        for trial in self._trials_of_other_data():
            data, asked, name = self.bench.dataset(trial), trial.evaluation, trial.components["dataset"].name
            found = skipped_images(data, asked.split, [asked.task])
            for phase in trial.phases:
                found |= skipped_images(data, TRAIN, phase.tasks)
            told |= {f"{name}, {where}: {counted(each)} are left out": None for where, each in found.items()}
        return list(told)

    def _trials_of_other_data(self) -> Iterator[Trial]:
        """One trial for all that look at the same images."""
        seen: set[tuple] = set()
        for trial in self.experiment.trials:
            parts = (id(trial.components["dataset"]), id(trial.evaluation), *map(id, trial.phases))
            if parts not in seen:
                seen.add(parts)
                yield trial

    def _add_missing(self, plan: Plan, stages: list[Stage], record: Outline | None) -> None:
        """The evaluation, and before it every stage back to the last one that is kept."""
        needed = [stages[-1]]
        for stage in reversed(stages[:-1]):
            if stage.key in plan.missing or self._kept(stage.key):
                break
            needed.insert(0, stage)
        for stage in needed:
            if stage.key not in plan.missing:
                plan.missing[stage.key] = stage
                plan.reasons[stage.key] = self._reason(stage, stages, record, plan)

    def _reason(self, stage: Stage, stages: list[Stage], record: Outline | None, plan: Plan) -> str:
        if stage.key in self._came_from:
            return "what it left is gone or damaged"
        made_of = self._made_of(stages[-1].trial.id) if record else {}
        if record is None or not made_of:
            return "new"
        if stage.key in (record.provenance.key, record.provenance.before):
            if record.status == FAILED:
                return "it failed"
            return "its record is damaged"
        named = {name: value for name, value in made_of.items() if name in stage.made_of}
        told = differences(named, stage.made_of, self.registry)
        before = next((each for each in stages if each.key == stage.before and each.key in plan.missing), None)
        return ", ".join(told) or (f"{before.name} is made anew" if before else "its settings changed")

    def _made_of(self, id_: str) -> MadeOf:
        """What the record of a trial says its evaluation was made of."""
        if self._looked_into[0] != id_:
            with contextlib.suppress(ResultsError):  # another run has removed it just now
                self._looked_into = id_, read_record(self.trials / id_).provenance.get("made_of", {})
        return self._looked_into[1]

    def _kept(self, key: str) -> bool:
        if key not in self._has:
            self._has[key] = self.store.has(key)
        return self._has[key]

    def _share_features(self, plan: Plan) -> None:
        """Put the passes of frozen encoders that several stages need, or one needs repeatedly, before those stages.

        What is done already counts as well: whether features are used must not depend on where a run was interrupted.
        """
        uses: dict[str, tuple[FeatureStage, list[Stage]]] = {}
        passes: Counter[str] = Counter()
        seen: set[str] = set()
        for stages in plan.chains.values():
            for stage in stages:
                if stage.key in seen:
                    continue
                seen.add(stage.key)
                whole, count = self._whole(stage, stages, plan.sizes[stage.trial.id])
                if whole is not None:
                    uses.setdefault(whole.key, (whole, []))[1].append(stage)
                    passes[whole.key] += count
        left = self.feature_bytes
        for key, (whole, users) in uses.items():
            readers = [stage for stage in users if stage.key in plan.missing]
            if readers and passes[key] >= 2:
                left -= self._add_features(plan, readers, whole, left)

    def _add_features(self, plan: Plan, stages: list[Stage], whole: FeatureStage, left: int) -> int:
        """Add the stages that make these features, if they fit into `left` bytes; returns what they take."""
        images = self.bench.images(whole.trial, whole.look)
        parts = [self.chains.features(stages[0], whole.before, whole.look, part) for part in parts_of(len(images))]
        if whole.before and whole.before not in plan.missing and not self._kept(whole.before):
            # What trained the encoder is gone, but a later stage that left it as it was is kept.
            parts = [replace(part, source=stages[0].before) for part in parts]
        todo = [part for part in parts if not self._kept(part.key)]
        size = len(images) * plan.sizes[whole.trial.id].bytes_of_an_image(whole.look.precision)
        if todo and size > left:
            name = whole.trial.components["encoder"].name
            plan.notes.append(
                f"the features of {name} would take {size / 1e9:.1f} GB, more than the {max(left, 0) / 1e9:.1f} GB that"
                " features may take: the encoder runs again in each stage that needs them. Give room with --features-gb"
            )
            return 0
        for part in todo:
            plan.missing[part.key], plan.reasons[part.key] = part, "new"
        for stage in stages:
            plan.features[stage.key] = tuple(parts)
        return size if todo else 0

    def _whole(self, stage: Stage, stages: list[Stage], size: Size) -> tuple[FeatureStage | None, int]:
        """All features a stage would read, as one stage, and how many times it needs the pass; None if its encoder
        changes, or sees changed images."""
        look, passes = self._look(stage, size)
        if look is None:
            return None, 0
        trains = [each for each in stages[: stage.index] if "encoder" in each.trial.phases[each.index].train]
        before = trains[-1].key if trains else None
        trial = stage.trial
        known = before, look, trial.seed, id(trial.components["encoder"]), id(trial.components["dataset"])
        if known not in self._wholes:
            self._wholes[known] = self.chains.features(stage, before, look, (0, 0))
        return self._wholes[known], passes

    def _look(self, stage: Stage, size: Size) -> tuple[NeededFeatures | None, int]:
        trial = stage.trial
        adapted = size.adapts_encoder and any("adapter" in phase.train for phase in trial.phases[: stage.index + 1])
        changed = adapted or (size.quantizes_encoder and stage.quantized)
        if stage.evaluates:
            return (None if changed else needed_by_evaluation(trial.evaluation)), 1
        phase = trial.phases[stage.index]
        if changed or phase.objective != "answers" or "encoder" in phase.train or self.bench.dataset(trial).augments:
            return None, 0
        look = needed_by_phase(phase)
        passes = passes_of(phase, len(self.bench.images(trial, look)))
        return (look if passes >= 1 else None), int(passes)


def _feature_budget(results: Path) -> int:
    """A share of the free disk."""
    there = next(folder for folder in (results.absolute(), *results.absolute().parents) if folder.is_dir())
    return int(SHARE_OF_FREE_DISK * shutil.disk_usage(there).free)


def _would_fail_again(record: Outline) -> bool:
    """Whether a failure lies in the trial itself; running out of memory or disk, or being killed, may pass."""
    return record.status == FAILED and not (record.error or {}).get("transient")
