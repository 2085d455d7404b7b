"""LLaVA-Instruct: conversations about images, several turns each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field, PositiveInt

from workbench import Dataset, Entry, Example, FileDataset, ImageFiles, Turn, hookimpl, read_entries

from ._options import Background, Images, MostBroken, OutsidePaths, TestShare, WHITE

HUMAN, ASSISTANT = ("human", "user"), ("gpt", "assistant")
IMAGE = "<image>"


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
    """Conversations as LLaVA has them (Liu et al. 2023, https://arxiv.org/abs/2304.08485), JSON or JSONL.

    Every answer of a conversation trains; an evaluation asks the last question. `<image>` is taken out of the text: the
    experiment's prompt says where the image goes. But where `image` is a list, and the text has a place for each
    (interleaved, as LLaVA-NeXT-Interleave has them, https://arxiv.org/abs/2407.07895), the images stand there.
    Entries without `image` (text alone) are passed over.
    """
    files = ImageFiles(images, image, outside=outside_paths, background=background)

    def read(split: str, paths: Sequence[Path]) -> Iterator[Example]:
        for number, entry in enumerate(read_entries(paths[0])):
            if entry.value.get("image") is None:
                continue
            names = entry.texts("image") if isinstance(entry.value["image"], list) else (entry.text("image"),)
            parts = [files.frames(files.key(split, (entry, "image"), image=name), frames) for name in names]
            (*history, last), interleaved = _turns(entry, [len(part) for part in parts])
            first, *more = [key for part in parts for key in part]
            # The ids of the file are those of images: several conversations may have one.
            own = f"{split}/{number}"
            yield Example(
                own,
                first,
                last.question,
                (last.answer,),
                history=tuple(history),
                more=tuple(more),
                interleaved=interleaved,
            )

    return FileDataset({"questions": read}, conversations, files, frames, most_broken, test_share)


def _turns(entry: Entry, counts: Sequence[int]) -> tuple[list[Turn], bool]:
    """The turns, and whether they say where the images stand; counts: how many frames each image of the entry is."""
    said = entry.entries("conversations")
    if len(said) % 2:
        raise entry.wrong(f"'conversations' should be questions and answers in turn; there are {len(said)} texts")
    turns = [
        Turn(_said(question, HUMAN), _said(answer, ASSISTANT))
        for question, answer in zip(said[::2], said[1::2], strict=True)
    ]
    places = sum(turn.question.count(IMAGE) for turn in turns)
    interleaved = len(counts) > 1 and places > 1
    if interleaved and places != len(counts):
        raise entry.wrong(f"'conversations' has {places} places {IMAGE} for the {len(counts)} of 'image'")
    left = iter(counts)

    def placed(text: str) -> str:
        first, *rest = text.split(IMAGE)
        marks = [IMAGE * next(left) if interleaved else "" for _ in rest]
        return first + "".join(mark + part for mark, part in zip(marks, rest, strict=True))

    return [Turn(placed(turn.question).strip(), turn.answer) for turn in turns], interleaved


def _said(text: Entry, who: tuple[str, ...]) -> str:
    if text.value.get("from") not in who:
        raise text.wrong(f"'from' should be '{who[0]}' here, not '{text.text('from')}'")
    return text.text("value")


@hookimpl
def register_datasets(register):
    """Conversations in LLaVA's own format."""
    register("llava_json", llava_json)
