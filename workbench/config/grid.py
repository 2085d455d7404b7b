"""What varies in an experiment: the axes, the labels of their values, and the points of the grid.

A point says which value each axis has. `variants`, `grid` and `seeds` are multiplied, in this order.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from workbench.config.component import COMPONENTS
from workbench.config.problems import Keys
from workbench.config.validation_messages import label
from workbench.errors import plain

SEED = "seed"
OUTSIDE = "evaluation.outside"  # the one setting that is a component: a dataset, or null for none
Point = Mapping[str, int]  # axis -> the number of its value; an axis that a variant leaves out is absent


@dataclass(frozen=True)
class Value:
    """One value of an axis, and where it was written."""

    written: Any
    keys: Keys


@dataclass(frozen=True)
class Axis:
    """A setting that varies. `labels` has one text for each value."""

    name: str
    values: tuple[Value, ...]
    labels: tuple[str, ...]

    @property
    def path(self) -> tuple[str, ...]:
        """The way to the setting: `phases.tune.epochs` -> ("phases", "tune", "epochs")."""
        return path_of(self.name)

    def matching(self, pattern: Any) -> set[str]:
        """The labels a value or label from `exclude` or `baseline` stands for. A component's bare name stands for
        every value of that name, unless it is itself a label."""
        if label(pattern) in self.labels:
            return {label(pattern)}
        component = kind_of(self.name) is not None
        pairs = list(zip(self.values, self.labels, strict=True))
        same = {text for value, text in pairs if meaning(value.written, component) == meaning(pattern, component)}
        return same or {text for value, text in pairs if component and _split(value.written)[0] == pattern}


def kind_of(axis: str) -> str | None:
    """The kind of component that the values of an axis are; None of other settings."""
    return "dataset" if axis == OUTSIDE else axis if axis in COMPONENTS else None


def path_of(name: str) -> tuple[str, ...]:
    """The parts of an axis' name; only a phase's setting has three. What is from outside is read apart."""
    if name == OUTSIDE:
        return ("outside",)
    return tuple(name.split(".", 2 if name.startswith("phases.") else 1))


def make_axis(name: str, values: Sequence[Value], labels: Sequence[str] = ()) -> Axis:
    """An axis with these labels, or those that its values give it; of control characters, no label has any."""
    named = labels or _labels(name, [value.written for value in values])
    return Axis(name, tuple(values), tuple(plain(each) or repr(each) for each in named))


def meaning(written: Any, component: bool) -> str:
    """Equal for values that mean the same: `mine` and `{name: mine}` as components, 1 and 1.0 as numbers."""
    if not component or not isinstance(written, (str, dict)):
        return label(written)
    return json.dumps(_split(written), sort_keys=True)


def count_points(grid: Sequence[Axis], variants: Sequence[Point]) -> int:
    """How many points there are, without making them."""
    count = len(variants)
    for axis in grid:
        count *= len(axis.values)
    return count


def points_of(grid: Sequence[Axis], variants: Sequence[Point]) -> Iterator[dict[str, int]]:
    """Every variant with every combination of the grid's values; the last axis changes fastest."""
    ranges = [range(len(axis.values)) for axis in grid]
    names = [axis.name for axis in grid]
    for variant in variants:
        for numbers in product(*ranges):
            yield {**variant, **dict(zip(names, numbers, strict=True))}


def axes_of_variants(
    variants: Sequence[tuple[Keys, Mapping[str, Any]]], otherwise: Mapping[str, Value]
) -> tuple[list[Axis], list[Point]]:
    """Variants -> their axes and points. `otherwise` are the components that a variant has when it leaves them out."""
    values: dict[str, list[Value]] = {}
    points: list[Point] = []
    names = dict.fromkeys(axis for _, variant in variants for axis in variant)
    for keys, variant in variants:
        point: dict[str, int] = {}
        for axis in names:
            if axis in variant:
                value = Value(variant[axis], (*keys, axis))
            elif axis in otherwise:
                value = otherwise[axis]
            else:
                continue
            point[axis] = _number(values.setdefault(axis, []), value, kind_of(axis) is not None)
        points.append(point)
    return [make_axis(name, values[name]) for name in names], points


def _number(values: list[Value], value: Value, component: bool) -> int:
    """The number of an equal value; a new one is appended."""
    known = [meaning(each.written, component) for each in values]
    wanted = meaning(value.written, component)
    if wanted not in known:
        values.append(value)
        return len(values) - 1
    return known.index(wanted)


def _labels(axis: str, written: Sequence[Any]) -> tuple[str, ...]:
    """A component's label is its name, with the options that tell it from others of that name."""
    if kind_of(axis) is None:
        return tuple(label(value) for value in written)
    parts = [_split(value) for value in written]
    labels = []
    for name, options in parts:
        others = [other for other_name, other in parts if other_name == name]
        telling = [key for key in options if any(key not in other or other[key] != options[key] for other in others)]
        settings = ", ".join(f"{key}={label(options[key])}" for key in telling)
        labels.append(f"{label(name)}({settings})" if settings else label(name))
    return tuple(labels)


def _split(written: Any) -> tuple[Any, dict[str, Any]]:
    """`{name: mine, depth: 2}` -> ("mine", {"depth": 2})."""
    if isinstance(written, dict):
        return written.get("name"), {key: value for key, value in written.items() if key != "name"}
    return written, {}
