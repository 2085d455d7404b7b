"""A point of the grid -> its trial: every component with its options, every phase, checked against the plugins.

What a point shares with another (the same encoder, the same phase) is checked once and used by both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from workbench.config.component import COMPONENTS, Component
from workbench.config.grid import SEED, Axis, Point, Value, path_of
from workbench.config.phase import Phase
from workbench.config.problems import Document, Keys
from workbench.config.resolve_components import resolve_component
from workbench.config.resolve_phases import (
    DEFAULT_PROMPT,
    phase_names,
    resolve_evaluation,
    resolve_phase,
    resolve_prompt,
)
from workbench.config.trial import Trial
from workbench.config.validation_messages import label
from workbench.config.written import Resolved, Written
from workbench.registry import Registry

ABSENT = "-"  # the label of an option that a trial's plugin does not have


@dataclass
class Resolver:
    """Makes trials of points. `awaited` are the kinds whose axis could not be read: they are not missing too; `metrics`
    the names of those that the experiment has."""

    document: Document
    registry: Registry
    axes: tuple[Axis, ...]
    awaited: frozenset[str] = frozenset()
    metrics: tuple[str, ...] = ()
    _known: dict[tuple[Any, ...], Resolved] = field(default_factory=dict)
    _touching: dict[tuple[str, ...], list[str]] = field(default_factory=dict)  # by path: names of axes that set it

    @cached_property
    def _unseeded(self) -> list[str]:
        return [axis.name for axis in self.axes if axis.name != SEED]

    @cached_property
    def _seeds(self) -> tuple[Value, ...]:
        return next(axis.values for axis in self.axes if axis.name == SEED)

    @cached_property
    def phase_names(self) -> list[str]:
        """The names of the phases in base, looked up once for all points."""
        return phase_names(self.document)

    def trial(self, point: Point, experiment: str, metrics: tuple[Component, ...], axes: Mapping[str, str]) -> Resolved:
        """The trial of a point, or everything that is wrong with it."""
        known = ("trial", *[point.get(name) for name in self._unseeded])
        if known not in self._known:
            self._known[known] = self._parts(point)
        parts = self._known[known]
        if parts.value is None:
            return parts
        components, phases, evaluation, prompt, outside = parts.value
        seed = self._seeds[point[SEED]].written
        return Resolved(Trial(experiment, axes, components, phases, metrics, evaluation, prompt, seed, outside))

    def _parts(self, point: Point) -> Resolved:
        """What a trial is made of besides its seed: seeds share it."""
        parts = {kind: self.part((kind,), point) for kind in COMPONENTS}
        phases = [self.part(("phases", name), point) for name in self.phase_names]
        evaluation, prompt = self.part(("evaluation",), point), self.part(("prompt",), point)
        outside = self.part(("outside",), point)
        faults = [fault for part in (*parts.values(), *phases, evaluation, prompt, outside) for fault in part.faults]
        components = {kind: part.value for kind, part in parts.items()}
        if faults or None in (*components.values(), *[phase.value for phase in phases], evaluation.value):
            return Resolved(None, tuple(faults))
        chosen = tuple(phase.value for phase in phases if _applies(phase.value, components))
        components["dataset"] = self._withholding(components["dataset"], evaluation.value.held_out)
        return Resolved((components, chosen, evaluation.value, prompt.value, outside.value))

    def part(self, path: tuple[str, ...], point: Point) -> Resolved:
        """One part of a trial: ("fusion",), ("phases", "tune"), ("evaluation",) or ("prompt",)."""
        if path not in self._touching:
            self._touching[path] = [axis.name for axis in self.axes if axis.path[: len(path)] == path]
        key = (path, *map(point.get, self._touching[path]))
        if key not in self._known:
            self._known[key] = self._resolved(path, self._written(path, point))
        return self._known[key]

    def current(self, axis: str, point: Point) -> str:
        """The label of a setting that a variant leaves out: what the trial has there."""
        *part, setting = path_of(axis)
        resolved = self.part(tuple(part) or (setting,), point).value
        if isinstance(resolved, Component):
            return label(resolved.spec()[setting]) if setting in resolved.options else ABSENT
        return ABSENT if resolved is None else label(getattr(resolved, setting, resolved))

    def _withholding(self, dataset: Component, share: float) -> Component:
        """The dataset with what is held out of it, one object for all points that have it."""
        key = ("withheld", dataset, share)
        if key not in self._known:
            self._known[key] = Resolved(replace(dataset, withheld=share))
        return self._known[key].value

    def _resolved(self, path: tuple[str, ...], written: Written) -> Resolved:
        match path:
            case ("phases", _):
                return resolve_phase(written, self.registry, self._ever_trained(path), self.metrics)
            case ("evaluation",):
                return resolve_evaluation(written, self.document.folder)
            case ("prompt",):
                return resolve_prompt(written)
            case ("outside",) if written.value is None:
                return Resolved(None)
            case ("outside",):
                return resolve_component("dataset", written, self.registry, self.document.folder)
            case (kind,) if written.value is None and kind in self.awaited:
                return Resolved(None)
        return resolve_component(path[0], written, self.registry, self.document.folder)

    def _ever_trained(self, phase: tuple[str, ...]) -> set[str]:
        """What an axis lets train in a phase at some point of the grid: no other point needs to leave its rate out."""
        lists = [value.written for axis in self.axes if axis.path == (*phase, "train") for value in axis.values]
        return {part for parts in lists if isinstance(parts, list) for part in parts if isinstance(part, str)}

    def _written(self, path: tuple[str, ...], point: Point) -> Written:
        value, keys = _in_base(self.document, path)
        swept: dict[str, tuple[Any, Keys]] = {}
        for axis in self.axes:
            if axis.path[: len(path)] == path and axis.name in point:
                chosen = axis.values[point[axis.name]]
                if axis.path == path:
                    value, keys = chosen.written, chosen.keys
                else:
                    swept[axis.path[len(path)]] = (chosen.written, chosen.keys)
        return Written(value, keys, swept)


def _applies(phase: Phase, components: Mapping[str, Component]) -> bool:
    """Whether a phase takes place; `only` leaves it out for other components."""
    wanted = {kind: (names,) if isinstance(names, str) else names for kind, names in phase.only.items()}
    return phase.run and all(components[kind].name in names for kind, names in wanted.items())


def _in_base(document: Document, path: tuple[str, ...]) -> tuple[Any, Keys]:
    """What base (or the top level) says about a part, and where."""
    value = document.value
    base = value.get("base", {})
    match path:
        case ("phases", name):
            number = phase_names(document).index(name)
            return base["phases"][number], ("base", "phases", number)
        case ("evaluation",):
            return _without_outside(value.get("evaluation", {})), ("evaluation",)
        case ("outside",):
            evaluation = value.get("evaluation", {})
            return evaluation.get("outside") if isinstance(evaluation, dict) else None, ("evaluation", "outside")
        case ("prompt",):
            return value.get("prompt", DEFAULT_PROMPT), ("prompt",)
        case (kind,):
            return base.get(kind), ("base", kind)
    raise KeyError(path)


def _without_outside(evaluation: Any) -> Any:
    """The settings of an evaluation; the dataset among them is a component and read apart."""
    if not isinstance(evaluation, dict):
        return evaluation
    return {setting: value for setting, value in evaluation.items() if setting != "outside"}
