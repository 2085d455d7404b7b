"""Which of the missing stages may begin: what they need is done, and none that waits is more urgent."""

from __future__ import annotations

import heapq
import time
from collections import Counter, defaultdict
from collections.abc import Generator, Iterable
from itertools import takewhile
from typing import TYPE_CHECKING

from workbench.runs.priority import Priority

if TYPE_CHECKING:
    from workbench.runs.costs import Costs
    from workbench.runs.plan import AnyStage, Plan

LOOK_AGAIN = 1.0  # seconds until a stage that another run does is looked for again
MORE, MOST = 1.2, 10.0  # each time so many times longer, up to so many seconds


class StageQueue:
    """The missing stages of a plan: which wait and which run. What it costs to find the next one grows with the stages
    that become ready, not with all there are."""

    def __init__(self, plan: Plan, costs: Costs):
        self.plan = plan
        self.costs = costs
        self.priority = Priority(plan, costs)
        self.waiting = dict(plan.missing)
        self.running: dict[str, float] = {}  # key -> when it began, the first to begin first
        self.undone = set(plan.missing)  # keys of stages that wait, run, or have failed
        self.attempts: Counter[str] = Counter()
        self._losses: Counter[str] = Counter()  # how often a stage lost its worker and got no further since
        self._furthest: dict[str, int] = {}
        self._not_before: dict[str, float] = {}  # key -> when to look again for what another run does
        self._looks: Counter[str] = Counter()  # key -> how often that was done
        self._ready: list[tuple[float, int, str]] = []  # a heap; what waits no more is passed by
        self._build()

    def __bool__(self) -> bool:
        """Whether there is anything left to do."""
        return bool(self.waiting or self.running)

    def ready(self) -> Generator[AnyStage]:
        """The waiting stages whose needs are done, the most urgent first. What is not begun meanwhile stays ready."""
        if self.priority.look_again():
            self._build()
        for key in [key for key, moment in self._not_before.items() if moment <= time.monotonic()]:
            self._push(key)
        passed_by, seen = [], set()
        try:
            while self._ready:
                entry = heapq.heappop(self._ready)
                if (stage := self._waiting_now(entry[2])) is None or stage.key in seen:
                    continue
                seen.add(stage.key)
                passed_by.append(entry)
                yield stage
        finally:
            for entry in passed_by:
                if self._waiting_now(entry[2]):
                    heapq.heappush(self._ready, entry)

    def count_ready(self) -> int:
        """How many stages could begin; some may be counted that were dropped since."""
        return len(self._ready)

    def waited_for_another_run(self, stage: AnyStage) -> bool:
        """Whether another run did this stage, and may have finished it; asked once each time."""
        return self._not_before.pop(stage.key, None) is not None

    def begin(self, stage: AnyStage) -> None:
        """A worker takes the stage; that counts as an attempt, and its time begins."""
        del self.waiting[stage.key]
        self.attempts[stage.key] += 1
        self._looks.pop(stage.key, None)
        self.restart_clock(stage)

    def restart_clock(self, stage: AnyStage) -> None:
        """What the stage took so far was the start of its worker, and is not counted."""
        self.running.pop(stage.key, None)
        self.running[stage.key] = time.monotonic()

    def note_progress(self, stage: AnyStage, done: int) -> None:
        """The stage is this far: what it lost before, it has made up for once it is further than ever."""
        if done > self._furthest.get(stage.key, 0):
            self._furthest[stage.key] = done
            self._losses.pop(stage.key, None)

    def end(self, stage: AnyStage) -> float:
        """It runs no more, however it ended. Returns the seconds it took."""
        return time.monotonic() - self.running.pop(stage.key)

    def slower_than(self, seconds: float) -> list[str]:
        """The keys of the stages that have run for longer."""
        now = time.monotonic()
        return [key for key, _ in takewhile(lambda each: now - each[1] > seconds, self.running.items())]

    def wait(self, stage: AnyStage, tried: bool = True) -> None:
        """The stage goes back to those that wait, and may begin at once. Unless it was `tried`, that was no attempt."""
        self.waiting[stage.key] = stage
        self.attempts[stage.key] -= not tried
        self._push(stage.key)

    def count_loss(self, stage: AnyStage) -> int:
        """Its worker was lost. Returns how often that happened since the stage last got further than before."""
        self._losses[stage.key] += 1
        return self._losses[stage.key]

    def wait_for_another_run(self, stage: AnyStage) -> None:
        """Another run has taken it over: that was no attempt of ours."""
        self.look_again_later(stage)
        self.wait(stage, tried=False)

    def look_again_later(self, stage: AnyStage) -> bool:
        """Another run does a stage that waits: it is looked for every second, and rarer the longer that lasts. Returns
        whether this is the first time."""
        self._not_before[stage.key] = time.monotonic() + min(MOST, LOOK_AGAIN * MORE ** self._looks[stage.key])
        self._looks[stage.key] += 1
        return self._looks[stage.key] == 1

    def add(self, stages: Iterable[AnyStage]) -> None:
        """These are to be done after all, or once more, as if they had never been tried."""
        for stage in stages:
            self.waiting.setdefault(stage.key, stage)
            self.undone.add(stage.key)
            self.attempts.pop(stage.key, None)
        self._build()

    def finish(self, stage: AnyStage) -> None:
        """It is done, by whomever: what needs it may begin."""
        self.waiting.pop(stage.key, None)
        if stage.key in self.undone:
            self.undone.discard(stage.key)
            for key in self._followers.get(stage.key, ()):
                self._needs[key] -= 1
                self._push(key)

    def drop(self, keys: Iterable[str]) -> None:
        """Nobody needs these any more, or they cannot be done: those that run go on, no other is begun."""
        for key in keys:
            self.waiting.pop(key, None)

    def _build(self) -> None:
        """Look at all stages: how many undone ones each needs, and how urgent it is."""
        self.priority.look_again()
        self._order = {key: place for place, key in enumerate(self.plan.missing)}
        self._followers: defaultdict[str, list[str]] = defaultdict(list)
        self._needs: Counter[str] = Counter()  # by key: the undone stages it needs
        for key, stage in self.plan.missing.items():
            for before in self.plan.needs(stage):
                if before in self.undone:
                    self._followers[before].append(key)
                    self._needs[key] += 1
        self._ready = []
        for key in self.waiting:
            self._push(key)

    def _push(self, key: str) -> None:
        if self._waiting_now(key):
            heapq.heappush(self._ready, (-self.priority.chain(key), self._order[key], key))

    def _waiting_now(self, key: str) -> AnyStage | None:
        """The stage, if it waits for nothing but its turn."""
        if self._needs[key] or self._not_before.get(key, 0) > time.monotonic():
            return None
        return self.waiting.get(key)
