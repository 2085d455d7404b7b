"""p values of comparisons that are made together, corrected for their number.

A report that makes thirty comparisons at 5 % is bound to call something real that is not. Each comparison of a family
has a weight, its share of the error that is allowed for all; what is called real passes its share on to those that are
left, so the most certain come first (weighted step-down of Holm 1979). How much comparisons have in common, by the same
images, seeds and baseline, is taken from their resamples: p is how often the smallest of the p values left, each by its
weight, would be so small by luck alone (Westfall and Young 1993, *Resampling-Based Multiple Testing*, section 2.6;
against one baseline that is Dunnett's test, 1955, doi:10.1080/01621459.1955.10501294). It is never more than Holm's.

Each comparison has an error of its own, from few seeds: what these have in common is left out, which makes p too large
rather than too small.

Letters in shapes: M comparisons, R random draws.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy
from scipy import special

from workbench.statistics.bootstrap import Array
from workbench.statistics.estimates import Estimate, joint_deviations, weighted_holm

FEW, DRAWS = 4_000, 20_000
NEAR = (0.01, 0.15)  # where a corrected p decides, or nearly: it is worked out from more draws
MOST = 4_000_000  # draws times comparisons: beyond that Holm's correction alone


def corrected(found: Sequence[Estimate], weights: Sequence[float]) -> list[float]:
    """The p of each, corrected for all; NaN where there is none, and that one counts for nothing."""
    plain = weighted_holm([each.p for each in found], weights)
    asked = [place for place, each in enumerate(found) if each.error > 0 and not math.isnan(each.p)]
    if len(asked) < 2 or len(asked) * DRAWS > MOST:
        return plain
    chosen, shares = [found[place] for place in asked], numpy.array([weights[place] for place in asked])
    resampled = _step_down(chosen, shares, FEW)
    if any(NEAR[0] < p < NEAR[1] for p in resampled):
        resampled = _step_down(chosen, shares, DRAWS)
    for place, p in zip(asked, resampled, strict=True):
        plain[place] = min(plain[place], max(p, found[place].p))
    return plain


def _step_down(found: Sequence[Estimate], weights: Array, draws: int) -> list[float]:
    p = numpy.array([each.p for each in found])
    drawn = _by_luck(found, draws) / weights  # [R,M]
    scaled = p / weights
    order = numpy.argsort(scaled, kind="stable")
    smallest = numpy.minimum.accumulate(drawn[:, order[::-1]], axis=1)[:, ::-1]  # of those left at each step
    share = (smallest <= scaled[order]).mean(0)
    result = numpy.empty(len(found))
    result[order] = numpy.maximum.accumulate(share)
    return result.tolist()


def _by_luck(found: Sequence[Estimate], draws: int) -> Array:
    """p values [R,M] as they come where nothing is behind any estimate."""
    random = numpy.random.default_rng(2)
    normal = random.standard_normal((draws, len(found))) @ _root(_correlations(found))
    freedom = numpy.array([min(each.freedom, 1e6) for each in found])
    errors = numpy.sqrt(random.chisquare(freedom, (draws, len(found))) / freedom)
    return 2 * special.stdtr(freedom, -numpy.abs(normal) / errors)


def _correlations(found: Sequence[Estimate]) -> Array:
    deviations = joint_deviations(found)
    together = deviations @ deviations.T
    errors = numpy.sqrt(numpy.diag(together))
    return together / numpy.outer(errors, errors)


def _root(correlations: Array) -> Array:
    values, vectors = numpy.linalg.eigh(correlations)
    return (vectors * numpy.sqrt(numpy.maximum(values, 0))) @ vectors.T
