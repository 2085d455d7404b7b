"""`match`: in what the variants of an experiment are made alike, by which of their settings, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field, model_validator

from workbench.config.grid import SEED, Axis
from workbench.config.phase import Settings
from workbench.config.trial import Trial
from workbench.config.validation_messages import Fault, check_settings, label
from workbench.errors import did_you_mean

PARAMETERS, FLOPS, TIME = "parameters", "flops", "time"
COUNTED = ("encoder", "connector", "fusion", "language_model")  # whose parameters are those of a model


class MatchSettings(Settings, frozen=True):
    """What every variant is to have as much of as the baseline, and what is turned for that."""

    parameters: tuple[str, ...] | None = Field(
        default=None,
        min_length=1,
        description="options of which one is turned until the model has as many parameters, as language_model.width",
    )
    flops: str | None = Field(
        default=None, description="the phase whose steps are set so that training takes as many operations"
    )
    time: str | None = Field(default=None, description="the phase whose steps are set so that training takes as long")

    @property
    def phase(self) -> str | None:
        """The phase whose length is set; None where lengths stay as they are written."""
        return self.flops or self.time

    @model_validator(mode="after")
    def _sets_one_length(self) -> MatchSettings:
        if self.flops and self.time:
            raise ValueError("'flops' and 'time' both set the length of training: keep one of them")
        if self == MatchSettings.model_construct():
            raise ValueError("this matches nothing: write {parameters: [language_model.width]}, flops or time")
        return self


@dataclass(frozen=True)
class Sizing:
    """What was set in the trials that have these labels, and how near that came: `reached` of what the baseline has,
    `aimed`. Nothing is in `settings` where what is written comes nearest."""

    by: str
    axes: Mapping[str, str]
    settings: Mapping[str, int]
    reached: float
    aimed: float

    @property
    def label(self) -> str:
        """What these trials are called."""
        return ", ".join(self.axes.values()) or "every trial"

    @property
    def deviation(self) -> float:
        """By which share of what the baseline has this has more, or, below 0, less."""
        return self.reached / self.aimed - 1

    def spec(self) -> dict[str, Any]:
        """As it stands in experiment.json."""
        told = {"by": self.by, "axes": dict(self.axes), "settings": dict(self.settings)}
        return {**told, "reached": self.reached, "aimed": self.aimed}


@dataclass(frozen=True)
class Sized:
    """The trials with what was set, in their order, what that was, and why some could not be made alike."""

    trials: Sequence[Trial]
    sizings: tuple[Sizing, ...] = ()
    faults: tuple[Fault, ...] = ()

    def then(self, after: Sized) -> Sized:
        """What was set after this in the trials that came of it, and this."""
        return Sized(after.trials, (*self.sizings, *after.sizings), (*self.faults, *after.faults))


def common_labels(trials: Sequence[Trial]) -> dict[str, str]:
    """The labels that all of these trials have in common, but for the seed."""
    first = trials[0].axes
    return {
        axis: text for axis, text in first.items() if axis != SEED and all(each.axes[axis] == text for each in trials)
    }


Sizer = Callable[[Sequence[Trial], Trial, MatchSettings], Sized]
"""Makes trials alike to one of them, the baseline."""


def read_match(written: Any, phases: Sequence[str]) -> tuple[MatchSettings | None, list[Fault]]:
    """What a file says under `match`, or what is wrong with it. A bare `flops` or `time` sets the last of `phases`."""
    if written in (FLOPS, TIME):
        if not phases:
            return None, [((), "there are no phases, and so no length to match")]
        written = {written: phases[-1]}
    if written == PARAMETERS:
        return None, [((), "name the options that may be turned, as {parameters: [language_model.width]}")]
    if isinstance(written, dict) and isinstance(written.get(PARAMETERS), str):
        written = {**written, PARAMETERS: [written[PARAMETERS]]}
    settings, faults = check_settings(MatchSettings, written)
    if settings and settings.phase and settings.phase not in phases:
        near = f"{did_you_mean(settings.phase, phases)} Phases: {', '.join(phases) or 'none'}"
        way = (FLOPS if settings.flops else TIME,) if isinstance(written, dict) else ()
        return None, [(way, f"there is no phase '{settings.phase}'.{near}")]
    return settings, faults


def check_match(settings: MatchSettings, trials: Sequence[Trial], axes: Sequence[Axis]) -> list[Fault]:
    """What cannot be turned in these trials: no plugin has it, it is no whole number, or the axes vary it."""
    found: list[Fault] = []
    for number, knob in enumerate(settings.parameters or ()):
        fault = _knob_fault(knob, trials) or _axis_fault(knob, axes)
        found += [((PARAMETERS, number), fault)] if fault else []
    if settings.phase:
        way = (FLOPS if settings.flops else TIME,)
        found += [(way, fault) for fault in _phase_faults(settings.phase, trials, axes)]
    return found


def _knob_fault(knob: str, trials: Sequence[Trial]) -> str:
    kind, _, option = knob.partition(".")
    if kind not in COUNTED or not option:
        kinds = f"Write KIND.OPTION, of {', '.join(COUNTED)}: their parameters are counted"
        return f"'{knob}' cannot be turned.{did_you_mean(kind, COUNTED)} {kinds}"
    components = {trial.components[kind].name: trial.components[kind] for trial in trials}
    having = {name: each.options[option] for name, each in components.items() if option in each.options}
    if not having:
        known = dict.fromkeys(
            name for each in components.values() for name, value in each.options.items() if _whole(value)
        )
        near = f"{did_you_mean(option, known)} Whole numbers among their options: {', '.join(known) or 'none'}"
        return f"no {kind} of this experiment has an option '{option}'.{near}"
    for name, value in having.items():
        if not _whole(value):
            return (
                f"'{option}' of '{name}' is {label(value)}: only whole numbers can be turned. Write one to begin with"
            )
    return ""


def _axis_fault(knob: str, axes: Sequence[Axis]) -> str:
    """What the report calls a variant has to stay true: what tells two values apart is not turned."""
    kind, _, option = knob.partition(".")
    for axis in axes:
        if axis.name == knob:
            return f"'{knob}' is an axis: the variants differ in it. Name another option, or remove the axis"
        written = [value.written for value in axis.values] if axis.name == kind else []
        told: dict[Any, set[str]] = {}
        for each in written:
            name = each.get("name") if isinstance(each, dict) else each
            told.setdefault(name, set()).add(label(each.get(option)) if isinstance(each, dict) else label(None))
        for name in [name for name, values in told.items() if len(values) > 1]:
            return f"values of the axis '{kind}' with the name '{name}' differ in '{option}'. Name another option"
    return ""


def _phase_faults(phase: str, trials: Sequence[Trial], axes: Sequence[Axis]) -> Iterator[str]:
    for setting in ("steps", "epochs"):
        if any(axis.name == f"phases.{phase}.{setting}" for axis in axes):
            yield f"'phases.{phase}.{setting}' is an axis: the variants differ in it. Name another phase"
    impatient = dict.fromkeys(each.name for trial in trials for each in trial.phases if each.patience)
    for name in impatient:
        yield f"'{name}' may stop early: nobody knows what all of training takes. Leave out its 'patience'"


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
