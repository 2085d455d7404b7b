"""Predictions of many trials in little memory and time: where trials were asked the same, what was asked is read once.

A line of predictions.jsonl says first what was asked, the same bytes in every trial, and then what was answered. Of
every trial after the first only the answers are taken apart, as long as each line begins as that of the trial before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import methodcaller
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy
from pydantic_core import from_json

from workbench.storage.older_records import predictions_of
from workbench.storage.records import COUNTS, SCORE
from workbench.storage.result_files import MADE_ANEW, PREDICTIONS, ResultsError, read_lines

if TYPE_CHECKING:
    import pandas

CODED = ("condition", "id", "image", "group")  # columns of few values, or of the same ones in every trial
ASKED = (*CODED, "question", "answers", "more_images")
COLUMNS = ("condition", "id", "image", "group", "question", "answers", "answer", "loss")
ANSWER = b'"answer": '  # the key that ends what was asked


class PredictionsReader:
    """Reads trials one after the other. Frames have the columns of `read_predictions`; those of what was asked are
    categories, or texts and lists, that all trials asked alike have in common: nobody may change them."""

    def __init__(self) -> None:
        self._beginnings: list[bytes] = []
        self._asked: dict[str, pandas.Series] = {}
        self._texts: dict[str, str] = {}

    def read(self, folder: Path) -> pandas.DataFrame:
        """One row a question and condition; empty when there is no file. `ResultsError` where it is damaged."""
        import pandas

        file = folder / PREDICTIONS
        content = file.read_bytes() if file.is_file() else b""
        lines = [line for line in content.split(b"\n") if line]
        given = self._answers(lines)
        if given is None:
            rows = predictions_of(read_lines(file))
            self._asked = _asked(rows)
            self._beginnings = _beginnings(lines, rows) if len(lines) == len(rows) else []
            given = [{name: value for name, value in row.items() if name not in ASKED} for row in rows]
        if not given:
            return pandas.DataFrame(columns=list(COLUMNS))
        return pandas.DataFrame({**self._asked, **self._given(file, given)}, copy=False)

    def _answers(self, lines: Sequence[bytes]) -> list[dict[str, Any]] | None:
        """What was answered, where every line begins as the one of the trial before; else None."""
        before = self._beginnings
        if not before or len(lines) != len(before) or not all(map(bytes.startswith, lines, before)):
            return None
        rest = [line[len(beginning) :] for line, beginning in zip(lines, before, strict=True)]
        try:
            found = from_json(b"[{" + b",{".join(rest) + b"]")
        except ValueError:  # the other reader says where
            return None
        again = any(name in ASKED for name in _names(found))
        return None if again or len(found) != len(lines) else found

    def _given(self, file: Path, rows: Sequence[Mapping[str, Any]]) -> dict[str, pandas.Series]:
        """The columns of what was answered, and of its scores."""
        import pandas

        found: dict[str, pandas.Series] = {}
        for name, values in _columns(rows).items():
            if name == "scores":
                parts = _columns([value or {} for value in values])
                found |= {SCORE + each: _numbers(file, each, part) for each, part in parts.items()}
            elif name == "counts":
                parts = _columns([value or {} for value in values])
                found |= {COUNTS + each: pandas.Series(part, dtype=object) for each, part in parts.items()}
            elif name == "answer":  # most are given by many trials
                kept = list(map(self._texts.setdefault, values, values))
                found[name] = pandas.Series(kept, dtype=object)
            elif isinstance(next((value for value in values if value is not None), 0.0), int | float):
                found[name] = _numbers(file, name, values)
            else:
                found[name] = pandas.Series(values, dtype=object)
        return found


def _asked(rows: Sequence[Mapping[str, Any]]) -> dict[str, pandas.Series]:
    """The columns of what was asked."""
    import pandas

    found: dict[str, pandas.Series] = {}
    for name in ASKED:
        if any(name in row for row in rows):
            values = pandas.Series([row.get(name) for row in rows], dtype=object)
            found[name] = _coded(values) if name in CODED else values
    return found


def _coded(values: pandas.Series) -> pandas.Series:
    """The values as categories, in the order they come in."""
    import pandas

    codes, labels = pandas.factorize(values)
    return pandas.Series(pandas.Categorical.from_codes(codes, categories=pandas.Index(labels, dtype=object)))


def _beginnings(lines: Sequence[bytes], rows: Sequence[Mapping[str, Any]]) -> list[bytes]:
    """What each line says before its answer; nothing where that is not all that was asked."""
    found = []
    for line, row in zip(lines, rows, strict=True):
        beginning = line[: line.find(ANSWER)]
        try:
            asked = from_json(beginning.rstrip(b", ") + b"}")
        except ValueError:  # the key stands in a text as well, or the line has another order
            return []
        if asked != {name: value for name, value in row.items() if name in ASKED}:
            return []
        found.append(beginning)
    return found


def _names(rows: Iterable[Mapping[str, Any]]) -> dict[str, None]:
    """The keys of mappings, in the order in which they come."""
    return dict.fromkeys(name for shape in dict.fromkeys(map(tuple, rows)) for name in shape)


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """By key the values of mappings, None where one has none."""
    return {name: list(map(methodcaller("get", name), rows)) for name in _names(rows)}


def _numbers(file: Path, name: str, values: Sequence[Any]) -> pandas.Series:
    """Numbers, NaN where there is none."""
    import pandas

    try:
        return pandas.Series(numpy.array(values, dtype=numpy.float64))
    except (TypeError, ValueError) as error:
        told = f"{file} is damaged: '{name}' is no number in every line"
        raise ResultsError(f"{told}. {MADE_ANEW}") from error
