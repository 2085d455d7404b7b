"""Questions and answers made of COCO annotations: is there, how many, what color.

Every answer follows from the annotations. For each category as many pictures are asked that have none as pictures that
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

from workbench.annotations import DataError, Entry, json_entries, json_values
from workbench.atomic import write_text

COLORS = ("black", "blue", "brown", "gray", "green", "orange", "pink", "purple", "red", "white", "yellow")
MOST_COUNTED = 10  # more of a kind are counted differently by different people
AGREE = 2  # captions that have to say the same of a thing that is no category
IRREGULAR = {"person": "people", "mouse": "mice", "knife": "knives", "sheep": "sheep", "broccoli": "broccoli"}

Item = TypeVar("Item")

_NAMED = re.compile(rf"\b({'|'.join(COLORS)})\b(?! and\b| or\b|,) (\w+(?: \w+)?)")


@dataclass(frozen=True)
class Question:
    """A line of the file that is made, as a table of pictures and questions."""

    picture: str
    question: str
    answers: tuple[str, ...]
    group: str

    def line(self) -> str:
        """The line, as JSON."""
        return json.dumps(vars(self) | {"answers": list(self.answers)}, ensure_ascii=False)


@dataclass
class Picture:
    """What is known of a picture: how many there are of each category, whether some stand in a crowd, captions."""

    name: str
    counts: Counter[str] = field(default_factory=Counter)
    crowds: set[str] = field(default_factory=set)
    captions: list[str] = field(default_factory=list)

    @property
    def present(self) -> list[str]:
        """The categories there are, in the order of their names."""
        return sorted({*self.counts, *self.crowds})


def make_vqa(files: Sequence[Path], out: Path, seed: int = 0, most: int = 3) -> Counter[str]:
    """Write questions about the pictures of annotation files (instances, captions, or both) to `out`, one JSON object a
    line: picture, question, answers, group. At most so many of each kind ask about a picture, negative answers apart.
    Returns how many there are of each group."""
    if out.suffix != ".jsonl":
        raise DataError(f"{out} should end with .jsonl, as the file of questions that is written")
    pictures, categories = read_coco(files)
    chance = random.Random(seed)
    found = [*_whether(pictures, categories, chance, most), *_how_many(pictures, chance, most)]
    found += _what_color(pictures, categories, chance, most)
    if not found:
        raise DataError(f"{', '.join(map(str, files))}: no question follows from these annotations")
    place = {picture.name: number for number, picture in enumerate(pictures)}
    found.sort(key=lambda each: (place[each.picture], each.group, each.question))
    write_text(out, "".join(f"{each.line()}\n" for each in found))
    return Counter(each.group for each in found)


def read_coco(files: Sequence[Path]) -> tuple[list[Picture], list[str]]:
    """The pictures of COCO annotation files, what all of them say of each, and the categories."""
    pictures: dict[str, Picture] = {}
    categories: dict[str, str] = {}
    for file in files:
        for image in json_entries(file, "images"):
            pictures.setdefault(image.name("id"), Picture(image.text("file_name")))
        if any(name == "categories" for name, _ in json_values(file)):
            categories |= {each.name("id"): each.text("name") for each in json_entries(file, "categories")}
        for entry in json_entries(file, "annotations"):
            if entry.name("image_id") not in pictures:
                raise entry.wrong(f"'images' holds no picture with the id {entry.name('image_id')}")
            _note(entry, pictures[entry.name("image_id")], categories)
    return list(pictures.values()), sorted(categories.values())


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


def _note(entry: Entry, picture: Picture, categories: dict[str, str]) -> None:
    """Put down what an annotation says."""
    if "caption" in entry.value:
        picture.captions.append(entry.text("caption").lower().replace("grey", "gray"))
        return
    number = entry.name("category_id")
    if number not in categories:
        raise entry.wrong(f"'categories' holds none with the id {number}")
    if entry.value.get("iscrowd"):
        picture.crowds.add(categories[number])
    else:
        picture.counts[categories[number]] += 1


def _whether(
    pictures: Sequence[Picture], categories: Sequence[str], chance: random.Random, most: int
) -> Iterator[Question]:
    """As many pictures without a category as with it."""
    having: dict[str, list[Picture]] = defaultdict(list)
    for picture in pictures:
        for name in _some(picture.present, most, chance):
            having[name].append(picture)
    for name in categories:
        without = [picture for picture in pictures if name not in picture.counts and name not in picture.crowds]
        count = min(len(having[name]), len(without))
        article = "an" if name[0] in "aeiou" else "a"
        asked = f"are there any {name}" if is_plural(name) else f"is there {article} {name}"
        for answer, some in (("yes", having[name]), ("no", without)):
            for picture in _some(some, count, chance):
                yield Question(picture.name, f"{asked} in the picture?", (answer,), "is there")


def _how_many(pictures: Sequence[Picture], chance: random.Random, most: int) -> Iterator[Question]:
    """Of what stands in no crowd."""
    for picture in pictures:
        sure = [name for name in picture.present if name not in picture.crowds and picture.counts[name] <= MOST_COUNTED]
        for name in _some(sure, most, chance):
            count = str(picture.counts[name])
            yield Question(picture.name, f"how many {plural(name)} are in the picture?", (count,), "how many")


def _what_color(
    pictures: Sequence[Picture], categories: Sequence[str], chance: random.Random, most: int
) -> Iterator[Question]:
    """Of things that all captions which give one give the same color. Several of a category may differ: not asked."""
    known = set(categories)
    for picture in pictures:
        colors = _colors(picture.captions, known)
        sure = [
            (name, next(iter(said)))
            for name, said in sorted(colors.items())
            if len(said) == 1 and _is_one(name, said, picture, known)
        ]
        for name, color in _some(sure, most, chance):
            yield Question(picture.name, f"what color is the {name}?", (color,), "what color")


def _colors(captions: Sequence[str], known: set[str]) -> dict[str, Counter[str]]:
    """By thing, how many captions give it which color. A thing is a category of two words, or a single word."""
    colors: dict[str, Counter[str]] = defaultdict(Counter)
    for caption in captions:
        pairs = {(words if words in known else words.split()[0], color) for color, words in _NAMED.findall(caption)}
        for name, color in pairs:
            colors[name][color] += 1
    return colors


def _is_one(name: str, said: Counter[str], picture: Picture, known: set[str]) -> bool:
    """Whether a thing is there once, as far as one can tell."""
    if name in known:
        return picture.counts[name] == 1 and name not in picture.crowds
    return sum(said.values()) >= AGREE and not name.endswith("s") and name not in COLORS


def _some(items: Sequence[Item], most: int, chance: random.Random) -> list[Item]:
    """At most so many, in their order."""
    if len(items) <= most:
        return list(items)
    return [items[number] for number in sorted(chance.sample(range(len(items)), most))]
