"""COCO captions: five captions an image, in COCO's own files or with Karpathy's splits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from workbench import (
    Dataset,
    Example,
    FileDataset,
    ImageFiles,
    KarpathySplits,
    Share,
    UserError,
    caption_examples,
    hookimpl,
    json_entries,
)


def coco_captions(
    *,
    images: Path | dict[str, Path],
    annotations: dict[str, Path] | None = None,
    karpathy: Path | None = None,
    restval: bool = True,
    question: str = "Describe the picture.",
    most_broken: Share = 0.0,
) -> Dataset:
    """COCO captions (Chen et al. 2015, https://arxiv.org/abs/1504.00325), task `captions`.

    Either `annotations` with captions_train2017.json and the like by split, and `images` a folder for each split; or
    `karpathy`, the file dataset_coco.json with the splits train (with its part `restval`, unless told otherwise), val
    and test, and `images` the folder that holds train2014 and val2014. Each caption trains; an image is tested once,
    against all its captions.
    """
    if (annotations is None) == (karpathy is None):
        raise UserError("give either annotations: {train: captions_train2017.json, ...} or karpathy: dataset_coco.json")
    files = ImageFiles(images)
    if karpathy is not None:
        names = {"train": ("train", "restval") if restval else ("train",), "val": ("val",), "test": ("test",)}
        return KarpathySplits(karpathy, files, question, names).dataset(most_broken)

    def read(split: str, annotated: Sequence[Path]) -> Iterator[Example]:
        captions = ((files.key(split, image=name), caption) for name, caption in _captions(annotated[0]))
        return caption_examples(split, captions, question)

    return FileDataset({"captions": read}, annotations or {}, files, question, most_broken)


def _captions(file: Path) -> Iterator[tuple[str, str]]:
    """Each caption behind the file name of its image."""
    names = {each.name("id"): each.text("file_name") for each in json_entries(file, "images")}
    for entry in json_entries(file, "annotations"):
        number = entry.name("image_id")
        if number not in names:
            raise entry.wrong(f"'images' holds no image with the id {number}")
        yield names[number], entry.text("caption")


@hookimpl
def register_datasets(register):
    """COCO captions."""
    register("coco_captions", coco_captions)
