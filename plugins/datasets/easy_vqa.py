"""easy-VQA: questions about one coloured shape on a pale image of 64 x 64 pixels."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random
from typing import Annotated, Any

import numpy as np
from PIL import Image
from pydantic import Field

from workbench import DataError, Dataset, Example, did_you_mean, hookimpl, read_rgb, spoken

SPLITS = ("train", "test")
TASKS = ("questions", "captions")
SIDE = 64  # pixels
COLORS = ("black", "blue", "brown", "gray", "green", "red", "teal", "yellow")
SHAPES = ("circle", "rectangle", "triangle")

CAPTION_QUESTION = "describe the picture"
CAPTION_VERSION = 1  # counts how captions are derived: part of the fingerprint

ASKS_COLOR = re.compile(r"what (?:color is|is the color of) the (?P<shape>\w+)\?")
ASKS_SHAPE = re.compile(r"what (?:shape .*|is the (?P<color>\w+) shape)\?")
ASKS_WHETHER = re.compile(
    rf"(?:is|does) (?=(?P<negated>.*\b(?:no|not)\b)?).*\b(?P<thing>{'|'.join(COLORS + SHAPES)})\b.*\?"
)


class EasyVQA(Dataset):
    """Real easy-VQA, from its Python package: 5,000 images of one coloured shape, 48,248 questions, 13 answers.

    Made by Victor Zhou (https://github.com/vzhou842/easy-VQA), MIT licence; its own splits. The groups are the types
    of question. The task `captions` says of each image what its own questions and answers prove about its colour
    and shape, directly or by exclusion (`a blue triangle`, `a blue shape`, `a triangle`).
    """

    def __init__(
        self,
        *,
        root: Annotated[
            str | None, Field(description="folder with train/ and test/; null: that of the package easy-vqa")
        ] = None,
        shift: Annotated[
            int,
            Field(
                ge=0,
                lt=SIDE,
                description="most pixels that the shape is moved by each way in training, never out of the image",
            ),
        ] = 0,
        flip: Annotated[bool, Field(description="mirror half of the images left to right in training")] = False,
        background: Annotated[
            float,
            Field(ge=0, le=64, description="most grey levels a channel that the background is tinted by in training"),
        ] = 0.0,
    ):
        self.root = Path(root).expanduser() if root is not None else _installed()
        self.shift = shift
        self.flip = flip
        self.background = background
        self._questions: dict[str, tuple[Example, ...]] = {}
        self._captions: dict[str, tuple[Example, ...]] = {}

    def examples(self, split: str, task: str) -> Sequence[Example]:
        """`questions`: in the order of the file; `captions`: one for each image of which something is known."""
        if split not in SPLITS or task not in TASKS:
            hint = did_you_mean(split, SPLITS) if split not in SPLITS else did_you_mean(task, TASKS)
            raise DataError(
                f"easy_vqa has no {split}/{task}.{hint} Splits: {', '.join(SPLITS)}; tasks: {', '.join(TASKS)}"
            )
        if split not in self._questions:
            self._questions[split] = tuple(_read_questions(self.root, split))
        if task == "questions":
            return self._questions[split]
        if split not in self._captions:
            self._captions[split] = _captions(self._questions[split])
        return self._captions[split]

    def splits(self) -> Sequence[str]:
        """The official splits."""
        return SPLITS

    def tasks(self) -> Sequence[str]:
        """Questions, and the captions derived from them."""
        return TASKS

    def image(self, key: str) -> Image.Image:
        """The image of a key such as `train/17`."""
        file = _image_file(self.root, key)
        try:
            return read_rgb(file)
        except FileNotFoundError as error:
            raise DataError(f"the image {file} is missing. {_restore(self.root)}") from error
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise DataError(f"the image {file} cannot be read ({error}). {_restore(self.root)}") from error

    def augment(self, image: Image.Image, random: Random) -> Image.Image:
        """Moved, mirrored, on another tint. The shape is whole, and of its own colour to the last bit."""
        pixels = np.asarray(image)  # [H,W,3]
        backdrop = _backdrop(pixels)  # [3]
        differs = pixels != backdrop
        mask = differs[..., 0] | differs[..., 1] | differs[..., 2]  # any(-1) takes four times as long
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if not rows.size:
            return image
        top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
        shape = pixels[top:bottom, left:right]  # [h,w,3]
        if self.flip and random.random() < 0.5:
            shape = shape[:, ::-1]
            left, right = pixels.shape[1] - right, pixels.shape[1] - left
        down = self._step(random, top, pixels.shape[0] - bottom)
        along = self._step(random, left, pixels.shape[1] - right)
        if self.background:
            tinted = np.clip([level + random.uniform(-self.background, self.background) for level in backdrop], 0, 255)
            tinted = tinted.astype(np.uint8)
            shape, backdrop = _on_backdrop(shape, backdrop, tinted), tinted
        changed = np.empty_like(pixels)
        changed[:] = backdrop
        changed[top + down : bottom + down, left + along : right + along] = shape
        return Image.fromarray(changed)

    @property
    def augments(self) -> bool:
        """Whether an option of the augmentation is on."""
        return bool(self.shift or self.flip or self.background)

    def fingerprint(self) -> str:
        """Of the questions, the images' names and sizes, the rules for captions, and the augmentation."""
        found = hashlib.sha256(repr((CAPTION_VERSION, self.shift, self.flip, self.background)).encode())
        for split in SPLITS:
            found.update(_read_bytes(self.root, split))
            found.update(repr(sorted(_image_sizes(self.root, split).items())).encode())
        return found.hexdigest()[:16]

    def _step(self, random: Random, before: int, behind: int) -> int:
        """How far to move where there are `before` and `behind` free pixels."""
        return random.randint(-min(self.shift, int(before)), min(self.shift, int(behind)))


def _installed() -> Path:
    """The data folder of the installed package, found without importing it."""
    found = importlib.util.find_spec("easy_vqa")
    if found is None or found.origin is None:
        raise DataError(
            "the package easy-vqa is not installed. Write `pip install easy-vqa`, or give its data folder as root"
        )
    return Path(found.origin).parent / "data"


def _read_questions(root: Path, split: str) -> Iterable[Example]:
    file = root / split / "questions.json"
    try:
        entries = json.loads(_read_bytes(root, split))
    except ValueError as error:
        raise DataError(f"{file} is no JSON ({error}). {_restore(root)}") from error
    if not isinstance(entries, list) or not entries:
        raise DataError(f"{file} must be a list of [question, answer, number of the image]. {_restore(root)}")
    images = _image_sizes(root, split)
    for index, entry in enumerate(entries):
        question, answer, number = _checked(entry, file, index)
        key = f"{split}/{number}"
        if f"{number}.png" not in images:
            raise DataError(f"{file} asks about {_image_file(root, key)}, which is missing. {_restore(root)}")
        yield Example(f"{key}/{index}", key, question, (answer,), _group(question))


def _checked(entry: Any, file: Path, index: int) -> tuple[str, str, int]:
    match entry:
        case [str() as question, (str() | bool()) as answer, int() as number] if question and answer != "":
            return question, spoken(answer), number
    raise DataError(f"{file}: entry {index} is {entry!r}, not [question, answer, number of the image]")


def _group(question: str) -> str:
    if ASKS_COLOR.fullmatch(question):
        return "what color"
    if ASKS_SHAPE.fullmatch(question):
        return "what shape"
    asked = ASKS_WHETHER.fullmatch(question)
    if not asked:
        return "other"
    about = "color" if asked["thing"] in COLORS else "shape"
    return f"negated ({about})" if asked["negated"] else f"is there ({about})"


def _captions(questions: Sequence[Example]) -> tuple[Example, ...]:
    possible: dict[str, set[str]] = {}
    for example in questions:
        words = possible.setdefault(example.image, set(COLORS + SHAPES))
        for named in _proven(example):
            rest = set(COLORS if named in COLORS else SHAPES) - {named}
            words -= rest
        words -= _excluded(example)
    examples = []
    for key, words in possible.items():
        caption = _caption(words.intersection(COLORS), words.intersection(SHAPES))
        if caption:
            examples.append(Example(f"{key}/caption", key, CAPTION_QUESTION, (caption,), "caption"))
    return tuple(examples)


def _proven(example: Example) -> set[str]:
    """The colours and shapes that a question and its answer say the image has."""
    answer = example.answers[0]
    asked = ASKS_WHETHER.fullmatch(example.question)
    if asked:
        return {asked["thing"]} if answer == ("no" if asked["negated"] else "yes") else set()
    color, shape = ASKS_COLOR.fullmatch(example.question), ASKS_SHAPE.fullmatch(example.question)
    named = color["shape"] if color else shape["color"] if shape else None
    return {answer, named}.intersection(COLORS + SHAPES) if color or shape else set()


def _excluded(example: Example) -> set[str]:
    """The colour or shape that a question and its answer say the image has not."""
    asked = ASKS_WHETHER.fullmatch(example.question)
    return {asked["thing"]} if asked and example.answers[0] == ("yes" if asked["negated"] else "no") else set()


def _caption(colors: set[str], shapes: set[str]) -> str:
    """In words what is certain: one colour left, one shape left."""
    color = min(colors) if len(colors) == 1 else ""
    shape = min(shapes) if len(shapes) == 1 else ""
    return " ".join(word for word in ("a", color, shape or "shape") if word) if color or shape else ""


def _backdrop(pixels: np.ndarray) -> np.ndarray:
    """The background's colour [3]: the median of the border, of which a shape covers less than half."""
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])  # [2H+2W,3]
    middle = len(border) // 2
    return np.partition(border, middle, axis=0)[middle]


def _on_backdrop(shape: np.ndarray, old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """The shape [h,w,3] on another background. Its rim, blended with the old one, is blended with the new instead."""
    distance = np.abs(shape.astype(np.int16) - old).sum(-1, keepdims=True)  # [h,w,1]
    open_share = 1 - distance / distance.max()
    return np.rint(shape + open_share * (new.astype(np.int16) - old)).clip(0, 255).astype(np.uint8)


def _image_file(root: Path, key: str) -> Path:
    split, _, name = key.partition("/")
    return root / split / "images" / f"{name}.png"


def _image_sizes(root: Path, split: str) -> dict[str, int]:
    """File name -> bytes."""
    folder = root / split / "images"
    try:
        return {file.name: file.stat().st_size for file in folder.iterdir() if file.suffix == ".png"}
    except OSError as error:
        raise DataError(f"the images in {folder} cannot be listed ({error.strerror}). {_restore(root)}") from error


def _read_bytes(root: Path, split: str) -> bytes:
    file = root / split / "questions.json"
    try:
        return file.read_bytes()
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error.strerror}). {_restore(root)}") from error


def _restore(root: Path) -> str:
    return f"Restore {root} with `pip install --force-reinstall easy-vqa`, or give another folder as root"


@hookimpl
def register_datasets(register):
    """easy-VQA, which is small enough for a first experiment."""
    register("easy_vqa", EasyVQA)
