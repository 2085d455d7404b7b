"""What a dataset provides: questions about images, and the images."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from workbench.contracts.example import Example
from workbench.errors import RenamedError
from workbench.ingredient import Ingredient
from workbench.renamed import DATASET, told

if TYPE_CHECKING:
    from PIL import Image


class Dataset(Ingredient):
    """Questions about images. Factory: `Dataset(*, options)`."""

    kind: ClassVar[str] = "dataset"

    most_broken: float = 0.0
    """The share of a split's images that may have a `fault`: they are left out; when there are more, nothing runs."""

    def __init_subclass__(cls, **options: Any) -> None:
        """Refuse, when a plugin is loaded, a method that nobody would call: it is another one since."""
        super().__init_subclass__(**options)
        for name in DATASET:
            if name in vars(cls) and DATASET[name] not in vars(cls):
                raise RenamedError(told(cls.__name__, name, DATASET))

    def examples(self, split: str, task: str) -> Sequence[Example]:
        """The examples of `split` (`train`, `test`, ...) for `task` (one of `tasks()`)."""
        raise NotImplementedError

    def splits(self) -> Sequence[str]:
        """The splits that `examples` knows: phases train on `train`, an evaluation names its own."""
        return ("train", "test")

    def tasks(self) -> Sequence[str]:
        """The tasks there are: `questions`, and `captions` where there are any."""
        return ("questions",)

    def image(self, key: str) -> Image.Image:
        """The RGB image of that key. On a GPU several threads may ask at once."""
        raise NotImplementedError

    def fault(self, key: str) -> str | None:
        """Why that image cannot be shown, with its path, or None; asked for every image before anything runs.

        Override it for images that may be missing or damaged; it should be quick.
        """
        return None

    def skipped(self, split: str, task: str) -> Mapping[str, str]:
        """The images that were left out, and why; only a dataset made of others has any to tell."""
        return {}

    def augment(self, image: Image.Image, random: random.Random) -> Image.Image:
        """A changed copy for training whose answers stay true. Called only when `augments` is True."""
        return image

    @property
    def augments(self) -> bool:
        """Whether `augment` changes anything with these options."""
        return False

    def fingerprint(self) -> str:
        """Changes when the data or what is made of it changes."""
        raise NotImplementedError
