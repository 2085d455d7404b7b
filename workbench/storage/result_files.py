"""The files of a results folder, and reading them: what is damaged is told with its file, its line, and what to do.

results/<experiment>/experiment.json, experiment.yaml      what was asked
results/<experiment>/test_split.jsonl                      when the test split was asked, about which trials
results/<experiment>/trials/<id>/record.json               how a trial came out
results/<experiment>/trials/<id>/predictions.jsonl         one line a question and condition
results/<experiment>/trials/<id>/curve.jsonl               one line a training step
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from workbench.errors import UserError
from workbench.storage.places import regular

RECORD, PREDICTIONS, CURVE = "record.json", "predictions.jsonl", "curve.jsonl"
SUMMARY, TEXT, TRIALS = "experiment.json", "experiment.yaml", "trials"
TEST_LOG = "test_split.jsonl"
MADE_ANEW = "Run its experiment again, which makes it anew"


class ResultsError(UserError):
    """The border to results on the disk: what a run or an export left is missing, damaged, in use, of something else,
    or cannot be written."""


def read_json(file: Path, advice: str = MADE_ANEW) -> dict[str, Any]:
    """The object in a JSON file; `ResultsError` with the advice when it is missing, damaged, or no object."""
    try:
        content = json.loads(regular(file).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ResultsError(f"{file} cannot be read: {error}. {advice}") from error
    if not isinstance(content, dict):
        raise ResultsError(f"{file} is damaged: it holds no JSON object. {advice}")
    return content


def read_lines(file: Path) -> list[dict[str, Any]]:
    """The objects of a file with one a line, none where there is no file; `ResultsError` names the line that is
    damaged."""
    if not file.is_file():
        return []
    try:
        found = _parsed([line for line in file.read_bytes().split(b"\n") if line])
        if not all(isinstance(line, dict) for line in found):
            raise ValueError("every line has to be a JSON object")
        return found
    except (OSError, ValueError, RecursionError) as error:
        raise ResultsError(f"{file} is damaged{_place(file)}: {error}. {MADE_ANEW}") from error


def _parsed(lines: Sequence[bytes]) -> list[Any]:
    """What JSON says in every line. One call is several times faster than one a line, and this parser than that of
    Python, which takes more texts for valid and says better what is wrong."""
    together = b"[" + b",".join(lines) + b"]"
    try:
        return from_json(together)
    except ValueError:
        return json.loads(together.decode("utf-8"))


def check_fields(file: Path, content: Mapping[str, Any], form: type, advice: str = MADE_ANEW) -> None:
    """`ResultsError` unless every field is there, and is a mapping, a list or a text where the dataclass says so."""
    for name, shape, optional in shapes_of(form):
        if name not in content:
            raise ResultsError(f"{file} is damaged: '{name}' is missing. {advice}")
        value = content[name]
        if not isinstance(value, shape) and not (optional and value is None):
            raise ResultsError(f"{file} is damaged: '{name}' is {value!r}. {advice}")


@cache
def shapes_of(form: type) -> list[tuple[str, type, bool]]:
    """Of each field of a dataclass: its name, the type it has in JSON, and whether it may be null."""
    shapes = {"dict": dict, "list": list, "str": str}
    kinds = [(field.name, str(field.type)) for field in dataclasses.fields(form)]
    return [(name, shapes[kind.partition("[")[0]], kind.endswith("| None")) for name, kind in kinds]


def _place(file: Path) -> str:
    """Which line of a damaged file is wrong, as ` in line 3`."""
    for number, line in enumerate(file.read_bytes().split(b"\n"), start=1):
        try:
            json.loads(line or b"{}")
        except (ValueError, RecursionError):
            return f" in line {number}"
    return ""
