"""Makes the models of an experiment's variants as large as the baseline's, by turning an option of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from workbench.config.component import Component
from workbench.config.match_settings import PARAMETERS, Sized, Sizing, common_labels
from workbench.config.trial import Trial
from workbench.config.validation_messages import Fault
from workbench.model.build import CompositionError, count_parameters
from workbench.runs.knob_search import Candidate, KnobSearch, NotGrowing
from workbench.runs.memo import Memo
from workbench.runs.model_size import ModelSizes

if TYPE_CHECKING:
    from workbench.registry import Registry
    from workbench.runs.trial_data import TrialData

MODEL = ("dataset", "encoder", "connector", "fusion", "language_model")  # what a model is made of before it trains
MOST_TRIED = 64  # values that an adapter or a quantizer may refuse, one after the other
NEAR = 0.10  # of the baseline's parameters: what is farther away is not called alike


@dataclass(frozen=True)
class _Turned:
    """A model with one of its options turned: which, to what, and how many parameters it then has."""

    knob: str
    candidate: Candidate
    component: Component


class MatchedParameters:
    """Sizes trials. What several have in common besides adapter, quantizer and training is sized once, so that they
    still share what they trained."""

    def __init__(self, registry: Registry, data: TrialData):
        self.registry = registry
        self.sizes = ModelSizes(registry, data)
        self._memo = Memo()

    def sized(self, trials: Sequence[Trial], like: Trial, knobs: Sequence[str]) -> Sized:
        """Every trial with as many parameters as the one they are to be `like`, which stays as it is. Where none of the
        options `knobs` brings a trial near, that is a fault."""
        target = self._count(like)
        models: dict[tuple[Component, ...], list[Trial]] = {}
        for trial in trials:
            models.setdefault(_model(trial), []).append(trial)
        turned: dict[tuple[Component, ...], _Turned | None] = {}
        sizings: list[Sizing] = []
        faults: list[Fault] = []
        for model, having in models.items():
            try:
                found = turned[model] = self._nearest(having, target, knobs) if model != _model(like) else None
            except CompositionError as error:
                faults.append(((PARAMETERS,), f"{error} [trial '{having[0].label}']"))
                continue
            reached = found.candidate.count if found else self._count(having[0])
            settings = {found.knob: found.candidate.value} if found else {}
            sizing = Sizing(PARAMETERS, common_labels(having), settings, reached, target)
            sizings.append(sizing)
            if _far(reached, target):
                faults.append(((PARAMETERS,), _too_far(sizing, having[0], like, knobs)))
        return Sized([_with(trial, turned.get(_model(trial))) for trial in trials], tuple(sizings), tuple(faults))

    def _nearest(self, having: Sequence[Trial], target: int, knobs: Sequence[str]) -> _Turned | None:
        """What one option of the model is turned to; None where what is written comes nearest. `CompositionError` where
        no value at all is taken."""
        trial, found = having[0], list[_Turned]()
        for knob in knobs:
            kind, _, option = knob.partition(".")
            if option in trial.components[kind].options:
                found += self._turned(having, target, knob)
        best = min(found, key=lambda each: abs(each.candidate.count - target), default=None)
        return None if best is None or best.component == trial.components[best.component.kind] else best

    def _turned(self, having: Sequence[Trial], target: int, knob: str) -> Iterator[_Turned]:
        """What the option is turned to, if any value is taken."""
        kind, _, option = knob.partition(".")
        written = having[0].components[kind]
        check = self.registry.plugin(kind, written.name).options[option].validate

        def component(value: int) -> Component:
            return replace(written, options={**written.options, option: check(value)})

        def count(value: int) -> int | None:
            try:
                return self._count(_replaced(having[0], component(value)))
            except (CompositionError, ValueError):
                return None

        try:
            nearest = KnobSearch(count, written.options[option], target).nearest_first()
            for candidate in islice(nearest, MOST_TRIED):
                made = component(candidate.value)
                if self._fits(made, having):
                    yield _Turned(knob, candidate, made)
                    return
        except NotGrowing as error:
            raise CompositionError(f"'{knob}' of '{written.name}' cannot be turned: {error}") from error
        self._count(having[0])  # which tells what is wrong with what is written

    def _fits(self, component: Component, having: Iterable[Trial]) -> bool:
        """Whether adapters, quantizers and phases take the model as well."""
        for trial in having:
            try:
                self.sizes.of(_replaced(trial, component))
            except CompositionError:
                return False
        return True

    def _count(self, trial: Trial) -> int:
        return self._memo.once(_model(trial), lambda: count_parameters(self.sizes.shapes.of(trial)))


def _model(trial: Trial) -> tuple[Component, ...]:
    return tuple(trial.components[kind] for kind in MODEL)


def _replaced(trial: Trial, component: Component) -> Trial:
    return replace(trial, components={**trial.components, component.kind: component})


def _with(trial: Trial, turned: _Turned | None) -> Trial:
    return _replaced(trial, turned.component) if turned else trial


def _far(count: float, target: float) -> bool:
    return abs(count / target - 1) > NEAR


def _too_far(sizing: Sizing, trial: Trial, like: Trial, knobs: Sequence[str]) -> str:
    having = [knob for knob in knobs if knob.partition(".")[2] in trial.components[knob.partition(".")[0]].options]
    tried = f"'{sizing.label}' has none of {', '.join(knobs)}: it has"
    if having:
        at = ", ".join(f"{knob}={value}" for knob, value in sizing.settings.items()) or "what is written"
        tried = f"'{sizing.label}' comes nearest with {at}:"
    more = "more" if sizing.deviation > 0 else "fewer"
    return (
        f"{tried} {sizing.reached:,} parameters, {abs(sizing.deviation):.1%} {more} than the {sizing.aimed:,} of the"
        f" baseline '{like.label}'. Name an option that brings it within {NEAR:.0%}"
    )
