"""Whether the difference that one axis makes depends on another: then an average over the other misleads.

The difference of two values of an axis where the other axis has one value, minus the same where it has its baseline: a
difference of differences, over the same cells and resamples (`estimates.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product

from workbench.statistics.bootstrap import Array
from workbench.statistics.design import Cell, Design
from workbench.statistics.estimates import Estimate, Interval, Sample, estimate_of
from workbench.statistics.seed_noise import Spread
from workbench.statistics.verdicts import dependence_verdict


@dataclass(frozen=True)
class Interaction:
    """Whether what one value of an axis does depends on another axis.

    `here` is the difference of `value` to `baseline` where the other axis has `at`, `there` where it has `reference`,
    both over the same cells; `change` is here - there, and `p`, corrected for all that is asked together, that of no
    change; NaN where one seed says nothing of methods. `verdict` is one of `verdicts.py`.
    """

    axis: str
    value: str
    baseline: str
    other: str
    at: str
    reference: str
    here: Interval
    there: Interval
    change: Interval
    p: float
    verdict: str


@dataclass(frozen=True)
class Dependence:
    """A question: does what `value` does against `baseline` along the axis of `design` depend on whether the axis of
    `other` has `at` or `reference`? `weights` [T] make the difference of the differences."""

    design: Design
    value: str
    baseline: str
    other: Design
    at: str
    reference: str
    weights: Array

    def told(self, sample: Sample, found: Estimate, p: float, spread: Spread | None) -> list[Interaction]:
        """The answer as either axis sees it: it is the same number the other way round."""
        mine, theirs = (self.value, self.baseline), (self.at, self.reference)
        verdict, told = dependence_verdict(found, p), []
        p = p if found.luck else math.nan
        for design, pair, other, values in (
            (self.design, mine, self.other, theirs),
            (self.other, theirs, self.design, mine),
        ):
            cells = zip(*design.cells_with(other.axis, pair, values), strict=True)
            here, there = (_interval(design, sample, pair, each, spread) for each in cells)
            told.append(Interaction(design.axis, *pair, other.axis, *values, here, there, found.interval, p, verdict))
        return told


def dependences_of(designs: Sequence[Design], baselines: Sequence[str]) -> list[Dependence]:
    """One question for every two axes and every two values of them that are not their baselines."""
    asked = []
    for (first, base), (second, reference) in combinations(zip(designs, baselines, strict=True), 2):
        values = [label for label in first.present if label != base]
        for value, at in product(values, [label for label in second.present if label != reference]):
            units = [
                {(value, *here): 1.0, (base, *here): -1.0, (value, *there): -1.0, (base, *there): 1.0}
                for here, there in first.cells_with(second.axis, (value, base), (at, reference))
            ]
            if units:  # else these were not tried with the same values of all other axes
                asked.append(Dependence(first, value, base, second, at, reference, first.contrast(units)))
    return asked


def _interval(
    design: Design, sample: Sample, pair: tuple[str, str], cells: Sequence[Cell], spread: Spread | None
) -> Interval:
    """The difference of a pair of labels over these cells."""
    weights = design.difference(*pair, cells)
    return estimate_of(sample, weights, design.configurations, design.strata, spread).interval
