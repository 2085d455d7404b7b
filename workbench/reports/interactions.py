"""Whether the difference that one axis makes depends on another: then an average over the other misleads.

The difference of two values of an axis where the other axis has one value, minus the same where it has its baseline: a
difference of differences, over the same cells and resamples (`statistics.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product

from workbench.reports.bootstrap import Array
from workbench.reports.design import Design
from workbench.reports.effects import UNCLEAR
from workbench.reports.statistics import LEVEL, Estimate, Interval, Sample, estimate_of, holm

DEPENDS = "depends"


@dataclass(frozen=True)
class Interaction:
    """Whether what one value of an axis does depends on another axis.

    `here` is the difference of `value` to `baseline` where the other axis has `at`, `there` where it has `reference`,
    both over the same cells; `change` is here - there, and `p`, corrected for all that are asked together, that of no
    change. `verdict` is `DEPENDS`, or `UNCLEAR`.
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


def interactions(designs: Sequence[Design], sample: Sample, baselines: Sequence[str]) -> list[Interaction]:
    """For every two axes and every two values of them that are not their baselines: does one depend on the other?

    What the first axis does at a value of the second, less what it does at the second's baseline, is the same number
    the other way round. So each question has one p but is told twice, as either axis sees it.
    """
    asked: list[tuple[list[tuple[Design, str, str, Design, str, str]], Estimate]] = []
    for (first, base), (second, reference) in combinations(zip(designs, baselines, strict=True), 2):
        values = [label for label in first.present if label != base]
        for value, at in product(values, [label for label in second.present if label != reference]):
            here, there = _differences(first, (value, base), second.axis, (at, reference))
            if here.any():  # else these were not tried with the same values of all other axes
                ways = [(first, value, base, second, at, reference), (second, at, reference, first, value, base)]
                asked.append((ways, estimate_of(sample, here - there, first.groups)))
    corrected = holm([found.p for _, found in asked])
    told = []
    for (ways, found), p in zip(asked, corrected, strict=True):
        verdict = DEPENDS if p < 1 - LEVEL else UNCLEAR
        for design, value, base, other, at, reference in ways:
            weights = _differences(design, (value, base), other.axis, (at, reference))
            here, there = (estimate_of(sample, each, design.groups).interval for each in weights)
            names = (design.axis, value, base, other.axis, at, reference)
            told.append(Interaction(*names, here, there, found.interval, p, verdict))
    return told


def _differences(design: Design, pair: tuple[str, str], other: str, values: tuple[str, str]) -> list[Array]:
    """[T] each: the weights whose sum of trials is the difference of a pair of labels, at either value of another axis;
    all zero where there are no cells to compare."""
    first, second = pair
    return [
        design.weights(first, cells) - design.weights(second, cells) for cells in design.cells_with(other, pair, values)
    ]
