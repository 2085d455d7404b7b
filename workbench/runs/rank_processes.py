"""A phase on several devices: a worker starts a process for each, hears how far they are, and leaves none behind.

The worker itself trains nothing: whatever becomes of a rank, it stays as it was, ends the others and tells why. A rank
whose worker is gone ends by itself.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from workbench.contracts.launcher import Advance
from workbench.devices.machine import too_many
from workbench.errors import UserError
from workbench.workers.failure import ReportedError, died

if TYPE_CHECKING:
    from workbench.contracts.launcher import Tell
    from workbench.runs.workplace import StageJob, Workplace

END = "end"  # what a rank is told when the worker was asked to end
START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from workbench.runs.rank import main; main(sys.argv[2])"
)
LISTEN = 0.2  # seconds
LAST_WORDS = 2.0  # seconds in which ranks tell what they know of a failure, before they are killed


@dataclass(frozen=True)
class RankTask:
    """What a rank is told: which one it is of how many, the folder where they meet, and what a worker is told."""

    rank: int
    count: int
    meeting: Path
    folders: tuple[Path, ...]
    artifacts: Path
    results: Path
    provenance: dict[str, Any]
    snapshot_seconds: float
    device: str
    threads: int
    job: StageJob
    unrepeatable: str | None


@dataclass(frozen=True)
class RankFinished:
    """A rank has done its part, or failed `at` some time with an error as it stands in a record."""

    at: float
    error: dict[str, Any] | None = None


def train_on_ranks(job: StageJob, place: Workplace, tell: Tell, unrepeatable: str | None) -> None:
    """Train the phase on as many devices as it wants; `ReportedError` is the error of the rank that failed first, and
    `UserError` says that there are too few devices here."""
    problem = too_many(place.device, job.stage.devices)
    if problem:  # elsewhere than the experiment was planned
        raise UserError(f"phase '{job.stage.name}': {problem}")
    with tempfile.TemporaryDirectory(prefix="ranks-") as meeting, _started(job.stage.devices) as ranks:
        for rank in ranks:
            with suppress(OSError):  # it is dead already, which is heard below
                rank.connection.send(_task(rank.number, job, place, Path(meeting), unrepeatable))
        _Listening(ranks, place, tell).until_done()


def devices_from(device: str, count: int) -> list[str]:
    """The devices of so many ranks, beginning with the worker's own: GPUs one after the other, in a circle."""
    kind, _, number = device.partition(":")
    if kind != "cuda":
        return [device] * count
    there = max(torch.cuda.device_count(), 1)
    return [f"{kind}:{(int(number or 0) + place) % there}" for place in range(count)]


@dataclass
class _Rank:
    """A process, and the way to talk to it."""

    number: int
    process: subprocess.Popen[bytes]
    connection: Connection
    finished: RankFinished | None = None
    closed: bool = False  # it says nothing more


class _Listening:
    """What a worker does meanwhile."""

    def __init__(self, ranks: Sequence[_Rank], place: Workplace, tell: Tell):
        self.ranks, self.place, self.tell = ranks, place, tell
        self._asked = False

    def until_done(self) -> None:
        """Until every rank has done its part."""
        while any(rank.finished is None for rank in self.ranks):
            self._ask_to_end()
            self._hear(LISTEN)
            if any(_failed(rank) for rank in self.ranks):
                self._hear_last_words()
                raise ReportedError(_first_error(self.ranks))

    def _hear(self, seconds: float) -> None:
        open_ones = {rank.connection: rank for rank in self.ranks if not rank.closed}
        for connection in wait(list(open_ones), seconds):
            rank = open_ones[connection]  # pyright: ignore[reportArgumentType]
            try:
                message = rank.connection.recv()
            except (EOFError, OSError):
                rank.closed = True
                continue
            if isinstance(message, Advance):
                self.tell(message.done, message.total, message.loss)
            else:
                rank.finished = message

    def _hear_last_words(self) -> None:
        """One that was killed says nothing, and its neighbours only that it is gone: wait for what the others know."""
        end = time.monotonic() + LAST_WORDS
        while any(not rank.closed for rank in self.ranks) and time.monotonic() < end:
            self._hear(LISTEN)

    def _ask_to_end(self) -> None:
        """The first rank keeps a last snapshot, and says that the phase ended early."""
        if self.place.asked_to_end() and not self._asked:
            self._asked = True
            for rank in self.ranks:
                with suppress(OSError):
                    rank.connection.send(END)


def _failed(rank: _Rank) -> bool:
    return rank.finished.error is not None if rank.finished else rank.closed


def _first_error(ranks: Sequence[_Rank]) -> dict[str, Any]:
    """What ended them: a rank that died without a word, or the first that told of a failure. What others tell then is
    that they lost it."""
    for rank in ranks:
        if rank.closed and rank.finished is None:
            with suppress(subprocess.TimeoutExpired):
                rank.process.wait(LAST_WORDS)
            gone = died("", rank.process.returncode, f"the process of device {rank.number + 1} of {len(ranks)}")
            return gone.error or {}
    told = [rank.finished for rank in ranks if rank.finished and rank.finished.error]
    return min(told, key=lambda each: each.at).error or {}


def _task(number: int, job: StageJob, place: Workplace, meeting: Path, unrepeatable: str | None) -> RankTask:
    count = job.stage.devices
    return RankTask(
        rank=number,
        count=count,
        meeting=meeting,
        folders=place.registry.folders,
        artifacts=place.store.folder,
        results=place.results,
        provenance=place.provenance,
        snapshot_seconds=place.snapshot_seconds,
        device=devices_from(place.device, count)[number],
        threads=torch.get_num_threads(),
        job=job,
        unrepeatable=unrepeatable,
    )


@contextmanager
def _started(count: int) -> Iterator[list[_Rank]]:
    """So many processes, each a new interpreter: what a worker has in memory is not safe to fork. Behind it none is
    left, however it ended."""
    ranks: list[_Rank] = []
    try:
        for number in range(count):
            ranks.append(_start(number))
        yield ranks
        for rank in ranks:
            with suppress(subprocess.TimeoutExpired):
                rank.process.wait(LAST_WORDS)
    finally:
        for rank in ranks:
            rank.process.kill()
            rank.connection.close()
        for rank in ranks:
            rank.process.wait()


def _start(number: int) -> _Rank:
    ours, theirs = Pipe()
    # What torch says of its own at every start helps nobody; on one machine all meet by the loopback.
    environment = {"TORCH_CPP_LOG_LEVEL": "ERROR", "GLOO_SOCKET_IFNAME": _loopback(), **os.environ}
    command = [sys.executable, "-c", START, json.dumps(sys.path), str(theirs.fileno())]
    # Whatever is printed on all ranks alike is printed once.
    output = None if number == 0 else subprocess.DEVNULL
    process = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=environment, stdout=output)
    theirs.close()
    return _Rank(number, process, ours)


def _loopback() -> str:
    return "lo0" if sys.platform == "darwin" else "lo"
