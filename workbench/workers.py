"""Worker processes that stay warm: each loads torch and the plugins once and then does one stage after another.

A worker that dies takes only its own stage with it; another takes its place.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from workbench.errors import UserError
from workbench.stages import Stage


@dataclass(frozen=True)
class Setup:
    """What a worker needs to know before its first stage."""

    plugin_folders: tuple[Path, ...]
    artifacts: Path
    results: Path
    device: str
    threads: int
    provenance: dict[str, Any]


@dataclass(frozen=True)
class Advance:
    """A stage is this far."""

    key: str
    done: int
    total: int
    loss: float | None


@dataclass(frozen=True)
class Finished:
    """A stage is done, or failed with an error as it stands in a record."""

    key: str
    error: dict[str, str] | None


@dataclass
class _Worker:
    process: Any
    connection: Connection
    stage: Stage | None = None


class Pool:
    """`count` workers. Use as a context manager; leaving it ends them."""

    def __init__(self, count: int, setup: Setup):
        self.count = count
        self.setup = setup
        self._context = _context()
        self._workers: list[_Worker] = []

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *reason: object) -> None:
        for worker in self._workers:
            if worker.stage is None:
                worker.connection.close()  # an idle worker ends when its parent hangs up
            else:
                worker.process.kill()
        for worker in self._workers:
            worker.process.join(timeout=5)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
        self._workers.clear()

    @property
    def free(self) -> int:
        """How many stages could begin now."""
        return self.count - sum(worker.stage is not None for worker in self._workers)

    def begin(self, stage: Stage) -> None:
        """Give a stage to an idle worker, or to a new one."""
        worker = next((each for each in self._workers if each.stage is None), None) or self._hire()
        worker.stage = stage
        worker.connection.send(stage)

    def news(self, timeout: float) -> Iterator[Advance | Finished]:
        """What happened within `timeout` seconds."""
        busy = {worker.connection: worker for worker in self._workers if worker.stage is not None}
        for connection in wait(list(busy), timeout):
            worker = busy[connection]  # pyright: ignore[reportArgumentType]
            try:
                message = worker.connection.recv()
            except (EOFError, ConnectionError, OSError):
                message = self._died(worker)
            if isinstance(message, Finished):
                worker.stage = None
            yield message

    def _hire(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_work, args=(theirs, self.setup), daemon=True)
        process.start()
        theirs.close()
        worker = _Worker(process, ours)
        self._workers.append(worker)
        return worker

    def _died(self, worker: _Worker) -> Finished:
        worker.process.join(timeout=5)
        self._workers.remove(worker)
        worker.connection.close()
        code = worker.process.exitcode
        cause = f"signal {signal.Signals(-code).name}" if code is not None and code < 0 else f"exit code {code}"
        message = f"the worker process ended with {cause} in the middle of the stage; it may have run out of memory"
        stage = worker.stage
        return Finished(stage.key if stage else "", {"type": "WorkerDied", "message": message, "traceback": ""})


def _context() -> Any:
    """Fork from a server that has torch loaded, where there is one: a new worker then costs milliseconds."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "workbench.work"])
    return context


def _work(connection: Connection, setup: Setup) -> None:
    """A worker's life: stages in, news out, until the parent hangs up."""
    # Ctrl-C reaches the whole terminal; what to stop is the parent's decision.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import torch

    from workbench.artifacts import ArtifactStore
    from workbench.registry import load_registry
    from workbench.work import Progress, Workplace, do_stage

    torch.set_num_threads(setup.threads)
    registry = load_registry(setup.plugin_folders)
    place = Workplace(registry, ArtifactStore(setup.artifacts), setup.results, setup.device, setup.provenance)
    while True:
        try:
            stage: Stage = connection.recv()
        except (EOFError, ConnectionError):
            return

        def tell(progress: Progress, key: str = stage.key) -> None:
            connection.send(Advance(key, progress.done, progress.total, progress.loss))

        try:
            do_stage(stage, place, tell)
            connection.send(Finished(stage.key, None))
        except (BrokenPipeError, ConnectionError):
            return
        except Exception as error:  # whatever a plugin raises fails its stage, not the run
            connection.send(Finished(stage.key, error_of(error)))


def error_of(error: BaseException) -> dict[str, str]:
    """An exception as it stands in a record; a user's mistake needs no traceback."""
    shown = "" if isinstance(error, UserError) else "".join(traceback.format_exception(error))
    return {"type": type(error).__name__, "message": str(error), "traceback": shown}
