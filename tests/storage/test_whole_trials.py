"""What is not as it was written counts for nothing: found by content, and not read again while nothing has changed."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.made_results import forget_checksums
from tests.storage.made_record import LINE, RECORD, STEP
from workbench.storage.record_outline import read_outline
from workbench.storage.records import read_record, read_records, write_trial
from workbench.storage.result_files import ResultsError
from workbench.storage.whole_trials import CheckedTrials, damage_of, holds_result_of, read_whole


def test_a_folder_holds_the_result_of_a_stage_when_it_is_done_whole_and_of_its_key(tmp_path: Path):
    folder = tmp_path / "abc"
    assert not holds_result_of(folder, "k")
    for status, expected in (("failed", False), ("done", True)):
        error = {"message": "no"} if status == "failed" else None
        write_trial(folder, replace(RECORD, status=status, error=error, provenance={"key": "k"}), [LINE], [STEP])
        assert holds_result_of(folder, "k") == expected
    assert not holds_result_of(folder, "other")
    (folder / "curve.jsonl").write_text("")
    assert not holds_result_of(folder, "k")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_trial(tmp_path / "trials/abc", RECORD, [LINE], [STEP])
    return tmp_path / "trials/abc"


def same_length(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    assert len(old) == len(new)
    file.write_text(text.replace(old, new, 1))


def damage(folder: Path, worth_it: int = 0) -> str:
    """As a plan finds it, which keeps in mind what is whole."""
    checked = CheckedTrials(folder.parent, worth_it)
    found = checked.damage(folder.name, read_outline(folder))
    checked.remember()
    return found


EDITS: dict[str, tuple[Callable[[Path], object], str]] = {
    "an answer": (
        lambda folder: same_length(folder / "predictions.jsonl", '"answer": "a"', '"answer": "b"'),
        "predictions.jsonl is not what was written: its checksum differs",
    ),
    "a digit of a curve": (
        lambda folder: same_length(folder / "curve.jsonl", "1.5", "1.4"),
        "curve.jsonl is not what was written: its checksum differs",
    ),
    "a cost": (
        lambda folder: same_length(folder / "record.json", '"bytes": 12', '"bytes": 10'),
        "record.json is not what was written: its checksum differs",
    ),
    "a setting": (
        lambda folder: same_length(folder / "record.json", '"seed": 3', '"seed": 4'),
        "record.json is not what was written: its checksum differs",
    ),
    "no answers": (lambda folder: (folder / "predictions.jsonl").unlink(), "predictions.jsonl is missing"),
    "half a line": (
        lambda folder: (folder / "predictions.jsonl").write_text("{"),
        "predictions.jsonl is not what was written: its checksum differs",
    ),
    "half a record": (lambda folder: (folder / "record.json").write_text("{"), "record.json is damaged"),
    "no metrics": (
        lambda folder: (folder / "record.json").write_text('{"metrics": 3}'),
        "record.json is damaged",
    ),
}


@pytest.mark.parametrize("edit", EDITS)
def test_every_edit_is_found_and_the_file_named_whatever_was_seen_before(folder: Path, edit: str):
    assert damage(folder) == damage_of(folder) == ""
    change, told = EDITS[edit]
    change(folder)
    assert damage(folder) == damage_of(folder) == told
    assert damage(folder) == told, "nothing damaged is kept in mind"


def test_a_record_that_was_edited_is_read_by_nobody(folder: Path):
    same_length(folder / "record.json", '"bytes": 12', '"bytes": 10')
    for read in (read_record, lambda folder: read_records(folder.parents[1])):
        with pytest.raises(ResultsError, match=r"record.json is not what was written: its checksum differs. Run its"):
            read(folder)


def test_a_trial_in_the_folder_of_another_one_is_found(folder: Path):
    folder = folder.rename(folder.with_name("abd"))
    assert damage(folder) == damage_of(folder) == "record.json is that of the trial abc"


def test_a_record_without_checksums_is_what_it_is(folder: Path):
    forget_checksums(folder)
    same_length(folder / "record.json", '"bytes": 12', '"bytes": 10')
    assert damage(folder) == damage_of(folder) == ""
    assert read_record(folder).metrics["bytes"] == 10
    (folder / "predictions.jsonl").write_text("{")
    assert read_whole(folder.parents[1]).damaged == {"abc": "predictions.jsonl is damaged"}


def settled(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the files be older than what changed a moment ago."""
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 60)


def test_what_was_found_whole_is_not_read_again_until_it_changes(folder: Path, monkeypatch: pytest.MonkeyPatch):
    settled(folder, monkeypatch)
    assert damage(folder) == ""
    hidden = folder.parent / ".checked.json"
    assert set(json.loads(hidden.read_text())) == {"abc", "sha256"}
    with monkeypatch.context() as patched:
        patched.setattr("workbench.storage.whole_trials.measured", lambda file: pytest.fail(f"{file} was read"))
        assert damage(folder) == ""
    file = folder / "predictions.jsonl"
    times = file.stat().st_atime_ns, file.stat().st_mtime_ns
    same_length(file, '"answer": "a"', '"answer": "b"')
    os.utime(file, ns=times)
    assert damage(folder).startswith("predictions.jsonl"), "even where its time is set back"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"abc": "0"}', '{"abc": "0", "sha256": "0"}'])
def test_notes_that_are_damaged_are_no_notes(folder: Path, monkeypatch: pytest.MonkeyPatch, content: str):
    settled(folder, monkeypatch)
    (folder.parent / ".checked.json").write_text(content)
    same_length(folder / "curve.jsonl", "1.5", "1.4")
    assert damage(folder).startswith("curve.jsonl")


def test_little_is_not_kept_in_mind_nor_what_changed_a_moment_ago(folder: Path, monkeypatch: pytest.MonkeyPatch):
    damage(folder)
    assert not (folder.parent / ".checked.json").exists(), "it was written just now"
    settled(folder, monkeypatch)
    damage(folder, worth_it=10**6)
    assert not (folder.parent / ".checked.json").exists()


def test_of_trials_whose_answers_are_damaged_the_records_are_known(tmp_path: Path, folder: Path):
    write_trial(tmp_path / "trials/abd", replace(RECORD, id="abd"), [LINE], [STEP])
    write_trial(tmp_path / "trials/abe", replace(RECORD, id="abe"), [LINE], [STEP])
    (folder / "curve.jsonl").unlink()
    (tmp_path / "trials/abd/record.json").write_text("{")
    found = read_whole(tmp_path)
    assert [record.id for record in found.whole] == ["abe"]
    assert [record.id for record in found.answers_damaged] == ["abc"]
    assert found.damaged == {"abc": "curve.jsonl is missing", "abd": "record.json is damaged"}
