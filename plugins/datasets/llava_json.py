"""LLaVA-Instruct: conversations about images, several turns each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PositiveInt

from workbench import (
    BrokenEntries,
    Dataset,
    Entry,
    Example,
    FileDataset,
    ImageFiles,
    Turn,
    did_you_mean,
    hookimpl,
    read_entries,
)

from ._options import WHITE, Background, Images, MostBroken, OutsidePaths, TestShare

HUMAN, ASSISTANT = ("human", "user"), ("gpt", "assistant")
IMAGE = "<image>"
# What holds the conversation and each text and speaker of it, in LLaVA's own files and in newer ones.
SCHEMAS = {"conversations": ("from", "value"), "messages": ("role", "content")}
OF_IMAGES = ("image", "images")
OF_A_FILE = ("image", "path", "url", "image_url")

Said = list[str | None]  # pieces of text, and None where an image stands


def llava_json(
    *,
    conversations: Annotated[
        dict[str, Path], Field(description="file of each split, as {train: llava_instruct_150k.json}")
    ],
    images: Images,
    image: Annotated[
        str, Field(description="how files are named: {image} from the entry, {folder} the folder's own name")
    ] = "{image}",
    frames: Annotated[
        PositiveInt | None,
        Field(description="frames taken of a folder, a pattern of names or an animated file; null: images alone"),
    ] = None,
    test_share: TestShare = 0.0,
    most_broken: MostBroken = 0.0,
    outside_paths: OutsidePaths = False,
    background: Background = WHITE,
) -> Dataset:
    """Conversations as LLaVA has them (Liu et al. 2023, https://arxiv.org/abs/2304.08485), JSON or JSONL, with
    `image`/`conversations` or with `images`/`messages`.

    Every answer of a conversation trains; an evaluation asks the last question. `<image>` is taken out of the
    questions: the experiment's prompt says where the image goes. But where there are several images, and the text has a
    place for each (interleaved, as LLaVA-NeXT-Interleave has them, https://arxiv.org/abs/2407.07895), they stand there.
    Entries without an image train as text alone. A conversation that is out of turn counts as broken.
    """
    files = ImageFiles(images, image, outside=outside_paths, background=background)
    broken = BrokenEntries(most_broken)

    def read(split: str, paths: Sequence[Path]) -> Iterator[Example]:
        def example(number: int, entry: Entry) -> Example:
            # The ids of the file are those of images: several conversations may have one.
            return _Talk(entry).example(f"{split}/{number}", split, files, frames)

        return broken.without(split, "questions", read_entries(paths[0]), example)

    return FileDataset({"questions": read}, conversations, files, frames, most_broken, test_share, broken)


@dataclass(frozen=True)
class _Talk:
    """An entry as a conversation."""

    entry: Entry

    def example(self, own: str, split: str, files: ImageFiles, frames: int | None) -> Example:
        """With the keys of its images, and its questions without the marks of those, or with as many as there are."""
        said = self._said()
        key, names = self._names()
        parts = [files.frames(files.key(split, (self.entry, key), image=name), frames) for name in names]
        places = sum(piece is None for question, _ in said for piece in question)
        if places and not names:
            raise self.entry.wrong(f"its text has {places} places {IMAGE}, and it has no image")
        interleaved = len(names) > 1 and places > 1
        if interleaved and places != len(names):
            raise self.entry.wrong(f"'{self._key()}' has {places} places {IMAGE} for the {len(names)} of 'image'")
        left = iter([len(part) for part in parts] if interleaved else [0] * places)
        turns = [Turn(self._placed(question, left, interleaved), answer) for question, answer in said]
        *history, last = turns
        keys = [key for part in parts for key in part]
        return Example(
            id=own,
            image=keys[0] if keys else "",
            question=last.question,
            answers=(last.answer,),
            history=tuple(history),
            more=tuple(keys[1:]),
            interleaved=interleaved,
        )

    def _placed(self, question: Said, left: Iterator[int], interleaved: bool) -> str:
        if interleaved and any(piece and IMAGE in piece for piece in question):
            raise self.entry.wrong(f"a text says {IMAGE} beside images that have places of their own")
        return "".join(IMAGE * next(left) if piece is None else piece for piece in question).strip()

    def _key(self) -> str:
        found = next((key for key in SCHEMAS if key in self.entry.value), None)
        if found is None:
            hints = (did_you_mean(key, self.entry.value) for key in SCHEMAS)
            hint, there = next(filter(None, hints), ""), ", ".join(self.entry.value) or "none"
            raise self.entry.wrong(f"there is no 'conversations' or 'messages'.{hint} There are: {there}")
        return found

    def _said(self) -> list[tuple[Said, str]]:
        """Each question, in pieces, with its answer."""
        key = self._key()
        said = self.entry.entries(key)
        for place, text in enumerate(said):
            _check_speaker(text, SCHEMAS[key][0], ASSISTANT if place % 2 else HUMAN)
        if len(said) % 2:
            raise self.entry.wrong(f"'{key}' should be questions and answers in turn; there are {len(said)} texts")
        words = SCHEMAS[key][1]
        pairs = zip(said[::2], said[1::2], strict=True)
        return [(_pieces(question, words), _answer(answer, words)) for question, answer in pairs]

    def _names(self) -> tuple[str, list[str]]:
        """Of its images, with the key that has them: a text, a list of them or of what names a file; else those that
        its questions name."""
        for key in OF_IMAGES:
            if found := self.entry.value.get(key):
                return key, [_name(self.entry, each) for each in (found if isinstance(found, list) else [found])]
        key = self._key()
        contents = [text.value.get(SCHEMAS[key][1]) for text in self.entry.entries(key)]
        parts = [part for content in contents if isinstance(content, list) for part in content]
        named = [part for part in parts if _is_image(part) and any(each in part for each in OF_A_FILE)]
        return key, [_name(self.entry, part) for part in named]


def _check_speaker(text: Entry, key: str, who: tuple[str, ...]) -> None:
    if text.value.get(key) not in who:
        raise text.wrong(f"'{key}' should be '{who[key == 'role']}' here, not '{text.text(key)}'")


def _pieces(text: Entry, key: str) -> Said:
    """What a human says: a text with marks where images stand, or a list of parts, in which `<image>` is text."""
    content = text.value.get(key)
    if not isinstance(content, list):
        first, *rest = text.text(key).split(IMAGE)
        return [first, *(piece for behind in rest for piece in (None, behind))]
    return [None if _is_image(part) else _text(text, part) for part in content]


def _answer(text: Entry, key: str) -> str:
    """What the assistant says; `true` and `false` are yes and no."""
    content = text.value.get(key)
    if not isinstance(content, list):
        return text.answer(key)
    answer = "".join(_text(text, part) for part in content).strip()
    if not answer:
        raise text.wrong(f"'{key}' holds no text")
    return answer


def _is_image(part: Any) -> bool:
    return isinstance(part, dict) and str(part.get("type", "")).startswith("image")


def _text(text: Entry, part: Any) -> str:
    found = part.get("text") if isinstance(part, dict) else part
    if not isinstance(found, str):
        raise text.wrong(f"a part should be {{type: text, text: ...}} or {{type: image}}, not {part!r}")
    return found


def _name(entry: Entry, image: Any) -> str:
    """The file of an image: a text, or an object that holds one."""
    while isinstance(image, dict):
        image = next((image[key] for key in OF_A_FILE if image.get(key)), None)
    if not isinstance(image, str) or not image.strip():
        raise entry.wrong(f"an image should be the name of a file, not {image!r}")
    return image.strip()


@hookimpl
def register_datasets(register):
    """Conversations in LLaVA's own format."""
    register("llava_json", llava_json)
