"""Where a file of a report is not what it should be: the cell of a CSV file, the line of another, and both texts.

Images and plots within a page are left out: whether they can be drawn alike depends on the machine.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest

NEAR = 1e-9  # as a share: another processor adds up in another order
MANY = 1_000_000  # pairs of lines: to align more takes longer than anybody waits
AROUND = 40  # letters that are shown on each side of what differs
EMBEDDED = re.compile(r"data:image/[^\"]*")
NO_IMAGE = re.compile(
    r'<img src="data:image" alt="the image asked about">|<p class="no-image" title="[^"]*">no image</p>'
)
SHOWN_WITHOUT = re.compile(r'<p class="quiet">Shown without images: .*?</p>')
TAG = re.compile(r"<[^>]*>")


@dataclass(frozen=True)
class Difference:
    """A place in a file, and what is wrong there."""

    place: str
    told: str


def differences(name: str, there: bytes, wanted: bytes) -> list[Difference]:
    """Where two versions of a file differ; none where they say the same but for the last digits of numbers."""
    texts = [content.decode("utf-8", errors="replace") for content in (there, wanted)]
    if name.endswith(".csv"):
        return list(_cells(*(list(csv.reader(io.StringIO(text))) for text in texts)))
    if name.endswith(".html"):
        texts = [without_images(text) for text in texts]
    return list(_lines(*(text.split("\n") for text in texts)))


def without_images(page: str) -> str:
    """A page with a mark in place of each image and of each note that there is none."""
    return SHOWN_WITHOUT.sub("", NO_IMAGE.sub("(image)", EMBEDDED.sub("data:image", page)))


def _cells(there: Sequence[Sequence[str]], wanted: Sequence[Sequence[str]]) -> Iterator[Difference]:
    headings = wanted[0] if wanted else ()
    for number, (row, right) in enumerate(zip_longest(there, wanted)):
        place = f"row {number}" if number else "the headings"
        if right is None:
            yield Difference(place, f"{', '.join(row)!r} stands there, and no such row should")
        elif row is None:
            yield Difference(place, f"it is missing, {', '.join(right)!r} should stand there")
        elif len(row) != len(right):
            yield Difference(place, f"it has {len(row)} cells, {len(right)} should stand there")
        else:
            for heading, cell, wanted_cell in zip(headings, row, right, strict=False):
                if cell != wanted_cell and not _is_near(cell, wanted_cell):
                    told = f"{cell!r} stands there, {wanted_cell!r} should"
                    yield Difference(f"{place}, column '{heading}'" if number else place, told)


def _is_near(cell: str, wanted: str) -> bool:
    try:
        return math.isclose(float(cell), float(wanted), rel_tol=NEAR, abs_tol=NEAR)
    except ValueError:
        return False


def _lines(there: Sequence[str], wanted: Sequence[str]) -> Iterator[Difference]:
    for start, end, first, last in _unequal(there, wanted):
        for offset, (line, right) in enumerate(zip_longest(there[start:end], wanted[first:last])):
            place = f"line {start + offset + 1}"
            if right is None:
                yield Difference(place, f"{_shortened(line)!r} stands there, and nothing should")
            elif line is None:
                yield Difference(f"line {end + 1}", f"{_shortened(right)!r} is missing before it")
            elif line != right:
                yield Difference(place, "{!r} stands there, {!r} should".format(*_apart(line, right)))


def _unequal(there: Sequence[str], wanted: Sequence[str]) -> Iterator[tuple[int, int, int, int]]:
    """The stretches of lines that differ, as start and end in each. Most often it is one line of thousands, so what is
    equal at both ends goes first; what is left is compared line by line where it is much."""
    start, least = 0, min(len(there), len(wanted))
    while start < least and there[start] == wanted[start]:
        start += 1
    end = 0
    while end < least - start and there[-1 - end] == wanted[-1 - end]:
        end += 1
    left, right = there[start : len(there) - end], wanted[start : len(wanted) - end]
    if len(left) * len(right) > MANY:
        yield start, start + len(left), start, start + len(right)
        return
    for what, first, last, wanted_first, wanted_last in SequenceMatcher(None, left, right, False).get_opcodes():
        if what != "equal":
            yield start + first, start + last, start + wanted_first, start + wanted_last


def _shortened(line: str) -> str:
    words = TAG.sub("", line).strip() or line.strip()
    return words if len(words) <= 2 * AROUND else f"{words[: 2 * AROUND]}..."


def _apart(line: str, right: str) -> tuple[str, str]:
    """What differs of two lines, with some letters around it; of marked-up text the words alone where they differ."""
    words = [" ".join(TAG.sub(" ", each).split()) for each in (line, right)]
    first, second = words if words[0] != words[1] else (line, right)
    start = next((place for place, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), 0)
    if start == 0 and (first.startswith(second) or second.startswith(first)):
        start = min(len(first), len(second))
    end, least = 0, min(len(first), len(second)) - start
    while end < least and first[-1 - end] == second[-1 - end]:
        end += 1
    begin = max(0, start - AROUND)
    return first[begin : len(first) - end + AROUND if end > AROUND else None], second[
        begin : len(second) - end + AROUND if end > AROUND else None
    ]
