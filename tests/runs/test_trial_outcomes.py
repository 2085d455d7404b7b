"""What becomes of trials whose stages fail: which are tried again, and what is kept for them."""

from __future__ import annotations

import json

from tests.runs.test_scheduler_processes import assert_whole
from tests.small import files_of, load, records, run_here
from workbench.runs.clean import clean
from workbench.runs.scheduler import RunOptions
from workbench.storage.checksums import sealed


def test_a_stage_that_hangs_is_stopped_the_others_finish_and_it_can_go_on_later(tmp_path):
    gate, results = tmp_path / "gate", tmp_path / "results"
    gate.touch()
    experiment = load(tmp_path, f"grid.fusion=[concat_projection, {{name: held, gate: {gate}, after: 1}}]")
    outcome = run_here(experiment, results, RunOptions(time_limit=4.0, snapshot_seconds=0), workers=2)
    assert (len(outcome.done), len(outcome.failed)) == (1, 1)
    error = records(tmp_path)[1]["error"]
    assert "stopped after 4 seconds" in error["message"]
    assert error["stage"] == "tune"
    assert len(run_here(experiment, results).failed_before) == 1
    snapshots = files_of(results / "artifacts")
    assert any(".partial/" in file for file in snapshots)
    gone, kept = clean(results)
    assert (gone, len(kept)) == ({}, 1), "more time is all it needs"
    gate.unlink()
    assert len(run_here(experiment, results, RunOptions(retry=True)).done) == 1
    assert_whole(tmp_path, 2)


def test_what_failed_for_good_is_run_again_only_when_asked(tmp_path):
    experiment = load(tmp_path, "grid.fusion=[raising]")
    results = tmp_path / "results"
    assert len(run_here(experiment, results).failed) == 1
    (file,) = results.glob("small/trials/*/record.json")
    before = file.read_bytes()
    assert len(run_here(experiment, results).failed_before) == 1
    assert file.read_bytes() == before
    assert not run_here(experiment, results, RunOptions(retry=True)).failed_before
    record = json.loads(file.read_text())
    record["error"]["transient"] = True
    file.write_text(json.dumps(sealed(record)))
    assert not run_here(experiment, results).failed_before, "what may pass is tried again"


def test_the_first_failure_ends_a_run_that_fails_fast(tmp_path):
    experiment = load(tmp_path, "grid.fusion=[raising, cross_attention]")
    outcome = run_here(experiment, tmp_path / "results", RunOptions(fail_fast=True))
    assert (len(outcome.failed), outcome.done) == (1, [])
