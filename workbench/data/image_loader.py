"""Images as tensors: opened once, augmented and transformed when asked, remembered while memory allows."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from PIL import Image
from torch import Tensor

from workbench.contracts.dataset import Dataset
from workbench.contracts.example import is_image
from workbench.contracts.rgb_images import to_rgb

MEMORY_BUDGET = 2 * 1024**3  # bytes of remembered images
BLANK = Image.new("RGB", (8, 8), (128, 128, 128))  # what is encoded where text stands alone, and nobody sees

Given = TypeVar("Given")
Made = TypeVar("Made")


def threads_beside(device: torch.device | str) -> int:
    """How many threads may prepare images: beside a GPU all that this process has; a CPU computes with them."""
    return torch.get_num_threads() if torch.device(device).type != "cpu" else 1


class ImageLoader:
    """The images of a dataset as one encoder takes them: of each its views [views,3,H,W].

    With more than one of `threads` several images are opened and transformed at once. Augmentations are drawn one
    after the other all the same, so the images are the same.
    """

    def __init__(
        self,
        dataset: Dataset,
        views: Callable[[Image.Image], Tensor],
        budget: int = MEMORY_BUDGET,
        threads: int = 1,
    ):
        self.dataset = dataset
        self.views = views
        self._left = budget
        # One of torch's threads for each of ours: they would stand in each other's way.
        self._pool = ThreadPoolExecutor(threads, "images", torch.set_num_threads, (1,)) if threads > 1 else None
        self._opened: dict[str, Image.Image] = {}
        self._transformed: dict[str, Tensor] = {}

    def plain(self, keys: Sequence[str]) -> list[Tensor]:
        """The images as they are."""
        return self._remembered(self._transformed, keys, self._seen, lambda views: views.nbytes)

    def once(self, keys: Sequence[str]) -> list[Tensor]:
        """The same images, not to be asked for again: none is remembered."""
        return self._each(self._seen, keys)

    def augmented(self, keys: Sequence[str], draws: Callable[[str], random.Random]) -> list[Tensor]:
        """Copies of the images for training, each changed by what its `draws` give; as they are when the dataset
        changes nothing."""
        if not self.dataset.augments:
            return self.plain(keys)
        opened = self._remembered(self._opened, keys, self._rgb, _bytes_of)
        changed = [
            self.dataset.augment(image, draws(key)) if is_image(key) else image
            for key, image in zip(keys, opened, strict=True)
        ]
        return self._each(self.views, changed)

    def grey(self, size: int) -> Tensor:
        """The empty image of the control condition [1,3,H,W]: even mid-grey."""
        return self.views(Image.new("RGB", (size, size), (128, 128, 128)))

    def _seen(self, key: str) -> Tensor:
        return self.views(self._rgb(key))

    def _rgb(self, key: str) -> Image.Image:
        return to_rgb(self.dataset.image(key)) if is_image(key) else BLANK.copy()

    def _remembered(
        self,
        kept: dict[str, Made],
        keys: Sequence[str],
        make: Callable[[str], Made],
        size: Callable[[Made], int],
    ) -> list[Made]:
        """Of each key what is kept, or what is made of it and kept as long as its `size` in bytes fits."""
        new = list(dict.fromkeys(key for key in keys if key not in kept))
        made = dict(zip(new, self._each(make, new), strict=True))
        kept |= {key: each for key, each in made.items() if self._reserve(size(each))}
        return [made[key] if key in made else kept[key] for key in keys]

    def _each(self, make: Callable[[Given], Made], given: Iterable[Given]) -> list[Made]:
        return list(map(make, given) if self._pool is None else self._pool.map(make, given))

    def _reserve(self, size: int) -> bool:
        if size > self._left:
            return False
        self._left -= size
        return True


def _bytes_of(image: Image.Image) -> int:
    return 3 * image.width * image.height
