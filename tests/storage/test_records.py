"""Records come back as they were written, and half a trial is never seen."""

from __future__ import annotations

import math
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.made_results import write_results
from tests.storage.made_record import LINE, RECORD, STEP
from tests.storage.test_record_outline import outline
from workbench.storage.experiment_summary import read_summary
from workbench.storage.record_outline import is_whole
from workbench.storage.records import (
    DONE,
    altered_files,
    read_curve,
    read_predictions,
    read_record,
    read_records,
    records_frame,
    write_trial,
)
from workbench.storage.result_files import ResultsError


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


def test_a_metric_without_a_value_in_the_curve_is_null_in_its_file_and_comes_back(tmp_path: Path):
    step = {**STEP, "validation_metrics": {"yes_no": math.nan, "vqa_accuracy": 0.5}}
    write_trial(tmp_path / "abc", RECORD, [LINE], [step, STEP])
    assert '{"yes_no": null, "vqa_accuracy": 0.5}' in (tmp_path / "abc" / "curve.jsonl").read_text()
    found = read_curve(tmp_path / "abc").to_dict("records")[0]["validation_metrics"]
    assert math.isnan(found["yes_no"])
    assert found["vqa_accuracy"] == 0.5


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
        "import sys; from pathlib import Path; from tests.storage.made_record import RECORD, LINE; "
        "from workbench.storage.records import write_trial\n"
        "from workbench.storage.result_files import ResultsError\n"
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
