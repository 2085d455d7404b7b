"""Which of two methods gets there sooner, where some trainings never got there: a permutation test of ranks.

Each training of the one is compared with each of the other, and counts where it can be told which came first (Gehan
1965, *Biometrika* 52, 203-223: a Wilcoxon test for times of which some are only known to be longer). Nobody looks after
every step, so a training got there between two looks, and which of two came first can be told where that of the one
ended before that of the other began (Mantel 1967, *Biometrics* 23, 65-78). How often that happens by luck is counted:
all ways to deal the trainings out to the two, or many of them. That asks nothing of how
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
    lows, highs = _ratios(first, second)
    estimate = float(numpy.median(lows))
    if not math.isclose(estimate, float(numpy.median(highs)), abs_tol=EQUAL):
        estimate = math.nan
    if min(len(first), len(second)) < 2:
        return Sooner(Interval(math.exp(estimate), math.nan, math.nan), math.nan)
    p, sooner = _p(first, second, 0.0)
    ends = _not_ruled_out(first, second, p, sooner)
    if not ends[0] - EQUAL <= estimate <= ends[1] + EQUAL:  # looks so coarse that their steps say little
        estimate = math.nan
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


def _not_ruled_out(first: Blocks, second: Blocks, p: float, sooner: bool) -> tuple[float, float]:
    """The least and the greatest logarithm of a ratio that the test does not call impossible; with `p` of 0 and whether
    the first was `sooner` there."""
    edges = _edges(first, second)
    between = [edges[0] - 1, *((edges[1:] + edges[:-1]) / 2), edges[-1] + 1] if len(edges) else [0.0]
    possible = [place for place, each in enumerate(between) if _p(first, second, each)[0] > 1 - LEVEL]
    borders = [-math.inf, *edges, math.inf]  # of the stretch around each
    ends = [(borders[place], borders[place + 1]) for place in possible]
    if p > 1 - LEVEL:
        ends.append((0.0, 0.0))
    low, high = min((low for low, _ in ends), default=-math.inf), max((high for _, high in ends), default=math.inf)
    if p > 1 - LEVEL:
        return low, high
    # What is too soon for the same number of steps is too soon for more, though looks are too coarse to say so of them.
    return (min(low, 0.0), min(high, 0.0)) if sooner else (max(low, 0.0), max(high, 0.0))


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


def _p(first: Blocks, second: Blocks, ratio: float) -> tuple[float, bool]:
    """p of the first needing exp(`ratio`) times the steps of the second, and whether it was sooner than that."""
    blocks = (*first, *second)
    with numpy.errstate(divide="ignore"):  # of those who got there before anybody looked
        after, steps = numpy.log([[(each.after, each.steps) for each in block] for block in blocks]).transpose(2, 0, 1)
    shift = numpy.where(numpy.arange(len(blocks)) < len(first), 0.0, ratio)[:, None]
    reached = numpy.array([[each.reached for each in block] for block in blocks])
    scores = _later(after + shift, steps + shift, reached).sum(1)  # [N]: how many more it came behind than before
    found = _deals(len(first), len(second)) @ scores
    extreme = numpy.abs(found) >= abs(found[0]) - EQUAL  # the first deal is the real one
    return float(extreme.mean()), bool(found[0] < 0)


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
