"""Which of two methods gets there sooner, where some trainings never got there: a permutation test of ranks.

Each training of the one is compared with each of the other, and counts where it can be told which came first (Gehan
1965, *Biometrika* 52, 203-223: a Wilcoxon test for times of which some are only known to be longer). Nobody looks after
every step, so a training got there between two looks, and which of two came first can be told where that of the one
ended before that of the other began (Mantel 1967, *Biometrics* 23, 65-78). How often that happens by luck is counted:
all ways to deal the trainings out to the two, or many of them. That asks nothing of how steps are distributed, and as
seeds are dealt out whole, what combinations of other axes have of them in common stays together. Trainings that share a
stage are alike, which makes the test say less than it could, and never more.
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
    """After how many steps a training was found to be there, or, where it was not (`reached`), how many it had; and
    `after` how many it was last found not to be: 0 where nobody had looked."""

    steps: int
    reached: bool
    after: int


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
    tried = _tried(first, second)
    estimate = math.exp(_estimate(tried))
    if min(len(first), len(second)) < 2:
        return Sooner(Interval(estimate, math.nan, math.nan), math.nan)
    p, behind = _p(first, second, 0.0)
    ends = _not_ruled_out(tried, p, behind)
    return Sooner(Interval(estimate, *(math.exp(each) for each in ends)), p)


def least_p(first: int, second: int) -> float:
    """The smallest p that so many trainings of each can give: with three, no difference is ever told."""
    return min(1.0, 2 / math.comb(first + second, first)) if first and second else math.nan


@dataclass(frozen=True)
class _Tried:
    """A stretch of logarithms of ratios between which nothing changes: p of each being the true one, and how often the
    first then comes behind the second, less how often before."""

    low: float
    high: float
    p: float
    behind: float


def _tried(first: Blocks, second: Blocks) -> list[_Tried]:
    """All stretches, from a ratio of 0 on. The greater the ratio, the less the first comes behind."""
    edges = _edges(first, second)
    between = [edges[0] - 1, *((edges[1:] + edges[:-1]) / 2), edges[-1] + 1] if len(edges) else [0.0]
    borders = [-math.inf, *edges, math.inf]
    found = zip(borders, borders[1:], (_p(first, second, each) for each in between), strict=False)
    return [_Tried(low, high, *each) for low, high, each in found]


def _estimate(tried: Sequence[_Tried]) -> float:
    """The logarithm of the ratio at which neither comes behind (Hodges and Lehmann 1963, *Ann. Math. Statist.* 34,
    598-611), in the middle of where that is so; NaN where it has no end."""
    below = max((each.high for each in tried if each.behind > 0), default=-math.inf)
    above = min((each.low for each in tried if each.behind < 0), default=math.inf)
    return (below + above) / 2 if math.isfinite(below + above) else math.nan


def _not_ruled_out(tried: Sequence[_Tried], p: float, behind: float) -> tuple[float, float]:
    """The least and the greatest logarithm of a ratio that the test does not call impossible; with `p` of 0 and how
    often the first comes `behind` there."""
    ends = [(each.low, each.high) for each in tried if each.p > 1 - LEVEL]
    if p > 1 - LEVEL:
        ends.append((0.0, 0.0))
    low, high = min((low for low, _ in ends), default=-math.inf), max((high for _, high in ends), default=math.inf)
    if p > 1 - LEVEL:
        return low, high
    # What is too soon for the same number of steps is too soon for more, though looks are too coarse to say so of them.
    return (min(low, 0.0), min(high, 0.0)) if behind < 0 else (max(low, 0.0), max(high, 0.0))


def _edges(first: Blocks, second: Blocks) -> Array:
    """The logarithms of ratios at which it changes who can be told to have come first, in order."""
    found = set()
    for mine in first:
        for theirs in second:
            for one, other in zip(mine, theirs, strict=True):
                found |= {one.after / other.steps} if other.reached and one.after else set()
                found |= {one.steps / other.after} if one.reached and other.after else set()
    edges = numpy.log(sorted(found))
    if len(edges) <= MOST_RATIOS:
        return edges
    return edges[numpy.linspace(0, len(edges) - 1, MOST_RATIOS).astype(int)]


def _p(first: Blocks, second: Blocks, ratio: float) -> tuple[float, float]:
    """p of the first needing exp(`ratio`) times the steps of the second, and how often it came behind that, less how
    often before."""
    blocks = (*first, *second)
    with numpy.errstate(divide="ignore"):  # of those who got there before anybody looked
        after, steps = numpy.log([[(each.after, each.steps) for each in block] for block in blocks]).transpose(2, 0, 1)
    shift = numpy.where(numpy.arange(len(blocks)) < len(first), 0.0, ratio)[:, None]
    reached = numpy.array([[each.reached for each in block] for block in blocks])
    scores = _later(after + shift, steps + shift, reached).sum(1)  # [N]: how many more it came behind than before
    found = _deals(len(first), len(second)) @ scores
    extreme = numpy.abs(found) >= abs(found[0]) - EQUAL  # the first deal is the real one
    return float(extreme.mean()), float(found[0])


def _later(after: Array, steps: Array, reached: NDArray[numpy.bool_]) -> Array:
    """[N,N]: in how many places the one surely came behind the other, less those where it came before."""
    later = (steps[None, :, :] <= after[:, None, :] + EQUAL) & reached[None, :, :]
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
