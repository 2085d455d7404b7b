"""Puts the record of a trial together: what it is, what came of it, and where that comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from workbench.runs.provenance import of_trial
from workbench.storage.records import DONE, FAILED, Record

if TYPE_CHECKING:
    from workbench.runs.stages import Stage


@dataclass(frozen=True)
class TrialResult:
    """What an evaluation found: `metrics`, how each is to be read (`scales`), and what is to be said of where they come
    from besides what all records say."""

    metrics: dict[str, float] = field(default_factory=dict)
    scales: dict[str, dict[str, bool]] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)


def record_of(
    evaluation: Stage, common: Mapping[str, Any], result: TrialResult | None, error: dict[str, Any] | None = None
) -> Record:
    """The record of the trial that this stage evaluates. `common` is what all records of a run have in common of where
    they come from; without a `result`, an `error` says why there is none."""
    trial, found = evaluation.trial, result or TrialResult()
    return Record(
        id=trial.id,
        status=FAILED if result is None else DONE,
        experiment=trial.experiment,
        axes=dict(trial.axes),
        spec=trial.spec(),
        metrics=found.metrics,
        scales=found.scales,
        provenance={**of_trial(common, trial), **evaluation.made_by(), **found.provenance},
        error=error,
    )
