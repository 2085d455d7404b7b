"""Which trials can be compared along an axis, and with what weights: like is compared with like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy
import pandas

from workbench.reports.bootstrap import Array

SEED = "seed"


@dataclass(frozen=True)
class Design:
    """Which trials can be compared along one axis. `axes` has one row a trial and one column an axis.

    A *cell* is one combination of the other axes; seeds lie inside a cell. Values are compared over the cells that
    all of them have (`cells`), so that a value is not favoured by the company it keeps.
    """

    axes: pandas.DataFrame
    axis: str
    labels: Sequence[str]

    @cached_property
    def others(self) -> list[tuple[str, ...]]:
        """The cell of each trial: its labels on all axes but this one and the seed."""
        columns = [name for name in self.axes.columns if name not in (self.axis, SEED)]
        return [tuple(row) for row in self.axes[columns].astype(str).to_numpy()] if columns else [()] * len(self.axes)

    @cached_property
    def groups(self) -> list[tuple[str, ...]]:
        """Value and cell of each trial: trials of a group differ in their seed only."""
        return [(value, *cell) for value, cell in zip(self.axes[self.axis].astype(str), self.others, strict=True)]

    @cached_property
    def present(self) -> list[str]:
        """The labels that have trials, in the order of the axis."""
        return [label for label in self.labels if self.cells_of(label)]

    @cached_property
    def all_cells(self) -> set[tuple[str, ...]]:
        """Every cell that any value was tried in, whether the others were or not."""
        return set(self.others)

    @cached_property
    def cells(self) -> set[tuple[str, ...]]:
        """The cells that every present value was tried in: a fair comparison goes over these."""
        return set.intersection(*(self.cells_of(label) for label in self.present)) if self.present else set()

    def cells_of(self, label: str) -> set[tuple[str, ...]]:
        """The cells in which that value was tried."""
        return {group[1:] for group in self.groups if group[0] == label}

    def cells_for(self, *labels: str) -> set[tuple[str, ...]]:
        """The cells to compare these values over: those all values have, else those that these have."""
        return self.cells or set.intersection(*(self.cells_of(label) for label in labels))

    def cells_with(self, other: str, labels: Sequence[str], values: Sequence[str]) -> list[set[tuple[str, ...]]]:
        """For each of `values` of another axis, the cells with it to compare these labels over: alike in all else."""
        place = [name for name in self.axes.columns if name not in (self.axis, SEED)].index(other)
        cells = set.intersection(*(self.cells_of(label) for label in labels))
        rests = [{cell[:place] + cell[place + 1 :] for cell in cells if cell[place] == value} for value in values]
        alike = set.intersection(*rests)
        return [{(*rest[:place], value, *rest[place:]) for rest in alike} for value in values]

    def weights(self, label: str, cells: set[tuple[str, ...]]) -> Array:
        """[T] that average the value's trials: every cell counts the same, every seed the same within its cell."""
        chosen = [group[0] == label and group[1:] in cells for group in self.groups]
        sizes: dict[tuple[str, ...], int] = {}
        for group, taken in zip(self.groups, chosen, strict=True):
            sizes[group] = sizes.get(group, 0) + taken
        return numpy.array(
            [
                1 / (sizes[group] * len(cells)) if taken else 0.0
                for group, taken in zip(self.groups, chosen, strict=True)
            ]
        )
