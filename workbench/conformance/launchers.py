"""Rules for launchers: every job is done once and told of, whatever becomes of the worker that does it."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from workbench.conformance.rules import Rule, Subject, after, expect, in_turn
from workbench.contracts.launcher import Crew, Do, Finished, Launcher, Tell

PATIENCE = 60.0  # seconds; the first worker may have to load torch
SOON = 4.0  # seconds in which a killed process is gone


def nothing() -> None:
    """The deed of a job that only notes its process."""


@dataclass(frozen=True)
class Errand:
    """A job that notes its process in a file and then does its deed, which has to be known to a worker by its name."""

    key: str
    file: Path
    deed: Callable[[], object] = nothing
    node: str = ""


def prepare(device: str) -> Do:
    """What a worker is told, as a run tells its own."""
    return _do


def fail() -> None:
    """The deed of a job that raises."""
    raise ZeroDivisionError("on purpose")


def die() -> None:
    """The deed of a job that takes its process with it, as the system does where memory runs out."""
    os._exit(7)


def change() -> None:
    """The deed of a job that changes what later ones compute."""
    import torch

    torch.set_float32_matmul_precision("medium")


def hang() -> None:
    """The deed of a job that has to be stopped."""
    time.sleep(10 * PATIENCE)


def it_can_be_built_with_these_options(subject: Subject) -> None:
    """What it raises breaks the rule."""
    subject.build()


def every_job_is_done_once_and_told(subject: Subject) -> None:
    """More jobs than workers, each with its progress."""
    with _open(subject) as launcher, _folder() as folder:
        slots = _slots(launcher)
        expect(slots >= 1, f"slots() is {slots}: at least one job has to run at a time")
        errands = [Errand(str(number), folder / str(number)) for number in range(slots + 2)]
        ended = _run(launcher, errands)
        for errand in errands:
            error = ended[errand.key].error
            expect(error is None, f"a job that is well ends with {error}")
            runs = errand.file.read_text().splitlines()
            expect(len(runs) == 1, f"a job was done {len(runs)} times: hand each to one worker")
            own = runs == [str(os.getpid())]
            expect(not own, "a job runs in the process that launches it: a plugin that dies would end the whole run")


def a_job_that_raises_is_told_and_stops_no_other(subject: Subject) -> None:
    """Its error is news; the worker lives on."""
    with _open(subject) as launcher, _folder() as folder:
        ended = _run(launcher, [Errand("bad", folder / "bad", fail), Errand("good", folder / "good")])
        error = ended["bad"].error or {}
        expect(error.get("type") == "ZeroDivisionError", f"a job that raises ZeroDivisionError ends with {error}")
        expect(ended["good"].error is None, f"the job after one that raised ends with {ended['good'].error}")


def a_worker_that_dies_is_told_and_replaced(subject: Subject) -> None:
    """As one the system kills when memory runs out."""
    with _open(subject) as launcher, _folder() as folder:
        ended = _run(launcher, [Errand("bad", folder / "bad", die), Errand("good", folder / "good")])
        expect(bool(ended["bad"].error), "a worker that ended in the middle of a job is told as if the job were done")
        expect(ended["good"].error is None, f"the job after a dead worker ends with {ended['good'].error}")


def a_job_can_be_stopped(subject: Subject) -> None:
    """One that hangs is ended with its worker, and no news of it comes any more."""
    with _open(subject) as launcher, _folder() as folder:
        hanging = Errand("bad", folder / "bad", hang)
        _begin_when_there(launcher, hanging)
        _wait_for(hanging.file)
        launcher.stop("bad")
        ended = _run(launcher, [Errand("good", folder / "good")])
        expect(set(ended) == {"good"}, f"after stop, news of the stopped job comes: {ended.get('bad')}")
        _expect_gone(hanging, "stop leaves the worker running")


def a_worker_that_was_changed_is_replaced(subject: Subject) -> None:
    """Its news of a job that left traces in it is its last; the next job needs another worker."""
    with _open(subject) as launcher, _folder() as folder:
        errands = [Errand(str(number), folder / str(number), change) for number in range(_slots(launcher) + 1)]
        ended = _run(launcher, errands)
        for errand in errands:
            error = ended[errand.key].error
            expect(error is None, f"a job that changes its worker, or the one after it, ends with {error}")
        processes = [errand.file.read_text() for errand in errands]
        expect(len(set(processes)) == len(processes), "a job runs in a worker whose last job has changed it")


def closing_ends_every_worker(subject: Subject) -> None:
    """In the middle of a job too."""
    with _folder() as folder:
        hanging = Errand("bad", folder / "bad", hang)
        with _open(subject) as launcher:
            _begin_when_there(launcher, hanging)
            _wait_for(hanging.file)
        _expect_gone(hanging, "close leaves a worker running")


BASICS = in_turn(it_can_be_built_with_these_options, every_job_is_done_once_and_told)
RULES: tuple[Rule, ...] = (
    *BASICS,
    *after(
        BASICS,
        a_job_that_raises_is_told_and_stops_no_other,
        a_worker_that_dies_is_told_and_replaced,
        a_job_can_be_stopped,
        a_worker_that_was_changed_is_replaced,
        closing_ends_every_worker,
    ),
)


def _do(job: Errand, tell: Tell) -> None:
    with job.file.open("a") as file:
        file.write(f"{os.getpid()}\n")
    tell(1, 2, None)
    job.deed()


@contextmanager
def _open(subject: Subject) -> Iterator[Launcher]:
    launcher: Launcher = subject.build()
    with _folder() as folder:
        launcher.open(Crew(prepare, "cpu", folder=folder))
        try:
            yield launcher
        finally:
            launcher.close()


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def _run(launcher: Launcher, errands: list[Errand]) -> dict[str, Finished]:
    """Begin as many as there is room for until all are done."""
    waiting, ended, running = list(errands), {}, {}
    end = time.monotonic() + PATIENCE
    while waiting or running:
        expect(time.monotonic() < end, f"after {PATIENCE:g} seconds news of {len(running)} jobs is still missing")
        launcher.expect(len(waiting) + len(running))
        for node in launcher.nodes():
            for _ in range(node.slots - list(running.values()).count(node.name)):
                if waiting:
                    errand = replace(waiting.pop(0), node=node.name)
                    running[errand.key] = node.name
                    launcher.begin(errand)
        for message in launcher.news(timeout=0.1):
            if isinstance(message, Finished):
                ended[message.key] = message
                del running[message.key]
    return ended


def _slots(launcher: Launcher) -> int:
    """How many jobs can run at once, when workers are there that had to be waited for."""
    _wait_for_a_node(launcher)
    return launcher.slots()


def _begin_when_there(launcher: Launcher, errand: Errand) -> None:
    launcher.begin(replace(errand, node=_wait_for_a_node(launcher)))


def _wait_for_a_node(launcher: Launcher) -> str:
    """The name of one that has a slot."""
    end = time.monotonic() + PATIENCE
    while not (free := [node.name for node in launcher.nodes() if node.slots]):
        expect(time.monotonic() < end, f"after {PATIENCE:g} seconds nodes() has no slot")
        launcher.expect(1)
        list(launcher.news(timeout=0.1))
    return free[0]


def _wait_for(file: Path) -> None:
    end = time.monotonic() + PATIENCE
    while not (file.is_file() and file.read_text().endswith("\n")):
        expect(time.monotonic() < end, "a job was begun and never came to a worker")
        time.sleep(0.02)


def _expect_gone(errand: Errand, otherwise: str) -> None:
    process = int(errand.file.read_text())
    end = time.monotonic() + SOON
    while time.monotonic() < end:
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    expect(False, f"{otherwise}: process {process} is still there")
