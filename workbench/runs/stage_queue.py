"""Which of the missing stages may begin: what they need is done, there is memory, and none is more urgent."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from workbench.runs.priority import Priority

if TYPE_CHECKING:
    from workbench.runs.costs import Costs
    from workbench.runs.plan import AnyStage, Plan

LOOK_AGAIN = 1.0  # seconds until a stage that another run does is looked for again


class StageQueue:
    """The missing stages of a plan: which wait and which run."""

    def __init__(self, plan: Plan, costs: Costs):
        self.plan = plan
        self.costs = costs
        self.priority = Priority(plan, costs)
        self.waiting = dict(plan.missing)
        self.running: dict[str, float] = {}  # key -> when it began
        self.undone = set(plan.missing)  # keys of stages that wait, run, or have failed
        self.attempts: Counter[str] = Counter()
        self._not_before: dict[str, float] = {}  # key -> when to look again for what another run does
        self._alone: set[str] = set()  # keys of stages that ran out of memory beside others

    def __bool__(self) -> bool:
        """Whether there is anything left to do."""
        return bool(self.waiting or self.running)

    def ready(self) -> list[AnyStage]:
        """The waiting stages whose needs are done, the most urgent first."""
        now = time.monotonic()
        ready = [stage for stage in self.waiting.values() if self._not_before.get(stage.key, 0) <= now]
        return self.priority.sort(
            stage for stage in ready if not any(key in self.undone for key in self.plan.needs(stage))
        )

    def waited_for_another_run(self, stage: AnyStage) -> bool:
        """Whether another run did this stage, and may have finished it; asked once each time."""
        return self._not_before.pop(stage.key, None) is not None

    def fits(self, stage: AnyStage, budget: int | None) -> bool:
        """Whether there is memory for it beside what runs: `budget` bytes for all. Alone, a stage may always try."""
        if not self.running:
            return True
        if stage.key in self._alone or self._alone & self.running.keys():
            return False
        running = [self.plan.missing[key] for key in self.running]
        return budget is None or sum(map(self.costs.memory_bytes, [*running, stage])) <= budget

    def begin(self, stage: AnyStage) -> None:
        """A worker takes the stage; that counts as an attempt, and its time begins."""
        del self.waiting[stage.key]
        self.attempts[stage.key] += 1
        self.restart_clock(stage)

    def restart_clock(self, stage: AnyStage) -> None:
        """What the stage took so far was the start of its worker, and is not counted."""
        self.running[stage.key] = time.monotonic()

    def end(self, stage: AnyStage) -> float:
        """It runs no more, however it ended. Returns the seconds it took."""
        return time.monotonic() - self.running.pop(stage.key)

    def slower_than(self, seconds: float) -> list[str]:
        """The keys of the stages that have run for longer."""
        now = time.monotonic()
        return [key for key, began in self.running.items() if now - began > seconds]

    def wait(self, stage: AnyStage) -> None:
        """The stage goes back to those that wait, and may begin at once."""
        self.waiting[stage.key] = stage

    def wait_for_another_run(self, stage: AnyStage) -> None:
        """Another run does it just now: that was no attempt of ours."""
        self.wait(stage)
        self._not_before[stage.key] = time.monotonic() + LOOK_AGAIN
        self.attempts[stage.key] -= 1

    def wait_to_be_alone(self, stage: AnyStage) -> None:
        """It may have lacked memory that others took: nothing runs beside it any more."""
        self.wait(stage)
        self._alone.add(stage.key)

    def add(self, stages: Iterable[AnyStage]) -> None:
        """These are to be done after all, or once more, as if they had never been tried."""
        for stage in stages:
            self.waiting.setdefault(stage.key, stage)
            self.undone.add(stage.key)
            self.attempts.pop(stage.key, None)

    def finish(self, stage: AnyStage) -> None:
        """It is done, by whomever: what needs it may begin."""
        self.waiting.pop(stage.key, None)
        self.undone.discard(stage.key)

    def drop(self, keys: Iterable[str]) -> None:
        """Nobody needs these any more, or they cannot be done: those that run go on, no other is begun."""
        for key in keys:
            self.waiting.pop(key, None)
