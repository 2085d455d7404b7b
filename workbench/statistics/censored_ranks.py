"""Which of two methods gets there sooner, where some trainings never got there: a permutation test of ranks.

Each training of the one is compared with each of the other, and counts where it can be told which came first (Gehan
1965, *Biometrika* 52, 203-223: a Wilcoxon test for times of which some are only known to be longer). How often that
happens by luck is counted: all ways to deal the trainings out to the two, or many of them. That asks nothing of how
steps are distributed; that seeds are dealt out as wholes keeps together what combinations of other axes have of them in
common. Trainings that share a stage are alike, which makes the test say less than it could, and never more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations

import numpy
from numpy.typing import NDArray

from workbench.statistics.bootstrap import Array
from workbench.statistics.estimates import LEVEL, Interval

MOST_DEALS = 20_000  # ways to deal trainings out that are counted; of more so many are drawn
MOST_RATIOS = 400  # of which it is tried whether they could be the true one
EQUAL = 1e-9  # sums of comparisons are whole numbers


@dataclass(frozen=True)
class Arrival:
    """After how many steps a training got there, or, where it did not (`reached`), how many it had."""

    steps: int
    reached: bool


@dataclass(frozen=True)
class Sooner:
    """How many times the steps the first needs: the ratio with the 95 % interval the test cannot rule out, of which an
    end may be 0 or infinite; and p of both needing as many, two-sided. NaN where nothing can be said."""

    ratio: Interval
    p: float


Blocks = Sequence[Sequence[Arrival]]


def compare(first: Blocks, second: Blocks) -> Sooner:
    """Two methods by their trainings: a block for each seed, with as many arrivals in every block."""
    if not first or not second:
        return Sooner(Interval(math.nan, math.nan, math.nan), math.nan)
    lows, highs = _ratios(first, second)
    estimate = float(numpy.median(lows))
    if not math.isclose(estimate, float(numpy.median(highs)), abs_tol=EQUAL):
        estimate = math.nan
    if min(len(first), len(second)) < 2:
        return Sooner(Interval(math.exp(estimate), math.nan, math.nan), math.nan)
    p = _p(first, second, 0.0)
    ends = _not_ruled_out(first, second, numpy.concatenate([lows, highs]), p)
    return Sooner(Interval(math.exp(estimate), *(math.exp(each) for each in ends)), p)


def least_p(first: int, second: int) -> float:
    """The smallest p that so many trainings of each can give: with three, no difference is ever told."""
    return min(1.0, 2 / math.comb(first + second, first)) if first and second else math.nan


def _ratios(first: Blocks, second: Blocks) -> tuple[Array, Array]:
    """Of every pair of the same place, between what and what the logarithm of their ratio lies: [pairs] each."""
    lows, highs = [], []
    for mine in first:
        for theirs in second:
            for one, other in zip(mine, theirs, strict=True):
                ratio = math.log(one.steps / other.steps)
                lows.append(ratio if other.reached else -math.inf)
                highs.append(ratio if one.reached else math.inf)
    return numpy.array(lows), numpy.array(highs)


def _not_ruled_out(first: Blocks, second: Blocks, ratios: Array, p: float) -> tuple[float, float]:
    """The least and the greatest logarithm of a ratio that the test does not call impossible."""
    edges = numpy.unique(ratios[numpy.isfinite(ratios)])
    if len(edges) > MOST_RATIOS:
        edges = edges[numpy.linspace(0, len(edges) - 1, MOST_RATIOS).astype(int)]
    if not len(edges):
        return -math.inf, math.inf
    between = [edges[0] - 1, *((edges[1:] + edges[:-1]) / 2), edges[-1] + 1]
    possible = [place for place, each in enumerate(between) if _p(first, second, each) > 1 - LEVEL]
    borders = [-math.inf, *edges, math.inf]  # of the stretch around each
    ends = [(borders[place], borders[place + 1]) for place in possible] + ([(0.0, 0.0)] if p > 1 - LEVEL else [])
    if not ends:  # only single points are left
        middle = float(numpy.median(edges))
        return middle, middle
    return min(low for low, _ in ends), max(high for _, high in ends)


def _p(first: Blocks, second: Blocks, ratio: float) -> float:
    """p of the first needing exp(`ratio`) times the steps of the second."""
    steps = numpy.array([[math.log(each.steps) for each in block] for block in (*first, *second)])  # [N,C]
    steps[len(first) :] += ratio
    reached = numpy.array([[each.reached for each in block] for block in (*first, *second)])
    scores = _later(steps, reached).sum(1)  # [N]: how many more it came behind than before
    found = _deals(len(first), len(second)) @ scores
    extreme = numpy.abs(found) >= abs(found[0]) - EQUAL  # the first deal is the real one
    return float(extreme.mean())


def _later(steps: Array, reached: NDArray[numpy.bool_]) -> Array:
    """[N,N]: in how many places the one surely came behind the other, less those where it came before."""
    mine, theirs = steps[:, None, :], steps[None, :, :]
    later = (theirs < mine - EQUAL) & reached[None, :, :]
    later |= (theirs <= mine + EQUAL) & reached[None, :, :] & ~reached[:, None, :]
    return (later.astype(numpy.float64) - later.transpose(1, 0, 2)).sum(2)


@cache
def _deals(first: int, second: int) -> Array:
    """[K,N]: 1 for those who are dealt to the first; all ways, or many drawn ones, the real one before them."""
    count = first + second
    real = numpy.arange(count) < first
    if math.comb(count, first) <= MOST_DEALS:
        found = numpy.zeros((math.comb(count, first), count))
        for row, chosen in enumerate(combinations(range(count), first)):
            found[row, list(chosen)] = 1
        return found
    order = numpy.random.default_rng(1).permuted(numpy.tile(numpy.arange(count), (MOST_DEALS, 1)), axis=1)
    return numpy.concatenate([real[None, :], order < first]).astype(numpy.float64)
