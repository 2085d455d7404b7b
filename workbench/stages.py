"""A trial -> its chain of stages: each phase of training, then the evaluation. Equal keys are equal work.

A stage's key is the hash of everything its outcome depends on: the part of the spec it uses, the key of the stage
before it, the source code of the plugins and core modules it runs, the data's fingerprint, files of weights, and the
versions of the packages that compute. So trials that begin alike share their beginning, and what was made by other
code or from other data is never reused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from workbench.keys import (
    ALONE,
    BEFORE,
    ENCODER_CODE,
    EVALUATION_CODE,
    SETTINGS,
    TRAINING_CODE,
    Ingredients,
    MadeOf,
    core_code,
    file_hash,
    key_of,
)
from workbench.trial import CHOOSES, Component, Trial, digest, trains_quantized

if TYPE_CHECKING:
    from workbench.features import Look
    from workbench.registry import Registry

MODEL = ("dataset", "encoder", "connector", "fusion", "language_model")


@dataclass(frozen=True)
class Stage:
    """One piece of work. `index` counts the trial's phases; the evaluation comes after the last phase.

    `trial` is one of the trials that need this stage; `before` is the key of the stage it starts from, if any;
    `made_of` says by name what the key is the hash of.
    """

    key: str
    name: str
    index: int
    trial: Trial
    before: str | None
    made_of: MadeOf = field(default_factory=dict, compare=False, repr=False)

    @property
    def evaluates(self) -> bool:
        """Whether this is the evaluation, which belongs to its trial alone."""
        return self.index == len(self.trial.phases)

    @property
    def alone(self) -> bool:
        """Whether only the encoder takes part: a contrastive phase that nothing came before."""
        return not self.evaluates and self.before is None and self.trial.phases[self.index].objective == "contrastive"

    @property
    def quantized(self) -> bool:
        """Whether its model is quantized: every evaluation's, and that of a phase which asks for it or follows one."""
        return self.evaluates or trains_quantized(self.trial.phases[: self.index + 1])

    @property
    def label(self) -> str:
        """The stage in words."""
        return f"{self.trial.label}: {self.name}"


@dataclass(frozen=True)
class FeatureStage:
    """The tokens of some pictures, from an encoder that no later stage of the chain changes.

    `before` is the key of the stage that last changed the encoder, if any did, and `source` of the one whose weights
    are read; `part` are the first picture and the one behind the last, in the order of `look`.
    """

    key: str
    trial: Trial
    before: str | None
    source: str | None
    look: Look
    part: tuple[int, int]
    made_of: MadeOf = field(default_factory=dict, compare=False, repr=False)

    name = "features"
    evaluates = False

    @property
    def label(self) -> str:
        """The stage in words."""
        encoder, (first, behind) = self.trial.components["encoder"].name, self.part
        return f"{encoder}: features of pictures {first + 1} to {behind} ({self.look.split})"


class Chains:
    """Makes the chains of many trials; a stage that several trials share is one object. Without `share`, every trial
    has stages of its own."""

    def __init__(self, registry: Registry, fingerprint: Callable[[Trial], str], share: bool = True):
        self.ingredients = Ingredients(registry, fingerprint)
        self.share = share
        self._known: dict[tuple, Stage] = {}

    def chain(self, trial: Trial) -> list[Stage]:
        """The stages of a trial in order."""
        stages: list[Stage] = []
        for index in range(len(trial.phases) + 1):
            stages.append(self._stage(trial, index, stages[-1].key if stages else None))
        return stages

    def features(self, stage: Stage, before: str | None, look: Look, part: tuple[int, int]) -> FeatureStage:
        """The stage that makes the features `stage` looks at. Trials that differ in anything but encoder, data and what
        trained the encoder share it; the seed counts only where starting weights come from it."""
        trial = stage.trial
        encoder, dataset = trial.components["encoder"], trial.components["dataset"]
        seeded = before is None and not self.ingredients.files(encoder)
        parts = [self.ingredients.spec(encoder), self.ingredients.spec(dataset), trial.seed if seeded else None]
        made_of = self.ingredients.of_component(encoder, trial) | self.ingredients.of_component(dataset, trial)
        settings = digest([parts, [look.split, look.tasks, look.limit, look.precision, look.share], part])
        made_of = {**made_of, **core_code(ENCODER_CODE), SETTINGS: settings, BEFORE: before or ""}
        return FeatureStage(key_of(made_of), trial, before, before, look, part, made_of)

    def _stage(self, trial: Trial, index: int, before: str | None) -> Stage:
        name = trial.phases[index].name if index < len(trial.phases) else "evaluate"
        draft = Stage("", name, index, trial, before)
        if draft.evaluates:
            return self._finished(draft)
        # What a trial's spec says again and again is one object, so identities tell equal stages quickly.
        parts = [id(trial.components[kind]) for kind in _kinds(draft)]
        alone = None if self.share else trial.id
        known = (before, index, trial.seed, id(trial.phases[index]), trial.prompt, alone, *parts)
        if known not in self._known:
            self._known[known] = self._finished(draft)
        return self._known[known]

    def _finished(self, draft: Stage) -> Stage:
        made_of = self._made_of(draft)
        return Stage(key_of(made_of), draft.name, draft.index, draft.trial, draft.before, made_of)

    def _made_of(self, stage: Stage) -> MadeOf:
        """Everything that the outcome of a stage depends on."""
        trial, components = stage.trial, [stage.trial.components[kind] for kind in _kinds(stage)]
        if stage.evaluates:
            components += trial.metrics
        made_of: MadeOf = {}
        for component in components:
            made_of |= self.ingredients.of_component(component, trial)
        if stage.evaluates and trial.outside:
            found = self.ingredients.of_component(trial.outside, trial.elsewhere)
            made_of |= {f"{name} (outside)" if name.startswith("data:") else name: each for name, each in found.items()}
        if stage.evaluates and trial.text_file:
            made_of[f"file:{trial.text_file}"] = file_hash(trial.text_file)
        made_of |= core_code(EVALUATION_CODE if stage.evaluates else TRAINING_CODE)
        alone = {} if self.share else {ALONE: trial.id}
        return {**made_of, **alone, SETTINGS: self._settings(stage, components), BEFORE: stage.before or ""}

    def _settings(self, stage: Stage, components: Sequence[Component]) -> str:
        trial = stage.trial
        if stage.evaluates:
            own = self.ingredients.settings(trial.evaluation)
            components = [*components, *([trial.outside] if trial.outside else [])]
        else:
            own = self.ingredients.settings(trial.phases[stage.index], exclude=CHOOSES)
        prompt = "" if stage.alone else trial.prompt
        return digest([own, prompt, trial.seed, *map(self.ingredients.spec, components)])


def chain(trial: Trial, registry: Registry, fingerprint: Callable[[Trial], str]) -> list[Stage]:
    """The stages of one trial in order. `fingerprint` gives that of the trial's data."""
    return Chains(registry, fingerprint).chain(trial)


def _kinds(stage: Stage) -> Sequence[str]:
    """The kinds of components that take part in a stage: what is not among them may vary and share it."""
    if stage.alone:
        return ("dataset", "encoder")
    adapted = any("adapter" in phase.train for phase in stage.trial.phases[: stage.index + 1])
    return (*MODEL, *(["adapter"] if adapted else []), *(["quantizer"] if stage.quantized else []))
