"""Workers that are killed or do not fit into memory: what they did fails or waits, and all else goes on."""

from __future__ import annotations

import io
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from tests.processes import until
from tests.small import SMALL, load, records, run_here, small_registry
from workbench.config.experiment import Experiment
from workbench.contracts.launcher import Advance, Crew, Do, Finished, Job, Launcher, Printed, Tell
from workbench.errors import UserError
from workbench.runs.run_outcome import RunOutcome
from workbench.runs.scheduler import RunOptions, run
from workbench.workers import failure


def held(folder: Path) -> tuple[Path, Experiment]:
    """A gate that holds one of three trials, and their experiment."""
    gate = folder / "gate"
    gate.touch()
    grid = f"grid:\n  fusion: [concat_projection, cross_attention, {{name: held, gate: {gate}}}]\n"
    return gate, load(folder, text=SMALL + grid)


def kill_workers(gate: Path, count: int, then: Callable[[], None]) -> threading.Thread:
    """With SIGKILL, so many times the process that waits at the gate, while the run goes on."""

    def kill() -> None:
        file = gate.with_suffix(".pid")
        for _ in range(count):
            until(lambda: file.is_file() and file.read_text())
            number = int(file.read_text())
            file.unlink()
            os.kill(number, signal.SIGKILL)
        then()

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    return thread


def test_a_worker_killed_twice_fails_its_trial_alone_and_the_next_run_finishes_it(tmp_path):
    gate, experiment = held(tmp_path)
    killing = kill_workers(gate, 2, lambda: None)
    outcome = run_here(experiment, tmp_path / "results", RunOptions(time_limit=60), workers=2)
    killing.join()
    assert (len(outcome.done), len(outcome.failed)) == (2, 1)
    found = {record["axes"]["fusion"]: record for record in records(tmp_path)}
    assert {name: record["status"] for name, record in found.items()} == {
        "concat_projection": "done", "cross_attention": "done", "held": "failed",
    }  # fmt: skip
    error = found["held"]["error"]
    assert error["message"].endswith("with signal SIGKILL; it may have run out of memory (tried 2 times)")
    assert (error["stage"], error["transient"]) == ("tune", True)
    gate.unlink()
    outcome = run_here(experiment, tmp_path / "results", RunOptions(retry=True))
    assert (len(outcome.kept), len(outcome.done), outcome.failed) == (2, 1, {})


def test_a_worker_killed_once_is_replaced_and_nothing_fails(tmp_path):
    gate, experiment = held(tmp_path)
    killing = kill_workers(gate, 1, gate.unlink)
    outcome = run_here(experiment, tmp_path / "results", RunOptions(time_limit=60))
    killing.join()
    assert (len(outcome.done), outcome.failed) == (3, {})


def run_watched(folder: Path, memory_gb: float, monkeypatch: pytest.MonkeyPatch) -> tuple[RunOutcome, int]:
    """Two trials with two workers; how it ended, and how many stages ever ran at once."""
    experiment = load(folder, "grid.fusion=[concat_projection, cross_attention]")
    launcher = small_registry().create("launcher", "local", workers=2, memory_gb=memory_gb)
    running: set[str] = set()
    most = [0]
    begin, news = launcher.begin, launcher.news

    def watched_begin(job: Job) -> None:
        running.add(job.key)
        most.append(len(running))
        begin(job)

    def watched_news(timeout: float) -> Iterator[Advance | Finished]:
        for message in news(timeout):
            running.difference_update([message.key] if isinstance(message, Finished) else [])
            yield message

    monkeypatch.setattr(launcher, "begin", watched_begin)
    monkeypatch.setattr(launcher, "news", watched_news)
    console = Console(file=io.StringIO())
    return run(experiment, small_registry(), folder / "results", launcher, "cpu", console), max(most)


@pytest.mark.parametrize(("memory_gb", "at_once"), [(9.0, 2), (0.9, 1)])
def test_stages_that_do_not_fit_into_memory_together_never_run_together(tmp_path, monkeypatch, memory_gb, at_once):
    outcome, most = run_watched(tmp_path, memory_gb, monkeypatch)
    assert (len(outcome.done), most) == (2, at_once)


def test_a_stage_that_never_fits_into_memory_fails_and_says_so(tmp_path, monkeypatch):
    outcome, most = run_watched(tmp_path, 0.1, monkeypatch)
    assert (outcome.done, len(outcome.failed), most) == ([], 2, 0)
    for record in records(tmp_path):
        assert record["error"]["message"].startswith("the stage takes about 0.5 GB of memory, more than the 0.1 GB")
        assert record["error"]["transient"], "there may be more another time"
        assert record["error"]["stage"] == "tune"


@dataclass(frozen=True)
class Wait:
    """A job: tells its process and that one's parent, and works while the file is there."""

    key: str
    gate: Path
    forks: bool = False
    node: str = ""


def prepare(device: str) -> Do:
    return work


def work(job: Wait, tell: Tell) -> None:
    if job.forks and not os.fork():
        time.sleep(30)  # like a plugin's own process: it has all the files of its parent
        os._exit(0)
    tell(os.getpid(), os.getppid())
    while job.gate.exists():
        time.sleep(0.01)


def prepare_to_count(device: str) -> Do:
    return tell_threads


def tell_threads(job: Wait, tell: Tell) -> None:
    tell(torch.get_num_threads(), 1)


INTERRUPTS = signal.getsignal(signal.SIGINT)  # what a Ctrl-C does to the process that imports this


def prepare_to_tell(device: str) -> Do:
    return tell_beginning


def tell_beginning(job: Wait, tell: Tell) -> None:
    tell(os.getppid(), 1 + (INTERRUPTS == signal.SIG_IGN))


@pytest.fixture
def launcher() -> Iterator[Launcher]:
    found = small_registry().create("launcher", "local", workers=2)
    found.open(Crew(prepare, "cpu"))
    yield found
    found.close()


def begun(launcher: Launcher, job: Wait) -> tuple[int, int]:
    """The process that does the job, and its parent."""
    launcher.begin(job)
    while True:
        message = next_news(launcher, job.key)
        if isinstance(message, Advance) and message.total:  # before that, it only says that it is up
            return message.done, message.total


def error_of(launcher: Launcher, key: str) -> dict[str, Any] | None:
    """How a job ends."""
    while True:
        message = next_news(launcher, key)
        if isinstance(message, Finished):
            return message.error


def next_news(launcher: Launcher, key: str) -> Advance | Printed | Finished:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for message in launcher.news(0.1):
            if message.key == key:
                return message
    raise AssertionError(f"nothing was heard of {key}")


@pytest.mark.parametrize("forks", [False, True])
def test_a_killed_worker_is_noticed_even_when_a_process_it_started_lives_on(launcher, tmp_path, forks):
    (tmp_path / "gate").touch()
    process, _ = begun(launcher, Wait("job", tmp_path / "gate", forks))
    os.kill(process, signal.SIGKILL)
    error = error_of(launcher, "job") or {}
    assert "ended in the middle of the stage with signal SIGKILL" in error["message"]
    assert error["transient"]
    launcher.begin(Wait("another", tmp_path / "none"))
    assert error_of(launcher, "another") is None


def test_a_worker_killed_while_it_is_idle_fails_nothing(launcher, tmp_path):
    process, _ = begun(launcher, Wait("one", tmp_path / "none"))
    assert error_of(launcher, "one") is None
    os.kill(process, signal.SIGKILL)
    time.sleep(0.2)
    launcher.begin(Wait("two", tmp_path / "none"))
    assert error_of(launcher, "two") is None


def test_workers_outlive_the_server_that_started_them(launcher, tmp_path):
    gate = tmp_path / "gate"
    gate.touch()
    _, server = begun(launcher, Wait("one", gate))
    if server == os.getpid():
        pytest.skip("on this system nobody starts them for the launcher")
    os.kill(server, signal.SIGKILL)
    time.sleep(0.2)
    begun(launcher, Wait("two", gate))
    gate.unlink()
    ended: list[Finished] = []
    until(lambda: ended.extend(launcher.news(0.1)) or len(ended) == 2)
    assert sorted((message.key, message.error) for message in ended) == [("one", None), ("two", None)]


def test_a_worker_on_macos_is_a_new_interpreter_that_hears_of_no_interrupt(monkeypatch):
    """Not forked: what that system's libraries do in other threads survives no fork."""
    found = small_registry().create("launcher", "local", workers=1)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr("sys.platform", "darwin")
        found.open(Crew(prepare_to_tell, "cpu"))
    try:
        assert begun(found, Wait("tell", Path())) == (os.getpid(), 2)
        assert error_of(found, "tell") is None
    finally:
        found.close()


@pytest.mark.parametrize(
    ("device", "settings", "workers", "threads"),
    [
        ("cpu", {}, 6, 1),
        ("cpu", {"threads": 4}, 1, 4),
        ("cpu", {"workers": 3}, 3, 1),
        ("cuda:0", {}, 1, 6),
        ("cuda:0", {"per_device": 2}, 2, 3),
        ("cuda:0", {"workers": 9}, 9, 1),
        ("cuda:0", {"threads": 2}, 1, 2),
    ],
)
def test_cores_are_shared_by_the_workers_of_a_cpu_or_gpu(monkeypatch, device, settings, workers, threads):
    """On a CPU each computes on one; beside a GPU nothing else needs them."""
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(6)), raising=False)
    monkeypatch.setattr("workbench.devices.machine.cores_allowed", lambda root: None)  # a container may have fewer
    found = small_registry().create("launcher", "local", **settings)
    found.open(Crew(prepare_to_count, device))
    try:
        assert found.slots() == workers
        assert begun(found, Wait("count", Path())) == (threads, 1)
    finally:
        found.close()


class Odd(Exception):
    """Somebody else's exception, with attributes that mean something else."""

    key, transient = "of a mapping", True


def test_what_an_error_says_of_the_run_is_read_of_the_workbenchs_own_alone():
    away = UserError("the drive is away")
    away.transient = True
    damaged = UserError("what a stage left is damaged")
    damaged.key = "0123"
    told = [failure.error_of(each) for each in (away, damaged, Odd())]
    assert [(each["transient"], each.get("key")) for each in told] == [(True, None), (False, "0123"), (False, None)]
