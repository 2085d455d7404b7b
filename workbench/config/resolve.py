"""A point of the grid -> its trial: every component with its options, every phase, checked against the plugins.

What a point shares with another (the same encoder, the same phase) is checked once and used by both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from workbench.checkpoints.chat_template import CHAT
from workbench.config.component import COMPONENTS, Component
from workbench.config.grid import SEED, Axis, Point, Value, path_of
from workbench.config.phase import DEFAULT_TEXT, Evaluation, Phase
from workbench.config.problems import Document, Keys
from workbench.config.trial import Trial
from workbench.config.validation_messages import Fault, check_settings, label, shown
from workbench.errors import did_you_mean
from workbench.registry import Registry, RegistryError, check_options, resolve_options

DEFAULT_PROMPT = "<image>{question}\n"
ABSENT = "-"  # the label of an option that a trial's plugin does not have


@dataclass(frozen=True)
class Resolved:
    """A part of a trial, or None and what is wrong with it."""

    value: Any
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True)
class Written:
    """What the file says about a part: its value in base or on its own axis, and single settings on axes."""

    value: Any
    keys: Keys
    swept: Mapping[str, tuple[Any, Keys]]  # setting -> its value and where it was written


@dataclass
class Resolver:
    """Makes trials of points. `awaited` are the kinds whose axis could not be read: they are not missing too."""

    document: Document
    registry: Registry
    axes: tuple[Axis, ...]
    awaited: frozenset[str] = frozenset()
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
        """The names of the phases in base; a phase without one is called by its number."""
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
        return Resolved((components, chosen, evaluation.value, prompt.value, outside.value))

    def ever_trained(self, phase: tuple[str, ...]) -> set[str]:
        """What an axis lets train in a phase at some point of the grid: no other point needs to leave its rate out."""
        lists = [value.written for axis in self.axes if axis.path == (*phase, "train") for value in axis.values]
        return {part for parts in lists if isinstance(parts, list) for part in parts if isinstance(part, str)}

    def part(self, path: tuple[str, ...], point: Point) -> Resolved:
        """One part of a trial: ("fusion",), ("phases", "tune"), ("evaluation",) or ("prompt",)."""
        if path not in self._touching:
            self._touching[path] = [axis.name for axis in self.axes if axis.path[: len(path)] == path]
        key = (path, *map(point.get, self._touching[path]))
        if key not in self._known:
            make = _MAKERS.get(path[0], _make_component)
            self._known[key] = make(self, path, self._written(path, point))
        return self._known[key]

    def current(self, axis: str, point: Point) -> str:
        """The label of a setting that a variant leaves out: what the trial has there."""
        *part, setting = path_of(axis)
        resolved = self.part(tuple(part) or (setting,), point).value
        if isinstance(resolved, Component):
            return label(resolved.spec()[setting]) if setting in resolved.options else ABSENT
        return ABSENT if resolved is None else label(getattr(resolved, setting, resolved))

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


def phase_names(document: Document) -> list[str]:
    """The names of the phases in base, in order."""
    phases = document.value.get("base", {}).get("phases")
    if not isinstance(phases, list):
        return []
    return [
        str(phase.get("name", number)) if isinstance(phase, dict) else str(number)
        for number, phase in enumerate(phases)
    ]


def check_component(kind: str, written: Any, keys: Keys, registry: Registry) -> list[Fault]:
    """What is wrong with a component as written, apart from options it still needs."""
    name, options, faults = _read_component(kind, written, keys, registry)
    if faults:
        return faults
    wrong = check_options(registry.entry(kind, name), options)
    return [((*keys, option), message) for option, message in wrong if option in options]


def resolve_component(kind: str, written: Written, registry: Registry, folder: Path) -> Resolved:
    """A component with its defaults filled in; paths among its options are relative to `folder`."""
    name, options, faults = _read_component(kind, written.value, written.keys, registry)
    if faults:
        return Resolved(None, tuple(faults))
    entry = registry.entry(kind, name)
    places: dict[str, Keys] = {option: (*written.keys, option) for option in options}
    for option, (value, keys) in written.swept.items():
        if option in options and written.keys[0] != "base":
            faults.append((keys, f"'{kind}.{option}' has an axis, and '{name}' sets it too. Remove one of them"))
        options[option] = value
        places[option] = keys
    for option, inner in entry.options.items():
        if inner.kind and isinstance(options.get(option), dict):
            options[option], more = _resolve_parts(inner.kind, options[option], places[option], registry, folder)
            faults += more
    try:
        component = Component(kind, name, resolve_options(entry, options), folder)
    except RegistryError:
        for option, message in check_options(entry, options):
            advice = _exclude_or_write_out(kind, name, option, written) if option not in entry.options else ""
            faults.append((places.get(option, written.keys), message + advice))
        return Resolved(None, tuple(faults))
    return Resolved(None if faults else component, tuple(faults))


def _resolve_parts(
    kind: str, written: Mapping[str, Any], keys: Keys, registry: Registry, folder: Path
) -> tuple[dict[str, Component], list[Fault]]:
    """The components that another one takes by name, and what is wrong with them."""
    found = {
        name: resolve_component(kind, Written(each, (*keys, name), {}), registry, folder)
        for name, each in written.items()
    }
    return {name: each.value for name, each in found.items()}, [
        fault for each in found.values() for fault in each.faults
    ]


def _make_component(resolver: Resolver, path: tuple[str, ...], written: Written) -> Resolved:
    kind = path[0]
    if written.value is None and kind in resolver.awaited:
        return Resolved(None)
    return resolve_component(kind, written, resolver.registry, resolver.document.folder)


def _make_phase(resolver: Resolver, path: tuple[str, ...], written: Written) -> Resolved:
    phase, faults = _check(Phase, written)
    if phase is None:
        return Resolved(None, faults)
    keys = written.keys
    more: list[Fault] = []
    if not re.fullmatch(r"[\w -]+", phase.name):
        more.append(
            ((*keys, "name"), f"'{phase.name}' is no name of a phase. Use letters, digits, spaces, '_' and '-'")
        )
    if isinstance(phase.rate, dict):
        trained = resolver.ever_trained(path) | {*phase.train}
        strange = [part for part in phase.rate if part not in trained]
        missing = [part for part in phase.train if part not in phase.rate]
        train = f"The phase trains: {', '.join(phase.train)}"
        more += [((*keys, "rate", part), f"'{part}' does not train, so it has no rate. {train}") for part in strange]
        more += [((*keys, "rate"), f"there is no rate for '{part}'. {train}") for part in missing]
        if not more:
            phase = phase.model_copy(update={"rate": {part: phase.rate[part] for part in phase.train}})
    for kind, names in phase.only.items():
        more += _check_only(resolver.registry, kind, names, (*keys, "only", kind))
    return Resolved(None if more else phase, tuple(more))


def _make_evaluation(resolver: Resolver, path: tuple[str, ...], written: Written) -> Resolved:
    evaluation, faults = _check(Evaluation, written)
    if evaluation and evaluation.text not in ("", DEFAULT_TEXT):
        file = resolver.document.folder / Path(evaluation.text).expanduser()
        if not file.is_file():
            keys = written.swept["text"][1] if "text" in written.swept else (*written.keys, "text")
            return Resolved(None, ((keys, f"there is no file {file}. Give one with plain text, or '{DEFAULT_TEXT}'"),))
    return Resolved(evaluation, faults)


def _make_outside(resolver: Resolver, path: tuple[str, ...], written: Written) -> Resolved:
    if written.value is None:
        return Resolved(None)
    return resolve_component("dataset", written, resolver.registry, resolver.document.folder)


def _make_prompt(resolver: Resolver, path: tuple[str, ...], written: Written) -> Resolved:
    prompt = written.value
    if not isinstance(prompt, str):
        return Resolved(None, ((written.keys, f"this must be a text with {{question}} in it, not {shown(prompt)}"),))
    if prompt.strip() == CHAT:
        return Resolved(prompt, ())
    fields = re.findall(r"\{([^{}\s]*)\}", prompt)
    faults = [
        f"'{{{name}}}' is not filled in.{did_you_mean(name, ['question'])} Write {{question}}, the only field there is"
        for name in fields
        if name != "question"
    ]
    if "question" not in fields:
        faults.append("the question does not occur. Write {question} where it belongs, as <image>{question}")
    return Resolved(None if faults else prompt, tuple((written.keys, fault) for fault in faults))


_MAKERS: dict[str, Callable[[Resolver, tuple[str, ...], Written], Resolved]] = {
    "phases": _make_phase,
    "evaluation": _make_evaluation,
    "outside": _make_outside,
    "prompt": _make_prompt,
}


def _check(model: type[Phase] | type[Evaluation], written: Written) -> tuple[Any, tuple[Fault, ...]]:
    """The model of what is written; a fault stands where its setting was written."""
    value = written.value
    if isinstance(value, dict):
        value = {**value, **{setting: swept for setting, (swept, _) in written.swept.items()}}
    checked, faults = check_settings(model, value)
    placed = []
    for way, message in faults:
        head = written.swept.get(str(way[0])) if way else None
        placed.append(((*head[1], *way[1:]) if head else (*written.keys, *way), message))
    return checked, tuple(placed)


def _check_only(registry: Registry, kind: str, names: str | tuple[str, ...], keys: Keys) -> list[Fault]:
    if kind not in COMPONENTS:
        return [(keys, f"there is no kind '{kind}'.{did_you_mean(kind, COMPONENTS)} Kinds: {', '.join(COMPONENTS)}")]
    faults = []
    for name in [names] if isinstance(names, str) else names:
        try:
            registry.entry(kind, name)
        except RegistryError as error:
            faults.append((keys, str(error)))
    return faults


def _read_component(kind: str, written: Any, keys: Keys, registry: Registry) -> tuple[str, dict[str, Any], list[Fault]]:
    """`mine` or `{name: mine, depth: 2}` -> the name and the options."""
    options = dict(written) if isinstance(written, dict) else {}
    name = options.pop("name", None) if isinstance(written, dict) else written
    known = ", ".join(entry.name for entry in registry.entries(kind))
    if written is None:
        message = f"'{kind}' is missing. Write '{kind}: NAME' in base, or vary it in grid or variants. Known: {known}"
        return "", {}, [(keys[:-1], message)]
    if not isinstance(name, str):
        what = (
            f"the {kind}'s name is missing"
            if isinstance(written, dict) and name is None
            else f"{shown(name)} is no {kind}"
        )
        return "", {}, [(keys, f"{what}. Write 'NAME' or '{{name: NAME, option: value}}'. Known: {known}")]
    try:
        registry.entry(kind, name)
    except RegistryError as error:
        return "", {}, [((*keys, "name") if isinstance(written, dict) else keys, str(error))]
    return name, options, []


def _exclude_or_write_out(kind: str, name: str, option: str, written: Written) -> str:
    if option not in written.swept:
        return ""
    return (
        f". Exclude these trials (exclude: [{{{kind}: {name}}}]), or write the values out:"
        f" {kind}: [{name}, {{name: OTHER, {option}: {label(written.swept[option][0])}}}]"
    )


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
