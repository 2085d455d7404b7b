"""The log of what the test split was asked: what counts as an asking, and that nothing is lost or mixed up."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from workbench.storage.askings import Asked, AskedLog, askings_of, count_askings, read_asked
from workbench.storage.atomic import StorageError
from workbench.storage.result_files import TEST_LOG, ResultsError


def asked(run: str, trial: str, key: str = "k", version: str = "v") -> Asked:
    return Asked("now", run, version, "test", trial, key)


def test_a_folder_without_a_log_was_never_asked(tmp_path):
    assert read_asked(tmp_path) == []
    assert str(askings_of(tmp_path)) == "never asked"


def test_every_run_that_asks_something_new_counts_once():
    first = [asked("1", "a"), asked("1", "b")]
    assert str(count_askings(first)) == "asked once by 1 version of the file"
    assert count_askings([*first, asked("2", "a"), asked("2", "b")]).times == 1, "the same again tells nothing new"
    assert count_askings([*first, asked("2", "b"), asked("2", "c")]).times == 2
    assert count_askings([*first, asked("2", "a", key="other weights")]).times == 2


def test_versions_are_those_that_asked_something_new():
    log = [asked("1", "a", version="x"), asked("2", "b", version="y"), asked("3", "a", version="z")]
    assert str(count_askings(log)) == "asked 2 times by 2 versions of the file"


def test_splits_to_choose_on_may_be_asked_at_will(tmp_path):
    log = AskedLog(tmp_path, "question: made\n")
    for split in ("held_out", "validation", "val"):
        log.note(split, "a", "k")
    assert not (tmp_path / TEST_LOG).exists()
    log.note("testdev", "a", "k")
    [line] = read_asked(tmp_path)
    assert (line.split, line.trial, line.key) == ("testdev", "a", "k")


def test_two_versions_of_a_file_and_two_runs_are_told_apart(tmp_path):
    for text in ("question: one\n", "question: one\n", "question: two\n"):
        AskedLog(tmp_path, text).note("test", "a", text)
    one, again, two = read_asked(tmp_path)
    assert one.version == again.version != two.version
    assert len({one.run, again.run, two.run}) == 3


def test_lines_of_many_runs_at_once_stay_whole(tmp_path):
    logs = [AskedLog(tmp_path, f"{number}") for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(
                lambda pair: pair[0].note("test", *pair[1:]),
                [(log, "t" * 500, f"{n}") for log in logs for n in range(30)],
            )
        )
    assert len({(each.run, each.key) for each in read_asked(tmp_path)}) == 240


def test_a_line_that_was_cut_off_takes_no_other_with_it(tmp_path):
    log = AskedLog(tmp_path, "")
    log.note("test", "a", "k")
    with (tmp_path / TEST_LOG).open("a") as file:
        file.write('{"when": "2026-')
    assert len(read_asked(tmp_path)) == 1
    log.note("test", "b", "k")
    assert [each.trial for each in read_asked(tmp_path)] == ["a", "b"]


@pytest.mark.parametrize("line", ["[1]", json.dumps({"when": "now"}), "nonsense"])
def test_a_damaged_line_is_told(tmp_path, line):
    (tmp_path / TEST_LOG).write_text(f"{line}\n")
    with pytest.raises(ResultsError, match="damaged in line 1"):
        read_asked(tmp_path)


def test_what_cannot_be_noted_is_not_asked(tmp_path):
    (tmp_path / TEST_LOG).mkdir()
    with pytest.raises(StorageError):
        AskedLog(tmp_path, "").note("test", "a", "k")


@pytest.mark.parametrize(("said", "edited"), [("trial-a", "trial-b"), ('"test"', '"other"'), ('"k"', '"m"')])
def test_a_line_that_was_edited_is_noticed(tmp_path, said, edited):
    AskedLog(tmp_path, "").note("test", "trial-a", "k")
    file = tmp_path / TEST_LOG
    text = file.read_text()
    assert said in text
    file.write_text(text.replace(said, edited))
    with pytest.raises(ResultsError, match="damaged in line 1.*checksum differs"):
        read_asked(tmp_path)


def test_a_line_of_an_earlier_version_has_no_checksum(tmp_path):
    line = json.dumps({"when": "now", "run": "1", "version": "v", "split": "test", "trial": "a", "key": "k"})
    (tmp_path / TEST_LOG).write_text(f"{line}\n")
    assert read_asked(tmp_path) == [asked("1", "a")]


def test_a_result_whose_line_was_taken_away_is_noticed(tmp_path):
    for trial in ("a", "b"):
        AskedLog(tmp_path, "").note("test", trial, "k")
    results = [("a", "k"), ("b", "k")]
    assert askings_of(tmp_path, results) == askings_of(tmp_path)
    file = tmp_path / TEST_LOG
    file.write_text(file.read_text().split("\n", 1)[1])
    found = askings_of(tmp_path, results)
    assert (found.times, found.unnamed) == (1, 1)
    assert "or more (lines are missing" in str(found)
