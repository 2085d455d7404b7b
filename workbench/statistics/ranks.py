"""How sure the order of some values is: the chance that each is the best, and which ranks it may have.

From the same differences to the baseline that verdicts rest on, with what they have in common: the same images, seeds
and baseline. True differences are drawn around those that were found, normal by their joint deviations and stretched by
Student's t for the degrees of freedom each has: a posterior under a flat prior. What was believed before of such
differences is not in it. So of a difference that is nothing, the chance that it is positive is not near 50 % but
anywhere between 0 and 100 %, each as often, and among many values that are all alike one often looks like the best.
Whether a difference is real, the verdict says, which corrects for that.

Letters in shapes: V values, R random draws.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy
from scipy import stats

from workbench.statistics.bootstrap import Array
from workbench.statistics.estimates import LEVEL, Estimate, Interval, joint_deviations

DRAWS = 20_000
MOST = 10_000_000  # draws times values
TIED = 9  # decimals of the largest deviation, beyond which two values are the same


@dataclass(frozen=True)
class Rank:
    """Of one value: the chance that it is the best, its rank (1 is best; expected, and where 95 % lie), and the chance
    that it is better than the reference. Those that are equal share a rank, and what chance there is between them."""

    best: float
    rank: Interval
    over_reference: float


def ranks(differences: Sequence[Estimate], higher_is_better: bool) -> list[Rank]:
    """Of a reference, which comes first, and of the values whose `differences` to it are given."""
    drawn = _drawn(differences) * (1 if higher_is_better else -1)  # [R,V]
    places = stats.rankdata(-drawn, axis=1)  # the mean rank of those that are equal
    leads = drawn == drawn.max(1, keepdims=True)
    best = (leads / leads.sum(1, keepdims=True)).mean(0)
    ahead = ((drawn > 0).mean(0) + (drawn >= 0).mean(0)) / 2
    tail = (1 - LEVEL) / 2
    low, high = numpy.quantile(places, [tail, 1 - tail], axis=0, method="inverted_cdf")
    rank = [Interval(*map(float, each)) for each in zip(places.mean(0), low, high, strict=True)]
    found = [Rank(*each) for each in zip(best.tolist(), rank, ahead.tolist(), strict=True)]
    return [Rank(found[0].best, found[0].rank, math.nan), *found[1:]]


def _drawn(differences: Sequence[Estimate]) -> Array:
    """Differences as they may be in truth [R,V], the reference's zeros first. Every draw comes with its mirror image,
    so that chances lie on the side of what was found."""
    random = numpy.random.default_rng(3)
    count = min(DRAWS, MOST // (len(differences) + 1)) // 2
    normal = random.standard_normal((count, len(differences))) @ _root(differences)
    deviations = normal * _stretches(differences, random.uniform(size=count))
    found = numpy.array([each.interval.estimate for each in differences])
    drawn = numpy.concatenate([found + deviations, found - deviations])
    scale = max((max(each.error, abs(each.interval.estimate)) for each in differences), default=0.0) or 1.0
    drawn = numpy.round(drawn / scale, TIED) + 0.0
    return numpy.column_stack([numpy.zeros(len(drawn)), drawn])


def _root(differences: Sequence[Estimate]) -> Array:
    """[V,V] that gives independent noise the covariance of the differences."""
    left, spread, _ = numpy.linalg.svd(joint_deviations(differences), full_matrices=False)
    root = (left * spread).T
    return numpy.concatenate([root, numpy.zeros((len(differences) - len(root), len(differences)))])


def _stretches(differences: Sequence[Estimate], quantiles: Array) -> Array:
    """By what each draw of each difference [R,V] is farther off than normal noise. One quantile serves all, so that
    differences with the same degrees of freedom keep what they have in common."""
    freedoms = [min(each.freedom, 1e6) for each in differences]
    drawn = {freedom: numpy.sqrt(freedom / stats.chi2.ppf(quantiles, freedom)) for freedom in set(freedoms)}
    columns = zip(differences, freedoms, strict=True)
    return numpy.column_stack([_error_of_p(each) * drawn[freedom] for each, freedom in columns])


def _error_of_p(difference: Estimate) -> float:
    """The error that p was found with, in units of the whole: that of the seeds alone may be the smaller, with fewer
    degrees of freedom. With it the chance of the other sign is half of p."""
    distance = abs(difference.interval.estimate)
    if not distance or not difference.error or not 0 < difference.p < 1:
        return 1.0
    return min(1.0, distance / float(stats.t.isf(difference.p / 2, difference.freedom)) / difference.error)
