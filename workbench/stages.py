"""A trial -> its chain of stages: each phase of training, then the evaluation. Equal keys are equal work.

A stage's key is the hash of everything its outcome depends on: the part of the spec it uses, the key of the stage
before it, the source code of the plugins and core modules it runs, the data's fingerprint and torch's version. So
trials that begin alike share their beginning, and what was made by other code or from other data is never reused.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.trial import Trial, digest

if TYPE_CHECKING:
    from workbench.registry import Registry

TRAINING_CODE = (
    *("batches", "chance", "compose", "contracts", "contrastive", "layers", "model", "objectives", "optimization"),
    *("passes", "pictures", "snapshots", "tokenizer", "train", "validation"),
)
EVALUATION_CODE = ("evaluate", "generate", "inference")
MODEL = ("dataset", "encoder", "connector", "fusion", "language_model")


@dataclass(frozen=True)
class Stage:
    """One piece of work. `index` counts the trial's phases; the evaluation comes after the last phase.

    `trial` is one of the trials that need this stage; `before` is the key of the stage it starts from, if any.
    """

    key: str
    name: str
    index: int
    trial: Trial
    before: str | None

    @property
    def evaluates(self) -> bool:
        """Whether this is the evaluation, which belongs to its trial alone."""
        return self.index == len(self.trial.phases)

    @property
    def alone(self) -> bool:
        """Whether only the encoder takes part: a contrastive phase that nothing came before."""
        return not self.evaluates and self.before is None and self.trial.phases[self.index].objective == "contrastive"


def chain(trial: Trial, registry: Registry, fingerprint: Callable[[Trial], str]) -> list[Stage]:
    """The stages of a trial in order. `fingerprint` gives that of the trial's data."""
    stages: list[Stage] = []
    for index in range(len(trial.phases) + 1):
        before = stages[-1].key if stages else None
        name = trial.phases[index].name if index < len(trial.phases) else "evaluate"
        draft = Stage("", name, index, trial, before)
        stages.append(Stage(digest(_ingredients(draft, registry, fingerprint)), name, index, trial, before))
    return stages


def _ingredients(stage: Stage, registry: Registry, fingerprint: Callable[[Trial], str]) -> dict[str, Any]:
    """Everything that the outcome of a stage depends on."""
    trial = stage.trial
    kinds = _kinds(stage)
    components = [trial.components[kind] for kind in kinds]
    made_of: dict[str, Any] = {
        "parts": {component.kind: component.spec() for component in components},
        "plugins": {each.kind: registry.entry(each.kind, each.name).code_hash for each in components},
        "before": stage.before,
        "seed": trial.seed,
        "data": fingerprint(trial),
        "torch": version("torch"),
        "code": _code_hash(TRAINING_CODE),
    }
    if not stage.evaluates:
        phase = trial.phases[stage.index].model_dump(mode="json", exclude={"only"})
        return {**made_of, "phase": phase, **({} if stage.alone else {"prompt": trial.prompt})}
    return {
        **made_of,
        "prompt": trial.prompt,
        "evaluation": trial.evaluation.model_dump(mode="json"),
        "metrics": [metric.spec() for metric in trial.metrics],
        "metric plugins": [registry.entry("metric", metric.name).code_hash for metric in trial.metrics],
        "evaluation code": _code_hash(EVALUATION_CODE),
    }


def _kinds(stage: Stage) -> Sequence[str]:
    """The kinds of components that take part in a stage: what is not among them may vary and share it."""
    if stage.alone:
        return ("dataset", "encoder")
    adapted = any("adapter" in phase.train for phase in stage.trial.phases[: stage.index + 1])
    return (*MODEL, *(["adapter"] if adapted else []), *(["quantizer"] if stage.evaluates else []))


@cache
def _code_hash(modules: Iterable[str]) -> str:
    """The hash of the source of core modules."""
    found = hashlib.sha256()
    for module in modules:
        specification = importlib.util.find_spec(f"workbench.{module}")
        if specification is None or specification.origin is None:
            raise ImportError(f"workbench.{module} is missing from this installation")
        found.update(Path(specification.origin).read_bytes())
    return found.hexdigest()[:16]
