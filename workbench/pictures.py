"""Pictures as tensors: opened once, augmented and transformed when asked, remembered while memory allows."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from PIL import Image
from torch import Tensor

from workbench.contracts import Dataset

MEMORY_BUDGET = 2 * 1024**3  # bytes of remembered pictures


class Pictures:
    """The pictures of a dataset as one encoder takes them: of each its views [views,3,H,W]."""

    def __init__(self, dataset: Dataset, views: Callable[[Image.Image], Tensor], budget: int = MEMORY_BUDGET):
        self.dataset = dataset
        self.views = views
        self._left = budget
        self._opened: dict[str, Image.Image] = {}
        self._transformed: dict[str, Tensor] = {}

    def plain(self, keys: Sequence[str]) -> list[Tensor]:
        """The pictures as they are."""
        return [self._plain(key) for key in keys]

    def once(self, keys: Sequence[str]) -> list[Tensor]:
        """The same pictures, not to be asked for again: none is remembered."""
        return [self.views(self.dataset.picture(key)) for key in keys]

    def augmented(self, keys: Sequence[str], chance: random.Random) -> list[Tensor]:
        """Changed copies of the pictures for training; as they are when the dataset changes nothing."""
        if not self.dataset.augments:
            return self.plain(keys)
        return [self.views(self.dataset.augment(self._open(key), chance)) for key in keys]

    def grey(self, size: int) -> Tensor:
        """The empty picture of the control condition [1,3,H,W]: even mid-grey."""
        return self.views(Image.new("RGB", (size, size), (128, 128, 128)))

    def _plain(self, key: str) -> Tensor:
        if key in self._transformed:
            return self._transformed[key]
        tensor = self.views(self.dataset.picture(key))
        if self._reserve(tensor.numel() * tensor.element_size()):
            self._transformed[key] = tensor
        return tensor

    def _open(self, key: str) -> Image.Image:
        if key in self._opened:
            return self._opened[key]
        picture = self.dataset.picture(key)
        if self._reserve(3 * picture.width * picture.height):
            self._opened[key] = picture
        return picture

    def _reserve(self, size: int) -> bool:
        if size > self._left:
            return False
        self._left -= size
        return True
