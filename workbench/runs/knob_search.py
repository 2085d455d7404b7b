"""Which value of an option makes a model of a given size: searched, as nobody can say beforehand which values a plugin
takes and how many parameters each makes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

from workbench.errors import UserError

Count = Callable[[int], int | None]  # of an option's value: how many parameters it makes, None where it is refused


class NotGrowing(UserError):
    """The option does not make a model larger: what is nearest cannot be searched by halving."""


@dataclass(frozen=True)
class Candidate:
    """A value that the plugin takes, and how many parameters the model then has."""

    value: int
    count: int


class KnobSearch:
    """Searches from the value `start` for those whose count comes nearest to `target`. The more of the option, the
    larger the model has to be: `NotGrowing` where that is seen not to be so."""

    def __init__(self, count: Count, start: int, target: int):
        self._count = count
        self._known: dict[int, int | None] = {}
        self.start = start
        self.target = target

    def nearest_first(self) -> Iterator[Candidate]:
        """The values that are taken, those first that come nearest; of two that come equally near the one nearer to
        what is written."""
        below, above, most = self._around
        down, up = self._taken(range(below, 0, -1)), self._taken(range(above, 2 * most))
        small, large = next(down, None), next(up, None)
        while small or large:
            if large is None or (small is not None and self._order(small) <= self._order(large)):
                assert small is not None
                yield small
                small = next(down, None)
            else:
                yield large
                large = next(up, None)

    @cached_property
    def _around(self) -> tuple[int, int, int]:
        """Two values: what is up to the first makes at most the target, what is from the second on more than it; and
        the largest one that was looked at."""
        below, most = self._bracket()
        above = most
        while above - below > 1:
            middle = (below + above) // 2
            found = next(self._taken(range(middle, above)), None)
            if found is not None and found.count <= self.target:
                below = found.value
            else:
                above = middle
        self._check_growing()
        return below, above, most

    def _bracket(self) -> tuple[int, int]:
        """From what is written, or the next that is taken, on twice as much each time, which keeps what divides it;
        0 where nothing is below."""
        written = self._taken(range(self.start, 2 * self.start + 1))
        first = next(written, None) or next(self._taken(range(self.start - 1, 0, -1)), None)
        if first is None or first.count > self.target:
            return 0, self.start if first is None else first.value
        below = first.value
        while True:
            count = self._at(2 * below)
            if count is None or count > self.target:
                return below, 2 * below
            self._check_growing()
            if count == self._at(below):  # as a vocabulary, when a text has no more words
                raise NotGrowing(f"more of it than {below:,} does not make the model larger. Name another option")
            below = 2 * below

    def _check_growing(self) -> None:
        counts = [count for _, count in sorted(self._known.items()) if count is not None]
        if len(counts) > 1 and (counts != sorted(counts) or counts[0] == counts[-1]):
            raise NotGrowing("more of it does not make the model larger. Name an option that does, such as a width")

    def _taken(self, values: range) -> Iterator[Candidate]:
        for value in values:
            count = self._at(value)
            if count is not None:
                yield Candidate(value, count)

    def _at(self, value: int) -> int | None:
        if value not in self._known:
            self._known[value] = self._count(value)
        return self._known[value]

    def _order(self, candidate: Candidate) -> tuple[int, int]:
        return abs(candidate.count - self.target), abs(candidate.value - self.start)
