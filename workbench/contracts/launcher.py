"""What a launcher provides, where stages run, and what it says to workers and hears of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Protocol


class Launcher:
    """Where stages run: worker processes of this machine, a cluster. Factory: `Launcher(*, options)`.

    A launcher knows nothing of stages: it hands jobs to workers and passes on what they say. Each worker runs
    `serve(connection, crew, device, threads)`, which does one job after another and never lets a failing job end it.
    With a fifth argument, the end of a pipe, what plugins print goes there.
    """

    kind: ClassVar[str] = "launcher"

    usual: bool = False
    """Whether experiments that name no launcher use this one; read from the class, before anything is built."""

    elsewhere: bool = False
    """Whether workers run on other machines: each then finds its device itself, which `Crew.device` is a wish for."""

    def open(self, crew: Crew) -> None:
        """Get ready; nothing has to start before the first job."""
        raise NotImplementedError

    def slots(self) -> int:
        """How many jobs can run at once."""
        raise NotImplementedError

    def memory(self) -> int | None:
        """The bytes all running jobs may take together; None where that is not known."""
        return None

    def nodes(self) -> Sequence[Node]:
        """The machines that jobs run on, asked anew before jobs are given out, since they come and go; those that are
        only expected have no slots yet. Without a word of it, all jobs share one."""
        return [Node("", self.slots(), self.memory())]

    def expect(self, jobs: int) -> None:
        """So many jobs run now or could: for launchers that ask for machines as these are needed."""

    def waits_for(self) -> str:
        """In words, what has to come before more jobs can run, such as a place in a queue; empty where nothing has."""
        return ""

    def begin(self, job: Job) -> None:
        """Give a job to a worker on the node of that name. Called only while fewer than its slots are running there."""
        raise NotImplementedError

    def news(self, timeout: float) -> Iterable[Advance | Printed | Finished]:
        """What happened within `timeout` seconds. A worker that dies is a `Finished` with an error, no exception."""
        raise NotImplementedError

    def ask_to_end(self) -> None:
        """Ask every worker that has a job to keep what it can of it and end, without waiting: the run was asked to end.
        What `close` ends in its place is lost."""

    def stop(self, key: str) -> None:
        """End the job of that key at once, whatever it does; no news of it comes any more."""
        raise NotImplementedError

    def close(self) -> None:
        """End every worker; the machine is as before `open`."""
        raise NotImplementedError


class Job(Protocol):
    """A piece of work with a name of its own; it is sent to a worker by pickle."""

    @property
    def key(self) -> str:
        """The name, by which news tells it apart."""
        ...

    @property
    def node(self) -> str:
        """The name of the node it is to run on, which is one of `nodes()`."""
        ...


class Tell(Protocol):
    """How a job says how far it is."""

    def __call__(self, done: int, total: int, loss: float | None = None) -> None:
        """So many of so many; the loss while it trains."""
        ...


Do = Callable[[Any, Tell], None]  # does one job, whatever the run's jobs are, and tells how far it is


class Reason(StrEnum):
    """Why a stage has no worker any more, where that is known. Only after `MEMORY` is it tried again alone; the others
    are nothing the stage did."""

    MEMORY = "memory"
    PREEMPTED = "preempted"
    LOST = "node lost"
    START = "start failed"


@dataclass(frozen=True)
class Node:
    """A machine, or the part of one that a worker has to itself: how many jobs may run there at once, and the bytes of
    main memory they may take together, None where that is not known."""

    name: str
    slots: int
    memory: int | None = None


@dataclass(frozen=True)
class Crew:
    """What all workers of a run are told before their first job.

    `prepare` is called once in every worker with its device and gives the function that does a job; it is a function
    of a module, or a `functools.partial` of one, so that it can be pickled. `device` as `find_device` gives it, or
    `auto` for workers elsewhere. `unlike` says in such a worker why nothing may be done there: what it does not see of
    the run, or has in other versions; empty where all is alike. `folder` is one that all machines of the run see.
    """

    prepare: Callable[[str], Do]
    device: str
    unlike: Callable[[], Sequence[str]] = tuple
    folder: Path | None = None


@dataclass(frozen=True)
class Advance:
    """A job is this far; `loss` while it trains. With a `total` of 0, its worker has just begun it."""

    key: str
    done: int
    total: int
    loss: float | None = None


@dataclass(frozen=True)
class Printed:
    """What a job has printed, as it was. A launcher that leaves its workers the terminal tells nothing of that."""

    key: str
    text: str


@dataclass(frozen=True)
class Finished:
    """A job is done, or failed with an error as it stands in a record. With `last`, its worker ends: the next job needs
    another one."""

    key: str
    error: dict[str, Any] | None = None
    last: bool = False
