"""What the controls of an evaluation take from the training split: its most frequent answers, and its mean image."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from workbench.contracts.dataset import Dataset
from workbench.contracts.example import Example
from workbench.data.image_loader import ImageLoader
from workbench.data.image_views import distinct
from workbench.data.sampler import limited
from workbench.evaluation.prior import Prior

TRAIN = "train"
AVERAGED = 1_000  # images that the mean is of: of more it would differ by less than a screen can show
AT_ONCE = 32


@dataclass(frozen=True)
class TrainingSplit:
    """The training split of a dataset. `tasks` are those that the phases train on; `means` keeps mean images for all
    who hand in the same one, and `known` is what one depends on: the data and the encoder."""

    dataset: Dataset
    tasks: Sequence[str] = ()
    means: dict[Hashable, Tensor] = field(default_factory=dict)
    known: Hashable = None

    def prior(self, task: str) -> Prior:
        """What the training examples of the evaluation's `task` answer, all of them, whatever share the phases use;
        where the split has none, those of the tasks that train. It knows no answer where there is no training split."""
        examples = self._examples([task])
        return Prior(examples or self._examples(list(dict.fromkeys(self.tasks))))

    def mean_image(self, images: ImageLoader) -> Tensor:
        """The mean over training images as the encoder gets them, tiled ones as wholes [1,3,H,W]: over the same
        `AVERAGED` at most. Where there is no training split, of the first one there is."""
        if self.known not in self.means:
            self.means[self.known] = self._mean(images)
        return self.means[self.known]

    def _mean(self, images: ImageLoader) -> Tensor:
        splits = list(self.dataset.splits())
        split = TRAIN if TRAIN in splits else splits[0]
        sets = dict.fromkeys(
            each.images for task in self.dataset.tasks() for each in self.dataset.examples(split, task)
        )
        keys = distinct(limited([(key,) for key in distinct(sets)], AVERAGED))
        total = torch.zeros(())
        for start in range(0, len(keys), AT_ONCE):
            wholes = torch.stack([views[0] for views in images.once(keys[start : start + AT_ONCE])])
            total = total + wholes.double().sum(0)
        return (total / max(len(keys), 1)).float()[None]

    def _examples(self, tasks: Sequence[str]) -> list[Example]:
        if TRAIN not in self.dataset.splits():
            return []
        known = set(self.dataset.tasks())
        return [each for task in tasks if task in known for each in self.dataset.examples(TRAIN, task)]
