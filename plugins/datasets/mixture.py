"""A mixture of several datasets, each with its share of the images."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated

from PIL import Image
from pydantic import Field, PositiveInt

from workbench import Dataset, Example, UserError, hookimpl

TRAIN = "train"


class Mixture(Dataset):
    """Several datasets in one: of the split `train` each gives its share of the images, of others everything.

    A share counts images, over all tasks of a part: trained on all these tasks, an epoch shows so many of each. Which
    ones depends on nothing but their keys. Of an example with several images the first one counts. Groups begin with
    the part's name. A task such as `questions` is that of all parts that have it, `vqav2.questions` that of the part
    `vqav2` alone.
    """

    def __init__(
        self,
        *,
        parts: Annotated[dict[str, Dataset], Field(description="datasets, with names of your own")],
        weights: Annotated[
            dict[str, Annotated[float, Field(gt=0)]] | None,
            Field(
                description="share of each part, in images that train, as {narratives: 1, questions: 2}; null: equal"
            ),
        ] = None,
        images: Annotated[
            PositiveInt | None,
            Field(description="images that train, of all parts; null: as many as the shares allow, none twice"),
        ] = None,
    ):
        self.parts = parts
        self.weights = weights or dict.fromkeys(parts, 1.0)
        self.images = images
        if set(self.weights) != set(parts):
            raise UserError(f"weights names {', '.join(self.weights)}; there are the parts {', '.join(parts)}")
        for name, part in parts.items():
            if part.augments:
                raise UserError(f"the part '{name}' changes its images in training, which a mixture does not pass on")
        self._chosen: dict[str, frozenset[str]] = {}  # by part, the images that train

    def examples(self, split: str, task: str) -> Sequence[Example]:
        """Part after part, each in its own order."""
        found = []
        for name, _, own in self._having(split, task):
            chosen = self._choice()[name] if split == TRAIN else None
            for each in self._of(name, split, own):
                if chosen is None or each.row[0] in chosen:
                    group = f"{name}: {each.group}" if each.group else name
                    key = f"{name}/{each.image}" if each.image else ""
                    more = tuple(f"{name}/{other}" for other in each.more)
                    found.append(replace(each, id=f"{name}/{each.id}", image=key, group=group, more=more))
        return found

    def splits(self) -> Sequence[str]:
        """Every split that at least one part has."""
        return tuple(dict.fromkeys(split for part in self.parts.values() for split in part.splits()))

    def tasks(self) -> Sequence[str]:
        """Those of any part, and of each part alone, as `narratives.captions`."""
        alone = [(name, task) for name, part in self.parts.items() for task in part.tasks()]
        return (*dict.fromkeys(task for _, task in alone), *(f"{name}.{task}" for name, task in alone))

    def image(self, key: str) -> Image.Image:
        """The image that a part has under the rest of the key."""
        name, _, own = key.partition("/")
        return self.parts[name].image(own)

    def skipped(self, split: str, task: str) -> Mapping[str, str]:
        """The broken images that the parts left out, under the keys they have here."""
        return {
            f"{name}/{key}": fault
            for name, part, own in self._having(split, task)
            for key, fault in part.skipped(split, own).items()
        }

    def fingerprint(self) -> str:
        """Of the parts, in their order, and the shares."""
        parts = [(name, part.fingerprint(), self.weights[name]) for name, part in self.parts.items()]
        return hashlib.sha256(repr((parts, self.images)).encode()).hexdigest()[:16]

    def _having(self, split: str, task: str) -> Iterator[tuple[str, Dataset, str]]:
        """The parts that have a task in a split, and what they call it."""
        for name, part in self.parts.items():
            own = task.removeprefix(f"{name}.")
            if split in part.splits() and own in part.tasks():
                yield name, part, own

    def _of(self, name: str, split: str, task: str) -> Sequence[Example]:
        """The examples of a part; what is wrong with it is told with its name."""
        try:
            return self.parts[name].examples(split, task)
        except UserError as error:
            raise UserError(f"in the part '{name}': {error}") from error

    def _images(self, name: str) -> list[str]:
        tasks = self.parts[name].tasks()
        return list(dict.fromkeys(each.row[0] for task in tasks for each in self._of(name, TRAIN, task)))

    def _choice(self) -> dict[str, frozenset[str]]:
        """The images of each part that train."""
        if not self._chosen:
            there = {name: self._images(name) for name, part in self.parts.items() if TRAIN in part.splits()}
            counts = self._counts({name: len(keys) for name, keys in there.items()})
            self._chosen = {name: frozenset(_drawn(keys)[: counts[name]]) for name, keys in there.items()}
        return self._chosen

    def _counts(self, there: Mapping[str, int]) -> dict[str, int]:
        """How many images of each part, of those that are there."""
        whole = sum(self.weights[name] for name in there)
        shares = {name: self.weights[name] / whole for name in there}
        most = min(count / shares[name] for name, count in there.items())
        if self.images is not None and self.images > most + 1e-6:
            scarce = min(there, key=lambda name: there[name] / shares[name])
            raise UserError(
                f"{self.images:,} images cannot be had: of the part '{scarce}' {shares[scarce]:.1%} are wanted, and"
                f" it has {there[scarce]:,}. Write images: {int(most + 1e-6)} or less, or lower its weight"
            )
        total = most if self.images is None else self.images
        return {name: max(1, round(total * share - 1e-9)) for name, share in shares.items()}


def _drawn(keys: Sequence[str]) -> list[str]:
    """In an order that looks like chance and depends on each key alone: of fewer images, the first ones."""
    return sorted(keys, key=lambda key: hashlib.sha256(f"mixture/{key}".encode()).digest())


@hookimpl
def register_datasets(register):
    """Several datasets in one."""
    register("mixture", Mixture)
