"""Makes the variants of an experiment train for as much as the baseline, by the number of steps of one phase."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from workbench.config.component import Component
from workbench.config.match_settings import Sized, Sizing, common_labels
from workbench.config.phase import Phase, trains_quantized
from workbench.config.trial import Trial
from workbench.config.validation_messages import Fault
from workbench.training.training_set import planned_steps

if TYPE_CHECKING:
    from workbench.runs.flops import FlopCounts
    from workbench.runs.trial_data import TrialData

NEAR = 0.01  # of what the baseline's training takes: what is farther away is not called alike
MOST_STEPS = 2**40

Amount = Callable[[int], float]  # what all of a training takes when the phase has so many steps
Alike = tuple[tuple[Component, ...], tuple[Phase, ...], str]


class MatchedLength:
    """Sets how many steps the phase takes. What several trials have in common besides seed, evaluation and quantizer is
    set once, so that they still share what they trained."""

    def __init__(self, by: str, phase: str, data: TrialData):
        self.by = by
        self.phase = phase
        self.data = data

    def sized(self, trials: Sequence[Trial], like: Trial, amount_of: Callable[[Trial], Amount]) -> Sized:
        """Every trial with steps for as much of an amount as the one they are to be `like`, which stays as it is, as do
        those that come no nearer. Where that is not near, it is a fault."""
        target = amount_of(like)(self._planned(like) or 0)
        if target == 0:
            nothing = f"nothing trains in the baseline '{like.label}': there is no length to match"
            return Sized(trials, faults=(((self.by,), nothing),))
        groups = trained_alike(trials)
        steps: dict[Alike, int | None] = {}
        sizings: list[Sizing] = []
        faults: list[Fault] = []
        for alike, having in groups.items():
            amount, planned = amount_of(having[0]), self._planned(having[0])
            found = steps[alike] = None if planned is None else nearest_steps(amount, planned, target)
            named = {} if found in (None, planned) else {f"phases.{self.phase}.steps": found}
            sizing = Sizing(self.by, common_labels(having), named, amount(found or 0), target)
            sizings.append(sizing)
            if not abs(sizing.deviation) <= NEAR:  # nor where it is not known
                faults.append(((self.by,), self._too_far(sizing, found, like)))
        return Sized([self._with(trial, steps[_alike(trial)]) for trial in trials], tuple(sizings), tuple(faults))

    def _planned(self, trial: Trial) -> int | None:
        """How many steps the phase takes as it is written; None where it does not take place."""
        phase = next((each for each in trial.phases if each.name == self.phase), None)
        return planned_steps(phase, self.data.dataset(trial), trial.seed) if phase else None

    def _with(self, trial: Trial, steps: int | None) -> Trial:
        if steps is None or steps == self._planned(trial):
            return trial
        return replace(trial, phases=tuple(_of_length(each, self.phase, steps) for each in trial.phases))

    def _too_far(self, sizing: Sizing, steps: int | None, like: Trial) -> str:
        against = f"what training of the baseline '{like.label}' takes"
        if math.isnan(sizing.deviation):
            return f"nobody can say what training of '{sizing.label}' takes: its {self.by} are not known"
        apart = f"{abs(sizing.deviation):.1%} {'more' if sizing.deviation > 0 else 'less'} than {against}"
        if steps is None:
            return f"'{self.phase}' does not take place in '{sizing.label}', whose training takes {apart}"
        return (
            f"'{sizing.label}' comes nearest with {steps:,} steps of '{self.phase}': {apart}. A longer phase has finer"
            f" steps: name one, or have the baseline train longer, until all come within {NEAR:.0%}"
        )


def flops_of_length(counts: FlopCounts, phase: str) -> Callable[[Trial], Amount]:
    """Of a trial: the FLOPs of all its training by the steps of that phase."""

    def amount_of(trial: Trial) -> Amount:
        counted = counts.of(trial).phases
        fixed = math.fsum(each.planned for each in counted if each.name != phase)
        own = next((each for each in counted if each.name == phase), None)
        return lambda steps: fixed + (own.after(steps) if own else 0.0)

    return amount_of


def trained_alike(trials: Iterable[Trial]) -> dict[Alike, list[Trial]]:
    """The trials by what their training is, whatever the seed and what comes after it."""
    groups: dict[Alike, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(_alike(trial), []).append(trial)
    return groups


def nearest_steps(amount: Amount, planned: int, target: float) -> int:
    """The number of steps whose amount comes nearest to the target; `planned` where none comes nearer. At least one:
    a phase of no steps is none. The more steps, the larger the amount."""
    low, high = 1, 2
    while amount(high) < target and high < MOST_STEPS:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if amount(middle) <= target else (low, middle)
    return min((planned, low, high), key=lambda steps: abs(amount(steps) - target))


def _alike(trial: Trial) -> Alike:
    kinds = [kind for kind in trial.components if kind != "quantizer" or trains_quantized(trial.phases)]
    return tuple(trial.components[kind] for kind in kinds), trial.phases, trial.prompt


def _of_length(phase: Phase, name: str, steps: int) -> Phase:
    return phase.model_copy(update={"steps": steps, "epochs": None}) if phase.name == name else phase
