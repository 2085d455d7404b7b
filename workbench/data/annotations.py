"""Entries of annotation files, read one after the other: JSON of any size, JSON lines, CSV.

A file is never turned into one tree of objects: an entry is parsed when it is asked for, and forgotten when it has
become an example. What is wrong is told with the file, the entry or line, and the key. Behind an entry that is wrong
by itself (`EntryError`) reading can go on: these are `map` objects, which an exception does not end.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Generator, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from workbench.data.entry import SHOWN, DataError, Entry, EntryError, Line, shown
from workbench.errors import did_you_mean

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

_SPACE = re.compile(r"[ \t\n\r]*")
_DECODE = json.JSONDecoder().raw_decode
# Letters beyond the first 65,536 are written as two halves, the first of them from d800 and the second from dc00.
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_PAIR = re.compile(r"(?:\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})")


def json_entries(file: Path, key: str | None = None) -> Iterator[Entry]:
    """The objects of a JSON list, or of the list under `key` of a JSON object."""
    return map(partial(_item, file), _list(file, key))


def json_members(file: Path) -> Iterator[tuple[str, Entry]]:
    """The objects of a JSON object, each with its name."""
    return map(partial(_member, file), json_values(file))


def json_values(file: Path) -> Iterator[tuple[str, Any]]:
    """The names and values of a JSON object."""
    text = _read(file)
    names = _names(file, text)
    found = next(names, None)
    while found is not None:
        name, place = found
        value, behind = _value(file, text, place)
        if _HALF.search(text, place, behind):
            _check_letters(file, value, _line_of_half(text, place, behind))
        yield name, value
        try:
            found = names.send(behind)
        except StopIteration:
            return


def json_lines(file: Path) -> Iterator[Entry]:
    """The objects of a file with one JSON object a line."""
    return map(_entry_of_line, text_lines(file))


def csv_rows(file: Path) -> Iterator[Entry]:
    """The rows of a CSV file (or TSV, by its name) with a line of column names."""
    return map(_row, _rows(file))


def text_lines(file: Path) -> Iterator[Line]:
    """The lines of a text file that are not empty."""
    with _opened(file) as opened:
        for number, line in enumerate(_decoded(file, opened), start=1):
            if line.strip():
                yield Line(file, number, line.rstrip("\r\n"))


def read_entries(file: Path) -> Iterator[Entry]:
    """The entries of a file by its name: `.jsonl`, `.csv`, `.tsv`, or else a JSON list."""
    readers = {".jsonl": json_lines, ".csv": csv_rows, ".tsv": csv_rows}
    return readers.get(file.suffix, json_entries)(file)


def multiple_choice(question: str, choices: Sequence[str]) -> str:
    """A question with its choices, each on a line of its own behind a letter."""
    return "\n".join([question, *(f"{letter}. {choice}" for letter, choice in zip(LETTERS, choices, strict=False))])


def _list(file: Path, key: str | None) -> Iterator[tuple[int, str, Any, int, int]]:
    """The values of a list with their numbers, each behind the text that it was read from and its two ends."""
    text = _read(file)
    start = _skip(text, 0) if key is None else _find(file, text, key)
    if text[start : start + 1] != "[":
        where = f"under '{key}' there should be a list" if key else "the file should hold a JSON list"
        raise DataError(f"{file}: {where}, not {shown(text[start : start + 40])}. {_other_format(text, start)}")
    for number, found in enumerate(_items(file, text, start)):
        yield number, text, *found


def _item(file: Path, item: tuple[int, str, Any, int, int]) -> Entry:
    number, text, value, start, end = item
    if _HALF.search(text, start, end):
        _check_letters(file, value, _line_of_half(text, start, end))
    return _entry(file, ("entry", number), value)


def _member(file: Path, member: tuple[str, Any]) -> tuple[str, Entry]:
    name, value = member
    return name, _entry(file, ("entry", repr(name)), value)


def _entry_of_line(line: Line) -> Entry:
    try:
        value = json.loads(line.text)
    except (ValueError, RecursionError) as error:
        raise EntryError(f"{line.file}: line {line.number} is no JSON ({error})") from error
    if _HALF.search(line.text):
        _check_letters(line.file, value, line.number)
    return _entry(line.file, ("line", line.number), value)


def _rows(file: Path) -> Iterator[Entry]:
    with _opened(file) as opened:
        reader = csv.DictReader(_decoded(file, opened), delimiter="\t" if file.suffix == ".tsv" else ",")
        try:
            for row in reader:
                yield Entry(file, ("line", reader.line_num), row)
        except csv.Error as error:
            raise DataError(f"{file}: line {reader.line_num}: {error}") from error


def _row(row: Entry) -> Entry:
    cells: Any = row.value
    if None in cells or None in cells.values():
        columns = ", ".join(filter(None, cells))
        raise row.wrong(f"it has not as many cells as there are columns ({columns})")
    return row


def _entry(file: Path, place: tuple[Any, ...], value: Any) -> Entry:
    if not isinstance(value, dict):
        raise Entry(file, place, {}).wrong(f"it should be an object, not {shown(value)}")
    return Entry(file, place, value)


def _read(file: Path) -> str:
    with _opened(file) as opened:
        return "".join(_decoded(file, opened, whole=True))


def _opened(file: Path) -> Any:
    try:
        return file.open(encoding="utf-8-sig", newline="")
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}. Give the file's place in the experiment") from error


def _decoded(file: Path, opened: Any, whole: bool = False) -> Iterator[str]:
    try:
        if whole:
            yield opened.read()
        else:
            yield from opened
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is no UTF-8 text ({error.reason} at byte {error.start})") from error


def _skip(text: str, place: int) -> int:
    """Behind the space."""
    found = _SPACE.match(text, place)
    return found.end() if found else place


def _value(file: Path, text: str, place: int) -> tuple[Any, int]:
    """The value that begins there, and the place behind it."""
    try:
        value, behind = _DECODE(text, place)
    except (ValueError, RecursionError) as error:
        raise _damaged(file, text, getattr(error, "pos", place)) from error
    return value, behind


def _line_of_half(text: str, start: int, end: int) -> int:
    return text.count("\n", 0, _first_half(text, start, end)) + 1


def _first_half(text: str, start: int, end: int) -> int:
    """Where the first half of a letter stands that has no other."""
    covered = start
    while (half := _HALF.search(text, covered, end)) is not None:
        pair = _PAIR.search(text, covered, end)
        if pair is None or pair.start() > half.start():
            return half.start()
        covered = pair.end()
    return start


def _check_letters(file: Path, value: Any, line: int) -> None:
    """`DataError` for text that holds half a letter, which no file or tokenizer takes."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = repr(error.object[error.start])[1:-1]
        raise EntryError(
            f"{file}: line {line}: {half} is half of a letter, and no text. Write both halves, as \\ud83d\\ude42, or"
            " the letter itself"
        ) from error


def _items(file: Path, text: str, place: int) -> Iterator[tuple[Any, int, int]]:
    """The values of the list that begins there, each with its two ends."""
    place = _skip(text, place + 1)
    if text[place : place + 1] == "]":
        return
    while True:
        start = place
        value, place = _value(file, text, place)
        yield value, start, place
        place = _skip(text, place)
        if text[place : place + 1] == "]":
            return
        if text[place : place + 1] != ",":
            raise _damaged(file, text, place)
        place = _skip(text, place + 1)


def _names(file: Path, text: str) -> Generator[tuple[str, int], int | None, None]:
    """The names of the object that the file holds, each with the place where its value begins. Who has read the value
    sends the place behind it; else it is passed over."""
    place = _skip(text, 0)
    if text[place : place + 1] != "{":
        found = shown(text[place : place + 40])
        raise DataError(f"{file}: the file should hold a JSON object, not {found}. {_other_format(text, place)}")
    place = _skip(text, place + 1)
    while text[place : place + 1] != "}":
        name, place = _value(file, text, place)
        place = _skip(text, place)
        if not isinstance(name, str) or text[place : place + 1] != ":":
            raise _damaged(file, text, place)
        place = _skip(text, place + 1)
        behind = yield name, place
        place = _skip(text, behind or _value(file, text, place)[1])
        if text[place : place + 1] == ",":
            place = _skip(text, place + 1)
        elif text[place : place + 1] != "}":
            raise _damaged(file, text, place)


def _find(file: Path, text: str, key: str) -> int:
    """Where the value under a key of the object begins."""
    names = []
    for name, place in _names(file, text):
        if name == key:
            return place
        names.append(name)
    there = ", ".join(names[:SHOWN]) or "none"
    raise DataError(f"{file}: the key '{key}' is missing.{did_you_mean(key, names)} There are: {there}")


def _damaged(file: Path, text: str, place: int) -> DataError:
    line = text.count("\n", 0, place) + 1
    if place >= len(text.rstrip()):
        return DataError(f"{file} is cut off in line {line}. Copy or download it again")
    return DataError(f"{file} is no JSON in line {line}, at {shown(text[place : place + 20])}")


def _other_format(text: str, place: int) -> str:
    """What a reader who sees the wrong kind of file might look for."""
    second = text.find("\n{", place)
    return "One object a line is read when the name ends with .jsonl" if second > 0 else "Is it another of the set?"
