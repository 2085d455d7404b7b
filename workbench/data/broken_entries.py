"""Entries of annotation files that are no examples: left out for every trial alike, up to the share that broken images
may have, and told."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import TypeVar

from workbench.data.entry import DataError, Entry, EntryError

SHOWN = 3  # entries that a message names

Given = TypeVar("Given")
Made = TypeVar("Made")

Attempt = tuple[Made | None, DataError | None]


class BrokenEntries:
    """Keeps, for each split and task, which entries were left out and why. More than the share `most` of them are
    refused."""

    def __init__(self, most: float):
        self.most = most
        self._found: dict[tuple[str, str], dict[str, str]] = {}

    def without(
        self, split: str, task: str, entries: Iterable[Given], make: Callable[[int, Given], Made]
    ) -> Iterator[Made]:
        """What `make` gives of each entry and its number, but of those of which it raises `DataError`, or that cannot
        be read themselves; `DataError` for the first one where none may be broken, and at the end where too many are.
        """
        faults: dict[str, str] = {}
        total = 0
        for total, (made, error) in enumerate(_attempts(entries, make), start=1):  # noqa: B007 - counted
            if made is not None:
                yield made
            elif error is not None and self.most:
                faults[f"{split}: entry {total - 1}"] = str(error)
            else:
                advice = "Mend it, or write most_broken: 0.01 for the dataset, to leave out one of a hundred"
                raise DataError(f"{error}. {advice}") from error
        if len(faults) > self.most * total:
            raise DataError(_too_many(split, faults, total, self.most))
        self._found[split, task] = faults

    def found(self, split: str, task: str) -> Mapping[str, str]:
        """The entries that were left out of a split and task that was read whole, and why."""
        return self._found.get((split, task), {})


class NamedEntries:
    """Entries that others refer to by what stands under `key`, read as far as they are asked for. Those without a name
    cannot be referred to; the first is told where a name is not found."""

    def __init__(self, entries: Iterator[Entry], key: str):
        self._left = entries
        self._key = key
        self._waiting: dict[str, Entry] = {}
        self._fault: EntryError | None = None

    def named(self, name: str) -> Entry | None:
        """The entry of that name, or None."""
        while name not in self._waiting:
            try:
                entry = next(self._left, None)
                if entry is None:
                    return None
                self._waiting[entry.name(self._key)] = entry
            except EntryError as error:
                self._fault = self._fault or error
        return self._waiting[name]

    def forget(self, name: str) -> None:
        """Free what nobody refers to any more."""
        self._waiting.pop(name, None)

    @property
    def fault(self) -> str:
        """What was wrong with the first entry that has no name, behind a full stop; nothing, where all have one."""
        return f". {self._fault}" if self._fault else ""


def _attempts(entries: Iterable[Given], make: Callable[[int, Given], Made]) -> Iterator[Attempt[Made]]:
    """For each entry what is made of it, or why nothing is."""
    left, number = iter(entries), 0
    while True:
        try:
            entry = next(left)
        except StopIteration:
            return
        except EntryError as error:
            if isinstance(left, Generator):  # an exception ends it: what is behind would be lost unseen
                raise
            yield None, error
        else:
            yield _attempt(number, entry, make)
        number += 1


def _attempt(number: int, entry: Given, make: Callable[[int, Given], Made]) -> Attempt[Made]:
    try:
        return make(number, entry), None
    except DataError as error:
        return None, error


def _too_many(split: str, faults: Mapping[str, str], total: int, most: float) -> str:
    named = "; ".join(list(faults.values())[:SHOWN])
    share = -(-1000 * len(faults) // total) / 1000  # rounded up
    advice = f"Mend them, or write most_broken: {share:g} for the dataset, and every trial leaves them out"
    if len(faults) == total:
        advice = "Nothing would be left: is the file of this format, and are its options right?"
    return (
        f"{len(faults):,} of {total:,} entries of '{split}' are no examples ({named}), more than most_broken: {most:g}"
        f" allows. {advice}"
    )
