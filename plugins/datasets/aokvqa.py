"""A-OKVQA: questions about COCO images with ten direct answers and four choices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from workbench import (
    LETTERS,
    BrokenEntries,
    Dataset,
    Entry,
    Example,
    FileDataset,
    ImageFiles,
    hookimpl,
    json_entries,
    multiple_choice,
)

from ._options import WHITE, Background, ImageName, Images, MostBroken, OutsidePaths


def aokvqa(
    *,
    annotations: Annotated[
        dict[str, Path], Field(description="file of each split, as {train: aokvqa_v1p0_train.json}")
    ],
    images: Images,
    image: ImageName = "{image_id:0>12}.jpg",
    most_broken: MostBroken = 0.0,
    outside_paths: OutsidePaths = False,
    background: Background = WHITE,
) -> Dataset:
    """A-OKVQA (Schwenk et al. 2022, https://arxiv.org/abs/2206.01718), from aokvqa_v1p0_train.json and _val.json.

    The task `questions` asks for the direct answer, of which there are ten; `choices` gives the four choices and asks
    for the letter of one. Groups of `questions` are `direct` and `difficult`. The official test file has no answers.
    """
    files = ImageFiles(images, image, ["image_id"], outside=outside_paths, background=background)
    reader = _AOKVQA(files, BrokenEntries(most_broken))
    tasks = {"questions": reader.questions, "choices": reader.choices}
    return FileDataset(tasks, annotations, files, most_broken=most_broken, broken=reader.broken)


class _AOKVQA:
    def __init__(self, images: ImageFiles, broken: BrokenEntries):
        self.images = images
        self.broken = broken

    def questions(self, split: str, files: Sequence[Path]) -> Iterator[Example]:
        def example(_: int, entry: Entry) -> Example:
            group = "difficult" if entry.value.get("difficult_direct_answer") else "direct"
            key = self.images.key(split, (entry, "image_id"), image_id=entry.name("image_id"))
            name = f"{split}/{entry.name('question_id')}"
            return Example(name, key, entry.text("question"), entry.answers("direct_answers"), group)

        return self.broken.without(split, "questions", json_entries(files[0]), example)

    def choices(self, split: str, files: Sequence[Path]) -> Iterator[Example]:
        def example(_: int, entry: Entry) -> Example:
            choices, right = entry.answers("choices"), entry.number("correct_choice_idx")
            if not 0 <= right < len(choices):
                raise entry.wrong(f"'correct_choice_idx' is {right}, and there are {len(choices)} choices")
            key = self.images.key(split, (entry, "image_id"), image_id=entry.name("image_id"))
            question = multiple_choice(entry.text("question"), choices)
            return Example(f"{split}/{entry.name('question_id')}/choice", key, question, (LETTERS[right],), "choice")

        return self.broken.without(split, "choices", json_entries(files[0]), example)


@hookimpl
def register_datasets(register):
    """A-OKVQA from its own files."""
    register("aokvqa", aokvqa)
