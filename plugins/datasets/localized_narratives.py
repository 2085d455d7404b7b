"""Localized Narratives: spoken descriptions of images, about 40 words each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from workbench import (
    Dataset,
    Example,
    FileDataset,
    ImageFiles,
    Share,
    caption_examples,
    hookimpl,
    json_lines,
)


def localized_narratives(
    *,
    narratives: dict[str, Path | tuple[Path, ...]],
    images: Path | dict[str, Path],
    image: str = "{image_id:0>12}.jpg",
    test_share: Share = 0.0,
    question: str = "Describe the picture in detail.",
    most_broken: Share = 0.0,
) -> Dataset:
    """Localized Narratives (Pont-Tuset et al. 2020, https://arxiv.org/abs/1912.03098), task `captions`, JSON lines.

    A split may have several files (`coco_train_localized_narratives-00000-of-00004.jsonl` ...). `image` is how COCO
    2017 calls its files; for Flickr30k and Open Images write "{image_id}.jpg". Traces and recordings are not used.
    `test_share` of the images become the split `test`, where no file is given for it.
    """
    files = ImageFiles(images, image, ["image_id"])

    def read(split: str, paths: Sequence[Path]) -> Iterator[Example]:
        told = (entry for path in paths for entry in json_lines(path))
        captions = ((files.key(split, image_id=entry.name("image_id")), entry.text("caption")) for entry in told)
        return caption_examples(split, captions, question)

    return FileDataset({"captions": read}, narratives, files, question, most_broken, test_share)


@hookimpl
def register_datasets(register):
    """Localized Narratives."""
    register("localized_narratives", localized_narratives)
