"""Workers on other machines, which are processes of this one here: reached, looked at, lost, replaced."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
from rich.console import Console

from tests.conformance.tried import results_of
from tests.own_plugins.inside import Inside
from tests.own_plugins.next_door import NextDoor
from tests.processes import ended, start, until
from tests.small import SMALL, load, records, run_here, small_registry, write
from tests.workers.test_worker import held, kill_workers
from workbench.contracts.launcher import Crew, Job, Reason
from workbench.errors import UserError
from workbench.registry import load_registry
from workbench.runs.same_run import SameRun, proved
from workbench.runs.scheduler import RunOptions, run
from workbench.workers import remote
from workbench.workers.failure import lost
from workbench.workers.members import Place

TWO = "grid.fusion=[concat_projection, cross_attention]"
NEXT_DOOR = "launcher={name: next_door, machines: 2}"
OWN_FACTS = {"started", "training_seconds", "examples_per_second"}


def weights(folder: Path) -> dict[str, bytes]:
    return {file.parent.name: file.read_bytes() for file in folder.glob("results/artifacts/*/weights.safetensors")}


def answers(folder: Path) -> dict[str, bytes]:
    return {file.parent.name: file.read_bytes() for file in folder.glob("results/small/trials/*/predictions.jsonl")}


def test_it_keeps_to_the_contract_of_launchers():
    assert [each for each in results_of("launcher", NextDoor) if not each.passed] == []


def test_stages_run_elsewhere_with_the_same_bits_and_records_name_the_worker_as_it_is(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    run_here(load(here, TWO), here / "results")
    outcome = run_here(load(there, TWO, NEXT_DOOR), there / "results", workers=2)
    assert (len(outcome.done), outcome.failed) == (2, {})
    assert weights(here) == weights(there)
    assert answers(here) == answers(there)
    for ours, theirs in zip(records(here), records(there), strict=True):
        assert ours["spec"] == theirs["spec"]
        assert ours["metrics"]["vqa_accuracy"] == theirs["metrics"]["vqa_accuracy"]
        for name in ("host", "cpu", "python", "device", "threads", "instructions"):
            assert ours["provenance"][name] == theirs["provenance"][name]
    assert not list(there.glob("results/artifacts/.workers/*")), "the key goes with the run"
    assert not list(there.glob("results/artifacts/.proof*"))


def test_a_worker_that_is_killed_was_no_attempt_and_its_stage_goes_on(tmp_path):
    gate, experiment = held(tmp_path)
    experiment = load(tmp_path, "launcher={name: next_door}", text=experiment.text)
    killing = kill_workers(gate, 2, gate.unlink)
    outcome = run_here(experiment, tmp_path / "results", RunOptions(time_limit=60))
    killing.join()
    assert (len(outcome.done), outcome.failed) == (3, {}), "a stage is tried but twice"


class Losing(Inside):
    """Loses the worker of every job at once."""

    begun = 0

    def begin(self, job: Job) -> None:
        self.begun += 1
        self._news.append(lost(job.key, Reason.LOST, "the worker at nowhere was lost"))


def test_a_stage_that_loses_every_worker_fails_in_the_end_and_says_how_often(tmp_path):
    launcher, console = Losing(), Console(file=io.StringIO())
    outcome = run(load(tmp_path), small_registry(), tmp_path / "results", launcher, "cpu", console)
    told = "the worker at nowhere was lost (6 times, without the stage getting further)"
    assert [told in reason for reason in outcome.failed.values()] == [True]
    assert launcher.begun == 6


def test_a_run_that_is_asked_to_end_has_workers_elsewhere_keep_what_they_can(tmp_path):
    gate = tmp_path / "gate"
    gate.touch()
    write(tmp_path, SMALL.replace("steps: 2", "steps: 100") + f"grid:\n  fusion: [{{name: slow, gate: {gate}}}]\n")
    command = start(tmp_path, "--set", "launcher=next_door")
    begun = gate.with_suffix(".begun")
    until(lambda: begun.exists() and begun.read_text())
    os.kill(command.pid, signal.SIGTERM)
    assert "ended by SIGTERM; what is finished is kept, and the last snapshots; run again" in ended(command, 143)
    until(lambda: not psutil.pid_exists(int(begun.read_text())))
    assert list(tmp_path.glob("results/artifacts/*.partial/*.safetensors"))


def test_a_place_that_sees_another_store_is_not_given_a_stage(tmp_path):
    (tmp_path / "artifacts").mkdir()
    with proved(tmp_path / "artifacts", []) as same:
        assert same() == []
        same.proof.write_text("of another run")
        assert same() == [f"sees another {tmp_path / 'artifacts'} than the run does"]
        same.proof.unlink()
        assert same() == [f"does not see {tmp_path / 'artifacts'} (No such file or directory)"]


def test_another_version_of_a_package_or_of_the_workbench_is_told_before_anything_is_done(tmp_path):
    class Stage:
        made_of = {"version:torch": "1.0", "version:tuned": "2", "code:workbench/registry.py": "other", "settings": "x"}

    with proved(tmp_path, [Stage()]) as same:  # pyright: ignore[reportArgumentType]
        versions, code = same()
    assert versions.startswith("has torch ") and versions.endswith(" instead of 1.0, tuned None instead of 2")
    assert code == "has another workbench than the run (registry.py)"


ONLY_HERE = types.ModuleType("only_here")


class NotThere:
    """What no worker can be told: none can import its module."""

    __module__ = ONLY_HERE.__name__

    def __call__(self) -> list[str]:
        return []


setattr(ONLY_HERE, NotThere.__name__, NotThere)


@pytest.mark.parametrize(
    ("unlike", "told"),
    [
        (SameRun(Path("/nowhere/proof"), "token", {}), "does not see /nowhere .No such file or directory."),
        (NotThere(), "cannot begin: No module named 'only_here'"),
    ],
    ids=["another store", "another code"],
)
def test_where_no_worker_is_fit_the_run_ends_and_says_why(tmp_path, monkeypatch, unlike, told):
    monkeypatch.setitem(sys.modules, ONLY_HERE.__name__, ONLY_HERE)
    launcher = NextDoor(workers=1)
    launcher.open(Crew(int, "cpu", unlike, tmp_path))  # pyright: ignore[reportArgumentType]
    try:
        with pytest.raises(UserError, match=f"no worker can be started .machine 1: {socket.gethostname()} {told}"):
            asked_until_ready(launcher)
    finally:
        launcher.close()


class Stillborn(NextDoor):
    """Whose engine takes any command and runs none."""

    def start(self, place: Place, needs: Any, command: Sequence[str]) -> Any:
        return subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])

    def fate(self, handle: Any) -> tuple[Reason, str]:
        return Reason.LOST, f"ended with {handle.wait()}"


def test_workers_that_never_call_are_not_started_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "LOOK", 0.0)
    launcher = Stillborn(workers=1)
    launcher.open(Crew(int, "cpu", tuple, tmp_path))  # pyright: ignore[reportArgumentType]
    try:
        with pytest.raises(UserError, match="no worker can be started .machine 1: ended with 3."):
            asked_until_ready(launcher)
    finally:
        launcher.close()


def test_an_address_that_is_none_of_this_machine_is_told(tmp_path):
    launcher = NextDoor()
    launcher.address = "192.0.2.1"
    with pytest.raises(UserError, match="no worker can call 192.0.2.1: .*Give the launcher an address of this machine"):
        launcher.open(Crew(int, "cpu", tuple, tmp_path))  # pyright: ignore[reportArgumentType]
    assert not list(tmp_path.iterdir())


def asked_until_ready(launcher: NextDoor) -> None:
    def ready() -> bool:
        launcher.expect(1)
        list(launcher.news(timeout=0.1))
        return launcher.slots() > 0

    until(ready)


def test_workers_that_nobody_needs_any_more_are_let_go(tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "IDLE", 0.0)
    launcher = NextDoor(workers=2)
    launcher.open(Crew(int, "cpu", tuple, tmp_path))  # pyright: ignore[reportArgumentType]
    try:
        launcher.expect(5)
        assert launcher.waits_for() == "2 of 2 workers have not started yet"
        until(lambda: not list(launcher.news(timeout=0.1)) and launcher.slots() == 2)
        assert launcher.waits_for() == ""
        launcher.expect(0)
        assert launcher.slots() == 0
    finally:
        launcher.close()


def test_the_launcher_that_the_documentation_shows_works(tmp_path, monkeypatch):
    """With an `ssh` that goes nowhere."""
    text = (Path(__file__).parents[2] / "docs/plugins.md").read_text(encoding="utf-8")
    [code] = [each.partition("```")[0] for each in text.split("```python\n") if each.startswith('"""Workers over ssh')]
    assert len(code.splitlines()) <= 35
    (tmp_path / "ssh_launcher.py").write_text(code)
    ssh = tmp_path / "bin" / "ssh"
    ssh.parent.mkdir()
    ssh.write_text('#!/bin/sh\nshift 2\nexec "$@"\n')
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{ssh.parent}:{os.environ['PATH']}")
    registry = load_registry([tmp_path / "ssh_launcher.py"])
    launcher = registry.create("launcher", "ssh", hosts=["one", "two"], address="127.0.0.1")
    launcher.open(Crew(int, "cpu", tuple, tmp_path))  # pyright: ignore[reportArgumentType]
    try:
        asked_until_ready(launcher)
        assert launcher.nodes()[0].name in ("one", "two")
    finally:
        launcher.close()
