"""Several runs, killed processes and interruptions: each stage runs once, and nothing finished is lost."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import psutil

from tests.processes import ended, start, until
from tests.small import SMALL, load, records, run_here, write
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
