"""Several runs, killed processes and interruptions: each stage runs once, and nothing finished is lost."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.processes import ended, start, until
from tests.small import SMALL, files_of, load, records, run_here, small_registry, write
from workbench.errors import UserError
from workbench.runs.clean import clean
from workbench.runs.scheduler import RunOptions
from workbench.runs.stage_work import _check_sources
from workbench.runs.stages import chain
from workbench.storage.artifacts import ArtifactStore
from workbench.storage.locks import locked

GRID = SMALL + "grid:\n  fusion: [concat_projection, cross_attention]\n"
WAITING = SMALL + "grid:\n  fusion: [concat_projection, waiting]\n"


def members(group: int) -> list[psutil.Process]:
    """The living processes of a group."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):  # it has ended meanwhile, or is the system's own
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def at_work(folder: Path) -> bool:
    """Whether somebody holds the lock of a stage which is not done."""
    store = ArtifactStore(folder / "results/artifacts")
    for file in (store.folder / ".locks").glob("*"):
        if file.name != "runs" and not store.has(file.name):
            with locked(file) as mine:
                if not mine:
                    return True
    return False


def assert_whole(folder: Path, trials: int) -> None:
    """Every record is done, every stage has its checksums, and nothing is half written."""
    assert [record["status"] for record in records(folder)] == ["done"] * trials
    store = ArtifactStore(folder / "results/artifacts")
    for key in store.names():
        assert store.has(key)
        store.read(key)
    assert not list((folder / "results").rglob("*.tmp"))


def test_two_runs_at_once_do_each_stage_once(tmp_path):
    write(tmp_path, GRID)
    both = [start(tmp_path, "--workers", "1") for _ in range(2)]
    said = "".join(ended(each, 0) for each in both)
    assert said.count("2 of 2 trials done") == 2
    assert_whole(tmp_path, 2)
    stages = [json.loads(file.read_text()) for file in (tmp_path / "results/artifacts").glob("*/stage.json")]
    assert len(stages) == 2


def test_a_killed_parent_takes_its_workers_along_and_the_next_run_completes(tmp_path):
    write(tmp_path, WAITING)
    command = start(tmp_path, "--workers", "2")
    until(lambda: at_work(tmp_path))
    command.process.kill()
    command.wait(seconds=30.0)
    until(lambda: not members(command.pid))
    left = tmp_path / "results/small/trials/.abc.0123456789ab.tmp"
    left.mkdir(parents=True)
    assert len(run_here(load(tmp_path, text=GRID), tmp_path / "results").done) == 2
    assert_whole(tmp_path, 2)


def test_control_c_twice_ends_in_order(tmp_path):
    write(tmp_path, WAITING)
    command = start(tmp_path, "--workers", "2")
    until(lambda: at_work(tmp_path))
    for _ in range(2):
        os.killpg(command.pid, signal.SIGINT)
        time.sleep(0.05)
    assert "run again to continue" in ended(command, 130)
    until(lambda: not members(command.pid))


def test_a_stage_that_hangs_is_stopped_the_others_finish_and_it_can_go_on_later(tmp_path):
    gate, results = tmp_path / "gate", tmp_path / "results"
    gate.touch()
    experiment = load(tmp_path, f"grid.fusion=[concat_projection, {{name: held, gate: {gate}, after: 1}}]")
    outcome = run_here(experiment, results, RunOptions(time_limit=4.0, checkpoint_seconds=0), workers=2)
    assert (len(outcome.done), len(outcome.failed)) == (1, 1)
    error = records(tmp_path)[1]["error"]
    assert "stopped after 4 seconds" in error["message"]
    assert error["stage"] == "tune"
    assert len(run_here(experiment, results).failed_before) == 1
    checkpoints = files_of(results / "artifacts")
    assert any(".partial/" in file for file in checkpoints)
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
    file.write_text(json.dumps(record))
    assert not run_here(experiment, results).failed_before, "what may pass is tried again"


def test_the_first_failure_ends_a_run_that_fails_fast(tmp_path):
    experiment = load(tmp_path, "grid.fusion=[raising, cross_attention]")
    outcome = run_here(experiment, tmp_path / "results", RunOptions(fail_fast=True))
    assert (len(outcome.failed), outcome.done) == (1, [])


def test_sources_that_changed_since_the_plan_are_told(tmp_path):
    stage = chain(load(tmp_path).trials[0], small_registry(), lambda trial: "data")[0]
    _check_sources(stage, small_registry())
    stage.made_of["plugin:fusion concat_projection"] = "another"
    stage.made_of[f"file:{tmp_path / 'gone.safetensors'}"] = "another"
    with pytest.raises(UserError, match=r"gone.safetensors, fusion concat_projection changed while") as told:
        _check_sources(stage, small_registry())
    assert told.value.transient, "a record of it is tried again"


def test_trials_that_share_nothing_end_with_the_same_answers(tmp_path):
    text = SMALL + "grid:\n  quantizer: [none, int8]\n"
    frozen = text.replace("train: [encoder, ", "train: [").replace("steps: 2", "epochs: 2")
    experiment = load(tmp_path, text=frozen)
    together, apart = tmp_path / "together", tmp_path / "apart"
    run_here(experiment, together)
    run_here(experiment, apart, RunOptions(share=False))
    shared, own = (ArtifactStore(each / "artifacts").names() for each in (together, apart))
    assert len(own) == 2, "a phase for each of the two trials, and no features"
    assert len(shared) > 1 and not set(shared) & set(own)
    for trial in experiment.trials:
        folders = [each / "small/trials" / trial.id for each in (together, apart)]
        first, second = ((folder / "predictions.jsonl").read_bytes() for folder in folders)
        assert first == second
