"""What a worker process does all its life, wherever a launcher started it: jobs in, news out.

A worker loads torch and the plugins once and then does one job after another. A job that fails is news like any other.
"""

from __future__ import annotations

import errno
import gc
import os
import signal
import threading
import traceback
from multiprocessing.connection import Connection
from typing import Any

from workbench.contracts.launcher import Advance, Crew, Do, Finished
from workbench.errors import UserError

PRELOAD = "workbench.runs.forkserver_preload"  # what a server that forks workers imports beforehand

# Disk full, quota, a limit on files or memory, a drive that failed or was away; a missing or damaged file stays so.
MAY_PASS = {
    getattr(errno, name)
    for name in ("ENOSPC", "EDQUOT", "EFBIG", "EROFS", "ENOMEM", "EMFILE", "ENFILE", "EIO", "ESTALE", "ETIMEDOUT")
    if hasattr(errno, name)
}


def serve(connection: Connection, crew: Crew, device: str, threads: int) -> None:
    """A worker's life, until the other end of the connection is closed or its process is gone."""
    # Ctrl-C reaches the whole terminal; what to stop is the parent's decision.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Waiting threads that spin take the time of a neighbour's.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import torch

    torch.set_num_threads(threads)
    inbox = _Inbox(connection)
    do: Do | None = None
    while True:
        job = inbox.next()
        if job is None:
            return

        def tell(done: int, total: int, loss: float | None = None, key: str = job.key) -> None:
            _send(connection, Advance(key, done, total, loss))

        try:
            do = do or crew.prepare(device)
            tell(0, 0)
            do(job, tell)
            news = Finished(job.key)
        except BaseException as error:  # whatever a plugin raises fails its job, not the run
            news = Finished(job.key, error_of(error))
        if torch.cuda.is_initialized():  # what this process keeps for later is not there for others
            gc.collect()
            torch.cuda.empty_cache()
        _send(connection, news)


def _send(connection: Connection, news: Advance | Finished) -> None:
    """Tell the parent. When it is gone there is nobody to work for: no exception, which a plugin might catch, but the
    end."""
    try:
        connection.send(news)
    except OSError:
        os._exit(0)


def error_of(error: BaseException) -> dict[str, Any]:
    """An exception as it stands in a record; a user's mistake needs no traceback. `transient` says that the same may
    go well another time: memory or disk ran out, or the sources changed under the run."""
    shown = "" if isinstance(error, UserError) else "".join(traceback.format_exception(error))
    found = {"type": type(error).__name__, "message": str(error), "traceback": shown, "transient": _is_transient(error)}
    key = error.key if isinstance(error, UserError) else None
    return found if key is None else {**found, "key": key}


def died(key: str, exit_code: int | None) -> Finished:
    """The news that a worker ended in the middle of a job."""
    if exit_code is not None and exit_code < 0:
        cause = f"signal {_signal_name(-exit_code)}"
        cause += "; it may have run out of memory" if exit_code == -signal.SIGKILL else ""
    else:
        cause = f"exit code {exit_code}"
    message = f"the worker process ended in the middle of the stage with {cause}"
    killed = exit_code is None or exit_code < 0
    return Finished(key, {"type": "WorkerDied", "message": message, "traceback": "", "transient": killed})


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return str(number)


class _Inbox:
    """Jobs as they come. A thread listens even while a job runs: when the parent is gone the worker ends at once, even
    in a plugin that hangs, instead of working on for nobody."""

    def __init__(self, connection: Connection):
        self._connection = connection
        self._jobs: list[Any] = []
        self._arrived = threading.Semaphore(0)
        threading.Thread(target=self._listen, daemon=True).start()

    def next(self) -> Any:
        """The next job; None when there will be none."""
        self._arrived.acquire()
        return self._jobs.pop(0)

    def _listen(self) -> None:
        while True:
            try:
                job = self._connection.recv()
            except (EOFError, OSError):
                os._exit(0)
            self._jobs.append(job)
            self._arrived.release()


def _is_transient(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or (isinstance(error, UserError) and error.transient):
        return True
    system = error if isinstance(error, OSError) else error.__cause__
    if isinstance(system, OSError) and system.errno in MAY_PASS:
        return True
    return isinstance(error, RuntimeError) and ("out of memory" in str(error) or "allocate memory" in str(error))
