"""What a study that is planned would find: so many seeds, so many images, as its experiment compares.

The error of a difference has three parts: what images do to it whatever the seed, what seeds do whatever the image,
and both together. With K seeds and M times as many images they are images / M + seeds / K + both / (K M). They are
taken from results that are there (`pilot.py`); the degrees of freedom and the level are those of the planned study.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy
import pandas
from scipy import stats

from workbench.statistics.comparisons import Pair, Rules, levels_of, pairs_of
from workbench.statistics.design import Design
from workbench.statistics.interactions import dependences_of
from workbench.statistics.power import Precision, detectable_difference

MOST_SEEDS = 100
BOUNDS = 0.95  # how surely the error of seeds lies within what is said of it


@dataclass(frozen=True)
class ErrorParts:
    """The variance of a difference with one seed and `count` images, by what makes it; `step`, `share` and `most` as of
    a `Precision`. `freedom` are the degrees of freedom that `seeds` and `both` rest on, `source` what they are from."""

    images: float
    seeds: float
    both: float
    count: int
    freedom: float
    source: str
    step: float = math.nan
    share: float = math.nan
    most: float = math.inf

    @property
    def factors(self) -> tuple[float, float]:
        """How many times smaller and larger the error of seeds may be than it is taken for."""
        if math.isinf(self.freedom):
            return 1.0, 1.0
        ends = stats.chi2.ppf([(1 + BOUNDS) / 2, (1 - BOUNDS) / 2], self.freedom)
        low, high = numpy.sqrt(self.freedom / numpy.array(ends))
        return float(low), float(high)


@dataclass(frozen=True)
class PlannedAxis:
    """How an axis's values will be compared with its baseline, `values` of them: at which `level`, over how many
    `cells` of the other axes that share no trained stage, and whether the values themselves share one.

    `units` is how many of what is compared have seeds of their own, each of which gives a degree of freedom less than
    it has seeds. Where the file declares one spread for all (`pooled`), they are known together.
    """

    axis: str
    values: int
    level: float
    cells: float
    units: int
    shared: bool
    pooled: bool = False

    def detectable(self, parts: ErrorParts, seeds: int, images: int) -> float:
        """The true difference that is found in 80 of 100 studies; infinite where none would be."""
        times = images / parts.count
        both = parts.both / (times * seeds)
        known = Precision(
            parts.images / times,
            parts.seeds / seeds + both,
            self.units * (seeds - 1),
            1 if self.pooled else self.units,
            both,
            images,
            parts.step,
            parts.share,
            parts.most,
        )
        return detectable_difference(known, self.level)

    def seeds_for(self, difference: float, parts: ErrorParts, images: int) -> int | None:
        """The fewest seeds that find so large a difference; None where a hundred do not."""
        counts = range(2, MOST_SEEDS + 1)
        place = bisect_left(counts, True, key=lambda seeds: self.detectable(parts, seeds, images) <= difference)
        return counts[place] if place < len(counts) else None


@dataclass(frozen=True)
class Plan:
    """The trials that are planned: `axes` has one row a trial; `trained` the keys of their trained stages."""

    axes: pandas.DataFrame
    labels: Mapping[str, Sequence[str]]
    baselines: Mapping[str, str]
    trained: Sequence[frozenset[str]]
    rules: Rules

    @cached_property
    def compared(self) -> list[PlannedAxis]:
        """Every axis with values to compare with its baseline."""
        return [self._axis(design) for design in self._designs if self._based(design)]

    @cached_property
    def comparisons(self) -> int:
        """How many the report will make, which p is corrected for."""
        return len(self._levels)

    @cached_property
    def _designs(self) -> list[Design]:
        return [Design(self.axes, axis, labels, self.trained) for axis, labels in self.labels.items()]

    @cached_property
    def _levels(self) -> list[tuple[Pair | None, float]]:
        """Everything that is compared, with its level; no pair where it is a dependence."""
        baselines = [self.baselines[design.axis] for design in self._designs]
        asked = [*pairs_of(self._designs, baselines, self.rules), *dependences_of(self._designs, baselines)]
        pairs = [each if isinstance(each, Pair) else None for each in asked]
        return list(zip(pairs, levels_of(asked, self.rules), strict=True))

    def _based(self, design: Design) -> list[tuple[Pair, float]]:
        """The comparisons with the baseline of that axis."""
        against = self.baselines[design.axis]
        return [
            (pair, level) for pair, level in self._levels if pair and pair.design is design and pair.against == against
        ]

    def _axis(self, design: Design) -> PlannedAxis:
        based = self._based(design)
        used = [numpy.flatnonzero(pair.weights) for pair, _ in based]
        configurations = [len({design.configurations[place] for place in places}) for places in used]
        strata = [len({design.strata[place] for place in places}) for places in used]
        pooled = self.rules.equal_spread and strata == configurations  # else nothing has a spread of its own
        units = len(set(design.configurations)) if pooled else min(strata)
        level = min(level for _, level in based)
        cells = 1.0 if design.paired else float(numpy.mean(strata)) / 2
        return PlannedAxis(design.axis, len(based), level, cells, units, design.paired, pooled)
