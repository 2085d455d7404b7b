"""How sure a number is, and whether two can be told apart: an interval, a p value, and its correction.

Two things make a score uncertain: which images were asked about, and which seed the training began from.

- **Images.** They are resampled, all of them together for every trial (`bootstrap.py`).
- **Seeds.** With K seeds, K of them drawn with replacement would give a variance too small by (K-1)/K and a handful of
  distinct values. Each seed's deviation is multiplied by normal noise of the right variance instead, and the interval
  is stretched by Student's t, because K is small (degrees of freedom by Satterthwaite). Three seeds that agree by luck
  make their noise look small, and Satterthwaite then trusts the images' many degrees of freedom: so an interval is
  never narrower, and p never smaller, than the seeds alone give with their K-1. With one seed nothing can be known of
  training noise: the interval covers the questions only (Bouthillier et al. 2021, arXiv:2103.03098).

What images and seeds do together is counted in both, so intervals are a little wide rather than narrow (Owen 2007,
*The pigeonhole bootstrap*, doi:10.1214/07-AOAS122). Many comparisons are corrected after Holm (1979, *Scand. J.
Statist.* 6, 65-70).

Letters in shapes: T trials, B resamples, K seeds.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy
from scipy import stats

from workbench.reports.bootstrap import Array

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval; `low` and `high` are NaN where nothing can be said."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Estimate:
    """An interval, the standard error behind it, and the two-sided p of the estimate being zero."""

    interval: Interval
    error: float
    p: float


@dataclass(frozen=True)
class Sample:
    """One metric of every trial: estimates [T], replicates [B,T], the seed of each trial, how many images, and
    the least and largest value that the metric can have."""

    estimates: Array
    replicates: Array
    seeds: Sequence[str]
    images: int
    limits: tuple[float, float] = (-math.inf, math.inf)


def estimate_of(sample: Sample, weights: Array, groups: Sequence[Hashable], seed: int = 1) -> Estimate:
    """A weighted sum of trials, weights [T]. Trials of the same group differ in nothing but their seed."""
    used = [int(place) for place in numpy.flatnonzero(weights)]
    estimate = float(weights[used] @ sample.estimates[used])
    over_images = sample.replicates[:, used] @ weights[used]  # [B]
    deviations = _seed_deviations(sample, weights, groups, used)  # [K]
    count = len(deviations)
    growth = math.sqrt(count / (count - 1)) if count > 1 else 0.0
    noise = numpy.random.default_rng(seed).standard_normal((len(over_images), count))
    replicates = over_images + growth * noise @ deviations
    from_images = float(numpy.var(over_images))
    from_seeds = float(growth**2 * deviations @ deviations)
    freedom = _freedom([(from_images, sample.images - 1), (from_seeds, count - 1)])
    error = math.sqrt(from_images + from_seeds)
    ends = numpy.outer(weights[used], sample.limits)  # [T,2]
    possible = float(ends.min(1).sum()), float(ends.max(1).sum())
    errors = [(error, freedom), *([(math.sqrt(from_seeds), count - 1)] if from_seeds > 0 else [])]
    interval = _interval(estimate, replicates, freedom, errors[1:], possible)
    p = max(_two_sided(estimate, each, own, sample.images) for each, own in errors)
    return Estimate(interval, error, p)


def holm(values: Sequence[float]) -> list[float]:
    """p values corrected for being several (Holm 1979). NaN stays NaN and does not count as a comparison."""
    corrected = [math.nan] * len(values)
    order = sorted((place for place, p in enumerate(values) if not math.isnan(p)), key=lambda place: values[place])
    highest = 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * values[place]))
        corrected[place] = highest
    return corrected


def _seed_deviations(sample: Sample, weights: Array, groups: Sequence[Hashable], used: Sequence[int]) -> Array:
    """[K]: how far each seed pulls the weighted sum from where the average seed has it; they sum to zero."""
    names = sorted({sample.seeds[place] for place in used})
    totals: dict[Hashable, list[float]] = {}
    for place in used:
        totals.setdefault(groups[place], []).append(float(sample.estimates[place]))
    means = {group: sum(values) / len(values) for group, values in totals.items()}
    pulls = dict.fromkeys(names, 0.0)
    for place in used:
        pulls[sample.seeds[place]] += float(weights[place] * (sample.estimates[place] - means[groups[place]]))
    return numpy.array([pulls[name] for name in names])


def _freedom(parts: Sequence[tuple[float, int]]) -> float:
    """Degrees of freedom of a sum of variances, each (variance, its own degrees of freedom); Satterthwaite."""
    present = [(variance, freedom) for variance, freedom in parts if variance > 0 and freedom > 0]
    if not present:
        return math.inf
    total = sum(variance for variance, _ in present)
    return total**2 / sum(variance**2 / freedom for variance, freedom in present)


def _interval(
    estimate: float,
    replicates: Array,
    freedom: float,
    least: Sequence[tuple[float, float]],
    possible: tuple[float, float],
) -> Interval:
    """The middle 95 % of the replicates, stretched by Student's t about the estimate, within what is possible; not
    narrower than each (error, degrees of freedom) of `least` makes it."""
    tail = (1 - LEVEL) / 2
    stretch = stats.t.ppf(1 - tail, freedom) / stats.norm.ppf(1 - tail)
    ends = estimate + stretch * (numpy.quantile(replicates, [tail, 1 - tail]) - estimate)
    for error, own in least:
        reach = stats.t.ppf(1 - tail, own) * error
        ends = numpy.array([min(ends[0], estimate - reach), max(ends[1], estimate + reach)])
    low, high = numpy.clip(ends, *possible)
    return Interval(estimate, float(low), float(high))


def _two_sided(estimate: float, error: float, freedom: float, images: int) -> float:
    """Student's t, but never surer than changing signs of P images could be: 2 of 2^P ways are this extreme."""
    if math.isnan(estimate) or math.isnan(error):
        return math.nan
    if estimate == 0:
        return 1.0
    p = 2 * float(stats.t.sf(abs(estimate) / error, freedom)) if error > 0 else 0.0
    return min(1.0, max(p, 2.0 ** (1 - images)))
