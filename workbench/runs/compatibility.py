"""Whether the components of every trial fit each other and their data: told before anything runs, all at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.config.part_places import with_place
from workbench.config.problems import Document
from workbench.config.trial import Trial
from workbench.model.build import CompositionError, build_metrics
from workbench.runs.data_compatibility import check_data, check_outside
from workbench.runs.dry_pass import DryPasses
from workbench.runs.memo import Memo
from workbench.runs.model_size import ModelSizes, Size
from workbench.runs.trial_data import TrialData

if TYPE_CHECKING:
    from workbench.registry import Registry


class Compatibility:
    """Builds what trials are made of, as far as that needs no weights; what several share is looked at once. With the
    `document` of their file, problems are told with their place there; dry passes are remembered in `checks`."""

    def __init__(
        self,
        registry: Registry,
        data: TrialData | None = None,
        document: Document | None = None,
        checks: Path | None = None,
    ):
        self.registry = registry
        self.document = document
        self.data = data or TrialData(registry)
        self.sizes = ModelSizes(registry, self.data)
        self.dry_passes = DryPasses(registry, checks)
        self._memo = Memo()

    def sizes_of(self, trials: Iterable[Trial]) -> dict[str, Size]:
        """By trial id. `CompositionError` tells everything that does not fit, each with the trials that have it."""
        sizes: dict[str, Size] = {}
        problems: dict[str, list[Trial]] = {}
        for trial in trials:
            for look in (self._check_data, self._check_outside, self._check_metrics, self._size):
                try:
                    found = look(trial)
                except CompositionError as error:
                    for problem in str(error).split("\n"):
                        problems.setdefault(problem, []).append(trial)
                else:
                    sizes |= {trial.id: found} if found else {}
        if problems:
            told = (f"{self._with_place(problem, having)} {_where(having)}" for problem, having in problems.items())
            raise CompositionError("\n".join(told))
        return sizes

    def notes(self, trials: Iterable[Trial], sizes: Mapping[str, Size]) -> list[str]:
        """What adapters and quantizers do to weights that somebody may not expect, each with the trials it is of."""
        told: dict[str, list[Trial]] = {}
        for trial in trials:
            for note in sizes[trial.id].notes if trial.id in sizes else ():
                told.setdefault(note, []).append(trial)
        return [f"{note} {_where(having)}" for note, having in told.items()]

    def _with_place(self, problem: str, trials: Sequence[Trial]) -> str:
        if self.document is None or problem.startswith(" "):  # which goes on with the line before
            return problem
        return with_place(problem, trials[0], self.document)

    def _check_data(self, trial: Trial) -> None:
        """The dataset has the splits, tasks and examples that are asked of it."""
        tasks = tuple(phase.tasks for phase in trial.phases)
        parts = "data", trial.components["dataset"], tasks, trial.evaluation
        self._memo.once(parts, lambda: check_data(trial, self.data.dataset(trial)))

    def _check_outside(self, trial: Trial) -> None:
        """The outside dataset has images."""
        if trial.outside is not None:
            look = partial(check_outside, trial, lambda: self.data.dataset(trial.elsewhere))
            self._memo.once(("outside", trial.outside, trial.evaluation), look)

    def _check_metrics(self, trial: Trial) -> None:
        """The metrics can be built."""
        self._memo.once(("metrics", *trial.metrics), lambda: build_metrics(trial, self.registry))

    def _size(self, trial: Trial) -> Size:
        """How large the model is, which its parts have to fit together for, and then compute what they should."""
        size = self.sizes.of(trial)
        self.dry_passes.check(trial)
        return size


def _where(trials: Sequence[Trial]) -> str:
    """Which trials have a problem, or what a note tells."""
    count = len({trial.id for trial in trials})  # one may have it in several places
    more = f" and {count - 1} more" if count > 1 else ""
    return f"[trial '{trials[0].label}'{more}]"
