"""Localized Narratives: spoken descriptions of images, about 40 words each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Annotated

from pydantic import Field

from workbench import (
    BrokenEntries,
    Dataset,
    Entry,
    Example,
    FileDataset,
    ImageFiles,
    caption_examples,
    hookimpl,
    json_lines,
)

from ._options import WHITE, Background, ImageName, Images, MostBroken, OutsidePaths, Question, TestShare


def localized_narratives(
    *,
    narratives: Annotated[
        dict[str, Path | tuple[Path, ...]], Field(description="JSON lines of each split, in one file or several")
    ],
    images: Images,
    image: ImageName = "{image_id:0>12}.jpg",
    test_share: TestShare = 0.0,
    question: Question = "Describe the picture in detail.",
    most_broken: MostBroken = 0.0,
    outside_paths: OutsidePaths = False,
    background: Background = WHITE,
) -> Dataset:
    """Localized Narratives (Pont-Tuset et al. 2020, https://arxiv.org/abs/1912.03098), task `captions`, JSON lines.

    A split may have several files (`coco_train_localized_narratives-00000-of-00004.jsonl` ...). `image` is how COCO
    2017 calls its files; for Flickr30k and Open Images write "{image_id}.jpg". Traces and recordings are not used.
    """
    files = ImageFiles(images, image, ["image_id"], outside=outside_paths, background=background)

    broken = BrokenEntries(most_broken)

    def read(split: str, paths: Sequence[Path]) -> Iterator[Example]:
        def caption(_: int, entry: Entry) -> tuple[str, str]:
            return files.key(split, (entry, "image_id"), image_id=entry.name("image_id")), entry.text("caption")

        told = chain.from_iterable(map(json_lines, paths))
        return caption_examples(split, broken.without(split, "captions", told, caption), question)

    return FileDataset({"captions": read}, narratives, files, question, most_broken, test_share, broken)


@hookimpl
def register_datasets(register):
    """Long descriptions of Localized Narratives from its own files."""
    register("localized_narratives", localized_narratives)
