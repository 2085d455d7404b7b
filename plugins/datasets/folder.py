"""Pictures in a folder and a table about them: CSV or JSON lines, with columns of any names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from workbench import (
    Dataset,
    Entry,
    Example,
    FileDataset,
    PictureFiles,
    Share,
    UserError,
    did_you_mean,
    hookimpl,
    read_entries,
)

COLUMNS = {"picture": "picture", "question": "question", "answers": "answers", "group": "group", "id": "id"}


def folder(
    *,
    tables: dict[str, Path],
    images: Path | dict[str, Path],
    columns: dict[str, str] | None = None,
    question: str | None = None,
    separator: str = "|",
    task: str = "questions",
    test_share: Share = 0.0,
    most_broken: Share = 0.0,
) -> Dataset:
    """Pictures in a folder and tables about them by split: .csv, .tsv, .jsonl, or .json with a list.

    `columns` says where another name stands for `picture`, `question`, `answers`, `group` (a language, a domain ...) or
    `id`; groups and ids may be missing. Several answers are a list in JSON, or parted by `separator`. `question` asks
    the same of every picture, as of captions (`task: captions`). `test_share` of the pictures become the split `test`.
    """
    columns = columns or {}
    for meaning in columns:
        if meaning not in COLUMNS:
            known = ", ".join(COLUMNS)
            raise UserError(f"columns: '{meaning}' is none.{did_you_mean(meaning, COLUMNS)} Write one of: {known}")
    if question is not None and "question" in columns:
        raise UserError("give either question, asked of every picture, or the column of questions")
    names, files = {**COLUMNS, **columns}, PictureFiles(images)

    def read(split: str, paths: Sequence[Path]) -> Iterator[Example]:
        for number, entry in enumerate(read_entries(paths[0])):
            own = _cell(entry, names["id"], "id" in columns) or str(number)
            yield Example(
                f"{split}/{own}",
                files.key(split, image=entry.text(names["picture"])),
                question or entry.text(names["question"]),
                _answers(entry, names["answers"], separator),
                _cell(entry, names["group"], "group" in columns),
            )

    settings = (sorted(names.items()), question, separator, task)
    return FileDataset({task: read}, tables, files, settings, most_broken, test_share)


def _cell(entry: Entry, column: str, named: bool) -> str:
    """A text or number; nothing where the column is not there, unless the experiment names it."""
    value = entry.value.get(column)
    if value in (None, "") and not named:
        return ""
    return entry.name(column)


def _answers(entry: Entry, column: str, separator: str) -> tuple[str, ...]:
    value: Any = entry.value.get(column)
    if isinstance(value, list):
        return entry.texts(column)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (str(value),)
    answers = tuple(part.strip() for part in entry.text(column).split(separator) if part.strip())
    if not answers:
        raise entry.wrong(f"'{column}' holds no answer, only '{separator}'")
    return answers


@hookimpl
def register_datasets(register):
    """A folder of pictures."""
    register("folder", folder)
