"""What it means for a run that a stage is so far, done, or ended with an error: go on, wait, do it again, or fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.contracts.launcher import Advance, Finished, Printed, Reason
from workbench.runs.stages import Stage
from workbench.storage.artifacts import ArtifactError
from workbench.storage.claims import ClaimLost, Claims
from workbench.workers.failure import NO_ATTEMPT

if TYPE_CHECKING:
    from workbench.runs.placement import Placement
    from workbench.runs.plan import AnyStage, Plan
    from workbench.runs.planner import Planner
    from workbench.runs.progress import ProgressDisplay
    from workbench.runs.stage_queue import StageQueue
    from workbench.runs.tracking import Tracking
    from workbench.runs.trial_outcomes import TrialOutcomes

ATTEMPTS = 2  # times a stage is tried whose worker was killed, or found no memory or disk
LOSSES = 5  # times it may lose its machine in a row without getting further


class MessageHandler:
    """Keeps the queue of stages and the outcomes of trials up to date with what workers say, and shows it."""

    def __init__(
        self,
        planner: Planner,
        plan: Plan,
        queue: StageQueue,
        placement: Placement,
        trials: TrialOutcomes,
        display: ProgressDisplay,
        tracking: Tracking,
        claims: Claims,
    ):
        self.planner = planner
        self.plan = plan
        self.queue = queue
        self.placement = placement
        self.trials = trials
        self.display = display
        self.tracking = tracking
        self.claims = claims

    def handle(self, message: Advance | Printed | Finished) -> None:
        """Take note of what a worker says of its stage: how far it is, what it printed, or how it ended."""
        if isinstance(message, Printed):
            self.display.show_printed(message.text)
            return
        stage = self.plan.missing[message.key]
        if isinstance(message, Advance):
            self._advance(stage, message)
            return
        seconds, error = self._end(stage), message.error or {}
        ours = self.claims.release(stage.key)
        if not error:
            self.finish(stage, seconds)
        elif error.get("type") == ClaimLost.__name__ and not ours:
            self.display.wait(stage, "another run has taken it over")
            self.queue.wait_for_another_run(stage)
        elif error.get("type") == ArtifactError.__name__ and self._may_try_again(stage):
            self.display.wait(stage, f"{error['message']}; it is made again")
            self.queue.wait(stage)
            self._make_again(error["key"])
        elif error.get("reason") in NO_ATTEMPT:
            self._go_on_elsewhere(stage, error)
        elif error.get("transient") and self._may_try_again(stage):
            alone = error.get("reason") == Reason.MEMORY
            self.display.wait(stage, f"{error['message']}; it is tried once more{', alone' if alone else ''}")
            if alone:
                self.placement.keep_alone(stage.key)
            self.queue.wait(stage)
        else:
            self.fail(stage, error)

    def handle_at_the_end(self, message: Advance | Printed | Finished) -> None:
        """The same when the run was asked to end: a stage that does not get done has not failed."""
        if isinstance(message, Finished) and message.error:
            self._end(self.plan.missing[message.key])
            self.claims.release(message.key)
        else:
            self.handle(message)

    def finish(self, stage: AnyStage, seconds: float | None = None) -> None:
        """A stage is done. `seconds`: what it took, unless another run did it."""
        self.display.finish(stage, Finished(stage.key))
        self.queue.finish(stage)
        self.queue.costs.learn(stage, seconds)
        if isinstance(stage, Stage) and stage.evaluates:
            self.trials.finish(stage.trial.id)
            self.tracking.finish(stage.trial.id)

    def fail(self, stage: AnyStage, error: dict[str, Any]) -> None:
        """A stage cannot be done, nor what needs it."""
        error = {**error, "stage": stage.name}
        attempts = self.queue.attempts[stage.key]
        if error.get("transient") and attempts > 1:
            error["message"] += f" (tried {attempts} times)"
        self.display.finish(stage, Finished(stage.key, error))
        self.queue.drop({stage.key, *self.trials.fail(stage, error, self.queue.undone)})

    def _go_on_elsewhere(self, stage: AnyStage, error: dict[str, Any]) -> None:
        """It lost its worker through nothing it did, unless that happens again and again at the same place."""
        losses = self.queue.count_loss(stage)
        if losses <= LOSSES:
            self.display.wait(stage, f"{error['message']}; another worker goes on with it")
            self.queue.wait(stage, tried=False)
        else:
            told = f"{error['message']} ({losses} times, without the stage getting further)"
            self.fail(stage, {**error, "message": told})

    def _end(self, stage: AnyStage) -> float:
        self.placement.free(stage.key)
        return self.queue.end(stage)

    def _advance(self, stage: AnyStage, message: Advance) -> None:
        if not message.total:  # the worker is up and begins: what it took to start is not the stage's
            self.queue.restart_clock(stage)
        self.queue.note_progress(stage, message.done)
        self.display.advance(stage, message)
        self.tracking.advance(stage, message)

    def _may_try_again(self, stage: AnyStage) -> bool:
        return self.queue.attempts[stage.key] < ATTEMPTS

    def _make_again(self, key: str) -> None:
        """What this stage left is damaged: it is done again, before those that need it."""
        if key in self.queue.undone:  # another stage found the same damage before
            return
        if self.claims.take(key):  # otherwise another run makes it again just now
            self.planner.store.remove(key)
            self.claims.release(key)
        added = self.planner.require(self.plan, key, "what it left is damaged") or [self.plan.missing[key]]
        self.queue.add(added)
        self.display.expect(len(added))
