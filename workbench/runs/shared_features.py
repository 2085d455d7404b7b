"""Which stages read the tokens of a frozen encoder from the disk, where they were put once for all of them.

The pass of an encoder that nothing changes any more gives the same tokens each time. Where several stages need it, or
one needs it repeatedly, a stage of its own makes it, as long as there is room on the disk.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.model.image_features import NeededFeatures, needed_by_evaluation, needed_by_phase, parts_of, passes_of
from workbench.runs.stages import FeatureStage, Stage

if TYPE_CHECKING:
    from workbench.runs.model_size import Size
    from workbench.runs.plan import Plan
    from workbench.runs.stages import Chains
    from workbench.runs.trial_data import TrialData

SHARE_OF_FREE_DISK = 0.5  # what features may take, unless the run says otherwise


def feature_budget(results: Path) -> int:
    """The bytes that features may take: a share of the free disk where the results lie."""
    there = next(folder for folder in (results.absolute(), *results.absolute().parents) if folder.is_dir())
    return int(SHARE_OF_FREE_DISK * shutil.disk_usage(there).free)


class SharedFeatures:
    """Adds stages of features to plans. `kept` says whether what a key stands for lies in the store; all that is added
    to a plan may take `budget` bytes."""

    def __init__(self, chains: Chains, data: TrialData, kept: Callable[[str], bool], budget: int):
        self.chains = chains
        self.data = data
        self.kept = kept
        self.budget = budget
        self._wholes: dict[tuple, FeatureStage] = {}

    def share(self, plan: Plan) -> None:
        """Put the passes of frozen encoders that several stages need, or one needs repeatedly, before those stages.

        What is done already counts as well: whether features are used must not depend on where a run was interrupted.
        """
        left = self.budget
        for use in self._uses(plan):
            readers = [stage for stage in use.stages if stage.key in plan.missing]
            if readers and use.passes >= 2:
                left -= self._add(plan, readers, use.whole, left)

    def _uses(self, plan: Plan) -> list[_Use]:
        """What may be shared, in the order of the trials."""
        uses: dict[str, _Use] = {}
        seen: set[str] = set()
        for stages in plan.chains.values():
            for stage in stages:
                if stage.key in seen:
                    continue
                seen.add(stage.key)
                whole, passes = self._whole(stage, stages, plan.sizes[stage.trial.id])
                if whole is not None:
                    use = uses.setdefault(whole.key, _Use(whole, []))
                    use.stages.append(stage)
                    use.passes += passes
        return list(uses.values())

    def _add(self, plan: Plan, readers: list[Stage], whole: FeatureStage, left: int) -> int:
        """Add the stages that make these features, if they fit into `left` bytes; returns what they take."""
        images = self.data.images(whole.trial, whole.look)
        parts = [self.chains.features(readers[0], whole.before, whole.look, part) for part in parts_of(len(images))]
        if whole.before and whole.before not in plan.missing and not self.kept(whole.before):
            # What trained the encoder is gone, but a later stage that left it as it was is kept.
            parts = [replace(part, source=readers[0].before) for part in parts]
        todo = [part for part in parts if not self.kept(part.key)]
        size = len(images) * plan.sizes[whole.trial.id].bytes_of_an_image(whole.look.precision)
        if todo and size > left:
            plan.notes.append(_no_room(whole.trial.components["encoder"].name, size, left))
            return 0
        for part in todo:
            plan.add(part, "new")
        for stage in readers:
            plan.features[stage.key] = tuple(parts)
        return size if todo else 0

    def _whole(self, stage: Stage, stages: list[Stage], size: Size) -> tuple[FeatureStage | None, int]:
        """All features a stage would read, as one stage, and how many times it needs the pass; None if its encoder
        changes, or sees changed images."""
        look, passes = self._look(stage, size)
        if look is None:
            return None, 0
        trains = [each for each in stages[: stage.index] if "encoder" in each.trial.phases[each.index].train]
        before = trains[-1].key if trains else None
        trial = stage.trial
        known = before, look, trial.seed, trial.components["encoder"], trial.components["dataset"]
        if known not in self._wholes:
            self._wholes[known] = self.chains.features(stage, before, look, (0, 0))
        return self._wholes[known], passes

    def _look(self, stage: Stage, size: Size) -> tuple[NeededFeatures | None, int]:
        """How a stage looks at its images, and how often at each; None if not always through the same encoder."""
        trial = stage.trial
        adapted = size.adapts_encoder and any("adapter" in phase.train for phase in trial.phases[: stage.index + 1])
        changed = adapted or (size.quantizes_encoder and stage.quantized)
        if stage.evaluates:
            return (None if changed else needed_by_evaluation(trial.evaluation)), 1
        phase = trial.phases[stage.index]
        if changed or phase.objective != "answers" or "encoder" in phase.train or self.data.dataset(trial).augments:
            return None, 0
        look = needed_by_phase(phase)
        passes = passes_of(phase, len(self.data.images(trial, look)))
        return (look if passes >= 1 else None), int(passes)


@dataclass
class _Use:
    """The stages that read all of `whole`, and how many passes they need together."""

    whole: FeatureStage
    stages: list[Stage]
    passes: int = 0


def _no_room(encoder: str, size: int, left: int) -> str:
    return (
        f"the features of {encoder} would take {size / 1e9:.1f} GB, more than the {max(left, 0) / 1e9:.1f} GB that"
        " features may take: the encoder runs again in each stage that needs them. Give room with --features-gb"
    )
