"""What a plan takes on machines that are not here: GPU hours, what is kept and what goes over the network, and money,
with the stages that trials share and as if every trial did all its work alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from workbench.evaluation.evaluate import examples_by_image
from workbench.model import image_features
from workbench.model.build import count_parameters
from workbench.model.image_features import needed_by_phase
from workbench.runs.costs import FLOAT
from workbench.runs.flop_counter import flops_of
from workbench.runs.flops import FlopCounts
from workbench.runs.memo import Memo
from workbench.runs.stages import FeatureStage
from workbench.storage.conditions import PRIOR

if TYPE_CHECKING:
    from workbench.config.trial import Trial
    from workbench.runs.assumptions import Assumptions
    from workbench.runs.costs import Costs
    from workbench.runs.plan import AnyStage, Plan
    from workbench.runs.planner import Planner
    from workbench.runs.stages import Stage

HOUR = 3600.0


@dataclass(frozen=True)
class StageCost:
    """Of one stage, or of many together: FLOPs of the model, seconds of one GPU, bytes that it leaves in the store, and
    bytes that it reads and writes elsewhere than on its GPU. NaN is what is not known."""

    flops: float = 0.0
    seconds: float = 0.0
    kept: float = 0.0
    moved: float = 0.0

    def __add__(self, other: StageCost) -> StageCost:
        """Both."""
        return StageCost(
            self.flops + other.flops, self.seconds + other.seconds, self.kept + other.kept, self.moved + other.moved
        )

    @property
    def gpu_hours(self) -> float:
        """Hours of one GPU."""
        return self.seconds / HOUR


@dataclass(frozen=True)
class Projected:
    """By name of a stage how many there are to do, and what they cost together."""

    stages: Mapping[str, tuple[int, StageCost]]

    @property
    def whole(self) -> StageCost:
        """Of all."""
        return sum((cost for _, cost in self.stages.values()), StageCost())


class Projection:
    """Costs of the stages that a plan still has to do.

    A training stage: its optimizer steps, forward and backward, and the passes of a frozen encoder, one an epoch or one
    in all where tokens fit into memory, unless it reads features. Features: one pass an image. An evaluation: a pass
    over image, prompt and right answer for each question and each condition that asks the model. What is moved: weights
    that are read, the stage before, features, and what is kept; images are not counted, whose files nobody measured.
    """

    def __init__(self, plan: Plan, planner: Planner, costs: Costs, assumptions: Assumptions):
        self.plan = plan
        self.data = planner.data
        self.costs = costs
        self.assumptions = assumptions
        self.counts = FlopCounts(planner.registry, planner.data)
        self._memo = Memo()
        self._stages = {**plan.distinct(), **{each.key: each for many in plan.features.values() for each in many}}

    def shared(self) -> Projected:
        """As the workbench does it: each distinct stage once."""
        return _together((stage, self.cost(stage)) for stage in self.plan.missing.values())

    def alone(self) -> Projected:
        """As if every trial did all its stages for itself, and kept no features."""
        chains = (stage for chain in self.plan.chains.values() for stage in chain if stage.key in self.plan.missing)
        return _together((stage, self.cost(stage, alone=True)) for stage in chains)

    def cost(self, stage: AnyStage, alone: bool = False) -> StageCost:
        """What one stage takes; `alone`, without features of others."""
        features = () if alone else self.plan.features.get(stage.key, ())
        flops = self._flops(stage, bool(features))
        peak = self.assumptions.device.peak.get(_precision(stage), math.nan)
        kept = self.costs.disk_bytes(stage)
        first = stage.source if isinstance(stage, FeatureStage) else stage.before
        before = self.costs.disk_bytes(self._stages[first]) if first else 0.0
        read = before + sum(map(self.costs.disk_bytes, features)) + self._of_files(stage)
        return StageCost(flops, flops / (peak * self.assumptions.mfu), kept, kept + read)

    def precisions(self) -> list[str]:
        """Those that stages compute in."""
        return list(dict.fromkeys(map(_precision, self.plan.missing.values())))

    def most_memory(self) -> float:
        """The most bytes that weights, gradients and AdamW's moments of a stage take, in fp32; activations are more."""
        sizes = [self.plan.sizes[stage.trial.id] for stage in self.plan.missing.values()]
        return max((FLOAT * size.parameters + 3 * FLOAT * size.most_trainable for size in sizes), default=0.0)

    def _flops(self, stage: AnyStage, reads_features: bool) -> float:
        if isinstance(stage, FeatureStage):
            first, behind = stage.part
            return (behind - first) * self.of_an_image(stage.trial)
        counted = self._memo.once(("flops", stage.trial.id), lambda: self.counts.of(stage.trial))
        if stage.evaluates:
            return self._questions(stage.trial) * _conditions(stage.trial) * counted.answer
        phase = counted.phases[stage.index]
        passes = 0.0 if reads_features else phase.steps / phase.pass_steps
        if self._remembers(stage):
            passes = min(passes, 1.0)
        return phase.steps * phase.step + passes * phase.encoding

    def _remembers(self, stage: Stage) -> bool:
        """Whether the tokens of all its images fit into memory, where training keeps them for later epochs."""
        look = needed_by_phase(stage.trial.phases[stage.index])
        an_image = self.plan.sizes[stage.trial.id].bytes_of_an_image(look.precision)
        return len(self.data.images(stage.trial, look)) * an_image <= image_features.MEMORY_BUDGET

    def of_an_image(self, trial: Trial) -> float:
        """The FLOPs of the encoder's pass over one image, of most tiles where it makes any; NaN where the encoder does
        not run on shapes alone."""

        def count() -> float:
            encoder = self.counts.shapes.of(trial).encoder.float().eval()
            views = torch.zeros(1 + encoder.tiles, 3, encoder.image_size, encoder.image_size, device="meta")
            try:
                with torch.no_grad():
                    return float(flops_of(lambda: encoder(views)))
            except Exception:  # a component is anyone's code, and says in any way that a shape will not do
                return math.nan

        return self._memo.once(("image", trial.components["encoder"]), count)

    def _questions(self, trial: Trial) -> int:
        def count() -> int:
            return sum(map(len, examples_by_image(self.data.dataset(trial), trial.evaluation).values()))

        return self._memo.once(("questions", trial.components["dataset"], trial.evaluation), count)

    def _of_files(self, stage: AnyStage) -> float:
        """Bytes of other people's weights, of which features need the encoder's alone."""
        trial, read = stage.trial, self.plan.sizes[stage.trial.id].read
        if isinstance(stage, FeatureStage):
            parts = "encoder", trial.components["encoder"]
            read = min(read, self._memo.once(parts, lambda: count_parameters(self.counts.shapes.of(trial).encoder)))
        return self.assumptions.checkpoint_bytes * read


def _together(costs: Iterator[tuple[AnyStage, StageCost]]) -> Projected:
    found: dict[str, tuple[int, StageCost]] = {}
    for stage, cost in costs:
        count, so_far = found.get(stage.name, (0, StageCost()))
        found[stage.name] = count + 1, so_far + cost
    return Projected(found)


def _precision(stage: AnyStage) -> str:
    if isinstance(stage, FeatureStage):
        return stage.look.precision
    return stage.trial.evaluation.precision if stage.evaluates else stage.trial.phases[stage.index].precision


def _conditions(trial: Trial) -> int:
    """Under how many conditions the model is asked; `prior` asks none."""
    return 1 + sum(each != PRIOR for each in trial.evaluation.controls)
