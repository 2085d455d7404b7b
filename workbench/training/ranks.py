"""The processes that train one phase together, a device each: what each works through, and how they tell each other.

A rank is a process's number among them. Work is dealt out in turn, so that piece 0, 1, 2 ... of a batch lie on rank 0,
1, 2 ..., and what is made of them is put together in that order: the order of the pieces, whoever was first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

Made = TypeVar("Made")


@dataclass(frozen=True)
class Ranks:
    """This process's `rank` among `count`. Where there are several, torch's process group is there already."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that writes what is kept."""
        return self.rank == 0

    def own(self, pieces: int) -> range:
        """Of so many pieces of work, those that are this rank's."""
        return range(self.rank, pieces, self.count)

    def put_together(self, own: Sequence[Made], pieces: int) -> list[Made]:
        """What all ranks made of their pieces, in the order of the pieces."""
        parts = self.gathered(list(own))
        return [parts[piece % self.count][piece // self.count] for piece in range(pieces)]

    def gathered(self, value: Made) -> list[Made]:
        """What every rank has there, by rank."""
        if self.count == 1:
            return [value]
        from torch import distributed

        found: list[Any] = [None] * self.count
        distributed.all_gather_object(found, value)
        return found

    def stacked(self, values: Tensor) -> Tensor:
        """values [A] of each rank -> [A * count], in the order of the pieces; on the device, which nothing waits
        for."""
        if self.count == 1:
            return values
        from torch import distributed

        found = values.new_empty(self.count * len(values))
        distributed.all_gather_single(found, values.contiguous())
        return found.view(self.count, -1).T.flatten()

    def as_first(self, value: Made) -> Made:
        """What the first rank has there."""
        if self.count == 1:
            return value
        from torch import distributed

        found: list[Any] = [value]
        distributed.broadcast_object_list(found, src=0)
        return found[0]

    def first_before(self, work: Callable[[], Made]) -> Made:
        """Do it on every rank, on the others when the first has done it."""
        made = work() if self.first else None
        self.as_first(None)
        return work() if made is None and not self.first else made  # pyright: ignore[reportReturnType]


ALONE = Ranks()


def in_order(values: Tensor) -> Tensor:
    """values [P] -> their sum [], one after the other, as micro-batches add up."""
    total = torch.zeros((), device=values.device)
    for value in values:
        total += value
    return total
