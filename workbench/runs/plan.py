"""What an experiment still has to do: the stages of its trials, and which of them are missing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from workbench.runs.stages import FeatureStage, Stage

if TYPE_CHECKING:
    from workbench.runs.model_size import Size
    from workbench.storage.record_outline import Outline

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

    def keys_of(self, chain: list[Stage]) -> set[str]:
        """The keys of a chain's stages and of the features they read."""
        return {key for stage in chain for key in (stage.key, *self.needs(stage))}

    def add(self, stage: AnyStage, reason: str) -> None:
        """Have a stage done, unless it is to be done anyway."""
        if stage.key not in self.missing:
            self.missing[stage.key], self.reasons[stage.key] = stage, reason

    def stage_of(self, key: str) -> AnyStage | None:
        """The stage of that key, if the experiment has it."""
        for stages in (*self.chains.values(), *self.features.values()):
            for stage in stages:
                if stage.key == key:
                    return stage
        return None

    def distinct(self) -> dict[str, Stage]:
        """The stages of the trials by key, done or not: one that several trials share is there once."""
        return {stage.key: stage for stages in self.chains.values() for stage in stages}
