"""The data of trials before anything runs: each dataset is built once, and asked everything once."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from workbench.config.trial import Trial
from workbench.contracts.dataset import Dataset
from workbench.contracts.example import Example
from workbench.model.build import build_dataset, naming
from workbench.runs.data_compatibility import sorts
from workbench.runs.memo import Memo

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from workbench.model.image_features import NeededFeatures
    from workbench.registry import Registry


class TrialData:
    """The datasets of trials. Each method raises `CompositionError`, by the dataset's name, when it cannot be built, or
    does not answer."""

    def __init__(self, registry: Registry):
        self.registry = registry
        self._memo = Memo()

    def dataset(self, trial: Trial) -> Dataset:
        """The trial's dataset; trials whose datasets are written alike have the same object."""
        return self._of_data(trial, "made", partial(build_dataset, trial, self.registry))

    def fingerprint(self, trial: Trial) -> str:
        """What tells the trial's data from any other: `Dataset.fingerprint`, a part of the keys of its stages."""
        return self._of_data(trial, "print", lambda: self._asked(trial, lambda dataset: dataset.fingerprint()))

    def images(self, trial: Trial, look: NeededFeatures) -> tuple[str, ...]:
        """The keys of the images that a stage looks at, in the order of the dataset."""
        return self._of_data(trial, look, lambda: self._asked(trial, look.images))

    def sorts(self, trial: Trial, split: str, task: str) -> list[Example]:
        """Of the examples there, one of each number of images and of own places for them."""
        parts = "sorts", trial.components["dataset"], split, task
        return self._memo.once(parts, lambda: self._asked(trial, lambda data: sorts(data.examples(split, task))))

    def _asked(self, trial: Trial, ask: Callable[[Dataset], Any]) -> Any:
        dataset = self.dataset(trial)
        with naming("dataset", trial.components["dataset"].name):
            return ask(dataset)

    def _of_data(self, trial: Trial, what: str | NeededFeatures, make: Callable[[], Any]) -> Any:
        return self._memo.once((what, trial.components["dataset"]), make)
