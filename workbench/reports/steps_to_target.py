"""How soon a training got there: the steps after which a metric of its held-out answers had reached a target.

A training that never got there is no missing value: it took more steps than it had, and is the later of two that can be
told apart. Only phases count that take the metric, one after the other.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas

from workbench.reports.experiment_results import Study
from workbench.statistics.censored_ranks import Arrival
from workbench.statistics.design import Cell, Design

OF_A_STEP = "validation_metrics"  # the column of a curve
Block = tuple[Arrival, ...]  # of one value and seed: one for each combination of the other axes


@dataclass(frozen=True)
class Target:
    """A value that a metric has to reach."""

    metric: str
    value: float
    higher_is_better: bool

    def reached_by(self, value: float) -> bool:
        """Whether a value of the metric is as good."""
        return value >= self.value if self.higher_is_better else value <= self.value


@dataclass(frozen=True)
class Arrivals:
    """When the trainings of an experiment reached a target."""

    study: Study
    target: Target

    @cached_property
    def of_trials(self) -> list[Arrival | None]:
        """Of each finished trial; None where its training never took the metric."""
        return [arrival(self.study.curves[record.id], self.target) for record in self.study.done]

    @property
    def known(self) -> bool:
        """Whether any training took the metric."""
        return any(self.of_trials)

    def of_value(self, axis: str, value: str) -> list[Block]:
        """A block for each seed of a value that has all combinations of the other axes which the value is told over."""
        design = self.study.design(axis)
        cells = design.cells_for(value) if value in design.present else ()
        return self._blocks(design, value, self._distinct(design, [value], cells))

    def of_both(self, axis: str, value: str, against: str) -> tuple[list[Block], list[Block]]:
        """The blocks of two values to be compared, over the same combinations but those in which both have the same
        trainings."""
        design = self.study.design(axis)
        cells = self._apart(design, value, against, self._cells(design, value, against))
        return self._blocks(design, value, cells), self._blocks(design, against, cells)

    def same_trainings(self, axis: str, value: str, against: str) -> bool:
        """Whether two values that were tried together have all trainings in common, as those of a quantizer have."""
        design = self.study.design(axis)
        cells = self._cells(design, value, against)
        return bool(cells) and not self._apart(design, value, against, cells)

    def _cells(self, design: Design, value: str, against: str) -> list[Cell]:
        there = {value, against} <= set(design.present)
        return self._distinct(design, [value, against], design.cells_for(value, against) if there else ())

    def _apart(self, design: Design, value: str, against: str, cells: Sequence[Cell]) -> list[Cell]:
        return [
            each for each in cells if self._trainings(design, value, each) != self._trainings(design, against, each)
        ]

    def _blocks(self, design: Design, value: str, cells: Sequence[Cell]) -> list[Block]:
        if not cells:
            return []
        of_cells = [design.seeds_of[value, *cell] for cell in cells]
        seeds = [seed for seed in of_cells[0] if all(seed in each for each in of_cells)]
        found = [[self.of_trials[each[seed][0]] for each in of_cells] for seed in seeds]
        return [tuple(each for each in block if each) for block in found if all(block)]

    def _distinct(self, design: Design, values: Sequence[str], cells: Collection[Cell]) -> list[Cell]:
        """The cells, but one of those that have the same trainings: they are no further tries. Those in which a value
        never takes the metric say nothing, and are left out where others do."""
        kept: dict[tuple, Cell] = {}
        looked = [cell for cell in cells if all(self._takes_it(design, value, cell) for value in values)]
        for cell in sorted(looked or cells):
            kept.setdefault(tuple(self._trainings(design, value, cell) for value in values), cell)
        return [*kept.values()]

    def _takes_it(self, design: Design, value: str, cell: Cell) -> bool:
        return any(self.of_trials[place] for places in design.seeds_of[value, *cell].values() for place in places)

    def _trainings(self, design: Design, value: str, cell: Cell) -> frozenset[int]:
        return frozenset(self._trained[place] for seed in design.seeds_of[value, *cell].values() for place in seed)

    @cached_property
    def _trained(self) -> list[int]:
        """The number of each finished trial's training: equal where all losses are, to the last digit."""
        numbers: dict[tuple, int] = {}
        curves = (self.study.curves[record.id] for record in self.study.done)
        return [numbers.setdefault(tuple(curve["loss"]), len(numbers)) for curve in curves]


def looks(part: pandas.DataFrame, metric: str) -> list[tuple[int, float]]:
    """The steps of a part of a curve after which the metric was taken, and what it was."""
    found = zip(part["step"], part[OF_A_STEP] if OF_A_STEP in part else [None] * len(part), strict=True)
    return [
        (int(step), metrics[metric])
        for step, metrics in found
        if isinstance(metrics, Mapping) and isinstance(metrics.get(metric), int | float)
    ]


def targets_of(study: Study) -> list[Target]:
    """What the experiment asks how soon it is reached."""
    asked = study.summary.statistics.get("steps_to") or {}
    return [Target(name, value, study.scale(name).higher_is_better) for name, value in asked.items()]


def arrival(curve: pandas.DataFrame, target: Target) -> Arrival | None:
    """When a training reached the target; None where it never took the metric."""
    before, after, last = 0, 0, None
    for _, part in curve.groupby("phase", sort=False):
        taken = looks(part, target.metric)
        for step, value in taken:
            if target.reached_by(value):
                return Arrival(before + step, True, after)
            after = before + step
            last = Arrival(after, False, after)
        before += len(part) if taken else 0
    return last


def longest_wait(study: Study, target: Target) -> int:
    """The most steps between two looks at the metric: a training may have got there by so many sooner."""
    parts = [part for curve in study.curves.values() for _, part in curve.groupby("phase", sort=False)]
    steps = [[step for step, _ in looks(part, target.metric)] for part in parts]
    return max((later - earlier for each in steps for earlier, later in zip([0, *each], each, strict=False)), default=0)


def median_steps(found: Sequence[Block]) -> float:
    """The median over all trainings; infinite where too few of them got there to have one, NaN without any."""
    steps = sorted(each.steps if each.reached else math.inf for block in found for each in block)
    return (steps[(len(steps) - 1) // 2] + steps[len(steps) // 2]) / 2 if steps else math.nan
