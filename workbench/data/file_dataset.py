"""A dataset of annotation files and image files: what readers of the various formats have in common."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, overload

from PIL import Image

from workbench.contracts.dataset import Dataset
from workbench.contracts.example import Example
from workbench.data.annotations import DataError
from workbench.data.broken_entries import BrokenEntries
from workbench.data.image_files import ImageFiles
from workbench.data.similar_names import similar_file
from workbench.errors import did_you_mean
from workbench.storage.hashing import file_hash

TRAIN, TEST = "train", "test"

Read = Callable[[str, Sequence[Path]], Iterable[Example]]  # a split and its files -> its examples, in their order


class FileDataset(Dataset):
    """Examples that `tasks` read from `files` (by split), about images in folders.

    `settings` are the options that change what is read. `test_share` takes that share of the images of `train` for a
    split `test`: the same ones whenever they are there, and those of a smaller share among them; of an example with
    several images the first one decides, of text alone its own id. `broken` keeps the entries that the readers leave
    out. Nothing is read before it is asked for.
    """

    def __init__(
        self,
        tasks: Mapping[str, Read],
        files: Mapping[str, Path | Sequence[Path]],
        images: ImageFiles,
        settings: Any = None,
        most_broken: float = 0.0,
        test_share: float = 0.0,
        broken: BrokenEntries | None = None,
    ):
        self.readers = dict(tasks)
        self.files = {split: (each,) if isinstance(each, Path) else tuple(each) for split, each in files.items()}
        self.images = images
        self.settings = settings
        self.most_broken = most_broken
        self.test_share = test_share
        self.broken = broken
        if test_share and (TEST in self.files or TRAIN not in self.files):
            raise DataError(
                f"test_share takes '{TEST}' out of '{TRAIN}': give files for '{TRAIN}' and none for '{TEST}'"
            )
        if test_share:
            self.files[TEST] = self.files[TRAIN]
            images.lend(TRAIN, TEST)
        self._examples: dict[tuple[str, str], Lazily] = {}
        for file in {file for each in self.files.values() for file in each}:
            if not file.is_file():
                hint = similar_file(file)
                raise DataError(f"there is no annotation file {file}.{hint} Paths are relative to the experiment file")

    def examples(self, split: str, task: str) -> Sequence[Example]:
        """In the order of the files; read as far as they are looked at, and remembered.

        `DataError` for a split or task that there is not, and, when it is looked at, for an entry that is wrong.
        """
        for word, known, what in ((split, self.files, "split"), (task, self.readers, "task")):
            if word not in known:
                message = f"there is no {what} '{word}'.{did_you_mean(word, known)} There are: {', '.join(known)}"
                raise DataError(message)
        if (split, task) not in self._examples:
            self._examples[split, task] = Lazily(lambda: self._read(split, task))
        return self._examples[split, task]

    def skipped(self, split: str, task: str) -> Mapping[str, str]:
        """The entries that are no examples, and why; of what was read whole."""
        return self.broken.found(split, task) if self.broken else {}

    def splits(self) -> Sequence[str]:
        """The splits that annotation files were given for, and `test` where a share of `train` becomes one."""
        return tuple(self.files)

    def tasks(self) -> Sequence[str]:
        """The tasks that this format can be read as, in the order of its readers."""
        return tuple(self.readers)

    def image(self, key: str) -> Image.Image:
        """The RGB image of that key; `DataError` when it is missing or cannot be decoded."""
        return self.images.open(key)

    def fault(self, key: str) -> str | None:
        """Why an image cannot be shown, with its path; most are judged by their first and last bytes."""
        return self.images.fault(key)

    def fingerprint(self) -> str:
        """Of the files' content, the images' names and sizes, and the settings."""
        files = [(split, [file_hash(file) for file in files]) for split, files in self.files.items()]
        made_of = (
            files,
            self.images.fingerprint(),
            self.images.names,
            self.images.background,
            self.settings,
            self.test_share,
        )
        return hashlib.sha256(repr(made_of).encode()).hexdigest()[:16]

    def _read(self, split: str, task: str) -> Iterator[Example]:
        read = self.readers[task](split, self.files[split])
        if not self.test_share or split not in (TRAIN, TEST):
            return iter(read)
        return (each for each in read if (_draw(_name_of(each, split)) < self.test_share) == (split == TEST))


def _name_of(example: Example, split: str) -> str:
    """What it is drawn by: its first image, or what its id is in both splits."""
    return example.image or example.id.removeprefix(f"{split}/")


def _draw(key: str) -> float:
    """A number from 0 to 1 that depends on the key alone."""
    return int.from_bytes(hashlib.sha256(f"test/{key}".encode()).digest()[:7], "big") / 256**7


class Lazily(Sequence[Example]):
    """Examples that are read when they are first looked at."""

    def __init__(self, read: Callable[[], Iterator[Example]]):
        self._start = read
        self._left: Iterator[Example] | None = None
        self._read: list[Example] = []
        self._whole = False

    def __len__(self) -> int:
        self._until(None)
        return len(self._read)

    @overload
    def __getitem__(self, place: int) -> Example: ...

    @overload
    def __getitem__(self, place: slice) -> list[Example]: ...

    def __getitem__(self, place: int | slice) -> Example | list[Example]:
        end = place.stop if isinstance(place, slice) else place + 1
        start = place.start or 0 if isinstance(place, slice) else place
        self._until(end if end is not None and end > 0 and start >= 0 else None)
        return self._read[place]

    def __iter__(self) -> Iterator[Example]:
        place = 0
        while True:
            while place < len(self._read):
                yield self._read[place]
                place += 1
            self._until(2 * place + 1)  # as many again: few are read for nothing, and few rests are taken
            if place >= len(self._read):
                return

    def _until(self, count: int | None) -> None:
        """Read on until there are so many, or all. After an error the next look starts anew and meets it again."""
        if self._whole:
            return
        if self._left is None:
            self._read, self._left = [], self._start()
        try:
            with _without_collector():
                while count is None or len(self._read) < count:
                    example = next(self._left, None)
                    if example is None:
                        self._whole, self._left = True, None
                        return
                    self._read.append(example)
        except BaseException:
            self._left = None
            raise


@contextmanager
def _without_collector() -> Iterator[None]:
    """Examples stay and hold no circles: looking for garbage among millions of them takes two fifths of the reading."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
