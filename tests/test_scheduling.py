"""Several runs, killed processes and interruptions: each stage runs once, and nothing finished is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.small import PLUGINS, SMALL, records, write
from workbench.artifacts import ArtifactStore

GRID = SMALL + "grid:\n  fusion: [concat_projection, cross_attention]\n"
WAITING = SMALL + "grid:\n  fusion: [concat_projection, waiting]\n"


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    """`workbench run` in a group of processes of its own, as a terminal would start it."""
    environment = {**os.environ, "PYTHONPATH": str(PLUGINS.parent.parent), "OMP_NUM_THREADS": "1", "COLUMNS": "300"}
    command = [sys.executable, "-m", "workbench.cli", "run", "small.yaml", "--plugins", str(PLUGINS), "--device", "cpu"]
    return subprocess.Popen(
        [*command, *words], cwd=folder, env=environment, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def ended(process: subprocess.Popen[str], code: int) -> str:
    """What a command said; nothing of it may be a traceback."""
    output, errors = process.communicate(timeout=90)
    assert process.returncode == code, output + errors
    assert "Traceback" not in output + errors
    return output + errors


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def members(group: int) -> dict[int, str]:
    """The living processes of a group, with their command lines."""
    found = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
            if int(fields[2]) == group and fields[0] != "Z":
                found[int(status.parent.name)] = (status.parent / "cmdline").read_text()
        except OSError:  # it has ended meanwhile
            continue
    return found


def workers_of(folder: Path) -> list[int]:
    """The processes that hold the lock of a stage which is not done."""
    store = ArtifactStore(folder / "results/artifacts")
    locks = [file for file in (store.folder / ".locks").glob("*") if file.name != "runs" and not store.has(file.name)]
    held = {str(file.stat().st_ino) for file in locks}
    lines = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return [int(line[4]) for line in lines if line[1] == "FLOCK" and line[5].split(":")[-1] in held]


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
    process = start(tmp_path, "--workers", "2")
    until(lambda: workers_of(tmp_path))
    process.kill()
    process.communicate(timeout=30)
    until(lambda: not members(process.pid))
    left = tmp_path / "results/small/trials/.abc.0123456789ab.tmp"
    left.mkdir(parents=True)
    write(tmp_path, GRID)
    ended(start(tmp_path, "--workers", "1"), 0)
    assert_whole(tmp_path, 2)


def test_control_c_twice_ends_in_order(tmp_path):
    write(tmp_path, WAITING)
    process = start(tmp_path, "--workers", "2")
    until(lambda: workers_of(tmp_path))
    for _ in range(2):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.05)
    assert "run again to continue" in ended(process, 130)
    until(lambda: not members(process.pid))
