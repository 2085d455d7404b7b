"""A dataset: images, questions about them, and the right answers."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Annotated

from PIL import Image
from pydantic import Field, PositiveInt

from workbench import Dataset, Example, hookimpl

COLORS = {"red": (220, 30, 30), "green": (30, 180, 30), "blue": (40, 40, 220), "yellow": (230, 220, 40)}


class NewPlugin(Dataset):
    """Drawn images of one colour, and questions about it; replace it by files of your own."""

    # What stands behind the `*` is set in the experiment file: `dataset: {name: new_plugin, images: 400}`.
    def __init__(self, *, images: Annotated[PositiveInt, Field(description="images of each split")] = 64):
        self.images = images

    def examples(self, split: str, task: str) -> Sequence[Example]:
        """The examples of a split. An id means one question; `image` is a key that `image` opens."""
        return [example for number in range(self.images) for example in _questions(f"{split}/{number}")]

    def image(self, key: str) -> Image.Image:
        """The RGB image of a key: always the same."""
        return Image.new("RGB", (32, 32), COLORS[_color(key)])

    def fingerprint(self) -> str:
        """Changes when the data does: results are kept by it. For files, a hash of their names and sizes."""
        return f"{self.images} images of {sorted(COLORS.items())}"


def _color(key: str) -> str:
    return random.Random(key).choice(list(COLORS))


def _questions(key: str) -> list[Example]:
    """`group` is what a report breaks its tables down by."""
    color = _color(key)
    other = next(name for name in COLORS if name != color)
    return [
        Example(f"{key}/color", key, "what color is it?", (color,), group="color"),
        Example(f"{key}/yes", key, f"is it {color}?", ("yes",), group="yes/no"),
        Example(f"{key}/no", key, f"is it {other}?", ("no",), group="yes/no"),
    ]


@hookimpl
def register_datasets(register):
    """The name that experiment files use."""
    register("new_plugin", NewPlugin)
