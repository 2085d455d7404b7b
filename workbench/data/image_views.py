"""Which views of which images each row looks at: several images a row, several views an image.

P counts views here as the encoder does. A set are the images that an example is about, G of them in a batch; K is the
most views of one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain

import torch
from torch import Tensor

from workbench.contracts.example import TEXT_ALONE, is_image
from workbench.devices.device import sent

Keys = tuple[str, ...]  # the images of an example, or what stands for text alone
Places = list[list[int]]  # of each image of a set, which views it has


@dataclass(frozen=True)
class Views:
    """index [G,K]: the views of each set, in their order; there [G,K] bool: which of these there are, None for all.

    bare [G] bool: sets without any image, None where all have some. The index of such a set is that of another's view,
    so that nothing that looks at it divides by zero; what comes of it has to be dropped.
    """

    index: Tensor
    there: Tensor | None
    bare: Tensor | None = None

    def to(self, device: torch.device | str) -> Views:
        """A copy whose index and masks lie on another device; a GPU does not wait for it."""
        there, bare = (None if each is None else sent(each, device) for each in (self.there, self.bare))
        return Views(sent(self.index, device), there, bare)

    def together(self, tokens: Tensor, hides_bare: bool = False) -> tuple[Tensor, Tensor | None]:
        """tokens [P,M,Dv] of each view -> of each set all of them [G,KM,Dv], and which are there [G,1,1,KM]; with
        `hides_bare` none of a set without images."""
        there = self.there
        if hides_bare and self.bare is not None:
            there = (torch.ones_like(self.index, dtype=torch.bool) if there is None else there) & ~self.bare[:, None]
        mask = None if there is None else there.repeat_interleave(tokens.shape[1], 1)[:, None, None]
        return tokens[self.index].flatten(1, 2), mask


def views_from(places: Sequence[Places]) -> Views | None:
    """Of the places of all sets; None where every set is one view, in order."""
    rows = [list(chain.from_iterable(each)) for each in places]
    if rows == [[number] for number in range(len(rows))]:
        return None
    bare = torch.tensor([not row for row in rows])
    rows = [row or [0] for row in rows]
    most = max(map(len, rows))
    there = torch.tensor([[place < len(row) for place in range(most)] for row in rows])
    return Views(_padded(rows), None if there.all() else there, bare if bare.any() else None)


def one_view_each(sets: Sequence[Keys]) -> list[Places]:
    """The places where all images have one view and stand one after the other."""
    ends = list(accumulate(map(len, sets)))
    return [[[view] for view in range(end - len(each), end)] for each, end in zip(sets, ends, strict=True)]


def gather(sets: Sequence[Keys], load: Callable[[list[str]], list[Tensor]]) -> tuple[Tensor, list[Places]]:
    """The views (or their tokens) of all images of some sets [P,...], and where those of each set are.

    `load` gives each image's own [views,...]. An image of several sets is loaded once, unless all sets are single
    images: then they are taken as they are. Text alone has no view; where nothing else is there, `load` is asked for
    `TEXT_ALONE`, of which it gives one that nobody sees.
    """
    single, keys = are_single(sets), loaded(sets)
    parts = load(keys)
    if single and all(len(part) == 1 for part in parts):
        return torch.cat(parts), one_view_each(sets)
    ends = accumulate(map(len, parts))
    at = {key: list(range(end - len(part), end)) for key, part, end in zip(keys, parts, ends, strict=True)}
    return torch.cat(parts), [[at[key] for key in each if is_image(key)] for each in sets]


def loaded(sets: Sequence[Keys]) -> list[str]:
    """The keys that `gather` loads of these sets, in its order."""
    return list(chain.from_iterable(sets)) if are_single(sets) else distinct(sets) or [TEXT_ALONE]


def are_single(sets: Sequence[Keys]) -> bool:
    """Whether each set is one image."""
    return all(len(each) == 1 and is_image(each[0]) for each in sets)


def distinct(sets: Iterable[Keys]) -> list[str]:
    """Every image of some sets once, in their order; what stands for text alone is none."""
    return [key for key in dict.fromkeys(chain.from_iterable(sets)) if is_image(key)]


def _padded(rows: Sequence[Sequence[int]]) -> Tensor:
    """[G,K]; what is not there is the first view, which nobody looks at."""
    most = max(map(len, rows))
    return torch.tensor([[*row, *[0] * (most - len(row))] for row in rows])
