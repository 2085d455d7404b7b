"""What is damaged in a results folder is told with its file, and with its line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.storage.made_record import LINE, RECORD
from workbench.storage.record_outline import read_outline
from workbench.storage.records import (
    read_predictions,
    read_record,
    write_trial,
)
from workbench.storage.result_files import ResultsError


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"id": "ab', "cannot be read"),
        ("[1]", "no JSON object"),
        ('{"id": "abc"}', "'status' is missing"),
        ("\x00\x01", "cannot be read"),
    ],
)
def test_a_damaged_record_is_named(tmp_path: Path, content: str, words: str):
    write_trial(tmp_path / "abc", RECORD, [], [])
    (tmp_path / "abc" / "record.json").write_text(content)
    with pytest.raises(ResultsError, match=words) as error:
        read_record(tmp_path / "abc")
    assert str(tmp_path / "abc" / "record.json") in str(error.value)
    assert read_outline(tmp_path / "abc") is None


WRONG = [("status", "maybe"), ("metrics", {"a": "x"}), ("axes", "vit"), ("spec", None), ("scales", 1), ("error", "no")]


@pytest.mark.parametrize(("name", "value"), [*WRONG, ("provenance", []), ("id", 3)])
def test_a_field_of_the_wrong_kind_is_named(tmp_path: Path, name: str, value: object):
    write_trial(tmp_path / "abc", replace(RECORD, metrics={}), [], [])
    broken = {**vars(replace(RECORD, metrics={})), name: value}
    (tmp_path / "abc" / "record.json").write_text(json.dumps(broken))
    with pytest.raises(ResultsError, match="is damaged"):
        read_record(tmp_path / "abc")
    assert read_outline(tmp_path / "abc") is None


def test_truncated_predictions_are_an_error_that_names_file_and_line(tmp_path: Path):
    write_trial(tmp_path / "abc", RECORD, [LINE, LINE], [])
    file = tmp_path / "abc" / "predictions.jsonl"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(ResultsError, match=r"predictions\.jsonl is damaged in line 2"):
        read_predictions(tmp_path / "abc")
