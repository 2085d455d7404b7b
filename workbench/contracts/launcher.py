"""What a launcher provides, where stages run, and what it says to workers and hears of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
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

    def open(self, crew: Crew) -> None:
        """Get ready; nothing has to start before the first job."""
        raise NotImplementedError

    def slots(self) -> int:
        """How many jobs can run at once."""
        raise NotImplementedError

    def memory(self) -> int | None:
        """The bytes all running jobs may take together; None where that is not known."""
        return None

    def begin(self, job: Job) -> None:
        """Give a job to a worker. Called only while fewer than `slots()` are running."""
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


class Tell(Protocol):
    """How a job says how far it is."""

    def __call__(self, done: int, total: int, loss: float | None = None) -> None:
        """So many of so many; the loss while it trains."""
        ...


Do = Callable[[Any, Tell], None]  # does one job, whatever the run's jobs are, and tells how far it is


@dataclass(frozen=True)
class Crew:
    """What all workers of a run are told before their first job.

    `prepare` is called once in every worker with its device and gives the function that does a job; it is a function
    of a module, or a `functools.partial` of one, so that it can be pickled. `device` as `find_device` gives it.
    """

    prepare: Callable[[str], Do]
    device: str


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
