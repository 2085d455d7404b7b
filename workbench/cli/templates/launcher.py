"""A launcher: where stages run. This one keeps the machine usable: one worker, of low priority."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field

from workbench import Advance, Crew, Finished, Job, Launcher, died, hookimpl, serve


class NewPlugin(Launcher):
    """One worker process that lets every other program go first."""

    # What stands behind the `*` is set in the experiment file: `launcher: {name: new_plugin, niceness: 19}`.
    def __init__(
        self,
        *,
        niceness: Annotated[
            int, Field(ge=0, le=19, description="how much the worker lets others go first; 19 is the most")
        ] = 10,
    ):
        self.niceness = niceness

    def open(self, crew: Crew) -> None:
        """`crew` is what every worker is told; it is handed on to `serve`."""
        self._crew = crew
        self._process: Any = None
        self._key = ""  # of the running job

    def slots(self) -> int:
        """How many jobs can run at once."""
        return 1

    def begin(self, job: Job) -> None:
        """Give the job to the worker, which is started when there is none."""
        if self._process is None:
            # A new interpreter: forking a process that has loaded torch could hang it.
            context = multiprocessing.get_context("spawn")
            self._connection, theirs = context.Pipe()
            self._process = context.Process(target=serve, args=(theirs, self._crew, self._crew.device, 1), daemon=True)
            self._process.start()
            os.setpriority(os.PRIO_PROCESS, self._process.pid, self.niceness)
            theirs.close()
        self._key = job.key
        self._connection.send(job)

    def news(self, timeout: float) -> Iterator[Advance | Finished]:
        """What the worker says; when it dies, that is news as well."""
        if self._key and self._connection.poll(timeout):
            try:
                message = self._connection.recv()
            except (EOFError, OSError):
                self._process.join()
                message = died(self._key, self._process.exitcode)
                self._process = None
            if isinstance(message, Finished):
                self._key = ""
                if message.last:  # a plugin left traces in the worker: the next job gets a new one
                    self.close()
            yield message

    def stop(self, key: str) -> None:
        """End the job at once, with its worker."""
        if key == self._key:
            self.close()

    def close(self) -> None:
        """End the worker, whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._connection.close()
        self._process, self._key = None, ""


@hookimpl
def register_launchers(register):
    """The name that experiment files use."""
    register("new_plugin", NewPlugin)
