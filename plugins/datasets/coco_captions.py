"""COCO captions: five captions an image, in COCO's own files or with Karpathy's splits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
    KarpathySplits,
    NamedEntries,
    UserError,
    caption_examples,
    hookimpl,
    json_entries,
)

from ._options import WHITE, Background, MostBroken, OutsidePaths, Question


def coco_captions(
    *,
    images: Annotated[
        Path | dict[str, Path],
        Field(description="folder of each split; with karpathy, the one that holds train2014 and val2014"),
    ],
    annotations: Annotated[
        dict[str, Path] | None,
        Field(description="file of each split, as {train: captions_train2017.json}; or give karpathy"),
    ] = None,
    karpathy: Annotated[
        Path | None,
        Field(description="dataset_coco.json, which has the splits train, val and test; or give annotations"),
    ] = None,
    restval: Annotated[bool, Field(description="karpathy: its part restval belongs to train")] = True,
    question: Question = "Describe the picture.",
    most_broken: MostBroken = 0.0,
    outside_paths: OutsidePaths = False,
    background: Background = WHITE,
) -> Dataset:
    """COCO captions (Chen et al. 2015, https://arxiv.org/abs/1504.00325), task `captions`.

    In COCO's own files, or with Karpathy's splits. Each caption trains; an image is tested once, against all its
    captions.
    """
    if (annotations is None) == (karpathy is None):
        raise UserError("give either annotations: {train: captions_train2017.json, ...} or karpathy: dataset_coco.json")
    files = ImageFiles(images, outside=outside_paths, background=background)
    if karpathy is not None:
        names = {"train": ("train", "restval") if restval else ("train",), "val": ("val",), "test": ("test",)}
        return KarpathySplits(karpathy, files, question, names).dataset(most_broken)

    broken = BrokenEntries(most_broken)

    def read(split: str, annotated: Sequence[Path]) -> Iterator[Example]:
        return caption_examples(split, _captions(split, annotated[0], files, broken), question)

    return FileDataset({"captions": read}, annotations or {}, files, question, most_broken, broken=broken)


def _captions(split: str, file: Path, files: ImageFiles, broken: BrokenEntries) -> Iterator[tuple[str, str]]:
    """Each caption behind the key of its image."""
    images = NamedEntries(json_entries(file, "images"), "id")
    keys: dict[str, str] = {}

    def caption(_: int, entry: Entry) -> tuple[str, str]:
        number = entry.name("image_id")
        if number not in keys:
            image = images.named(number)
            if image is None:
                raise entry.wrong(f"'images' holds no image with the id {number}{images.fault}")
            keys[number] = files.key(split, (image, "file_name"), image=image.text("file_name"))
            images.forget(number)
        return keys[number], entry.text("caption")

    return broken.without(split, "captions", json_entries(file, "annotations"), caption)


@hookimpl
def register_datasets(register):
    """COCO captions, in the official splits or Karpathy's."""
    register("coco_captions", coco_captions)
