"""Folders that are removed or read-only, and a clock that runs backwards: told in words, and nothing is lost."""

from __future__ import annotations

import ctypes
import io
import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from tests.processes import ended, start, until
from tests.small import PLUGINS, SMALL, CommandLine, Told, load, records, run_here, write
from workbench.config.experiment import load_experiment
from workbench.registry import load_registry
from workbench.runs.launch import make_launcher
from workbench.runs.scheduler import run

CLOCK = """
import time
from multiprocessing import parent_process

if parent_process() is not None:  # in workers
    start = time.monotonic()
    time.time = lambda: 1e9 - 3600 * (time.monotonic() - start)
"""


def held(folder: Path, *others: str) -> Path:
    """A gate that holds the last of some trials; writes their experiment."""
    gate = folder / "gate"
    gate.touch()
    write(folder, SMALL + f"grid:\n  fusion: [{', '.join(others)}, {{name: held, gate: {gate}}}]\n")
    return gate


def meanwhile(gate: Path, do: Callable[[], object]) -> None:
    """Do something while the trial is held."""

    def wait() -> None:
        until(gate.with_suffix(".pid").is_file)
        do()
        gate.unlink()

    threading.Thread(target=wait, daemon=True).start()


@pytest.fixture
def workbench(tmp_path, monkeypatch, capsys) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capsys)


def run_small(workbench: CommandLine, *words: str) -> Told:
    limits = ("--device", "cpu", "--time-limit", "60")
    return workbench("run", "small.yaml", "--plugins", PLUGINS, "--unchecked", *limits, *words)


@pytest.mark.parametrize("folder", ["results", "results/artifacts"])
def test_a_folder_removed_during_a_run_is_made_again(workbench, folder):
    """The stage of the first trial is trained and then gone, before it is evaluated."""
    gate = held(workbench.folder, "concat_projection")
    meanwhile(gate, lambda: shutil.rmtree(workbench.folder / folder))
    told = run_small(workbench, "--workers", "1")
    assert told.code == 0
    assert "it is made again" in told.output
    assert [record["status"] for record in records(workbench.folder)] == ["done", "done"]
    assert "2 of 2 trials done (2 before this run)" in run_small(workbench).output


def test_finished_trials_that_are_removed_during_a_run_are_not_called_done(workbench):
    gate = held(workbench.folder, "concat_projection")
    trials = workbench.folder / "results/small"

    def remove() -> None:
        until(lambda: list(trials.glob("trials/[!.]*/record.json")))
        shutil.rmtree(trials)

    meanwhile(gate, remove)
    told = run_small(workbench, "--workers", "2")
    assert told.code == 1
    assert "1 finished trials were removed from results/small during the run. Run again" in told.output
    assert "1 of 2 trials done" in told.output
    assert "2 of 2 trials done (1 before this run)" in run_small(workbench).output


def mortal() -> None:
    """Give up what lets root write where nobody may."""
    if os.getuid() == 0:
        version, this_process, none_of_them = 0x20080522, 0, [0] * 6
        header, capabilities = (ctypes.c_uint32 * 2)(version, this_process), (ctypes.c_uint32 * 6)(*none_of_them)
        assert ctypes.CDLL(None).capset(header, capabilities) == 0


def test_a_folder_that_may_not_be_written_is_told_before_anything_runs(tmp_path):
    held(tmp_path, "concat_projection")
    (tmp_path / "results").mkdir(mode=0o555)
    told = ended(start(tmp_path, before=mortal), 2)
    assert "cannot write results/small: there is no permission to write there. Give a folder that you may" in told


def test_a_store_that_may_not_be_written_any_more_fails_trials_until_it_may(tmp_path):
    gate = held(tmp_path, "concat_projection")
    command = start(tmp_path, "--workers", "1", before=mortal)
    until(gate.with_suffix(".pid").is_file)
    store = tmp_path / "results/artifacts"
    store.chmod(0o555)
    gate.unlink()
    assert "there is no permission to write there. Give a folder that you may write to (tried 2 times)" in ended(
        command, 1
    )
    assert [record["status"] for record in records(tmp_path)] == ["done", "failed"]
    store.chmod(0o755)
    outcome = run_here(load(tmp_path, text=(tmp_path / "small.yaml").read_text()), tmp_path / "results")
    assert (len(outcome.kept), len(outcome.done)) == (1, 1)


def test_a_clock_that_is_set_back_makes_no_time_negative_and_nothing_anew(tmp_path, monkeypatch):
    """It runs backwards in the run and its workers; later, all files are of next year."""
    (tmp_path / "clock").mkdir()
    write(tmp_path / "clock", CLOCK, "clock.py")
    registry, begun = load_registry([PLUGINS, tmp_path / "clock"]), time.monotonic()
    experiment = load_experiment(write(tmp_path), registry)
    results = tmp_path / "results"
    with monkeypatch.context() as changed:
        changed.setattr(time, "time", lambda: 1e9 - 3600 * (time.monotonic() - begun))
        outcome = run(
            experiment, registry, results, make_launcher(experiment, registry, 1), "cpu", Console(file=io.StringIO())
        )
    assert len(outcome.done) == 1
    (record,) = records(tmp_path)
    times = [value for name, value in record["metrics"].items() if "seconds" in name or "latency_ms" in name]
    assert len(times) == 7
    (curve,) = results.glob("small/trials/*/curve.jsonl")
    times += [json.loads(line)["seconds"] for line in curve.read_text().splitlines()]
    assert all(0 < each < 60 for each in times)
    future = time.time() + 365 * 24 * 3600
    for file in results.rglob("*"):
        os.utime(file, (future, future))
    outcome = run_here(load(tmp_path), results)
    assert (len(outcome.kept), outcome.done) == (1, [])
