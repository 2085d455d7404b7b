"""A dataset around another one: what a wrapper does not say itself is the wrapped dataset's."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from PIL import Image

from workbench.contracts.dataset import Dataset
from workbench.contracts.example import Example


class WrappedDataset(Dataset):
    """Hands everything on to `dataset`. What a wrapper changes besides stands in the settings of a trial or follows
    from the dataset, so the fingerprint is the dataset's."""

    def __init__(self, dataset: Dataset):
        self.dataset = dataset

    def examples(self, split: str, task: str) -> Sequence[Example]:
        """Those of the dataset."""
        return self.dataset.examples(split, task)

    def skipped(self, split: str, task: str) -> Mapping[str, str]:
        """The images that the dataset leaves out, and why."""
        return self.dataset.skipped(split, task)

    def splits(self) -> Sequence[str]:
        """All of the dataset's, also those of which nothing is left."""
        return self.dataset.splits()

    def tasks(self) -> Sequence[str]:
        """All of the dataset's, also those of which nothing is left."""
        return self.dataset.tasks()

    def image(self, key: str) -> Image.Image:
        """The image of that key; of one that cannot be shown the dataset says what is wrong with it."""
        return self.dataset.image(key)

    def augment(self, image: Image.Image, random: random.Random) -> Image.Image:
        """A changed copy, drawn by the dataset itself from the given random numbers."""
        return self.dataset.augment(image, random)

    @property
    def augments(self) -> bool:
        """Whether the dataset changes images for training."""
        return self.dataset.augments

    def fingerprint(self) -> str:
        """The dataset's, which changes when files come or go."""
        return self.dataset.fingerprint()
