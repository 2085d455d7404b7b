"""A tiny dataset of one image, two or three an example: squares of one colour, told apart by their order."""

from __future__ import annotations

from PIL import Image

from workbench import Dataset, Example, hookimpl

COLORS = {"red": (220, 20, 20), "green": (20, 200, 20), "blue": (20, 20, 220), "white": (240, 240, 240)}
ORDER = ("first", "second", "third")


class Pairs(Dataset):
    """Asks for the colour of each image of an example. With `own`, the questions say where the images stand; with
    `wide`, every second image is three times as wide."""

    def __init__(self, *, count: int = 24, own: bool = False, wide: bool = False):
        self.count = count
        self.own = own
        self.wide = wide

    def examples(self, split, task):
        found = []
        for number in range(self.count if split == "train" else 9):
            keys = [f"{split}/{(number * (place + 1) + place) % self.count}" for place in range(number % 3 + 1)]
            places = "<image>" * len(keys) if self.own else ""
            found += [
                Example(
                    f"{split}/{number}/{place}",
                    keys[0],
                    f"{places}what color is the {ORDER[place]}?",
                    (list(COLORS)[int(key.split("/")[1]) % 4],),
                    more=tuple(keys[1:]),
                    interleaved=self.own,
                )
                for place, key in enumerate(keys)
            ]
        return found

    def image(self, key):
        number = int(key.split("/")[1])
        width = 48 if self.wide and number % 2 else 16
        return Image.new("RGB", (width, 16), COLORS[list(COLORS)[number % 4]])

    def fingerprint(self):
        return f"pairs {self.count} {self.own} {self.wide}"


@hookimpl
def register_datasets(register):
    register("pairs", Pairs)
