"""Worker processes of this machine that stay warm: torch and the plugins are loaded once in each."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from multiprocessing import forkserver, util
from multiprocessing.connection import Connection, wait
from typing import Annotated, Any

from pydantic import Field, PositiveFloat, PositiveInt

from workbench import (
    PRELOAD,
    Advance,
    Crew,
    Finished,
    Job,
    Launcher,
    Printed,
    UserError,
    died,
    end_process,
    free_memory,
    hookimpl,
    serve,
    usable_cores,
)

LONGEST_SOCKET = 103  # bytes of its path; macOS has the least
SHORT_PLACES = ("/tmp", "/var/tmp", "/dev/shm")
LONGEST_LINE = 65536  # bytes; a longer one is told in pieces


@dataclass
class Worker:
    """A process, the way to talk to it, what it does now, where that prints, and what it has printed of a line so far.
    `place` counts the workers from 0."""

    place: int
    process: Any
    connection: Connection
    output: Connection
    job: Job | None = None
    heard: bytes = b""
    silent: bool = False

    def printed(self, ended: bool) -> Iterator[Printed]:
        """The lines it has printed since; what has `ended` leaves no line open."""
        with contextlib.suppress(OSError):
            while not self.silent and self.output.poll():
                read = os.read(self.output.fileno(), LONGEST_LINE)
                self.heard += read
                self.silent = not read  # nobody is left who could print
        lines, newline, rest = self.heard.rpartition(b"\n")
        if ended or len(rest) > LONGEST_LINE:
            lines, rest = self.heard, b""
        self.heard = rest
        if lines:
            yield Printed(self.job.key if self.job else "", (lines + newline).decode(errors="replace"))


class LocalLauncher(Launcher):
    """Worker processes of this machine, one for each core or GPU.

    Results depend on `threads` in the last bits, and on `workers` not at all. Workers of GPUs share the cores to
    prepare images. A stage begins only while all running ones fit into the memory.
    """

    usual = True

    def __init__(
        self,
        *,
        workers: Annotated[
            PositiveInt | None,
            Field(description="worker processes; null: as many as the cores allow, or per_device for each GPU"),
        ] = None,
        threads: Annotated[
            PositiveInt | None,
            Field(description="threads a worker computes with; null: 1, or beside GPUs an equal share of the cores"),
        ] = None,
        per_device: Annotated[PositiveInt, Field(description="workers for each GPU")] = 1,
        memory_gb: Annotated[
            PositiveFloat | None,
            Field(description="most memory of all running stages together, in GB; null: what is free at the start"),
        ] = None,
    ):
        self.workers = workers
        self.threads = threads
        self.per_device = per_device
        self.memory_gb = memory_gb

    def open(self, crew: Crew) -> None:
        """Decide how many workers there will be; each starts with its first job. Where workers are forked, the process
        that forks them starts now."""
        self._crew = crew
        self._devices = _devices(crew.device)
        self._count = self.workers or self._usual_count()
        self._threads = self.threads or (1 if crew.device == "cpu" else max(1, usable_cores() // self._count))
        self._memory = int(self.memory_gb * 1e9) if self.memory_gb else free_memory()
        self._context = _context()
        self._workers: list[Worker] = []

    def slots(self) -> int:
        """How many workers there may be, whether they have started or not."""
        return self._count

    def memory(self) -> int | None:
        """What all workers together may take, in bytes: main memory, which a GPU's worker fills too."""
        return self._memory

    def begin(self, job: Job) -> None:
        """Give a job to an idle worker, or to a new one; `UserError` when the system starts no more processes."""
        for worker in [each for each in self._workers if each.job is None and not _lives(each.process)]:
            self._remove(worker)  # somebody killed it while it was idle, which is no job's failure
        worker = next((each for each in self._workers if each.job is None), None) or self._start_worker()
        worker.job = job
        with contextlib.suppress(ConnectionError):  # it died just now: `news` tells of that as of any other
            worker.connection.send(job)

    def news(self, timeout: float) -> Iterator[Advance | Printed | Finished]:
        """What the busy workers say within `timeout` seconds, and what any of them has printed."""
        busy = [worker for worker in self._workers if worker.job is not None]
        printing = [worker.output for worker in self._workers if not worker.silent]
        wait([*(worker.connection for worker in busy), *printing], timeout)
        for worker in list(self._workers):
            message = self._message_of(worker) if worker.job is not None else None
            yield from worker.printed(ended=isinstance(message, Finished))
            if isinstance(message, Finished):
                worker.job = None
                if message.last:
                    self._remove(worker)
            if message is not None:
                yield message

    def ask_to_end(self) -> None:
        """By the signal that a cluster asks with."""
        for worker in self._workers:
            if worker.job is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker.process.pid, signal.SIGTERM)

    def stop(self, key: str) -> None:
        """Kill the worker that does this job; a new one takes its place when it is needed."""
        for worker in [each for each in self._workers if each.job is not None and each.job.key == key]:
            end_process(worker.process.pid)
            self._remove(worker)

    def close(self) -> None:
        """Idle workers end when their parent hangs up; busy ones are killed."""
        for worker in self._workers:
            if worker.job is not None:
                end_process(worker.process.pid)
            worker.connection.close()
        for worker in list(self._workers):
            self._remove(worker)

    def _usual_count(self) -> int:
        if self._crew.device == "cpu":
            return max(1, usable_cores() // (self.threads or 1))
        return len(self._devices) * self.per_device

    def _start_worker(self) -> Worker:
        taken = {worker.place for worker in self._workers}
        place = next(number for number in range(self._count) if number not in taken)
        ours, theirs = self._context.Pipe()
        device = self._devices[place % len(self._devices)]
        output, printed = self._context.Pipe(duplex=False)
        told = (theirs, self._crew, device, self._threads, printed)
        process = self._context.Process(target=serve, args=told, daemon=True)
        try:
            with _ignoring_interrupts():
                process.start()
        except (OSError, EOFError) as error:
            raise UserError(f"no worker process can be started: {error}. Give fewer with --workers") from error
        theirs.close()
        printed.close()
        worker = Worker(place, process, ours, output)
        self._workers.append(worker)
        return worker

    def _message_of(self, worker: Worker) -> Advance | Finished | None:
        """What it said, or that it is dead. A process that a plugin started may hold the connection open after the
        worker died, so that its end alone would tell nothing."""
        alive = _lives(worker.process)  # asked first: what it said before it died still counts
        try:
            if worker.connection.poll():
                return worker.connection.recv()
        except (EOFError, OSError):
            return self._dead(worker)
        return None if alive else self._dead(worker)

    def _dead(self, worker: Worker) -> Finished:
        """What it did has ended with it."""
        worker.process.join(timeout=5)
        return replace(died(worker.job.key if worker.job else "", worker.process.exitcode), last=True)

    def _remove(self, worker: Worker) -> None:
        """It is dead or dies."""
        worker.process.join(timeout=5)
        if _lives(worker.process):
            end_process(worker.process.pid)
            worker.process.join(timeout=5)
        self._workers.remove(worker)
        worker.connection.close()
        worker.output.close()


def _lives(process: Any) -> bool:
    """Whether a process is there. The server that forked it may itself have been killed, and knows nothing then."""
    if process.is_alive():
        return True
    try:
        os.kill(process.pid, 0)
    except OSError:
        return False
    return True


def _devices(device: str) -> list[str]:
    """`cuda` -> every GPU; any other name is one device."""
    if device != "cuda":
        return [device]
    import torch

    return [f"cuda:{number}" for number in range(torch.cuda.device_count())]


def _context() -> Any:
    """Fork from a server that has torch and the plugins loaded, where that is safe: a worker then costs little. On
    macOS each is a new interpreter: libraries of that system start threads, which no fork survives
    (https://docs.python.org/3/library/multiprocessing.html#contexts-and-start-methods)."""
    if sys.platform == "darwin" or "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([PRELOAD])
    _choose_place_for_sockets()
    with _ignoring_interrupts():
        forkserver.ensure_running()
    return context


def _choose_place_for_sockets() -> None:
    """The server is reached by a socket in the folder for temporary files, and its path may have 103 bytes: where
    that folder's is too long, another one is taken. `multiprocessing` asks once, for the life of the process."""
    usual = tempfile.gettempdir()
    if len(os.fsencode(usual)) + len("/pymp-12345678/listener-12345678") <= LONGEST_SOCKET:
        return
    short = next((each for each in SHORT_PLACES if os.access(each, os.W_OK | os.X_OK)), None)
    if short is None:
        raise UserError(f"no worker can be reached below {usual}: the path is too long. Set TMPDIR to a shorter one")
    before, tempfile.tempdir = tempfile.tempdir, short
    try:
        util.get_temp_dir()
    finally:
        tempfile.tempdir = before


@contextlib.contextmanager
def _ignoring_interrupts() -> Iterator[None]:
    """A process that is started here never hears of a Ctrl-C, not even while it imports: the parent ends it."""
    if threading.current_thread() is not threading.main_thread():  # which alone may say what signals do
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@hookimpl
def register_launchers(register):
    """Worker processes of this machine."""
    register("local", LocalLauncher)
