"""Images in a folder and a table about them: CSV or JSON lines, with columns of any names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PositiveInt

from workbench import (
    BrokenEntries,
    Dataset,
    Entry,
    Example,
    FileDataset,
    ImageFiles,
    UserError,
    hookimpl,
    read_entries,
    spoken,
)

from ._columns import AskedOfAll, Columns, Task, column_names
from ._options import WHITE, Background, Images, MostBroken, OutsidePaths, TestShare

COLUMNS = {"image": "image", "question": "question", "answers": "answers", "group": "group", "id": "id"}


def folder(
    *,
    tables: Annotated[dict[str, Path], Field(description="table of each split, as {train: train.csv, test: test.csv}")],
    images: Images,
    columns: Columns = None,
    question: AskedOfAll = None,
    separator: Annotated[str, Field(description="stands between several answers, or images, in one cell")] = "|",
    frames: Annotated[
        PositiveInt | None,
        Field(description="frames taken of a folder, a pattern of names or an animated file; null: images alone"),
    ] = None,
    task: Task = "questions",
    test_share: TestShare = 0.0,
    most_broken: MostBroken = 0.0,
    outside_paths: OutsidePaths = False,
    background: Background = WHITE,
) -> Dataset:
    """Images in a folder and tables about them by split: .csv, .tsv, .jsonl, or .json with a list.

    `columns` gives other names for `image`, `question`, `answers`, `group` (a language, a domain ...) and `id`;
    groups and ids may be missing. Several answers, or images, may be a list in JSON. Captions have one `question` for
    all, and `task: captions`.
    """
    files = ImageFiles(images, outside=outside_paths, background=background)
    names = column_names(COLUMNS, columns)
    if question is not None and "question" in (columns or {}):
        raise UserError("give either question, asked of every image, or the column of questions")
    broken = BrokenEntries(most_broken)
    table = _Table(files, names, frozenset(columns or {}), question, separator, frames)

    def read(split: str, paths: Sequence[Path]) -> Iterator[Example]:
        def example(number: int, entry: Entry) -> Example:
            return table.example(split, number, entry)

        return broken.without(split, task, read_entries(paths[0]), example)

    settings = (sorted(names.items()), question, separator, task, frames)
    return FileDataset({task: read}, tables, files, settings, most_broken, test_share, broken)


@dataclass(frozen=True)
class _Table:
    """How rows become examples: the names of the columns, those of them that the experiment has `given`, and what
    holds of every row."""

    files: ImageFiles
    names: Mapping[str, str]
    given: frozenset[str]
    question: str | None
    separator: str
    frames: int | None

    def example(self, split: str, number: int, entry: Entry) -> Example:
        """That of one row of the table of a split."""
        own = self._cell(entry, "id") or str(number)
        named = [
            self.files.key(split, (entry, self.names["image"]), image=name)
            for name in _parts(entry, self.names["image"], self.separator, "image")
        ]
        first, *more = [key for each in named for key in self.files.frames(each, self.frames)]
        return Example(
            f"{split}/{own}",
            first,
            self.question or entry.text(self.names["question"]),
            _answers(entry, self.names["answers"], self.separator),
            self._cell(entry, "group"),
            more=tuple(more),
        )

    def _cell(self, entry: Entry, meaning: str) -> str:
        """A text or number; nothing where the column is not there, unless the experiment names it."""
        column = self.names[meaning]
        if entry.value.get(column) in (None, "") and meaning not in self.given:
            return ""
        return entry.name(column)


def _answers(entry: Entry, column: str, separator: str) -> tuple[str, ...]:
    value: Any = entry.value.get(column)
    if isinstance(value, list):
        return entry.answers(column)
    return (spoken(value),) if isinstance(value, int | float) else _parts(entry, column, separator, "answer")


def _parts(entry: Entry, column: str, separator: str, what: str) -> tuple[str, ...]:
    """The texts of a list, or of a text with separators."""
    if isinstance(entry.value.get(column), list):
        return entry.texts(column)
    parts = tuple(part.strip() for part in entry.text(column).split(separator) if part.strip())
    if not parts:
        raise entry.wrong(f"'{column}' holds no {what}, only '{separator}'")
    return parts


@hookimpl
def register_datasets(register):
    """Images of your own, with tables about them."""
    register("folder", folder)
