"""Random numbers for the images of a batch, each its own: an augmentation is the same one wherever the batch is cut."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

from workbench.data.image_views import Keys, are_single


class ImageDraws:
    """The generators of the images of one micro-batch, `sets[cut]` of a batch. They follow from the batch's `seed`, an
    image's key, and how often the batch has had that image before: not from the micro-batch or who works through it."""

    def __init__(self, seed: int, sets: Sequence[Keys], cut: slice):
        self.seed = seed
        # An image that several sets hold is loaded once; a single one may come twice, where a batch spans two passes.
        self._counts = are_single(sets)
        self._before = Counter(key for each in sets[: cut.start] for key in each) if self._counts else Counter()

    def __call__(self, key: str) -> random.Random:
        """The generator of an image; another one each time it is asked for again."""
        generator = random.Random(f"{self.seed}/{self._before[key]}/{key}")
        if self._counts:
            self._before[key] += 1
        return generator
