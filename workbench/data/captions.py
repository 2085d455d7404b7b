"""Captions as examples: one of each caption to train on, all of an image's captions to be held against."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from workbench.contracts.example import Example
from workbench.data.annotations import DataError, json_entries
from workbench.data.broken_entries import BrokenEntries
from workbench.data.entry import Entry
from workbench.data.file_dataset import TRAIN, FileDataset
from workbench.data.image_files import ImageFiles

GROUP = "caption"


def caption_examples(split: str, captions: Iterable[tuple[str, str]], question: str) -> Iterator[Example]:
    """Captions behind the keys of their images -> of the split `train` an example for each caption, in their order;
    of others one for each image, with all its captions as answers."""
    if split == TRAIN:
        counts: dict[str, int] = {}
        for image, caption in captions:
            counts[image] = number = counts.get(image, -1) + 1
            yield Example(f"{split}/{image}/{number}", image, question, (caption,), GROUP)
        return
    together: dict[str, list[str]] = {}
    for image, caption in captions:
        together.setdefault(image, []).append(caption)
    for image, each in together.items():
        yield Example(f"{split}/{image}", image, question, tuple(each), GROUP)


class KarpathySplits:
    """Captions with the splits of Karpathy and Fei-Fei 2015 (https://arxiv.org/abs/1412.2306): `dataset_coco.json`,
    `dataset_flickr30k.json`.

    `names` maps our splits to those of the file, as {train: [train, restval], test: [test]}.
    """

    def __init__(self, file: Path, images: ImageFiles, question: str, names: Mapping[str, Sequence[str]]):
        self.file = file
        self.images = images
        self.question = question
        self.names = names

    def dataset(self, most_broken: float) -> FileDataset:
        """A dataset with the task `captions` whose splits are those of `names`."""
        files = dict.fromkeys(self.names, self.file)
        settings = (self.question, sorted((split, tuple(names)) for split, names in self.names.items()))
        broken = BrokenEntries(most_broken)

        def read(split: str, files: Sequence[Path]) -> Iterator[Example]:
            return self.read(split, files, broken)

        return FileDataset({"captions": read}, files, self.images, settings, most_broken, broken=broken)

    def read(self, split: str, files: Sequence[Path], broken: BrokenEntries) -> Iterator[Example]:
        """The captions of a split as examples, read one after the other; `DataError` when the file has none for it."""
        return caption_examples(split, self._captions(split, files[0], broken), self.question)

    def _captions(self, split: str, file: Path, broken: BrokenEntries) -> Iterator[tuple[str, str]]:
        def of_split(entry: Entry) -> bool:
            return entry.text("split") in self.names[split]

        def captions(_: int, entry: Entry) -> list[tuple[str, str]]:
            folder = f"{entry.text('filepath')}/" if "filepath" in entry.value else ""
            key = self.images.key(split, (entry, "filename"), image=folder + entry.text("filename"))
            return [(key, sentence.text("raw")) for sentence in entry.entries("sentences")]

        found = False
        for each in broken.without(split, "captions", filter(of_split, json_entries(file, "images")), captions):
            found = True
            yield from each
        if not found:
            raise DataError(f"{file}: no image has the split {' or '.join(self.names[split])}")
