"""Workers whose work is a sleep on a virtual clock: a run of weeks on many machines takes no longer than its head."""

from __future__ import annotations

import heapq
import itertools
import pickle
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.contracts.launcher import Advance, Crew, Finished, Job, Launcher, Node
from workbench.storage.artifacts import STAGE_PEAK, STAGE_SECONDS, ArtifactStore

ADVANCES = 4  # messages of a stage before its last one
LIKE = "like"  # the stage whose summary all others have but for their seconds

_real = time.monotonic


class VirtualClock:
    """Goes on as `real` does, skips what nobody does anything in, and stands still where others work."""

    def __init__(self, real: Callable[[], float] = _real):
        self.real = real
        self.skipped = 0.0

    def __call__(self) -> float:
        """The seconds on it, to be put in the place of `time.monotonic`."""
        return self.real() + self.skipped

    def skip_to(self, moment: float) -> None:
        """It is that late now, unless it is later already."""
        self.skipped += max(0.0, moment - self())

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """What the body takes is time of somebody else."""
        began = self.real()
        try:
            yield
        finally:
            self.skipped -= self.real() - began


@dataclass
class SimulatedWorkers(Launcher):
    """So many nodes of so many workers. `seconds_of` says how long a stage takes; `errors` by key what it ends with at
    its first attempts."""

    clock: VirtualClock
    machines: Sequence[Node]
    seconds_of: Callable[[str], float]
    errors: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    begun: list[str] = field(default_factory=list)  # keys, in order
    worked: float = 0.0  # seconds of all workers
    dispatch: float = 0.0  # seconds it took to write the jobs as a pipe or a connection takes them
    own: float = 0.0  # real seconds that this simulation itself took
    most_at_once: int = 0
    last_end: float = 0.0
    _running: dict[str, str] = field(default_factory=dict)  # key -> node
    _on: Counter[str] = field(default_factory=Counter)  # jobs by node
    _numbers: Iterator[int] = field(default_factory=itertools.count)  # of messages, in the order in which they are told
    _coming: list[tuple[float, int, Advance | Finished]] = field(default_factory=list)

    def open(self, crew: Crew) -> None:
        """Nothing has to start."""

    def slots(self) -> int:
        return sum(node.slots for node in self.machines)

    def nodes(self) -> Sequence[Node]:
        return self.machines

    def begin(self, job: Job) -> None:
        """Take a job; one that its node has no room for is a fault of the scheduler."""
        began = _real()
        pickle.dumps(job)
        self.dispatch += _real() - began
        with self._unseen():
            self._take(job)
            seconds = self.seconds_of(job.key)
            self.worked += seconds
            self._tell(self.clock(), Advance(job.key, 0, 0))
            for done in range(1, ADVANCES):
                self._tell(self.clock() + seconds * done / ADVANCES, Advance(job.key, done, ADVANCES, 1.0))
            errors = self.errors.get(job.key)
            self._tell(self.clock() + seconds, Finished(job.key, errors.pop(0) if errors else None))

    def news(self, timeout: float) -> Iterable[Advance | Finished]:
        """All that has come by the time that anything comes."""
        with self._unseen():
            first = self._coming[0][0] if self._coming else float("inf")
            self.clock.skip_to(min(first, self.clock() + timeout))
            told, now = [], self.clock()
            while self._coming and self._coming[0][0] <= now:
                message = heapq.heappop(self._coming)[2]
                if isinstance(message, Finished):
                    self._on[self._running.pop(message.key)] -= 1
                    self.last_end = now
                told.append(message)
        return told

    def close(self) -> None:
        """Nothing has to end."""

    @contextmanager
    def _unseen(self) -> Iterator[None]:
        began = _real()
        with self.clock.standing_still():
            yield
        self.own += _real() - began

    def _take(self, job: Job) -> None:
        self._running[job.key] = job.node
        self._on[job.node] += 1
        self.begun.append(job.key)
        self.most_at_once = max(self.most_at_once, len(self._running))
        slots = next(each.slots for each in self.machines if each.name == job.node)
        assert self._on[job.node] <= slots, f"{job.node} has {slots} slots"

    def _tell(self, moment: float, message: Advance | Finished) -> None:
        heapq.heappush(self._coming, (moment, next(self._numbers), message))


class SimulatedStore(ArtifactStore):
    """A store in which every stage that is asked for has left a summary, which is really read from the disk."""

    def __init__(self, folder: Path, seconds_of: Callable[[str], float]):
        super().__init__(folder)
        self.seconds_of = seconds_of
        if not self.has(LIKE):
            self.write(LIKE, {}, None, {STAGE_SECONDS: 1.0, STAGE_PEAK: 10**9}, [])

    def summary(self, key: str) -> dict[str, Any] | None:
        """As every other, but for the seconds."""
        found = super().summary(LIKE)
        return None if found is None else {**found, STAGE_SECONDS: self.seconds_of(key)}
