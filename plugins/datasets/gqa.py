"""GQA: questions about scene graphs of Visual Genome images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Annotated

from pydantic import Field

from workbench import BrokenEntries, Dataset, Entry, Example, FileDataset, ImageFiles, hookimpl, json_members

from ._options import WHITE, Background, MostBroken, OutsidePaths


def gqa(
    *,
    questions: Annotated[
        dict[str, Path | tuple[Path, ...]],
        Field(description="file of each split, or several, as {train: train_balanced_questions.json}"),
    ],
    images: Annotated[Path, Field(description="folder of the images")],
    full_answers: Annotated[bool, Field(description="answers as sentences, not as single words")] = False,
    most_broken: MostBroken = 0.0,
    outside_paths: OutsidePaths = False,
    background: Background = WHITE,
) -> Dataset:
    """GQA (Hudson and Manning 2019, https://arxiv.org/abs/1902.09506), from train_balanced_questions.json and the like.

    A split may have several files (those of `train_all_questions`). Groups are the structural types: verify, query,
    choose, logical, compare.
    """
    files = ImageFiles(images, "{image_id}.jpg", ["image_id"], outside=outside_paths, background=background)
    answer = "fullAnswer" if full_answers else "answer"

    broken = BrokenEntries(most_broken)

    def read(split: str, paths: Sequence[Path]) -> Iterator[Example]:
        def example(_: int, member: tuple[str, Entry]) -> Example:
            number, entry = member
            key = files.key(split, (entry, "imageId"), image_id=entry.name("imageId"))
            return Example(f"{split}/{number}", key, entry.text("question"), (entry.answer(answer),), _structure(entry))

        return broken.without(split, "questions", chain.from_iterable(map(json_members, paths)), example)

    return FileDataset({"questions": read}, questions, files, answer, most_broken, broken=broken)


def _structure(entry: Entry) -> str:
    types = entry.value.get("types")
    return str(types.get("structural", "")) if isinstance(types, dict) else ""


@hookimpl
def register_datasets(register):
    """GQA from its own files."""
    register("gqa", gqa)
