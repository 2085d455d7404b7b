"""Measures how long a step of each training takes, for variants that are to train equally long."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from workbench.config.match_settings import common_labels
from workbench.config.trial import Trial
from workbench.devices.device import facts_of
from workbench.errors import UserError
from workbench.runs.planner import Planner
from workbench.runs.provenance import provenance
from workbench.runs.step_seconds import StepSeconds, now_measured, step_of
from workbench.runs.timing_probe import Probe

if TYPE_CHECKING:
    from workbench.config.experiment import Experiment
    from workbench.registry import Registry

STEPS = 16  # a round; the first is not counted
ROUNDS = 5  # all are measured so often, one after the other, so that a busy minute is not one variant's alone


@dataclass(frozen=True)
class MeasuredStep:
    """A step in words, its seconds in the round that was disturbed least, and by which share of that the next one took
    longer."""

    name: str
    seconds: float
    spread: float


def unmeasured(experiment: Experiment, known: StepSeconds | None) -> dict[str, list[tuple[Trial, int]]]:
    """The distinct steps whose seconds are not known, each with the trials that have it and the number of the phase
    there. The experiment's precisions are still those that are written."""
    found: dict[str, list[tuple[Trial, int]]] = {}
    for trial in experiment.trials:
        for index in range(len(trial.phases)):
            found.setdefault(step_of(trial, index), []).append((trial, index))
    return {step: having for step, having in found.items() if known is None or step not in known.seconds}


def measure_steps(
    experiment: Experiment,
    registry: Registry,
    known: StepSeconds | None,
    precision: str,
    device: str,
    on_round: Callable[[int, int], None],
) -> tuple[StepSeconds, dict[str, MeasuredStep]]:
    """What is known with what is measured now, and the latter by step. `precision` is what `auto` means here. Raises
    `UserError` where what is known was measured on another device."""
    here = _machine(device)
    if known and known.device != here:
        raise UserError(
            f"the steps known so far were measured on {known.device}, and this is {here}: seconds of two machines say"
            " nothing beside each other. Measure all of them here with --again"
        )
    missing = unmeasured(experiment, known)
    real = {trial.id: _computed_in(trial, precision) for trial in experiment.trials}
    rounds: dict[str, list[float]] = {step: [] for step in missing}
    with TemporaryDirectory() as empty:  # whatever is kept elsewhere, each step does what it does in a first run
        planner = Planner(replace(experiment, trials=tuple(real.values())), registry, Path(empty))
        plan = planner.plan()
        probe = Probe(planner, plan, device)
        for number in range(ROUNDS):
            on_round(number + 1, ROUNDS)
            for step, ((trial, index), *_) in missing.items():
                rounds[step].append(probe.step_seconds(plan.chains[real[trial.id].id][index], STEPS))
    measured = {step: _measured(missing[step], taken) for step, taken in rounds.items()}
    seconds = {**(known.seconds if known else {}), **{step: each.seconds for step, each in measured.items()}}
    return now_measured(seconds, here), measured


def names_of(experiment: Experiment) -> Mapping[str, str]:
    """Every step of the experiment in words."""
    return {step: _name(having) for step, having in unmeasured(experiment, None).items()}


def _machine(device: str) -> str:
    """The GPU, or the processor with its instructions: seconds are compared between equal ones alone."""
    facts = facts_of(device)
    return facts.get("gpu") or f"{provenance(device)['cpu']} ({facts['instructions']})"


def _measured(having: list[tuple[Trial, int]], taken: list[float]) -> MeasuredStep:
    least, next_to_it, *_ = sorted(taken)
    return MeasuredStep(_name(having), least, next_to_it / least - 1)


def _name(having: list[tuple[Trial, int]]) -> str:
    (trial, index), *_ = having
    labels = ", ".join(common_labels([each for each, _ in having]).values())
    return f"{trial.phases[index].name} of {labels or 'every trial'}"


def _computed_in(trial: Trial, precision: str) -> Trial:
    phases = tuple(phase.computed_in(precision) for phase in trial.phases)
    return replace(trial, phases=phases, evaluation=trial.evaluation.computed_in(precision))
