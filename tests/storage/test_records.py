"""Records come back as they were written, and half a trial is never seen."""

from __future__ import annotations

import errno
import json
import math
import os
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.made_results import write_results
from workbench.storage.atomic import StorageError, new_folder, storage_errors, write_bytes, write_text
from workbench.storage.records import (
    DONE,
    Outline,
    Record,
    ResultsError,
    altered_files,
    claim_results,
    is_whole,
    read_curve,
    read_outline,
    read_predictions,
    read_record,
    read_records,
    read_summary,
    records_frame,
    write_summary,
    write_trial,
)

RECORD = Record(
    id="abc",
    status=DONE,
    experiment="made",
    axes={"fusion": "gated", "language_model.depth": "2"},
    spec={"seed": 3},
    metrics={"vqa_accuracy": 0.5, "loss": math.nan, "bytes": 12},
    scales={"vqa_accuracy": {"higher_is_better": True, "percent": True}},
    provenance={"torch": "2"},
    error=None,
)
LINE = {"condition": "image", "id": "q", "image": "p", "group": "g", "question": "é?", "answers": ["a", "b"]}
LINE |= {"answer": "a", "loss": 0.25, "scores": {"vqa_accuracy": 1.0}}
STEP = {"phase": "tune", "step": 1, "steps": 2, "loss": 1.5, "rate": 0.1, "images": 4, "seconds": 0.5}


def outline(folder: Path) -> Outline:
    found = read_outline(folder)
    assert found is not None
    return found


def test_a_trial_comes_back_as_it_was_written(tmp_path: Path):
    write_trial(tmp_path / "abc", RECORD, [LINE], [STEP])
    found = read_record(tmp_path / "abc")
    assert math.isnan(found.metrics["loss"])
    files = found.provenance.pop("files")
    assert set(files) == {"predictions.jsonl", "curve.jsonl"}
    assert replace(found, metrics={}) == replace(RECORD, metrics={})
    assert found.metrics["vqa_accuracy"] == 0.5
    predictions = read_predictions(tmp_path / "abc")
    first = predictions.to_dict("records")[0]
    assert (first["score.vqa_accuracy"], first["answers"], first["question"]) == (1.0, ["a", "b"], "é?")
    assert read_curve(tmp_path / "abc").to_dict("records") == [STEP]


def test_a_trial_written_again_replaces_the_earlier_one_and_leaves_nothing_beside_it(tmp_path: Path):
    write_trial(tmp_path / "abc", RECORD, [LINE, LINE], [])
    write_trial(tmp_path / "abc", RECORD, [LINE], [STEP])
    assert len(read_predictions(tmp_path / "abc")) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["abc"]


def test_a_write_that_breaks_off_keeps_the_earlier_trial_whole(tmp_path: Path):
    write_trial(tmp_path / "abc", RECORD, [LINE], [STEP])

    def breaking():
        yield LINE
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_trial(tmp_path / "abc", replace(RECORD, status="failed"), breaking(), [])
    assert read_record(tmp_path / "abc").status == DONE
    assert [entry.name for entry in tmp_path.iterdir()] == ["abc"]


def test_a_folder_that_cannot_be_made_is_named_in_the_message(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsError, match=r"cannot write .*file/trials/abc: .*is a file"):
        write_trial(tmp_path / "file" / "trials" / "abc", RECORD, [], [])


def test_a_disk_that_fills_up_leaves_nothing_half_written(tmp_path: Path):
    """A child process may write files of 4 kB at most: the system refuses the rest, as a full disk would."""
    program = (
        "import sys; from pathlib import Path; from tests.storage.test_records import RECORD, LINE; "
        "from workbench.storage.records import ResultsError, write_trial\n"
        "try:\n    write_trial(Path(sys.argv[1]) / 'abc', RECORD, [LINE] * 1000, [])\n"
        "except ResultsError as error:\n    print(error)"
    )

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    command = [sys.executable, "-c", program, str(tmp_path)]
    root = Path(__file__).parents[2]
    run = subprocess.run(command, cwd=root, preexec_fn=limit, capture_output=True, text=True, check=True)
    assert f"cannot write {tmp_path / 'abc'}" in run.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a file that is always full")
def test_a_full_disk_is_called_a_full_disk(tmp_path: Path):
    with pytest.raises(StorageError, match="the disk is full"), storage_errors(tmp_path):
        Path("/dev/full").write_text("x")


@pytest.mark.parametrize(
    ("number", "words"), [(errno.EROFS, "read-only"), (errno.EACCES, "permission"), (errno.EIO, "Input/output error")]
)
def test_what_the_system_says_is_told_in_plain_words(tmp_path: Path, number: int, words: str):
    with pytest.raises(StorageError, match=words), storage_errors(tmp_path):
        raise OSError(number, os.strerror(number))


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path):
    write_text(tmp_path / "a.txt", "ä")
    assert (tmp_path / "a.txt").read_bytes() == "ä".encode()
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError, match="folder"):
        write_bytes(tmp_path / "folder", b"x")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.txt", "folder"]


def test_a_new_folder_appears_only_when_its_body_ended_well(tmp_path: Path):
    final = tmp_path / "deep" / "final"
    with pytest.raises(KeyboardInterrupt), new_folder(final) as temporary:
        (temporary / "a").write_text("1")
        raise KeyboardInterrupt
    assert not final.exists()
    with new_folder(final) as temporary:
        (temporary / "a").write_text("1")
        assert not final.exists()
    assert (final / "a").read_text() == "1"


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


def test_truncated_predictions_are_an_error_that_names_file_and_line(tmp_path: Path):
    write_trial(tmp_path / "abc", RECORD, [LINE, LINE], [])
    file = tmp_path / "abc" / "predictions.jsonl"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(ResultsError, match=r"predictions\.jsonl is damaged in line 2"):
        read_predictions(tmp_path / "abc")


def test_records_come_in_the_order_of_the_experiment(tmp_path: Path):
    folder = write_results(tmp_path, images=3, failed=(1,), left_out=(4,))
    records = read_records(folder)
    assert [record.id for record in records] == [id_ for id_ in read_summary(folder).trials if not id_.endswith("04")]
    frame = records_frame(records)
    assert list(frame.status).count("failed") == 1
    assert list(frame["fusion"])[0] == "concat_projection"
    assert list(frame["vqa_accuracy"].isna()).count(True) == 1


def test_a_folder_without_trials_has_no_records(tmp_path: Path):
    assert read_records(tmp_path) == []


def test_results_of_another_experiment_are_not_touched(tmp_path: Path):
    folder = write_results(tmp_path, images=3, left_out=tuple(range(1, 12)))
    claim_results(folder, "made")
    with pytest.raises(ResultsError, match="results of the experiment 'made', not of 'other'"):
        claim_results(folder, "other")


def test_a_folder_that_holds_something_else_is_not_claimed(tmp_path: Path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(ResultsError, match=r"thesis\.tex"):
        claim_results(tmp_path, "made")
    claim_results(tmp_path / "new", "made")
    assert (tmp_path / "new").is_dir()


def test_a_summary_comes_back_with_the_text_that_was_run(tmp_path: Path):
    summary = {
        "name": "n",
        "question": "q",
        "axes": {"a": ["x", "y"]},
        "baseline": {"a": "x"},
        "metrics": ["m"],
        "trials": ["1"],
    }
    write_summary(tmp_path / "n", summary, "question: q\n")
    found = read_summary(tmp_path / "n")
    assert (found.name, found.axes, found.text) == ("n", {"a": ["x", "y"]}, "question: q\n")
    with pytest.raises(ResultsError, match="no results folder"):
        read_summary(tmp_path)


@pytest.mark.parametrize("name", ["predictions.jsonl", "curve.jsonl"])
def test_a_flipped_bit_beside_a_record_is_told(tmp_path: Path, name: str):
    folder = tmp_path / "abc"
    write_trial(folder, RECORD, [LINE], [STEP])
    assert altered_files(folder, read_record(folder)) == []
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(bytes(content))
    assert is_whole(folder, outline(folder)), "its size is the same"
    assert altered_files(folder, read_record(folder)) == [name]
    (folder / name).write_bytes(bytes(content[:-1]))
    assert not is_whole(folder, outline(folder))
