"""Collects what is wrong with an experiment, each problem with its place, so that all are shown at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.errors import UserError

Keys = tuple[str | int, ...]  # the way to a value: ("base", "phases", 0, "epochs")


@dataclass(frozen=True, order=True)
class Place:
    """Where a value was written: a line of the file, or a `--set` of the command line."""

    line: int
    text: str


class ExperimentError(UserError):
    """The border to the experiment file: it cannot be run. `found` are its problems; each is a line of the message, in
    the order of the file."""

    def __init__(self, *found: tuple[Place, str]):
        self.found = tuple(sorted(dict.fromkeys(found), key=lambda problem: problem[0]))
        super().__init__("\n".join(_line(f"{place.text}: {message}") for place, message in self.found))


@dataclass(frozen=True)
class Document:
    """YAML as plain values, and where each of them was written. `places[()]` is the beginning; paths in it are relative
    to `folder`, that of its file."""

    value: Any
    places: Mapping[Keys, Place]
    folder: Path = Path()

    def place(self, keys: Keys) -> Place:
        """The place of a value; of a missing one, that of what should hold it."""
        while keys not in self.places:
            keys = keys[:-1]
        return self.places[keys]

    def name(self, keys: Keys) -> str:
        """The way to a value as a reader writes it: `base.phases.tune.epochs`."""
        words, here = [], self.value
        for key in keys:
            here = _inside(here, key)
            named = isinstance(key, int) and isinstance(here, dict) and isinstance(here.get("name"), str)
            words.append(here["name"] if named else str(key))
        return ".".join(words)


@dataclass
class Problems:
    """Collects what is wrong with a document, so that a user mends it in one go and not problem by problem."""

    document: Document
    found: list[tuple[Place, str]] = field(default_factory=list)

    def add(self, keys: Keys, message: str) -> None:
        """Note what is wrong with the value at `keys`, and what to write instead."""
        name = self.document.name(keys)
        self.found.append((self.document.place(keys), f"{name}: {message}" if name else message))

    def add_all(self, faults: Iterable[tuple[Keys, str]]) -> None:
        """Note faults as checks return them: the way to each value, and what is wrong with it."""
        for keys, message in faults:
            self.add(keys, message)

    def stop_if_any(self) -> None:
        """`ExperimentError` with every problem so far, if there is one."""
        if self.found:
            raise ExperimentError(*self.found)


def _line(text: str) -> str:
    """A text in one line: what somebody wrote in several, and is told of, would look like a problem without a place."""
    return " ".join(text.split("\n"))


def _inside(value: Any, key: str | int) -> Any:
    if isinstance(value, dict):
        return value.get(key)
    if isinstance(value, list) and isinstance(key, int) and key < len(value):
        return value[key]
    return None
