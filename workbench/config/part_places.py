"""Where the file says what a problem of a trial is about: each part stands in a line, whether or not it fits others."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from workbench.config.component import COMPONENTS
from workbench.config.problems import Document, Keys
from workbench.config.trial import Trial


def with_place(problem: str, trial: Trial, document: Document) -> str:
    """A problem of a trial behind the line and the key of the part that it names first; of none, behind the whole
    file's."""
    keys = _part(problem, trial, document)
    name = document.name(keys)
    return f"{document.place(keys).text}: {f'{name}: ' if name else ''}{problem}"


def setting_of_phase(phase: str, setting: str, document: Document) -> Keys:
    """Where a setting of a phase of that name is written: swept or changed first, else in the phase itself."""
    swept = [keys for keys, _ in _settings(document.value) if keys[-1] == f"phases.{phase}.{setting}"]
    written = [keys for keys, value in _written(document.value, "phases") if _name_of(value) == phase]
    return next(iter([*swept, *((*keys, setting) for keys in written)]), ("base", "phases"))


def _part(problem: str, trial: Trial, document: Document) -> Keys:
    """The way to the part that a problem begins with, such as `encoder 'vit'`, `phase 'tune'` or `evaluation`."""
    named = re.match(r"(\w+)(?: '([^']*)')?", problem)
    kind, name = named.groups() if named else ("", None)
    if kind in COMPONENTS and kind in trial.components:
        component = trial.components[kind]
        found = [each for each in _written(document.value, kind) if _name_of(each[1]) == component.name]
        # Of several of one name, the one with the most settings of the trial's; an axis goes before what it replaces.
        fitting = [each for each in found if _fits(each[1], component.options)] or found
        return max(fitting, key=lambda each: (_size(each[1]), each[0][0] != "base"))[0] if fitting else ("base",)
    if kind == "metric":
        return next((keys for keys, value in _written(document.value, "metrics") if _name_of(value) == name), ())
    if kind == "phase":
        return next((keys for keys, value in _written(document.value, "phases") if _name_of(value) == name), ("base",))
    if kind == "evaluation":
        return next((keys for keys, _ in _settings(document.value) if keys[-1] == kind), ())
    return ()


def _written(value: Any, kind: str) -> Iterator[tuple[Keys, Any]]:
    """What stands under a key of that name anywhere: the value, or those of a list."""
    for keys, there in _settings(value):
        if keys[-1] == kind and isinstance(there, list):
            yield from (((*keys, index), each) for index, each in enumerate(there))
        elif keys[-1] == kind:
            yield keys, there


def _settings(value: Any, keys: Keys = ()) -> Iterator[tuple[Keys, Any]]:
    """Every value under a key, with the way to it."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        if isinstance(key, str):
            yield (*keys, key), each
        yield from _settings(each, (*keys, key))


def _name_of(value: Any) -> Any:
    return value.get("name") if isinstance(value, dict) else value


def _fits(value: Any, options: Mapping[str, Any]) -> bool:
    """Whether the settings that are written are those of a component, as far as they can be compared."""
    settings = value if isinstance(value, dict) else {}
    plain = {name: each for name, each in settings.items() if isinstance(each, bool | int | float | str)}
    return all(name == "name" or options.get(name) == each for name, each in plain.items())


def _size(value: Any) -> int:
    return len(value) if isinstance(value, dict) else 1
