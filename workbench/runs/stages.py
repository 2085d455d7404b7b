"""A trial -> its chain of stages: each phase of training, then the evaluation. Equal keys are equal work.

A stage's key is the hash of everything its outcome depends on: the part of the spec it uses, the key of the stage
before it, the source code of the plugins and core modules it runs, the data's fingerprint, files of weights, and the
versions of the packages that compute. So trials that begin alike share their beginning, and what was made by other
code or from other data is never reused.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.code_hashes.package_code import ENCODING, EVALUATION, TRAINING, core_code
from workbench.config.component import Component
from workbench.config.phase import Evaluation, Phase, trains_quantized
from workbench.config.trial import Trial
from workbench.runs.stage_keys import BEFORE, SETTINGS, UNSHARED, Ingredients
from workbench.storage.hashing import MadeOf, digest, file_hash, key_of

if TYPE_CHECKING:
    from workbench.model.image_features import NeededFeatures
    from workbench.registry import Registry

ENCODER_KINDS = ("dataset", "encoder")
OUTSIDE = " (outside)"  # behind the name of the data whose images should look strange
MODEL = (*ENCODER_KINDS, "connector", "fusion", "language_model")


@dataclass(frozen=True)
class Stage:
    """One piece of work. `index` counts the trial's phases; the evaluation comes after the last phase.

    `trial` is one of the trials that need this stage; `before` is the key of the stage it starts from, if any;
    `made_of` says by name what the key is the hash of; `trained` are the keys of all phases before an evaluation.
    """

    key: str
    name: str
    index: int
    trial: Trial
    before: str | None
    made_of: MadeOf = field(default_factory=dict, compare=False, repr=False)
    trained: tuple[str, ...] = field(default=(), compare=False, repr=False)

    @property
    def evaluates(self) -> bool:
        """Whether this is the evaluation, which belongs to its trial alone."""
        return self.index == len(self.trial.phases)

    @property
    def encoder_only(self) -> bool:
        """Whether only the encoder takes part: a contrastive phase that nothing came before."""
        return not self.evaluates and self.before is None and self.trial.phases[self.index].objective == "contrastive"

    @property
    def quantized(self) -> bool:
        """Whether its model is quantized: every evaluation's, and that of a phase which asks for it or follows one."""
        return self.evaluates or trains_quantized(self.trial.phases[: self.index + 1])

    @property
    def devices(self) -> int:
        """How many devices it wants, each with a process of its own."""
        return 1 if self.evaluates else self.trial.phases[self.index].devices

    @property
    def label(self) -> str:
        """The stage in words."""
        return f"{self.trial.label}: {self.name}"

    def made_by(self) -> dict[str, Any]:
        """What a record says of the stage that made it, now: enough to tell later what has changed since."""
        finished = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        made = {"key": self.key, "before": self.before, "made_of": self.made_of, "finished": finished}
        return {**made, "trained": list(self.trained)}


@dataclass(frozen=True)
class FeatureStage:
    """The tokens of some images, from an encoder that no later stage of the chain changes.

    `before` is the key of the stage that last changed the encoder, if any did, and `source` of the one whose weights
    are read. `look` says which images, in which order and precision; `part` are the first of them and the one behind
    the last.
    """

    key: str
    trial: Trial
    before: str | None
    source: str | None
    look: NeededFeatures
    part: tuple[int, int]
    made_of: MadeOf = field(default_factory=dict, compare=False, repr=False)

    name = "features"
    evaluates = False
    devices = 1

    @property
    def label(self) -> str:
        """The stage in words."""
        encoder, (first, behind) = self.trial.components["encoder"].name, self.part
        return f"{encoder}: features of images {first + 1} to {behind} ({self.look.split})"


@dataclass(frozen=True)
class SharedIngredients:
    """What the outcome of a stage depends on besides its settings and the stage before, the key of it all, and the
    hashes of its components' specs."""

    made_of: MadeOf
    key: str
    specs: list[str]


class Chains:
    """Makes the chains of many trials; a stage that several trials share is one object. Without `share`, every trial
    has stages of its own."""

    def __init__(self, registry: Registry, fingerprint: Callable[[Trial], str], share: bool = True):
        self.ingredients = Ingredients(registry, fingerprint)
        self.share = share
        self._known: dict[tuple, Stage] = {}
        self._shared: dict[tuple, SharedIngredients] = {}

    def chain(self, trial: Trial) -> list[Stage]:
        """The stages of a trial in order."""
        stages: list[Stage] = []
        before, adapted, quantized = None, False, False
        for index, phase in enumerate(trial.phases):
            adapted, quantized = adapted or "adapter" in phase.train, quantized or phase.quantized
            stages.append(self._training(trial, index, before, _kinds(adapted, quantized)))
            before = stages[-1].key
        evaluation = self._evaluation(trial, before, _kinds(adapted, quantized=True))
        return [*stages, replace(evaluation, trained=tuple(each.key for each in stages))]

    def features(self, stage: Stage, before: str | None, look: NeededFeatures, part: tuple[int, int]) -> FeatureStage:
        """The stage that makes the features `stage` looks at. Trials that differ in anything but encoder, data and what
        trained the encoder share it; the seed counts only where starting weights come from it."""
        trial = stage.trial
        encoder, dataset = trial.components["encoder"], trial.components["dataset"]
        seeded = before is None and not self.ingredients.files(encoder)
        parts = [self.ingredients.spec(encoder), self.ingredients.spec(dataset), trial.seed if seeded else None]
        made_of = self.ingredients.of_component(encoder, trial) | self.ingredients.of_component(dataset, trial)
        settings = digest([parts, [look.split, look.tasks, look.limit, look.precision, look.share], part])
        made_of = {**made_of, **core_code(ENCODING), SETTINGS: settings, BEFORE: before or ""}
        return FeatureStage(key_of(made_of), trial, before, before, look, part, made_of)

    def _training(self, trial: Trial, index: int, before: str | None, kinds: Sequence[str]) -> Stage:
        """The stage of a phase. `kinds` of components take part in it: what is not among them may vary and share it."""
        phase = trial.phases[index]
        encoder_only = before is None and phase.objective == "contrastive"
        components = [trial.components[kind] for kind in (ENCODER_KINDS if encoder_only else kinds)]
        components += [metric for metric in trial.metrics if metric.name in phase.validate_with]
        asks = _asked_on_the_way(trial, phase)
        own = None if self.share else trial.id
        known = (before, index, trial.seed, phase, trial.prompt, own, *asks, *components)
        found = self._known.get(known)
        if found is None:
            shared = self._ingredients_of(trial, components, TRAINING)
            settings = self._settings(trial, phase, "" if encoder_only else trial.prompt, shared, *asks)
            found = self._known[known] = self._stage(trial, index, phase.name, before, shared, settings)
        return found

    def _evaluation(self, trial: Trial, before: str | None, kinds: Sequence[str]) -> Stage:
        components = [*(trial.components[kind] for kind in kinds), *trial.metrics]
        shared = self._ingredients_of(trial, components, EVALUATION, trial.outside, trial.text_file)
        settings = self._settings(trial, trial.evaluation, trial.prompt, shared)
        return self._stage(trial, len(trial.phases), "evaluate", before, shared, settings)

    def _stage(
        self, trial: Trial, index: int, name: str, before: str | None, shared: SharedIngredients, settings: str
    ) -> Stage:
        own = {SETTINGS: settings, BEFORE: before or "", **({} if self.share else {UNSHARED: trial.id})}
        key = key_of({**own, "shared": shared.key})  # thousands of stages share what it stands for
        return Stage(key, name, index, trial, before, {**shared.made_of, **own})

    def _settings(
        self, trial: Trial, own: Phase | Evaluation, prompt: str, shared: SharedIngredients, *more: str | int
    ) -> str:
        return digest([self.ingredients.spec(own), prompt, trial.seed, *more, *shared.specs])

    def _ingredients_of(
        self,
        trial: Trial,
        components: Sequence[Component],
        code: tuple[str, ...],
        outside: Component | None = None,
        text_file: Path | None = None,
    ) -> SharedIngredients:
        """What a stage depends on that others of the same components and the same code depend on too."""
        known = (code, text_file, outside, *components)
        found = self._shared.get(known)
        if found is None:
            made_of = core_code(code)
            for component in components:
                made_of |= self.ingredients.of_component(component, trial)
            made_of |= self._outside(outside, trial) if outside else {}
            made_of |= {f"file:{trial.evaluation.text}": file_hash(text_file)} if text_file else {}
            specs = [self.ingredients.spec(each) for each in (*components, outside) if each]
            found = self._shared[known] = SharedIngredients(made_of, key_of(made_of), specs)
        return found

    def _outside(self, dataset: Component, trial: Trial) -> MadeOf:
        found = self.ingredients.of_component(dataset, trial.elsewhere)
        return {f"{name}{OUTSIDE}" if name.startswith("data:") else name: each for name, each in found.items()}


def chain(trial: Trial, registry: Registry, fingerprint: Callable[[Trial], str]) -> list[Stage]:
    """The stages of one trial in order. `fingerprint` gives that of the trial's data."""
    return Chains(registry, fingerprint).chain(trial)


def _asked_on_the_way(trial: Trial, phase: Phase) -> tuple[str | int, ...]:
    """What of the evaluation a phase depends on that asks its questions as well."""
    return (trial.evaluation.task, trial.evaluation.max_new_tokens) if phase.validate_with else ()


def _kinds(adapted: bool, quantized: bool) -> Sequence[str]:
    return (*MODEL, *(["adapter"] if adapted else []), *(["quantizer"] if quantized else []))
