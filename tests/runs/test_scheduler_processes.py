"""Several runs, killed processes and interruptions: each stage runs once, and nothing finished is lost."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.processes import Command, ended, start, until
from tests.small import SMALL, load, records, run_here, small_registry, write
from workbench.config.experiment import load_experiment
from workbench.storage.artifacts import ArtifactStore
from workbench.workers.ending import GRACE

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
    """Whether somebody has claimed a stage which is not done."""
    store = ArtifactStore(folder / "results/artifacts")
    return any(not store.has(file.name) for file in (store.folder / ".claims").glob("[!.]*"))


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
    gate = tmp_path / "gate"
    gate.touch()
    write(tmp_path, WAITING.replace("waiting", f"{{name: held, gate: {gate}}}"))
    command = start(tmp_path, "--workers", "2")
    until(gate.with_suffix(".pid").exists)  # while a worker is started no Ctrl-C is heard
    for _ in range(2):
        os.killpg(command.pid, signal.SIGINT)
        time.sleep(0.05)
    assert "run again to continue" in ended(command, 130)
    until(lambda: not members(command.pid))


def slow_run(folder: Path, before: Callable[[], None] | None = None) -> tuple[Path, Command, int]:
    """A run in the middle of a phase of a hundred steps that would take twenty seconds, the gate that slows it, and the
    process of its worker."""
    gate = folder / "gate"
    gate.touch()
    write(folder, SMALL.replace("steps: 2", "steps: 100") + f"grid:\n  fusion: [{{name: slow, gate: {gate}}}]\n")
    command = start(folder, "--workers", "1", before=before)
    until(lambda: gate.with_suffix(".begun").exists() and gate.with_suffix(".begun").read_text())
    return gate, command, int(gate.with_suffix(".begun").read_text())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
@pytest.mark.parametrize("everybody", [False, True])
def test_a_preempted_run_keeps_a_last_snapshot_and_goes_on_to_the_bit(tmp_path, number, code, everybody):
    """Whether the run alone is asked to end, or all its processes are."""
    gate, command, _ = slow_run(tmp_path)
    (os.killpg if everybody else os.kill)(command.pid, number)
    said = ended(command, code)
    assert said.count(f"ended by {number.name}; what is finished is kept, and the last snapshots; run again") == 1
    assert "failed" not in said
    until(lambda: not members(command.pid))
    (partial,) = (tmp_path / "results/artifacts").glob("*.partial")
    (snapshot,) = partial.iterdir()
    assert 1 <= int(snapshot.name.partition("-")[0]) < 100
    assert not list((tmp_path / "results").rglob("*.tmp"))
    assert records(tmp_path) == []
    gate.unlink()
    key = partial.name.removesuffix(".partial")
    weights = []
    for results in ("results", "anew"):
        assert len(run_here(load_experiment(tmp_path / "small.yaml", small_registry()), tmp_path / results).done) == 1
        weights.append((tmp_path / results / "artifacts" / key / "weights.safetensors").read_bytes())
    assert weights[0] == weights[1]


def test_what_hangs_is_ended_at_once_by_the_second_signal(tmp_path):
    gate = tmp_path / "gate"
    gate.touch()
    write(tmp_path, SMALL + f"grid:\n  fusion: [{{name: held, gate: {gate}}}]\n")
    command = start(tmp_path, "--workers", "1")
    until(gate.with_suffix(".pid").exists)
    began = time.monotonic()
    os.kill(command.pid, signal.SIGTERM)
    time.sleep(0.5)
    os.kill(command.pid, signal.SIGTERM)
    ended(command, 143)
    assert time.monotonic() - began < GRACE
    until(lambda: not members(command.pid))


def ignore_hang_up() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def test_a_run_that_nohup_started_does_not_hear_that_the_terminal_is_gone(tmp_path):
    gate, command, _ = slow_run(tmp_path, before=ignore_hang_up)
    os.killpg(command.pid, signal.SIGHUP)
    gate.unlink()
    ended(command, 0)


def test_a_worker_that_is_asked_to_end_alone_is_replaced_and_its_phase_goes_on(tmp_path):
    gate, command, worker = slow_run(tmp_path)
    os.kill(worker, signal.SIGTERM)
    gate.unlink()
    said = ended(command, 0)
    assert "it was asked to end; " in said
    assert "; another worker goes on with it" in said
    assert_whole(tmp_path, 1)
