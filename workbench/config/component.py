"""One plugin of a trial, by name, with the options it runs with."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from workbench.config.validation_messages import label
from workbench.storage.hashing import canonical
from workbench.storage.places import is_there


def identity(component: Component) -> str:
    """How records name a plugin with its options, in one text: `fusion {"heads": 2, "name": "mine"}`."""
    return f"{component.kind} {component.spec_text}"


def named(component: Component) -> str:
    """In words: `fusion mine(heads=2)`."""
    options = ", ".join(f"{name}={label(value)}" for name, value in component.spec().items() if name != "name")
    return f"{component.kind} {component.name}" + (f"({options})" if options else "")


Part = Literal["encoder", "connector", "fusion", "language_model", "adapter"]
PARTS: tuple[Part, ...] = ("encoder", "connector", "fusion", "language_model", "adapter")
COMPONENTS = ("dataset", "encoder", "connector", "fusion", "language_model", "adapter", "quantizer")


class Checkpoint(str):
    """The type of an option that names weights: a file or folder, relative to the experiment file, or else a hub id, as
    `org/name` or, to stay with a commit, `org/name@commit`."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """An option of this type takes any text but an empty one."""
        return handler.generate_schema(Annotated[str, Field(min_length=1), AfterValidator(cls)])

    def below(self, folder: Path) -> str:
        """The file or folder, if there is one; else as it is written."""
        there = folder / Path(self).expanduser()
        return str(there) if is_there(there) else str(self)


@dataclass(frozen=True, eq=False)
class Component:
    """A plugin by name, with every option it runs with, paths as they are written: relative to `folder`.

    An option may hold components itself, by name. Components are equal when one does the work of the other: what was
    found out about one need not be found out about the other. `withheld` is the share of its training images that a
    dataset holds out; no option, since the evaluation says it. `untold` are options at their default, of which
    records say nothing.
    """

    kind: str
    name: str
    options: Mapping[str, Any]
    folder: Path = Path()
    withheld: float = 0.0
    untold: frozenset[str] = frozenset()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Component) and self._tells_it == other._tells_it

    def __hash__(self) -> int:
        return hash(self.spec_text)  # which keeps its hash

    @property
    def _tells_it(self) -> tuple[object, ...]:
        return self.kind, self.spec_text, self.folder, self.withheld, *(part.folder for part in self.parts())

    @property
    def work(self) -> list[Any]:
        """What it does as plain JSON values, for keys: what a record says of it, and what is held out."""
        return [self.spec(), self.withheld]

    def spec(self) -> dict[str, Any]:
        """As it stands in a record: the same wherever the experiment file lies."""
        told = {name: _plain(value) for name, value in self.options.items() if name not in self.untold}
        return {"name": self.name, **told}

    @cached_property
    def spec_text(self) -> str:
        """The spec as canonical JSON, made once for all trials that share it."""
        return canonical(self.spec())

    def arguments(self) -> dict[str, Any]:
        """The options with paths that lead somewhere from here."""
        return {name: _anchored(value, self.folder) for name, value in self.options.items()}

    def written(self, file: Path) -> str:
        """How the experiment file could name `file`: by its hub id, or relative to the experiment file, unless that
        names files by where they lie on this machine."""
        for hub_id in self.hub_ids():
            if f"models--{hub_id.partition('@')[0].replace('/', '--')}" in file.parts:
                return f"{hub_id}/{file.name}"
        absolute = any(file.is_relative_to(place) for place in _absolute(dict(self.options)))
        return str(file) if absolute else os.path.relpath(file, self.folder)

    def hub_ids(self) -> list[str]:
        """The checkpoints among its options that lie nowhere here."""
        values = [value for value in self.options.values() if isinstance(value, Checkpoint)]
        return [str(value) for value in values if not is_there(self.folder / Path(value).expanduser())]

    def parts(self) -> Iterator[Component]:
        """The components that it takes as options, as a mixture takes datasets, and those that these take."""
        for value in self.options.values():
            for each in value.values() if isinstance(value, Mapping) else ():
                if isinstance(each, Component):
                    yield from (each, *each.parts())


def _plain(value: Any) -> Any:
    """An option's value as JSON has it."""
    match value:
        case Component():
            return value.spec()
        case Path():
            return value.as_posix()
        case dict():
            return {key: _plain(each) for key, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value] if any(isinstance(each, Path) for each in value) else value
    return value


def _absolute(value: Any) -> Iterator[Path]:
    """The files and folders in an option's value that do not depend on where the experiment file lies."""
    match value:
        case Path() | Checkpoint() if Path(value).expanduser().is_absolute():
            yield Path(value).expanduser()
        case dict() | tuple():
            for each in value.values() if isinstance(value, dict) else value:
                yield from _absolute(each)


def _anchored(value: Any, folder: Path) -> Any:
    """An option's value with its paths below the folder."""
    match value:
        case Path():
            return folder / value.expanduser()
        case Checkpoint():
            return value.below(folder)
        case dict():
            return {key: _anchored(each, folder) for key, each in value.items()}
        case tuple():
            return tuple(_anchored(each, folder) for each in value)
    return value
