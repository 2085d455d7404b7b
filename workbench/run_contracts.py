"""What the kinds of plugins provide that take part in a run and in none of its results: launchers and trackers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.workers import Advance, Crew, Finished, Job


class Launcher:
    """Where stages run: worker processes of this machine, a cluster. Factory: `Launcher(*, options)`.

    A launcher knows nothing of stages: it hands jobs to workers and passes on what they say. Each worker runs
    `serve(connection, crew, device, threads)`, which does one job after another and never lets a failing job end it.
    """

    usual = False
    """Whether experiments that name no launcher use this one."""

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

    def news(self, timeout: float) -> Iterable[Advance | Finished]:
        """What happened within `timeout` seconds. A worker that dies is a `Finished` with an error, no exception."""
        raise NotImplementedError

    def stop(self, key: str) -> None:
        """End the job of that key at once, whatever it does; no news of it comes any more."""
        raise NotImplementedError

    def close(self) -> None:
        """End every worker; the machine is as before `open`."""
        raise NotImplementedError


class Tracker:
    """Shows a run to another tool while it goes on. Factory: `Tracker(*, options)`.

    Called in the process that was started, never in a worker. A *training* is one phase; trials that share it are told
    of it once. What a tracker raises is shown, and ends its part in the run and nothing else.
    """

    def open(self, experiment: str, folder: Path) -> None:
        """A run begins. `folder` is the experiment's own among the results: files may go into one of theirs there."""
        raise NotImplementedError

    def advance(self, training: str, step: int, steps: int, loss: float) -> None:
        """A training has done `step` of `steps` steps, the last one with this loss. After a restart, steps go on."""
        raise NotImplementedError

    def finish(self, trial: str, axes: Mapping[str, str], metrics: Mapping[str, float]) -> None:
        """The trial of that id has its result: where it stands on each axis, and the numbers of its record, without
        those that are none."""
        raise NotImplementedError

    def close(self) -> None:
        """The run ended, or was ended."""
