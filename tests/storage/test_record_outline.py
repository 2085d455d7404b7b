"""The quick look at a record says what the record says, or nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.storage.made_record import LINE, RECORD, STEP
from workbench.storage.record_outline import Outline, is_whole, read_outline
from workbench.storage.records import (
    read_record,
    write_trial,
)


def outline(folder: Path) -> Outline:
    found = read_outline(folder)
    assert found is not None
    return found


def test_the_outline_of_a_record_says_what_the_record_says(tmp_path: Path):
    made = replace(RECORD, provenance={"key": "k", "before": None, "made_of": {"version:torch": "2"}})
    strange = replace(made, status="failed", error={"message": "no file caf\udce9"})  # as Python reads an odd file name
    for record in (made, strange):
        write_trial(tmp_path / "abc", record, [LINE], [])
        whole, found = read_record(tmp_path / "abc"), outline(tmp_path / "abc")
        for name in ("id", "status", "experiment", "axes", "error"):
            assert getattr(found, name) == getattr(whole, name)
        origin = found.provenance
        assert (origin.key, origin.before) == ("k", None)
        assert {name: list(each) for name, each in origin.files.items()} == whole.provenance["files"]
        assert is_whole(tmp_path / "abc", found)
    assert read_outline(tmp_path / "none") is None


@pytest.mark.parametrize("cut", [1, 40, 400])
def test_a_truncated_record_has_no_outline(tmp_path: Path, cut: int):
    write_trial(tmp_path / "abc", RECORD, [LINE], [STEP])
    file = tmp_path / "abc" / "record.json"
    file.write_bytes(file.read_bytes().rstrip()[:-cut])
    assert read_outline(tmp_path / "abc") is None
