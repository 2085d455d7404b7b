"""One entry or line of a file of annotations, which says where it stands when something is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.errors import UserError, did_you_mean

SHOWN = 12  # how many keys a message lists


class DataError(UserError):
    """The border to files of data: what a dataset or text is read from is missing, damaged, or of another format."""


class EntryError(DataError):
    """One entry or line is wrong, and those behind it may be right: readers that raise it can be asked for more."""


class Entry:
    """One entry, which tells where it stands in a `DataError` when a value is not what it should be.

    That is in `file`, at `("entry", 3)`, `("line", 7)` or the like, which becomes words only when something is wrong.
    There are millions of entries, so they are kept small.
    """

    __slots__ = ("file", "place", "value")

    def __init__(self, file: Path, place: tuple[Any, ...], value: Mapping[str, Any]):
        self.file = file
        self.place = place
        self.value = value

    def text(self, key: str) -> str:
        """The text under a key, without space around it; an empty one is wrong."""
        value = self._get(key)
        if not isinstance(value, str) or not value.strip():
            raise self.wrong(f"'{key}' should be a text, not {shown(value)}")
        return value.strip()

    def name(self, key: str) -> str:
        """A text or a whole number, as ids are."""
        value = self._get(key)
        if not isinstance(value, int | str) or isinstance(value, bool) or value == "":
            raise self.wrong(f"'{key}' should be a text or a whole number, not {shown(value)}")
        return str(value)

    def answer(self, key: str) -> str:
        """What is answered there: a text, a number, or true and false, which are yes and no."""
        value = self._get(key)
        return spoken(value) if isinstance(value, bool | int | float) else self.text(key)

    def answers(self, key: str) -> tuple[str, ...]:
        """A list of such answers with at least one."""
        value = self._get(key)
        if not isinstance(value, list) or not value or not all(isinstance(each, str | int | float) for each in value):
            raise self.wrong(f"'{key}' should be a list of texts, not {shown(value)}")
        return tuple(spoken(each) for each in value)

    def number(self, key: str) -> int:
        """A whole number; true and false are none, though Python takes them for 1 and 0."""
        value = self._get(key)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.wrong(f"'{key}' should be a whole number, not {shown(value)}")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts with at least one."""
        value = self._get(key)
        if not isinstance(value, list) or not value or not all(isinstance(each, str) for each in value):
            raise self.wrong(f"'{key}' should be a list of texts, not {shown(value)}")
        return tuple(each.strip() for each in value)

    def entries(self, key: str) -> list[Entry]:
        """A list of objects with at least one."""
        value = self._get(key)
        if not isinstance(value, list) or not value or not all(isinstance(each, dict) for each in value):
            raise self.wrong(f"'{key}' should be a list of objects, not {shown(value)}")
        return [Entry(self.file, (*self.place, key, number), each) for number, each in enumerate(value)]

    def wrong(self, message: str) -> EntryError:
        """The error that says so, and where."""
        return EntryError(f"{self.file}: {' '.join(map(str, self.place))}: {message}")

    def _get(self, key: str) -> Any:
        if key not in self.value:
            keys = ", ".join(list(self.value)[:SHOWN])
            raise self.wrong(f"the key '{key}' is missing.{did_you_mean(key, self.value)} There are: {keys or 'none'}")
        return self.value[key]


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a text file."""

    file: Path
    number: int
    text: str

    def wrong(self, message: str) -> EntryError:
        """The error that says so, and where."""
        return EntryError(f"{self.file}: line {self.number}: {message}")


def spoken(answer: str | float) -> str:
    """An answer in words: `true` of JSON is yes, `false` no, a number is its digits."""
    if isinstance(answer, bool):
        return "yes" if answer else "no"
    return str(answer).strip()


def shown(value: Any) -> str:
    """A value as a message shows it, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
