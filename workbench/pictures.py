"""Pictures as tensors: opened once, augmented and transformed when asked, remembered while memory allows."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import torch
from PIL import Image
from torch import Tensor

from workbench.contracts import Dataset

MEMORY_BUDGET = 2 * 1024**3  # bytes of remembered pictures


class Pictures:
    """The pictures of a dataset as one encoder takes them."""

    def __init__(self, dataset: Dataset, transform: Callable[[Image.Image], Tensor], budget: int = MEMORY_BUDGET):
        self.dataset = dataset
        self.transform = transform
        self._left = budget
        self._opened: dict[str, Image.Image] = {}
        self._transformed: dict[str, Tensor] = {}

    def plain(self, keys: Sequence[str]) -> Tensor:
        """The pictures as they are [P,3,H,W]."""
        return torch.stack([self._plain(key) for key in keys])

    def once(self, keys: Sequence[str]) -> Tensor:
        """The same pictures [P,3,H,W], not to be asked for again: none is remembered."""
        return torch.stack([self.transform(self.dataset.picture(key)) for key in keys])

    def augmented(self, keys: Sequence[str], chance: random.Random) -> Tensor:
        """Changed copies of the pictures for training [P,3,H,W]; as they are when the dataset changes nothing."""
        if not self.dataset.augments:
            return self.plain(keys)
        return torch.stack([self.transform(self.dataset.augment(self._open(key), chance)) for key in keys])

    def grey(self, count: int, size: int) -> Tensor:
        """`count` times the empty picture of the control condition [P,3,H,W]: even mid-grey."""
        return self.transform(Image.new("RGB", (size, size), (128, 128, 128))).expand(count, -1, -1, -1)

    def _plain(self, key: str) -> Tensor:
        if key in self._transformed:
            return self._transformed[key]
        tensor = self.transform(self.dataset.picture(key))
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
