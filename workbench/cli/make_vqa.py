"""Questions and answers made of COCO annotations: is there, how many, what color.

Every answer follows from the annotations. For each category as many images are asked that have none as images that
have one, so `is there` cannot be answered without looking; and equal seeds give equal files.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from workbench.data.annotations import DataError, Entry, json_entries, json_values
from workbench.storage.atomic import write_text

COLORS = ("black", "blue", "brown", "gray", "green", "orange", "pink", "purple", "red", "white", "yellow")
MOST_COUNTED = 10  # more of a kind are counted differently by different people
AGREE = 2  # captions that have to say the same of a thing that is no category
IRREGULAR = {"person": "people", "mouse": "mice", "knife": "knives", "sheep": "sheep", "broccoli": "broccoli"}

Item = TypeVar("Item")

_NAMED = re.compile(rf"\b({'|'.join(COLORS)})\b(?! and\b| or\b|,) (\w+(?: \w+)?)")


@dataclass(frozen=True)
class Question:
    """A line of the file that is made, as a table of images and questions."""

    image: str
    question: str
    answers: tuple[str, ...]
    group: str

    def line(self) -> str:
        """As the dataset of tables of images and questions reads it, one JSON object."""
        return json.dumps(vars(self) | {"answers": list(self.answers)}, ensure_ascii=False)


@dataclass
class CocoImage:
    """What is known of an image: how many there are of each category, whether some stand in a crowd, captions."""

    name: str
    counts: Counter[str] = field(default_factory=Counter)
    crowds: set[str] = field(default_factory=set)
    captions: list[str] = field(default_factory=list)

    @property
    def present(self) -> list[str]:
        """The categories there are, in the order of their names."""
        return sorted({*self.counts, *self.crowds})


def make_vqa(files: Sequence[Path], out: Path, seed: int = 0, most: int = 3) -> Counter[str]:
    """Write questions about the images of annotation files (instances, captions, or both) to `out`, one JSON object a
    line: image, question, answers, group. At most so many of each kind ask about an image, negative answers apart.
    Returns how many there are of each group."""
    if out.suffix != ".jsonl":
        raise DataError(f"{out} should end with .jsonl, as the file of questions that is written")
    images, categories = read_coco(files)
    generator = random.Random(seed)
    found = [*_whether(images, categories, generator, most), *_how_many(images, generator, most)]
    found += _what_color(images, categories, generator, most)
    if not found:
        raise DataError(f"{', '.join(map(str, files))}: no question follows from these annotations")
    place = {image.name: number for number, image in enumerate(images)}
    found.sort(key=lambda each: (place[each.image], each.group, each.question))
    write_text(out, "".join(f"{each.line()}\n" for each in found))
    return Counter(each.group for each in found)


def read_coco(files: Sequence[Path]) -> tuple[list[CocoImage], list[str]]:
    """The images of COCO annotation files, what all of them say of each, and the categories."""
    images: dict[str, CocoImage] = {}
    categories: dict[str, str] = {}
    for file in files:
        for entry in json_entries(file, "images"):
            images.setdefault(entry.name("id"), CocoImage(entry.text("file_name")))
        if any(name == "categories" for name, _ in json_values(file)):
            categories |= {each.name("id"): each.text("name") for each in json_entries(file, "categories")}
        for entry in json_entries(file, "annotations"):
            if entry.name("image_id") not in images:
                raise entry.wrong(f"'images' holds no image with the id {entry.name('image_id')}")
            _note(entry, images[entry.name("image_id")], categories)
    return list(images.values()), sorted(categories.values())


def plural(name: str) -> str:
    """Several of a kind: `buses`, `people`, `wine glasses`."""
    first, space, last = name.rpartition(" ")
    if last in IRREGULAR:
        return first + space + IRREGULAR[last]
    if is_plural(name):
        return name
    return name + ("es" if re.search(r"(s|sh|ch|x)$", name) else "s")


def is_plural(name: str) -> bool:
    """Whether a category's name is in the plural already: `skis`, `scissors`."""
    return bool(re.search(r"[^su]s$", name))


def _note(entry: Entry, image: CocoImage, categories: dict[str, str]) -> None:
    """Put down what an annotation says."""
    if "caption" in entry.value:
        image.captions.append(entry.text("caption").lower().replace("grey", "gray"))
        return
    number = entry.name("category_id")
    if number not in categories:
        raise entry.wrong(f"'categories' holds none with the id {number}")
    if entry.value.get("iscrowd"):
        image.crowds.add(categories[number])
    else:
        image.counts[categories[number]] += 1


def _whether(
    images: Sequence[CocoImage], categories: Sequence[str], generator: random.Random, most: int
) -> Iterator[Question]:
    """As many images without a category as with it."""
    having: dict[str, list[CocoImage]] = defaultdict(list)
    for image in images:
        for name in _some(image.present, most, generator):
            having[name].append(image)
    for name in categories:
        without = [image for image in images if name not in image.counts and name not in image.crowds]
        count = min(len(having[name]), len(without))
        article = "an" if name[0] in "aeiou" else "a"
        asked = f"are there any {name}" if is_plural(name) else f"is there {article} {name}"
        for answer, some in (("yes", having[name]), ("no", without)):
            for image in _some(some, count, generator):
                yield Question(image.name, f"{asked} in the picture?", (answer,), "is there")


def _how_many(images: Sequence[CocoImage], generator: random.Random, most: int) -> Iterator[Question]:
    """Of what stands in no crowd."""
    for image in images:
        sure = [name for name in image.present if name not in image.crowds and image.counts[name] <= MOST_COUNTED]
        for name in _some(sure, most, generator):
            count = str(image.counts[name])
            yield Question(image.name, f"how many {plural(name)} are in the picture?", (count,), "how many")


def _what_color(
    images: Sequence[CocoImage], categories: Sequence[str], generator: random.Random, most: int
) -> Iterator[Question]:
    """Of things that all captions which give one give the same color. Several of a category may differ: not asked."""
    known = set(categories)
    for image in images:
        colors = _colors(image.captions, known)
        sure = [
            (name, next(iter(said)))
            for name, said in sorted(colors.items())
            if len(said) == 1 and _is_one(name, said, image, known)
        ]
        for name, color in _some(sure, most, generator):
            yield Question(image.name, f"what color is the {name}?", (color,), "what color")


def _colors(captions: Sequence[str], known: set[str]) -> dict[str, Counter[str]]:
    """By thing, how many captions give it which color. A thing is a category of two words, or a single word."""
    colors: dict[str, Counter[str]] = defaultdict(Counter)
    for caption in captions:
        pairs = {(words if words in known else words.split()[0], color) for color, words in _NAMED.findall(caption)}
        for name, color in pairs:
            colors[name][color] += 1
    return colors


def _is_one(name: str, said: Counter[str], image: CocoImage, known: set[str]) -> bool:
    """Whether a thing is there once, as far as one can tell."""
    if name in known:
        return image.counts[name] == 1 and name not in image.crowds
    return sum(said.values()) >= AGREE and not name.endswith("s") and name not in COLORS


def _some(items: Sequence[Item], most: int, generator: random.Random) -> list[Item]:
    """At most so many, in their order."""
    if len(items) <= most:
        return list(items)
    return [items[number] for number in sorted(generator.sample(range(len(items)), most))]
