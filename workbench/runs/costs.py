"""What a stage will cost, before it runs: memory, disk, and time as far as stages like it were measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from workbench.runs.stages import FeatureStage
from workbench.storage.artifacts import STAGE_PEAK, STAGE_SECONDS

if TYPE_CHECKING:
    from workbench.runs.plan import AnyStage, Plan
    from workbench.storage.artifacts import ArtifactStore

PROCESS = 500_000_000  # bytes of a worker with torch and the plugins loaded
FLOAT = 4  # bytes of a weight in fp32; gradients take as much, and AdamW's two moments twice as much
ROOM = 1.2  # what is measured once may be a little more another time


class Costs:
    """Estimates for the stages of a plan. What stages of the same shape took, here or in an earlier run, is taken
    for what a stage will take; memory that was never measured is computed from the number of weights."""

    def __init__(self, plan: Plan, store: ArtifactStore):
        self.plan = plan
        self.store = store
        self._shapes: dict[tuple, int] = {}  # a number for each
        self._shape_of: dict[str, int] = {}  # by key of a stage
        self._measured: dict[int, dict[str, Any]] = {}  # by the number of the shape
        self.kinds_timed = 0  # of how many kinds of stages the time is known
        for key, stage in plan.distinct().items():
            if key not in plan.missing and not stage.evaluates and self._shape(stage) not in self._measured:
                self.learn(stage)

    def learn(self, stage: AnyStage, seconds: float | None = None) -> None:
        """Look at what a stage that is done has cost; an evaluation leaves no summary, but has taken `seconds`."""
        summary = None if stage.evaluates else self.store.summary(stage.key)
        if stage.evaluates and seconds is not None:
            summary = {STAGE_SECONDS: seconds}
        if summary is not None:
            self._note(self._shape(stage), summary)

    def memory_bytes(self, stage: AnyStage) -> float:
        """The most memory the stage will take, worker included."""
        known = self._measured.get(self._shape(stage), {}).get(STAGE_PEAK)
        if known is not None:
            return ROOM * known
        size = self.plan.sizes[stage.trial.id]
        trains = 0 if stage.evaluates or isinstance(stage, FeatureStage) else size.most_trainable
        # Each device has a process, which builds the model whole even where it keeps a part of it.
        return stage.devices * (PROCESS + FLOAT * size.parameters + 3 * FLOAT * trains)

    def too_large(self, stage: AnyStage, budget: int | None) -> str | None:
        """What to say of a stage that takes more memory than there is."""
        takes = self.memory_bytes(stage)
        if budget is None or takes <= budget:
            return None
        return (
            f"the stage takes about {takes / 1e9:.1f} GB of memory, more than the {budget / 1e9:.1f} GB that it may."
            " Free some, give the launcher more, or make the model smaller"
        )

    def disk_bytes(self, stage: AnyStage) -> float:
        """The bytes that the stage leaves on the disk: weights that are in no file yet, or tokens of images."""
        size = self.plan.sizes[stage.trial.id]
        if isinstance(stage, FeatureStage):
            first, behind = stage.part
            return (behind - first) * size.bytes_of_an_image(stage.look.precision)
        if stage.evaluates:
            return 0
        return FLOAT * (size.parameters - size.read + min(size.read, size.most_until(stage.index)))

    def seconds(self, stage: AnyStage, probe: Callable[[AnyStage], float] | None = None) -> float | None:
        """How long the stage will take, by one of the same shape; where there is none, `probe` measures a little."""
        shape = self._shape(stage)
        if STAGE_SECONDS not in self._measured.get(shape, {}):
            if probe is None:
                return None
            self._note(shape, {**self._measured.get(shape, {}), STAGE_SECONDS: probe(stage)})
        return self._measured[shape][STAGE_SECONDS]

    def _note(self, shape: int, summary: dict[str, Any]) -> None:
        before = self._measured.get(shape, {})
        self.kinds_timed += (STAGE_SECONDS in summary) - (STAGE_SECONDS in before)
        self._measured[shape] = summary

    def _shape(self, stage: AnyStage) -> int:
        """The number of its shape, which is found once: a run asks it of all that waits, again and again."""
        if stage.key not in self._shape_of:
            self._shape_of[stage.key] = self._shapes.setdefault(_shape(stage), len(self._shapes))
        return self._shape_of[stage.key]


def _shape(stage: AnyStage) -> tuple:
    """Equal for stages that differ in their seed or their place among others only."""
    trial = stage.trial
    if isinstance(stage, FeatureStage):
        return "features", trial.components["encoder"], trial.components["dataset"], stage.look, _count(stage)
    own = trial.evaluation if stage.evaluates else trial.phases[stage.index]
    quantized = stage.quantized
    kinds = [kind for kind in trial.components if quantized or kind != "quantizer"]
    return own, *(trial.components[kind] for kind in kinds)


def _count(stage: FeatureStage) -> int:
    return stage.part[1] - stage.part[0]
