"""Images that are missing or damaged: found before anything trains, left out for every trial alike, and told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from workbench.contracts.dataset import Dataset
from workbench.contracts.example import Example
from workbench.data.annotations import DataError
from workbench.data.image_views import distinct
from workbench.data.wrapped_dataset import WrappedDataset
from workbench.errors import UserError

THREADS = 8  # looking at files is waiting for the disk
SHOWN = 3  # images that a message names


class WithoutBrokenImages(WrappedDataset):
    """A dataset without the examples of which an image cannot be shown.

    Which images those are depends on the dataset alone, so every trial leaves out the same ones. When they are more
    than the dataset's `most_broken` of the images of a split and task, `DataError` names them.
    """

    def __init__(self, dataset: Dataset):
        super().__init__(dataset)
        self._faults: dict[str, str | None] = {}  # by image
        self._whole: dict[tuple[str, str], Sequence[Example]] = {}
        self._skipped: dict[tuple[str, str], dict[str, str]] = {}

    def examples(self, split: str, task: str) -> Sequence[Example]:
        """The examples all of whose images can be shown; `DataError` when too many cannot."""
        if (split, task) not in self._whole:
            found = self.dataset.examples(split, task)
            skipped = self._broken(split, task, distinct(each.images for each in found))
            self._skipped[split, task] = skipped
            self._whole[split, task] = (
                tuple(each for each in found if skipped.keys().isdisjoint(each.images)) if skipped else found
            )
        return self._whole[split, task]

    def skipped(self, split: str, task: str) -> Mapping[str, str]:
        """The images that are left out, and why."""
        self.examples(split, task)
        return {**self.dataset.skipped(split, task), **self._skipped[split, task]}

    def _broken(self, split: str, task: str, keys: Sequence[str]) -> dict[str, str]:
        new = [key for key in keys if key not in self._faults]
        with ThreadPoolExecutor(THREADS) as pool:
            self._faults.update(zip(new, pool.map(self.dataset.fault, new), strict=True))
        faults = ((key, self._faults[key]) for key in keys)
        broken = {key: fault for key, fault in faults if fault is not None}
        if len(broken) > self.dataset.most_broken * len(keys):
            share = -(-1000 * len(broken) // len(keys)) / 1000  # rounded up
            raise DataError(
                f"{counted(broken, len(keys))} of '{split}' (task {task}) cannot be shown, more than most_broken:"
                f" {self.dataset.most_broken:g} allows. Mend them, or write most_broken: {share:g} for the dataset, and"
                " every trial leaves them out"
            )
        return broken


def without_broken_images(dataset: Dataset) -> Dataset:
    """The dataset without broken images; itself, where it does not look for any."""
    return dataset if type(dataset).fault is Dataset.fault else WithoutBrokenImages(dataset)


def decode(images: Iterable[tuple[Dataset, str]]) -> None:
    """Decode images, each given as its dataset and key; `DataError` names those that cannot be.

    `Dataset.fault` is quick and trusts a file that begins and ends well: damage in the middle is found here alone.
    """

    def fault(image: tuple[Dataset, str]) -> str | None:
        dataset, key = image
        try:
            dataset.image(key).load()
        except UserError as error:
            return str(error)
        return None

    with ThreadPoolExecutor(THREADS) as pool:
        faults = [found for found in pool.map(fault, images) if found is not None]
    if faults:
        raise DataError("\n".join(faults))


def skipped_images(dataset: Dataset, split: str, tasks: Iterable[str]) -> dict[str, dict[str, str]]:
    """The images of a split that are left out and why, by `split/task`; what leaves out none is not there."""
    found = {f"{split}/{task}": dict(dataset.skipped(split, task)) for task in tasks}
    return {where: skipped for where, skipped in found.items() if skipped}


def counted(skipped: Mapping[str, str], total: int | None = None) -> str:
    """How many, and the first of them: `3 of 1,000 images (a.jpg is missing; ...)`."""
    named = "; ".join(list(skipped.values())[:SHOWN]) + ("; ..." if len(skipped) > SHOWN else "")
    what = "image(s) or entries" if any(": entry " in key for key in skipped) else "image(s)"
    count = f"{len(skipped):,} of {total:,} images" if total else f"{len(skipped):,} {what}"
    return f"{count} ({named})"
