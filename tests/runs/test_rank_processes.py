"""A phase on several devices through a whole run: the numbers of one device, whoever is killed, and nobody left."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from tests.processes import Command, ended, start, until
from tests.runs.test_scheduler_processes import members
from tests.small import SMALL, load, records, run_here, run_inside, write
from workbench.runs.rank_processes import RankFinished, _first_error, _Rank, devices_from
from workbench.runs.scheduler import RunOptions

STEPS = 12


def text(gate: Path, sharing: str) -> str:
    return SMALL.replace("steps: 2", f"steps: {STEPS}, {sharing}").replace(
        "fusion: concat_projection", f"fusion: {{name: slow, gate: {gate}}}"
    )


def weights_of(results: Path) -> list[bytes]:
    return [file.read_bytes() for file in results.glob("artifacts/*/weights.safetensors")]


def on_one_device(folder: Path, gate: Path) -> list[bytes]:
    """The weights that one device ends with, in as many micro-batches."""
    outcome = run_inside(load(folder, text=text(gate, "accumulate: 2")), folder / "one")
    assert not outcome.failed
    return weights_of(folder / "one")


def in_the_middle(folder: Path, gate: Path, strategy: str = "ddp") -> tuple[Command, psutil.Process]:
    """A run on two devices which has kept a snapshot, and one of its ranks."""
    gate.touch()
    write(folder, text(gate, f"devices: 2, strategy: {strategy}"))
    command = start(folder, "--workers", "1", "--snapshot-seconds", "0")
    until(lambda: any((folder / "results/artifacts").glob("*.partial/*.safetensors")))
    told: list[str] = []  # which is empty while another rank writes it
    until(lambda: told.append(gate.with_suffix(".begun").read_text()) or told[-1])
    return command, psutil.Process(int(told[-1]))


@pytest.mark.parametrize(("killed", "strategy"), [("rank", "ddp"), ("worker", "fsdp")])
def test_a_killed_rank_or_worker_ends_the_stage_which_goes_on_to_the_bit(tmp_path, killed, strategy):
    gate = tmp_path / "gate"
    command, rank = in_the_middle(tmp_path, gate, strategy)
    worker = rank.parent()
    assert worker is not None
    ranks = worker.children()
    assert len(ranks) == 2
    (rank if killed == "rank" else worker).kill()
    gone, alive = psutil.wait_procs(ranks, timeout=10)
    assert not alive, "no rank trains on alone"
    gate.unlink()
    said = ended(command, 0)
    assert ("the process of device" in said) == (killed == "rank")
    assert "ended in the middle of the stage with signal SIGKILL" in said
    until(lambda: not members(command.pid))
    assert weights_of(tmp_path / "results") == on_one_device(tmp_path, gate)


def test_a_run_that_is_asked_to_end_keeps_a_last_snapshot_of_all_ranks(tmp_path):
    gate = tmp_path / "gate"
    command, _ = in_the_middle(tmp_path, gate)
    os.killpg(command.pid, signal.SIGTERM)
    said = ended(command, 143)
    assert "failed" not in said
    until(lambda: not members(command.pid))
    assert any((tmp_path / "results/artifacts").glob("*.partial/*.safetensors"))
    gate.unlink()
    outcome = run_here(load(tmp_path, text=text(gate, "devices: 2")), tmp_path / "results")
    assert not outcome.failed
    assert weights_of(tmp_path / "results") == on_one_device(tmp_path, gate)


@pytest.mark.parametrize(
    ("fusion", "type_", "message"),
    [
        ("{name: raising, after: 1}", "ZeroDivisionError", "this fusion is broken"),
        ("dying", "WorkerDied", "the process of device 1 of 2 ended in the middle of the stage with exit code 3"),
    ],
)
def test_what_goes_wrong_on_a_rank_stands_in_the_record(tmp_path, fusion, type_, message):
    before = set(psutil.Process().children())
    experiment = load(tmp_path, f"base.fusion={fusion}", "phases.tune.devices=2")
    run_inside(experiment, tmp_path / "results", RunOptions(snapshot_seconds=0))
    (record,) = records(tmp_path)
    assert (record["error"]["type"], record["error"]["stage"]) == (type_, "tune")
    assert message in record["error"]["message"]
    assert set(psutil.Process().children()) <= before


def rank_of(number: int, error: RankFinished | None, closed: bool) -> _Rank:
    process = psutil.Popen(["sh", "-c", "kill -9 $$" if closed and error is None else "exit 0"])
    return _Rank(number, process, None, error, closed)  # pyright: ignore[reportArgumentType]


def test_the_cause_of_a_failure_is_the_rank_that_was_killed_or_else_the_first_that_failed():
    now = time.monotonic()
    lost = RankFinished(now + 1, {"type": "RuntimeError", "message": "connection closed by peer"})
    first = RankFinished(now, {"type": "ValueError", "message": "the cause"})
    assert _first_error([rank_of(0, lost, True), rank_of(1, first, True)])["message"] == "the cause"
    killed = _first_error([rank_of(0, lost, True), rank_of(1, None, True)])
    assert "device 2 of 2 ended in the middle of the stage with signal SIGKILL" in killed["message"]
    assert killed["transient"]


def test_a_rank_has_the_device_of_the_worker_or_one_of_the_next(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    assert devices_from("cpu", 3) == ["cpu"] * 3
    assert devices_from("cuda:2", 4) == ["cuda:2", "cuda:3", "cuda:0", "cuda:1"]
