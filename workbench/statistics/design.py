"""Which trials can be compared along an axis, and with what weights: like is compared with like."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy
import pandas

from workbench.statistics.bootstrap import Array
from workbench.statistics.seed_noise import ENOUGH

SEED = "seed"
Cell = tuple[str, ...]


@dataclass(frozen=True)
class Design:
    """Which trials can be compared along one axis. `axes` has one row a trial and one column an axis; `trained` the
    keys of the trained stages of each trial, None where that is not known of all.

    A *cell* is one combination of the other axes; seeds lie inside a cell. Values are compared over the cells that
    all of them have (`cells`), so that a value is not favoured by the company it keeps.
    """

    axes: pandas.DataFrame
    axis: str
    labels: Sequence[str]
    trained: Sequence[frozenset[str]] | None = None

    @cached_property
    def others(self) -> list[Cell]:
        """The cell of each trial: its labels on all axes but this one and the seed."""
        return self._labels_on(self._other_axes)

    @cached_property
    def groups(self) -> list[Cell]:
        """Value and cell of each trial: trials of a group differ in their seed only."""
        return [(value, *cell) for value, cell in zip(self.axes[self.axis].astype(str), self.others, strict=True)]

    @cached_property
    def configurations(self) -> list[Cell]:
        """The labels of each trial on all axes but the seed, in the order of the axes."""
        return self._labels_on([name for name in self.axes.columns if name != SEED])

    @cached_property
    def strata(self) -> list[Hashable]:
        """Of each trial: those of different strata share no trained stage, whatever their seed. One for all where
        nobody knows what they share."""
        return strata_of(self.configurations, self.trained)

    @property
    def paired(self) -> bool:
        """Whether any two values share a trained stage in some cell."""
        of_cell: dict[Cell, list[Hashable]] = {}
        for group, stratum in self._stratum_of.items():
            of_cell.setdefault(group[1:], []).append(stratum)
        return any(len(set(strata)) < len(strata) for strata in of_cell.values())

    @cached_property
    def seeds_of(self) -> dict[Cell, dict[str, list[int]]]:
        """The trials of each group, by their seed."""
        found: dict[Cell, dict[str, list[int]]] = {}
        seeds = self.axes[SEED].astype(str) if SEED in self.axes else ["0"] * len(self.axes)
        for place, (group, seed) in enumerate(zip(self.groups, seeds, strict=True)):
            found.setdefault(group, {}).setdefault(seed, []).append(place)
        return found

    @cached_property
    def present(self) -> list[str]:
        """The labels that have trials, in the order of the axis."""
        return [label for label in self.labels if self.cells_of(label)]

    @cached_property
    def all_cells(self) -> set[Cell]:
        """Every cell that any value was tried in, whether the others were or not."""
        return set(self.others)

    @cached_property
    def cells(self) -> set[Cell]:
        """The cells that every present value was tried in: a fair comparison goes over these. Where some have two seeds
        to compare it goes over those alone, since of one seed nobody knows how much is luck."""
        return self._with_seeds(self._shared_cells, self.present)

    def cells_of(self, label: str) -> set[Cell]:
        """The cells in which that value was tried."""
        return {group[1:] for group in self.seeds_of if group[0] == label}

    def cells_for(self, *labels: str) -> set[Cell]:
        """The cells to compare these values over: those all values have, else those that these have."""
        return self.cells or self._with_seeds(set.intersection(*(self.cells_of(label) for label in labels)), labels)

    @property
    def all_of_one_seed(self) -> bool:
        """Whether cells were left out that every value was tried in, with one seed."""
        return len(self.cells) < len(self._shared_cells)

    def cells_with(self, other: str, labels: Sequence[str], values: Sequence[str]) -> list[tuple[Cell, ...]]:
        """The cells to compare these labels over at each of `values` of another axis: tuples of cells, one for each,
        that are alike in all else."""
        place = self._other_axes.index(other)
        cells = set.intersection(*(self.cells_of(label) for label in labels))
        rests = [{cell[:place] + cell[place + 1 :] for cell in cells if cell[place] == value} for value in values]
        alike = sorted(set.intersection(*rests))
        found = [tuple((*rest[:place], value, *rest[place:]) for value in values) for rest in alike]
        known = [each for each in found if self._enough([(label, *cell) for label in labels for cell in each])]
        return known or found

    def weights(self, label: str, cells: set[Cell]) -> Array:
        """[T] that average the value's trials: every cell counts the same, every seed the same within its cell."""
        found = numpy.zeros(len(self.groups))
        for cell in cells:
            self._add(found, (label, *cell), 1 / len(cells), self.seeds_of[label, *cell])
        return found

    def contrast(self, units: Sequence[Mapping[Cell, float]]) -> Array:
        """[T] that average over units, each a sum of groups with the factors given.

        Groups of a unit that share a trained stage are compared over the seeds all of them have, where there are such.
        """
        found = numpy.zeros(len(self.groups))
        for unit in units:
            chosen = self._seeds(list(unit))
            for group, factor in unit.items():
                self._add(found, group, factor / len(units), chosen[group])
        return found

    def difference(self, label: str, baseline: str, cells: Collection[Cell]) -> Array:
        """[T] whose sum of trials is what the one value has more than the other."""
        return self.contrast([{(label, *cell): 1.0, (baseline, *cell): -1.0} for cell in sorted(cells)])

    def seeds_compared(self, weights: Array) -> int:
        """How many seeds each configuration has among these trials; the fewest."""
        counts: dict[Cell, int] = {}
        for place in numpy.flatnonzero(weights):
            counts[self.groups[place]] = counts.get(self.groups[place], 0) + 1
        return min(counts.values(), default=0)

    def leaves_out(self, weights: Array, *labels: str) -> bool:
        """Whether trials of these labels have no weight, in the cells that are compared."""
        cells = self.cells_for(*labels)
        return any(
            weights[place] == 0 and group[0] in labels and group[1:] in cells for place, group in enumerate(self.groups)
        )

    def pairs(self, label: str, baseline: str, cells: Collection[Cell]) -> list[tuple[int, int]]:
        """The trials of two values that differ in nothing else, place by place."""
        found = []
        for cell in sorted(cells):
            mine, theirs = self.seeds_of[label, *cell], self.seeds_of[baseline, *cell]
            found += [(mine[seed][0], theirs[seed][0]) for seed in mine if seed in theirs]
        return found

    @property
    def _other_axes(self) -> list[str]:
        return [name for name in self.axes.columns if name not in (self.axis, SEED)]

    def _labels_on(self, columns: Sequence[str]) -> list[Cell]:
        if not columns:
            return [()] * len(self.axes)
        return [tuple(row) for row in self.axes[list(columns)].astype(str).to_numpy()]

    @cached_property
    def _shared_cells(self) -> set[Cell]:
        """Those in which every present value was tried."""
        return set.intersection(*(self.cells_of(label) for label in self.present)) if self.present else set()

    @cached_property
    def _stratum_of(self) -> dict[Cell, Hashable]:
        return dict(zip(self.groups, self.strata, strict=True))

    def _with_seeds(self, cells: set[Cell], labels: Sequence[str]) -> set[Cell]:
        """The cells in which these labels have two seeds to compare; all where there are none."""
        return {cell for cell in cells if self._enough([(label, *cell) for label in labels])} or cells

    def _enough(self, unit: Sequence[Cell]) -> bool:
        return all(len(seeds) >= ENOUGH for seeds in self._seeds(unit).values())

    def _seeds(self, unit: Sequence[Cell]) -> dict[Cell, list[str]]:
        """Of each group of a unit the seeds that count."""
        found: dict[Cell, list[str]] = {}
        for group in unit:
            alike = [each for each in unit if self._stratum_of[each] == self._stratum_of[group]]
            common = [seed for seed in self.seeds_of[group] if all(seed in self.seeds_of[each] for each in alike)]
            found[group] = common or list(self.seeds_of[group])
        return found

    def _add(self, weights: Array, group: Cell, factor: float, seeds: Sequence[str] | Mapping[str, object]) -> None:
        for seed in seeds:
            places = self.seeds_of[group][seed]
            for place in places:
                weights[place] += factor / (len(seeds) * len(places))


def strata_of(configurations: Sequence[Cell], trained: Sequence[frozenset[str]] | None) -> list[Hashable]:
    """Of each trial [T] what it shares trained stages with, directly or through others; the seeds of a configuration
    stay together."""
    if trained is None:
        return [0] * len(configurations)
    parents: dict[Hashable, Hashable] = {}

    def root(each: Hashable) -> Hashable:
        while parents.setdefault(each, each) != each:
            parents[each] = parents[parents[each]]
            each = parents[each]
        return each

    for each, stages in zip(configurations, trained, strict=True):
        for stage in stages:
            parents[root(("stage", stage))] = root(("trial", each))
    return [root(("trial", each)) for each in configurations]
