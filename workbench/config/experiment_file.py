"""The keys of an experiment file, and what can be said about each without expanding the grid."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import Field, NonNegativeInt

from workbench.config.comparison_settings import ComparisonSettings
from workbench.config.component import COMPONENTS, Component
from workbench.config.grid import (
    OUTSIDE,
    SEED,
    Axis,
    Point,
    Value,
    axes_of_variants,
    kind_of,
    make_axis,
    meaning,
    path_of,
)
from workbench.config.match_settings import MatchSettings, read_match
from workbench.config.phase import Evaluation, Phase, Settings
from workbench.config.problems import Document, Keys, Problems
from workbench.config.resolve_components import check_component, resolve_component
from workbench.config.resolve_phases import DEFAULT_PROMPT, phase_names
from workbench.config.validation_messages import check_settings, label, shown
from workbench.config.written import Written
from workbench.errors import did_you_mean
from workbench.registry import Registry

NAME = re.compile(r"[\w-][\w. -]{0,99}")
RESERVED_NAMES = ("artifacts",)  # `results/artifacts` is where all experiments share what their stages made


class ExperimentFile(Settings, frozen=True):
    """The keys of an experiment file at its top level, as they are written: no plugin is looked up yet."""

    name: str = Field(default="", description="names its folder under `results/`; by default the file's name")
    question: str = Field(default="", description="what is asked, in a sentence; the report begins with it")
    base: dict[str, Any] = Field(description="what the trials share: components and phases")
    grid: dict[str, list[Any]] = Field(default={}, description="axes and their values; every combination is a trial")
    labels: dict[str, list[Annotated[str, Field(min_length=1)]]] = Field(
        default={}, description="what the report calls the values of an axis of grid, in their order"
    )
    variants: list[dict[str, Any]] = Field(
        default=[], description="explicit trials; with a grid, each is multiplied with it"
    )
    exclude: list[dict[str, Any]] = Field(default=[], description="patterns; trials that match one are left out")
    seeds: Annotated[list[NonNegativeInt], Field(min_length=1)] = Field(
        default=[0], description="every trial runs with each"
    )
    baseline: dict[str, Any] = Field(
        default={}, description="what the others are compared with; by default the first trial"
    )
    final: list[dict[str, Any]] = Field(
        default=[], description="patterns; trials that match one, with all seeds, are those that `run --final` tests"
    )
    metrics: Annotated[list[Any], Field(min_length=1)] = Field(description="scores of an answer; the first decides")
    prompt: str = Field(default=DEFAULT_PROMPT, description="what a model reads before it answers")
    evaluation: dict[str, Any] = Field(default={}, description="how a trained model is asked")
    statistics: dict[str, Any] = Field(default={}, description="how the report compares; it changes no result")
    match: Any = Field(
        default=None, description="what variants are made alike in, by size or length: parameters, flops or time"
    )
    launcher: Any = Field(default=None, description="where stages run; it changes no result")
    trackers: list[Any] = Field(default=[], description="tools that show a run; they change no result")


@dataclass
class FileReader:
    """Reads the keys one by one, notes the problems of each and carries on with the others."""

    file: ExperimentFile
    document: Document
    registry: Registry
    problems: Problems
    wrong: frozenset[str]  # top-level keys that could not be read, or are missing

    def check_beginning(self) -> None:
        """The name, and what all trials share."""
        self.check_name()
        self.check_base()

    def check_name(self) -> None:
        """The name can be that of a folder in the results, and of no other folder there."""
        name = self.file.name
        if not NAME.fullmatch(name) or name in RESERVED_NAMES:
            taken = f" ('{name}' is taken by the workbench)" if name in RESERVED_NAMES else ""
            advice = "Give another 'name': letters, digits, spaces, '_', '-' and '.', with a letter or digit first"
            self.problems.add(("name",), f"'{name}' cannot name the results folder{taken}. {advice}")

    def check_base(self) -> None:
        """Every component as far as it is written, and that there are phases."""
        for key, written in self.file.base.items():
            if key in COMPONENTS:
                self.problems.add_all(check_component(key, written, ("base", key), self.registry))
            elif key in ExperimentFile.model_fields:
                self.problems.add(("base", key), f"'{key}' belongs to the top level. Move it out of base")
            elif key != "phases":
                near = f"{did_you_mean(key, (*COMPONENTS, 'phases'))} Keys: {', '.join(COMPONENTS)}, phases"
                self.problems.add(("base", key), f"there is no key '{key}' here.{near}")
        if "base" not in self.wrong:
            self._check_phases(self.file.base.get("phases"))

    def metrics(self) -> tuple[Component, ...]:
        """The metrics with every option they score with; the first decides in a report. None is there twice."""
        found: dict[str, Component] = {}
        for number, written in enumerate(self.file.metrics):
            keys: Keys = ("metrics", number)
            resolved = resolve_component("metric", Written(written, keys), self.registry, self.document.folder)
            self.problems.add_all(resolved.faults)
            if resolved.value and resolved.value.name in found:
                self.problems.add(keys, f"the metric '{resolved.value.name}' is given twice. Keep one")
            elif resolved.value:
                found[resolved.value.name] = resolved.value
        return tuple(found.values())

    def launcher(self) -> Component | None:
        """The launcher with every option; None for the usual one, and for one that cannot be used, which is noted."""
        if self.file.launcher is None:
            return None
        written = Written(self.file.launcher, ("launcher",))
        resolved = resolve_component("launcher", written, self.registry, self.document.folder)
        self.problems.add_all(resolved.faults)
        return resolved.value

    def trackers(self) -> tuple[Component, ...]:
        """The trackers with every option; those that cannot be used are left out and noted."""
        found = []
        for number, each in enumerate(self.file.trackers):
            written = Written(each, ("trackers", number))
            resolved = resolve_component("tracker", written, self.registry, self.document.folder)
            self.problems.add_all(resolved.faults)
            found += [resolved.value] if resolved.value else []
        return tuple(found)

    def grid(self) -> list[Axis]:
        """The axes of `grid`, without those that cannot be read."""
        axes = []
        for name, written in self.file.grid.items():
            keys: Keys = ("grid", name)
            if not written:
                self.problems.add(keys, f"the axis has no values. Write '{name}: [first, second]', or remove it")
            values = self._different(name, [Value(item, (*keys, number)) for number, item in enumerate(written)])
            labels = self._labels(name, len(written))
            if self._can_vary(name, keys) and values:
                axes.append(make_axis(name, values, labels if len(labels) == len(values) else ()))
        for name in [name for name in self.file.labels if name not in self.file.grid and "grid" not in self.wrong]:
            advice = did_you_mean(name, self.file.grid)
            self.problems.add(("labels", name), f"'{name}' is no axis of grid, so it has no values to name.{advice}")
        return axes

    def variants(self) -> tuple[list[Axis], list[Point]]:
        """The axes of `variants` and a point for each; without any, one point that sets nothing."""
        variants: list[tuple[Keys, Mapping[str, Any]]] = []
        for number, variant in enumerate(self.file.variants):
            keys: Keys = ("variants", number)
            if not variant:
                self.problems.add(keys, "the variant sets nothing. Write {axis: value}, as {fusion: NAME}")
            for axis in [axis for axis in variant if axis in self.file.grid]:
                self.problems.add((*keys, axis), f"'{axis}' is an axis of grid too. Remove one of them")
            good = [axis for axis in variant if self._can_vary(axis, (*keys, axis)) and axis not in self.file.grid]
            variants.append((keys, {axis: variant[axis] for axis in good}))
        base, outside = self.file.base, self.file.evaluation.get("outside")
        otherwise = {kind: Value(base[kind], ("base", kind)) for kind in COMPONENTS if kind in base}
        otherwise[OUTSIDE] = Value(outside, ("evaluation", "outside"))
        return axes_of_variants(variants, otherwise) if variants else ([], [{}])

    def statistics(self) -> ComparisonSettings:
        """How the report compares."""
        settings, faults = check_settings(ComparisonSettings, self.file.statistics)
        self.problems.add_all((("statistics", *keys), message) for keys, message in faults)
        return settings or ComparisonSettings()

    def match(self) -> MatchSettings | None:
        """What variants are made alike in; None where each stays as it is written, and where that cannot be read."""
        if self.file.match is None:
            return None
        settings, faults = read_match(self.file.match, phase_names(self.document))
        self.problems.add_all((("match", *keys), message) for keys, message in faults)
        return settings

    def seeds(self) -> Axis:
        """Seeds as the last axis: every trial of the grid and of the variants runs with each."""
        values = [Value(seed, ("seeds", number)) for number, seed in enumerate(self.file.seeds)]
        return make_axis(SEED, self._different(SEED, values))

    def named_axes(self) -> frozenset[str]:
        """Every axis the file names, those included that cannot be read."""
        return frozenset(axis for settings in (self.file.grid, *self.file.variants) for axis in settings)

    def awaited(self) -> frozenset[str]:
        """The kinds that are not missing, though what gives them may be wrong."""
        unknown = {"base", "grid", "variants"} & self.wrong
        return frozenset(COMPONENTS) if unknown else self.named_axes() & set(COMPONENTS)

    def _check_phases(self, phases: Any) -> None:
        if phases is None:
            advice = "Write a list of phases, or 'phases: []' to evaluate the parts as they are"
            self.problems.add(("base",), f"'phases' is missing. {advice}")
        elif not isinstance(phases, list):
            advice = "Write a list of phases, each beginning with '- name: NAME'"
            self.problems.add(("base", "phases"), f"{shown(phases)} is no list. {advice}")
        names = phase_names(self.document)
        for number, name in enumerate(names):
            if name in names[:number]:
                message = f"two phases are called '{name}'. Give each its own name"
                self.problems.add(("base", "phases", number, "name"), message)

    def _different(self, axis: str, values: Sequence[Value]) -> list[Value]:
        """The values without repetitions, each checked."""
        kept: dict[str, Value] = {}
        kind = kind_of(axis)
        for value in values:
            if kind and not (axis == OUTSIDE and value.written is None):
                self.problems.add_all(check_component(kind, value.written, value.keys, self.registry))
            if kept.setdefault(meaning(value.written, kind is not None), value) is not value:
                self.problems.add(value.keys, f"the value {label(value.written)} is there twice. Keep one")
        return list(kept.values())

    def _labels(self, axis: str, count: int) -> Sequence[str]:
        """What the file calls the values of an axis; nothing where it leaves that to them."""
        labels, keys = self.file.labels.get(axis, []), ("labels", axis)
        if labels and len(labels) != count:
            self.problems.add(
                keys, f"{len(labels)} labels for {count} values. Give as many, in the order of the values"
            )
        for number, each in enumerate(labels):
            if each in labels[:number]:
                self.problems.add((*keys, number), f"two values are called '{each}'. Give each its own label")
        return labels

    def _can_vary(self, axis: str, keys: Keys) -> bool:
        fault = _axis_fault(axis, phase_names(self.document))
        if fault:
            self.problems.add(keys, fault)
        return not fault


def read_keys(document: Document, stem: str, registry: Registry) -> FileReader:
    """Check the top level of a file named `stem`. A key that is wrong is noted and left out, so that the others can
    still be read."""
    problems = Problems(document)
    _, faults = check_settings(ExperimentFile, document.value)
    for keys, message in faults:
        misplaced = len(keys) == 1 and keys[0] in (*COMPONENTS, "phases")
        problems.add(keys, f"'{keys[0]}' belongs to base. Indent it under 'base:'" if misplaced else message)
    wrong = {str(keys[0]) for keys, _ in faults if keys}
    value = {"name": stem, **{key: item for key, item in document.value.items() if key not in wrong}}
    absent = {key for key in ("base", "metrics") if key not in value}
    file = ExperimentFile.model_construct(**{"base": {}, "metrics": [], **value})
    return FileReader(file, replace(document, value=value), registry, problems, frozenset(wrong | absent))


def _axis_fault(name: str, phases: Sequence[str]) -> str:
    """What is wrong with the name of an axis, or nothing."""
    head, *rest = path_of(name)
    if (head in COMPONENTS and all(rest)) or name in ("prompt", OUTSIDE):
        return ""
    if head == "evaluation" and rest:
        return _setting_fault(rest[0], Evaluation.model_fields)
    if head == "phases" and len(rest) == 2:
        if rest[0] not in phases:
            return f"there is no phase '{rest[0]}'.{did_you_mean(rest[0], phases)} Phases: {', '.join(phases)}"
        return _setting_fault(rest[1], [field for field in Phase.model_fields if field != "name"])
    if name in (SEED, "seeds"):
        return "seeds are an axis of their own. Write 'seeds: [0, 1, 2]' at the top level"
    if head == "base":
        return f"an axis is written without 'base'. Write '{name.removeprefix('base.')}'"
    known = f"{', '.join(COMPONENTS)}, their options (fusion.OPTION), phases.NAME.SETTING, evaluation.SETTING, prompt"
    return f"'{name}' cannot vary.{did_you_mean(name, (*COMPONENTS, 'prompt'))} What can: {known}"


def _setting_fault(setting: str, known: Iterable[str]) -> str:
    if setting in known:
        return ""
    return f"there is no setting '{setting}'.{did_you_mean(setting, known)} Settings: {', '.join(known)}"
