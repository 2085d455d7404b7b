"""How small a true difference a comparison would find: its minimum detectable difference.

*Not distinguishable* says little until one knows what would have been: with an error of 5 points, a difference of 10
passes unseen as often as not. So this is the true difference that a comparison of this error, with these degrees of
freedom, calls better or worse in 80 of 100 studies (Cohen 1988, *Statistical Power Analysis*, chapter 2; for the
evaluation of models Card et al. 2020, https://aclanthology.org/2020.emnlp-main.745). It rests on the error, as it is
estimated here, and not on the difference that was seen.

An estimate over its own estimated error has a noncentral t distribution. A verdict asks for two such
(`estimates.py`), that of all and that of the seeds alone, and one error is in both. So what has to be passed is worked
out for each error that the seeds may seem to have, and averaged; with no other part it is the noncentral t
distribution.

The level is what p of this comparison may be at the most, were every other one of its family only luck
(`comparisons.py`): its share of 5 %. Where others are real, or luck is common to them, p may be larger, and a smaller
difference is found.

Near the ends of the scale hardly any image differs and errors seem small. There p is bounded by the number of images
that differ (2 of 2^images), so a difference is found only where enough of them do; and a value that lies nearer to the
middle has a larger error, as p (1 - p) is larger there. A difference may go either way: that one counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy
from scipy import optimize, special, stats

from workbench.statistics.bootstrap import Array

POWER = 0.8
MOST_FREEDOM = 1e6  # beyond that Student's t is normal
QUANTILES = (numpy.arange(1000) + 0.5) / 1000  # equally likely, of what the error of seeds may seem to be
MOST_UNITS = 20  # beyond that their degrees of freedom hardly seem fewer than they are
ROUNDS = 30  # of an error that depends on the difference; each halves what is left, or more


@dataclass(frozen=True)
class Precision:
    """How precisely a difference is known: the variance that images and seeds give it. In that of the seeds is what
    image and seed do together, `from_both`. It is the sum of that of `units` that have seeds of their own, as many of
    the degrees of freedom each; where it is known already how they differ, it is one.

    `images` were asked about, and `step` is what one that differs adds, were all like it. `share` is what a value
    scores that is compared, `most` how far two can be apart.
    """

    from_images: float
    from_seeds: float = 0.0
    seeds_freedom: float = math.inf
    units: int = 1
    from_both: float = 0.0
    images: int = 0
    step: float = math.nan
    share: float = math.nan
    most: float = math.inf

    @property
    def error(self) -> float:
        """The standard error of the difference."""
        return math.sqrt(self.from_images + self.from_seeds)


def detectable_difference(known: Precision, level: float) -> float:
    """The true difference that is found in 80 of 100 studies, where p may be `level`; infinite where none that is
    possible would be, NaN where no error is known."""
    if math.isnan(level) or not known.error > 0:
        return math.nan
    least = 0.0 if math.isnan(known.step) else known.step * _share_differing(level, known.images)
    found = max(least, _reach(known, level))
    for _ in range(0 if math.isnan(known.share) else ROUNDS):
        before, found = found, max(least, _reach(_nearer_the_middle(known, found), level))
        if abs(found - before) < 1e-3 * found:
            break
    return found if found <= known.most else math.inf


@lru_cache(maxsize=4096)
def _reach(known: Precision, level: float) -> float:
    """The difference that is found in 80 of 100 studies where errors are what they are."""
    images_freedom = min(max(known.images - 1.0, 1.0), MOST_FREEDOM) if known.images else MOST_FREEDOM
    if known.from_seeds == 0:
        bound = float(special.stdtrit(images_freedom, 1 - level / 2))
        return known.error * _root(lambda apart: float(stats.nct.sf(bound, images_freedom, apart)), bound)
    seeds, freedom = _as_it_may_seem(known)
    both = (known.from_images + seeds) ** 2 / (known.from_images**2 / images_freedom + seeds**2 / freedom)
    of_all = special.stdtrit(both, 1 - level / 2) * numpy.sqrt(known.from_images + seeds)
    of_seeds = special.stdtrit(freedom, 1 - level / 2) * numpy.sqrt(seeds)
    bounds: Array = numpy.maximum(of_all, of_seeds) / known.error
    return known.error * _root(lambda apart: float(special.ndtr(apart - bounds).mean()), float(bounds.max()))


def _as_it_may_seem(known: Precision) -> tuple[Array, Array]:
    """The variance from seeds as it may seem to be, and the degrees of freedom that it then has (Satterthwaite)."""
    units = known.units if known.units <= MOST_UNITS else 1
    own = min(known.seeds_freedom / units, MOST_FREEDOM)
    seeming = known.from_seeds / units * stats.chi2.ppf(QUANTILES, own) / own
    random = numpy.random.default_rng(3)
    parts = numpy.stack([random.permutation(seeming) for _ in range(units)])  # [units, 1000]
    return parts.sum(0), own * parts.sum(0) ** 2 / (parts**2).sum(0)


def _root(power: Callable[[float], float], bound: float) -> float:
    """Where the power, which rises, is enough."""
    found: Any = optimize.brentq(lambda apart: power(apart) - POWER, 0, 2 * bound + 10)
    return float(found)


def _nearer_the_middle(known: Precision, apart: float) -> Precision:
    """With the error that images make where one of two values is so far nearer to the middle of the scale."""
    edge = min(known.share, 1 - known.share)
    moved = min(edge + apart, 0.5) if edge < 0.5 else edge
    before = edge * (1 - edge)
    factor = (1 + moved * (1 - moved) / before) / 2 if before > 0 else 1.0
    from_seeds = known.from_seeds + (factor - 1) * min(known.from_both, known.from_seeds)
    return replace(known, from_images=known.from_images * factor, from_seeds=from_seeds)


def _share_differing(level: float, images: int) -> float:
    """The share of images that have to differ, so that enough do in 80 of 100 studies for p to be so small."""
    enough = math.floor(2 - math.log2(level))  # the fewest for which 2 of 2^images is below the level
    return float(stats.beta.ppf(POWER, enough, images - enough + 1)) if images >= enough else math.inf
