"""Images that no training sees: a share of a dataset's training images, as a split of its own to make choices on.

Which images those are depends on their names alone, so they are the same in every trial, for every seed, on every
machine and in any order of the data, and a larger share holds a smaller one. Whatever asks for the split `train` gets
what is left: phases of any objective and task, tokenizers, statistics, reference sets.

An image is told by the last part of its key where that tells all images of its dataset apart, else by the whole key:
so one that lies in several datasets of a mixture under one file name is held out of all of them. So is one of COCO,
whose releases of 2014 and 2017 have the same images under names that differ in their beginning. Images that are asked
about together stay together.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

from workbench.contracts.dataset import Dataset
from workbench.contracts.example import Example, is_image
from workbench.data.annotations import DataError
from workbench.data.image_views import Keys
from workbench.data.wrapped_dataset import WrappedDataset
from workbench.storage.splits import HELD_OUT, TRAIN

LEAST = 2  # sets of images that are held out whatever the share: one alone cannot be evaluated
LARGEST = 0.5  # share of the images that are asked about together, directly or by others, and may still be among them
CAPTIONS = "captions"  # the task whose training examples are one a caption
COCO_2014 = re.compile(r"COCO_(train|val|test)2014_")  # stands before what the images are called since 2017


class HeldOutImages:
    """Chooses the images that are held out of a dataset, or of all parts of one together. `whole`: of one that is made
    of others, whose own keys tell images apart by their last parts; an image that several have is one image there."""

    def __init__(self, share: float, whole: bool = False):
        self.share = share
        self.whole = whole
        self._parts: list[WithHeldOut] = []

    def out_of(self, dataset: Dataset) -> WithHeldOut:
        """The dataset with these images as the split `held_out`, and without them in `train`."""
        self._parts.append(WithHeldOut(dataset, self))
        return self._parts[-1]

    def of_whole(self) -> HeldOutImages:
        """The same share, to be held out of what is made of all these parts."""
        return HeldOutImages(self.share, all(part.by_last_part for part in self._parts))

    @cached_property
    def names(self) -> frozenset[str]:
        """The names of the images that are held out; `DataError` where that leaves too few, here or there."""
        own = {name for part in self._parts for name in part.own}
        sets = {names for part in self._parts if not part.has_own for names in part.sets}
        drawn = frozenset(_drawn(sets, self.share)) if sets else frozenset()
        return drawn | own


class WithHeldOut(WrappedDataset):
    """A dataset that has the split `held_out`. One that has such a split of its own keeps that, and no image of it
    trains; one without training images has none."""

    def __init__(self, dataset: Dataset, held_out: HeldOutImages):
        super().__init__(dataset)
        self.held_out = held_out
        self.has_own = HELD_OUT in dataset.splits()
        self._known: dict[tuple[str, str], Sequence[Example]] = {}

    def examples(self, split: str, task: str) -> Sequence[Example]:
        """Those of `train` none of whose images is held out, of `held_out` those of the others. Captions of one image
        are alternatives there, as in other splits that do not train."""
        takes = split == HELD_OUT and not self.has_own
        if not takes and split != TRAIN:
            return self.dataset.examples(split, task)
        if (split, task) not in self._known:
            found = (each for each in self.dataset.examples(TRAIN, task) if self._is_out(each.row) == takes)
            merges = takes and task.rpartition(".")[2] == CAPTIONS
            self._known[split, task] = tuple(_one_an_image(found) if merges else found)
        return self._known[split, task]

    def splits(self) -> Sequence[str]:
        """Those of the dataset, and `held_out` behind them where there is something to hold out."""
        own = tuple(self.dataset.splits())
        return (*own, HELD_OUT) if TRAIN in own and not self.has_own else own

    def skipped(self, split: str, task: str) -> Mapping[str, str]:
        """The images that were left out of that split, each where it would have been."""
        takes = split == HELD_OUT and not self.has_own
        if self.has_own or not takes and split != TRAIN:
            return self.dataset.skipped(split, task)
        skipped = self.dataset.skipped(TRAIN, task)
        return {key: why for key, why in skipped.items() if (_draw(self.name(key)) < self.held_out.share) == takes}

    @cached_property
    def sets(self) -> frozenset[Keys]:
        """The names of the images of each training example, of every task."""
        return frozenset(tuple(map(self.name, keys)) for keys in self._keys(TRAIN))

    @cached_property
    def own(self) -> frozenset[str]:
        """The names of the images of the dataset's own split `held_out`, where it has one."""
        return (
            frozenset(self.name(key) for keys in self._keys(HELD_OUT) for key in keys) if self.has_own else frozenset()
        )

    def name(self, key: str) -> str:
        """What an image is called in every dataset that has it."""
        return _last_part(key) if self.held_out.whole or self.by_last_part else key

    @cached_property
    def by_last_part(self) -> bool:
        """Whether the last part of a key, such as the name of a file, tells every training image from the others."""
        keys = {key for keys in self._keys(TRAIN) for key in keys}
        return len(set(map(_last_part, keys))) == len(keys)

    def _keys(self, split: str) -> Iterator[Keys]:
        if split in self.dataset.splits():
            for task in self.dataset.tasks():
                yield from dict.fromkeys(each.row for each in self.dataset.examples(split, task))

    def _is_out(self, keys: Keys) -> bool:
        return any(self.name(key) in self.held_out.names for key in keys)


def _last_part(key: str) -> str:
    return COCO_2014.sub("", key.rpartition("/")[2])


def _drawn(sets: Iterable[Keys], share: float) -> Iterator[str]:
    """The names of the images that this share takes out of some sets, and those that have to go with them.

    What hangs together is drawn as one, by one of its images, and as soon as the share is large enough to hold it.
    """
    groups = _joined(sets)
    total = sum(len(names) for names, _ in groups)
    order = sorted(groups, key=lambda group: _draw(_speaker(group[0])))
    chosen = [names for names, _ in order if _draw(_speaker(names)) < share and len(names) <= max(share * total, 1)]
    count = 0
    for names, own_sets in order:
        if own_sets and count < LEAST and len(names) <= LARGEST * total:
            chosen.append(names)
            count += own_sets
    out = {name for names in chosen for name in names}
    if count < LEAST or len(out) == total:
        raise DataError(
            f"no share of its {total:,} training image(s) can be held out: they are too few, or all asked about"
            f" together. Write evaluation: {{split: test}} to train on all of them"
        )
    return iter(out)


def _joined(sets: Iterable[Keys]) -> list[tuple[list[str], int]]:
    """The names that are in one set, or in sets that share one, and how many sets of images that are."""
    above: dict[str, str] = {}

    def top(name: str) -> str:
        above.setdefault(name, name)
        while above[name] != name:
            above[name] = name = above[above[name]]
        return name

    there = list(sets)
    for first, *more in there:
        for name in (first, *more):
            above[top(name)] = top(first)
    members: dict[str, list[str]] = {}
    for name in above:
        members.setdefault(top(name), []).append(name)
    counts = dict.fromkeys(members, 0)
    for first, *_ in there:
        counts[top(first)] += is_image(first)
    return [(names, counts[root]) for root, names in members.items()]


def _speaker(names: Sequence[str]) -> str:
    """The image by which all of them are drawn. It is chosen by another number than it draws, or many images would be
    held out more often than one."""
    return names[0] if len(names) == 1 else min(names, key=lambda name: _hashed(f"speaks for others/{name}"))


def _draw(name: str) -> float:
    """A number from 0 to 1 that depends on the name alone."""
    return int.from_bytes(_hashed(f"held out of everything/{name}")[:7], "big") / 256**7


def _hashed(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogateescape")).digest()


def _one_an_image(captions: Iterable[Example]) -> Iterator[Example]:
    """All captions of an image as the answers of one example, the first one's."""
    together: dict[tuple[Keys, str], list[Example]] = {}
    for each in captions:
        together.setdefault((each.row, each.question), []).append(each)
    for same in together.values():
        yield replace(same[0], answers=tuple(answer for each in same for answer in each.answers))
