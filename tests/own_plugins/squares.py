"""A tiny dataset for tests: images of one colour, asked for it."""

from __future__ import annotations

from PIL import Image, ImageOps

from workbench import Dataset, Example, hookimpl

COLORS = {"red": (220, 20, 20), "green": (20, 200, 20), "blue": (20, 20, 220), "white": (240, 240, 240)}


class Squares(Dataset):
    """Images of one colour, with questions and captions about it."""

    def __init__(self, *, images: int = 16):
        self.count = images

    def tasks(self):
        return ("questions", "captions")

    def examples(self, split, task):
        count = self.count if split == "train" else 8
        return [example for index in range(count) for example in self._of(f"{split}/{index}", index, task)]

    def _of(self, key, index, task):
        names = list(COLORS)
        color = names[index % len(names)]
        if task == "captions":
            return [Example(f"{key}/caption", key, "describe", (f"a {color} square",))]
        other = names[(index + 1) % len(names)]
        return [
            Example(f"{key}/0", key, "what color is it?", (color,), "color"),
            Example(f"{key}/1", key, f"is it {other}?", ("no",), "yes/no"),
            Example(f"{key}/2", key, f"is it {color}?", ("yes",), "yes/no"),
        ]

    def image(self, key):
        index = int(key.split("/")[1])
        shade = 1 - index // len(COLORS) * 0.02
        color = COLORS[list(COLORS)[index % len(COLORS)]]
        return Image.new("RGB", (16, 16), tuple(int(shade * each) for each in color))

    def fingerprint(self):
        return f"squares {self.count}"


class FlippedSquares(Squares):
    """Shows their mirror image in training."""

    @property
    def augments(self):
        return True

    def augment(self, image, random):
        return ImageOps.mirror(image)


@hookimpl
def register_datasets(register):
    register("squares", Squares)
    register("flipped_squares", FlippedSquares)
