"""A rank: one of the processes that train a phase together, from its start by a worker to its end."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any, NoReturn

import torch

from workbench.contracts.launcher import Advance
from workbench.devices.device import compute_repeatably
from workbench.registry import load_registry
from workbench.runs.rank_processes import END, RankFinished, RankTask
from workbench.runs.stages import Stage
from workbench.runs.training_stage import train_phase
from workbench.runs.workplace import Workplace
from workbench.storage.chosen_store import open_store
from workbench.training.ranks import Ranks
from workbench.workers.ending import SIGNALS
from workbench.workers.failure import error_of


def main(number: str) -> NoReturn:
    """Do the task that comes through the connection of that number, and end."""
    for each in (
        signal.SIGINT,
        *SIGNALS,
    ):  # which may reach a whole group of processes: what to do is the worker's matter
        signal.signal(each, signal.SIG_IGN)
    connection = Connection(int(number))
    task = connection.recv()
    asked = threading.Event()
    threading.Thread(target=_listen, args=(connection, asked), daemon=True).start()
    error = None
    try:
        _train(task, connection, asked)
    except BaseException as found:  # whatever a plugin raises fails the stage, and is told
        error = error_of(found)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    with suppress(OSError):
        connection.send(RankFinished(time.monotonic(), error))
    os._exit(0)  # no other rank has to be waited for


def _train(task: RankTask, connection: Connection, asked: threading.Event) -> None:
    def tell(done: int, total: int, loss: float | None = None) -> None:
        connection.send(Advance(task.job.key, done, total, loss))

    torch.set_num_threads(task.threads)
    compute_repeatably(task.device)
    if task.unrepeatable is not None and task.device.startswith("cuda"):
        torch.use_deterministic_algorithms(True, warn_only=True)
    registry, store = load_registry(task.folders), open_store(task.artifacts)
    facts = {**task.provenance, "device": task.device}
    place = Workplace(registry, store, task.results, task.device, facts, task.snapshot_seconds, asked.is_set)
    assert isinstance(task.job.stage, Stage)
    with _together(task) as ranks:
        train_phase(task.job, task.job.stage, place, tell, task.unrepeatable, ranks)


@contextmanager
def _together(task: RankTask) -> Iterator[Ranks]:
    """Inside, the ranks can talk to each other: words by gloo, and what lies on GPUs by NCCL."""
    from torch import distributed

    backend = "gloo"
    if task.device.startswith("cuda"):
        torch.cuda.set_device(task.device)
        backend = "cpu:gloo,cuda:nccl"
    store = distributed.FileStore(str(task.meeting / "store"), task.count)  # pyright: ignore[reportPrivateImportUsage]
    distributed.init_process_group(backend, store=store, rank=task.rank, world_size=task.count)
    try:
        ranks = Ranks(task.rank, task.count)
        yield ranks
        ranks.gathered(None)  # nobody leaves while others still hear of it
    finally:
        with suppress(Exception):
            distributed.destroy_process_group()


def _listen(connection: Connection, asked: threading.Event) -> None:
    """Hears that the worker is to end; when it is gone, there is nobody to train for."""
    while True:
        try:
            message: Any = connection.recv()
        except (EOFError, OSError):
            os._exit(1)
        if message == END:
            asked.set()
