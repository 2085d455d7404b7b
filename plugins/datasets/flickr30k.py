"""Flickr30k: five captions an image, in its own file or with Karpathy's splits."""

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
    text_lines,
)


def flickr30k(
    *,
    images: Path,
    captions: Path | None = None,
    karpathy: Path | None = None,
    test_share: Share = 0.0,
    question: str = "Describe the picture.",
    most_broken: Share = 0.0,
) -> Dataset:
    """Flickr30k (Young et al. 2014, https://aclanthology.org/Q14-1006), task `captions`.

    Either `captions`, its file results_20130124.token with a line `1000092795.jpg#0<tab>Two young guys ...` for each
    caption, of whose images `test_share` become the split `test`; or `karpathy`, the file dataset_flickr30k.json with
    the splits train, val and test. Each caption trains; an image is tested once, against all its captions.
    """
    files = ImageFiles(images)
    if karpathy is not None and captions is None:
        if test_share:
            raise UserError("test_share is for captions: the file of karpathy says what is tested")
        names = {split: (split,) for split in ("train", "val", "test")}
        return KarpathySplits(karpathy, files, question, names).dataset(most_broken)
    if captions is None or karpathy is not None:
        raise UserError("give either captions: results_20130124.token or karpathy: dataset_flickr30k.json")

    def read(split: str, tokens: Sequence[Path]) -> Iterator[Example]:
        captions = ((files.key(split, image=name), caption) for name, caption in _captions(tokens[0]))
        return caption_examples(split, captions, question)

    return FileDataset({"captions": read}, {"train": captions}, files, question, most_broken, test_share)


def _captions(file: Path) -> Iterator[tuple[str, str]]:
    """Each caption behind the name of its image."""
    for line in text_lines(file):
        image, tab, caption = line.text.partition("\t")
        image, mark, _ = image.rpartition("#")
        if not tab or not mark or not image or not caption.strip():
            raise line.wrong(f"it should be NAME.jpg#NUMBER, a tab and a caption, not {line.text[:60]!r}")
        yield image, caption.strip()


@hookimpl
def register_datasets(register):
    """Flickr30k."""
    register("flickr30k", flickr30k)
