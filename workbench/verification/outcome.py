"""What a verification says: what is not as it should be and where, what was checked, and what nobody could check."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

SHOWN = 20  # disagreements of one file that are told; more are counted


@dataclass(frozen=True)
class Disagreement:
    """Something that is not as it should be: the file, the place in it (empty for all of it), and what is wrong."""

    file: str
    place: str
    told: str

    def __str__(self) -> str:
        where = f"{self.file}, {self.place}" if self.place else self.file
        return f"{where}: {self.told}"


@dataclass(frozen=True)
class Unchecked:
    """Something that cannot be checked here, why, and how many of them."""

    what: str
    why: str
    count: int = 1

    def __str__(self) -> str:
        return f"not checked: {self.what} ({self.count:,}): {self.why}"


@dataclass(frozen=True)
class Checked:
    """Something that was held against what it is made of, and how many of them: right ones and wrong ones."""

    what: str
    count: int = 1


Said = Disagreement | Unchecked | Checked


@dataclass(frozen=True)
class Outcome:
    """All that was said, in order; the same thing that is not checked in many trials stands once, with the sum."""

    disagreements: tuple[Disagreement, ...]
    unchecked: tuple[Unchecked, ...]
    checked: tuple[Checked, ...]

    def shown(self) -> Iterator[str]:
        """The disagreements in words, the first few of each file."""
        told: Counter[str] = Counter()
        for each in self.disagreements:
            told[each.file] += 1
            if told[each.file] <= SHOWN:
                yield str(each)
        yield from (f"{file}: and {count - SHOWN:,} more" for file, count in told.items() if count > SHOWN)


def outcome_of(said: Iterable[Said]) -> Outcome:
    """Everything that was said, put together."""
    wrong: list[Disagreement] = []
    unchecked: Counter[tuple[str, str]] = Counter()
    checked: Counter[str] = Counter()
    for each in said:
        match each:
            case Disagreement():
                wrong.append(each)
            case Unchecked(what, why, count):
                unchecked[what, why] += count
            case Checked(what, count):
                checked[what] += count
    return Outcome(
        tuple(wrong),
        tuple(Unchecked(*key, count) for key, count in unchecked.items()),
        tuple(Checked(what, count) for what, count in checked.items()),
    )
