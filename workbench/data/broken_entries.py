"""Entries of annotation files that are no examples: left out for every trial alike, up to the share that broken images
may have, and told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from workbench.data.entry import DataError, Entry

SHOWN = 3  # entries that a message names

Made = TypeVar("Made")


class BrokenEntries:
    """Keeps, for each split, which entries were left out and why. More than the share `most` of them are refused."""

    def __init__(self, most: float):
        self.most = most
        self._found: dict[str, dict[str, str]] = {}

    def without(self, split: str, entries: Iterable[Entry], make: Callable[[int, Entry], Made]) -> Iterator[Made]:
        """What `make` gives of each entry and its number, but of those of which it raises `DataError`; `DataError` for
        the first one where none may be broken, and at the end where too many are."""
        faults: dict[str, str] = {}
        total = 0
        for total, entry in enumerate(entries, start=1):  # noqa: B007 - the count is needed behind the loop
            try:
                made = make(total - 1, entry)
            except DataError as error:
                if not self.most:
                    advice = "Mend it, or write most_broken: 0.01 for the dataset, to leave out one of a hundred"
                    raise DataError(f"{error}. {advice}") from error
                faults[f"{split}: entry {total - 1}"] = str(error)
                continue
            yield made
        if len(faults) > self.most * total:
            share = -(-1000 * len(faults) // total) / 1000  # rounded up
            named = "; ".join(list(faults.values())[:SHOWN])
            raise DataError(
                f"{len(faults):,} of {total:,} entries of '{split}' are no examples ({named}), more than most_broken:"
                f" {self.most:g} allows. Mend them, or write most_broken: {share:g} for the dataset, and every trial"
                " leaves them out"
            )
        self._found[split] = faults

    def found(self, split: str) -> Mapping[str, str]:
        """The entries of a split that was read whole which were left out, and why."""
        return self._found.get(split, {})
