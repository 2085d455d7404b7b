"""Flickr30k: five captions an image, in its own file or with Karpathy's splits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from workbench import (
    BrokenEntries,
    Dataset,
    Example,
    FileDataset,
    ImageFiles,
    KarpathySplits,
    Line,
    UserError,
    caption_examples,
    hookimpl,
    text_lines,
)

from ._options import WHITE, Background, MostBroken, OutsidePaths, Question, TestShare


def flickr30k(
    *,
    images: Annotated[Path, Field(description="folder of the images")],
    captions: Annotated[
        Path | None, Field(description="results_20130124.token, a caption a line; or give karpathy")
    ] = None,
    karpathy: Annotated[
        Path | None,
        Field(description="dataset_flickr30k.json, which has the splits train, val and test; or give captions"),
    ] = None,
    test_share: TestShare = 0.0,
    question: Question = "Describe the picture.",
    most_broken: MostBroken = 0.0,
    outside_paths: OutsidePaths = False,
    background: Background = WHITE,
) -> Dataset:
    """Flickr30k (Young et al. 2014, https://aclanthology.org/Q14-1006), task `captions`.

    In its own file, with a line `1000092795.jpg#0<tab>Two young guys ...` for each caption, or with Karpathy's splits.
    Each caption trains; an image is tested once, against all its captions.
    """
    files = ImageFiles(images, outside=outside_paths, background=background)
    if karpathy is not None and captions is None:
        if test_share:
            raise UserError("test_share is for captions: the file of karpathy says what is tested")
        names = {split: (split,) for split in ("train", "val", "test")}
        return KarpathySplits(karpathy, files, question, names).dataset(most_broken)
    if captions is None or karpathy is not None:
        raise UserError("give either captions: results_20130124.token or karpathy: dataset_flickr30k.json")

    broken = BrokenEntries(most_broken)

    def read(split: str, tokens: Sequence[Path]) -> Iterator[Example]:
        return caption_examples(split, _captions(split, tokens[0], files, broken), question)

    return FileDataset({"captions": read}, {"train": captions}, files, question, most_broken, test_share, broken)


def _captions(split: str, file: Path, files: ImageFiles, broken: BrokenEntries) -> Iterator[tuple[str, str]]:
    """Each caption behind the key of its image."""

    def caption(number: int, line: Line) -> tuple[str, str]:
        image, tab, caption = line.text.partition("\t")
        image, mark, _ = image.rpartition("#")
        if not tab or not mark or not image or not caption.strip():
            raise line.wrong(f"it should be NAME.jpg#NUMBER, a tab and a caption, not {line.text[:60]!r}")
        return files.key(split, (line, "NAME.jpg"), image=image), caption.strip()

    return broken.without(split, "captions", text_lines(file), caption)


@hookimpl
def register_datasets(register):
    """Captions of Flickr30k from its own files."""
    register("flickr30k", flickr30k)
