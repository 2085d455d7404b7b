"""What a worker process does all its life, wherever a launcher started it: jobs in, news out.

A worker loads torch and the plugins once and then does one job after another. A job that fails is news like any other.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import traceback
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

import psutil

from workbench.contracts.launcher import Advance, Crew, Do, Finished, Printed
from workbench.devices.process_state import ProcessState, adopt_orphans
from workbench.errors import UserError
from workbench.workers import ending
from workbench.workers.failure import error_of

PRELOAD = "workbench.runs.forkserver_preload"  # what a server that forks workers imports beforehand


def serve(connection: Connection, crew: Crew, device: str, threads: int, output: Connection | None = None) -> None:
    """A worker's life, until the other end of the connection is closed or its process is gone, or until a job has
    changed the process for good: then its news is the `last`. With `output`, all that is printed goes there."""
    # Ctrl-C reaches the whole terminal; what to stop is the parent's decision.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ending.listen()
    adopt_orphans()
    # Waiting threads that spin take the time of a neighbour's.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    _set_streams(output)
    import torch

    torch.set_num_threads(threads)
    inbox, post = _Inbox(connection), _Post(connection)
    do: Do | None = None
    while True:
        job = inbox.next()
        ending.set_busy(True)
        try:
            do = do or crew.prepare(device)
            error, changed = _done(do, job, post)
        except BaseException as found:  # whatever a plugin raises fails its job, not the run
            error, changed = error_of(found), []
        if torch.cuda.is_initialized():  # what this process keeps for later is not there for others
            gc.collect()
            torch.cuda.empty_cache()
        _flush()
        if changed:
            told = f"{', '.join(changed)} changed in this stage: its worker is replaced, so that no other stage sees it"
            post.send(Printed(job.key, f"{told}\n"))
        last = bool(changed) or ending.asked_to_end()
        post.send(Finished(job.key, error, last))
        if last:
            _end()
        ending.set_busy(False)


def end_process(process: int) -> None:
    """Kill a worker, with all that plugins have started in it and left running."""
    _end_children(process)
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


def _done(do: Do, job: Any, post: _Post) -> tuple[dict[str, Any] | None, list[str]]:
    """Do a job; returns its error, if it failed, and what it has changed for good."""
    before, error = ProcessState(), None
    post.advance(job.key, 0, 0)
    try:
        do(job, partial(post.advance, job.key))
    except BaseException as found:
        post.check_process()
        error = error_of(found)
    post.check_process()
    return error, before.put_back()


def _end() -> NoReturn:
    _end_children(os.getpid())
    os._exit(0)


def _end_children(process: int) -> None:
    with suppress(psutil.NoSuchProcess):
        for each in psutil.Process(process).children(recursive=True):
            with suppress(psutil.Error):
                each.kill()


class _Post:
    """Takes news to the parent."""

    def __init__(self, connection: Connection):
        self._connection = connection
        self._process = os.getpid()

    def advance(self, key: str, done: int, total: int, loss: float | None = None) -> None:
        """Tell how far a job is."""
        self.check_process()
        self.send(Advance(key, done, total, loss))

    def send(self, news: Advance | Printed | Finished) -> None:
        """Tell the parent. When it is gone there is nobody to work for: no exception, which a plugin might catch, but
        the end."""
        try:
            self._connection.send(news)
        except OSError:
            _end()

    def check_process(self) -> None:
        """A plugin may have forked and let the child return: it would go on as a second worker with this one's jobs."""
        if os.getpid() != self._process:
            os._exit(0)


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
                _end()
            self._jobs.append(job)
            self._arrived.release()


def _set_streams(output: Connection | None) -> None:
    """What is printed goes to the launcher that asked for it, line by line; no terminal can be read from here."""
    if output is not None:
        for number in (1, 2):
            os.dup2(output.fileno(), number)
        output.close()
        sys.stdout, sys.stderr = (
            open(number, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
            for number in (1, 2)
        )
    sys.breakpointhook = _refuse_to_debug


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # closed, or nobody reads any more
            stream.flush()


def _refuse_to_debug(*_: object, **__: object) -> None:
    frame = traceback.extract_stack()[-2]
    raise UserError(
        f"breakpoint() was called in {Path(frame.filename).name}, line {frame.lineno}: a worker process has no terminal"
        " to debug at. Take it out, and print what is to be known"
    )
