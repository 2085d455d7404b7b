"""How sure a number is: its interval, and how probable it would be if nothing were behind it.

Two things make a score uncertain: which images were asked about, and which seed the training began from.

- **Images.** They are resampled, all of them together for every trial (`bootstrap.py`).
- **Seeds.** With K seeds, K of them drawn with replacement would give a variance too small by (K-1)/K and a handful of
  distinct values. Normal noise of the right variance, from each seed's pull on the number, is added instead
  (`seed_noise.py`), and the interval is stretched by Student's t, because K is small (degrees of freedom by
  Satterthwaite). Three seeds that agree by luck make their noise look small, and Satterthwaite then trusts the images'
  many degrees of freedom: so an interval is never narrower, and p never smaller, than the seeds alone give. With one
  seed nothing can be known of training noise: interval and p are those of the trained models, over the questions only,
  and `luck` is False (Bouthillier et al. 2021, arXiv:2103.03098).

What images and seeds do together is in both, and is taken out of the images' part once (as the mean squares of a
crossed design are put together: Scheffé 1959, *The Analysis of Variance*, chapter 8). The ends of the scale are treated
in `proportions.py`, many comparisons at once in `families.py`.

Letters in shapes: T trials, B resamples, C numbers that add up, P images.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy
from scipy import special

from workbench.statistics.bootstrap import Array, Places
from workbench.statistics.power import Precision
from workbench.statistics.proportions import difference_reach, share_interval
from workbench.statistics.seed_noise import SeedNoise, Spread, added_freedom, seed_noise

LEVEL = 0.95
SHARE, GAIN_OF_SHARE = (0.0, 1.0), (-1.0, 1.0)  # the limits of a share, and of a difference of two
ROUNDING = 1e-12  # of the numbers that are added: a smaller sum of them is a zero that floating point missed


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval; `low` and `high` are NaN where nothing can be said."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Sample:
    """One metric of every trial: estimates [T], replicates [B,T], the seed of each trial, how many images, and
    the least and largest value that the metric can have.

    `sums` [T,C,P] is what adds up to a mean of scores: that of the scores, and their number, of each image.
    """

    estimates: Array
    replicates: Array
    seeds: Sequence[str]
    images: int
    limits: tuple[float, float] = (-math.inf, math.inf)
    sums: Array | None = None

    @cached_property
    def intervals(self) -> list[Interval]:
        """Of each trial by itself, over images alone: a trial has one seed."""
        count = len(self.estimates)
        ones, one = numpy.zeros(count), range(count)
        found = []
        for place in one:
            ones[place] = 1.0
            found.append(estimate_of(self, ones, one).interval)
            ones[place] = 0.0
        return found


@dataclass(frozen=True)
class Estimate:
    """An interval, the standard error behind it, and the two-sided p of the estimate being zero, with the degrees of
    freedom that it has. `luck` is whether they cover the luck of training.

    `precision` says what images and seeds have in that error (`power.py`).
    `over_images` [B] and `pulls` are its deviations over resamples and by units of luck: what two estimates have in
    common of them correlates the two.
    """

    interval: Interval
    error: float
    p: float
    freedom: float = math.inf
    luck: bool = False
    over_images: Array = field(default_factory=lambda: numpy.zeros(0), repr=False, compare=False)
    pulls: Mapping[Hashable, float] = field(default_factory=dict, repr=False, compare=False)
    precision: Precision = Precision(math.nan)


def estimate_of(
    sample: Sample,
    weights: Array,
    groups: Sequence[Hashable],
    strata: Sequence[Hashable] | None = None,
    spread: Spread | None = None,
) -> Estimate:
    """A weighted sum of trials, weights [T]. Trials of the same group differ in nothing but their seed; those of
    different strata share no trained stage (by default all may)."""
    used = numpy.flatnonzero(weights)
    least = ROUNDING * float(numpy.abs(weights[used]) @ numpy.abs(sample.estimates[used]))
    estimate = _exact(float(weights[used] @ sample.estimates[used]), least)
    over_images = sample.replicates[:, used] @ weights[used] - estimate  # [B]
    over_images = numpy.where(numpy.abs(over_images) <= least, 0.0, over_images)
    strata = strata or [0] * len(weights)
    noise = seed_noise(sample.estimates, sample.replicates, sample.seeds, weights, groups, strata, spread)
    pulls = {unit: _exact(pull, 2 * least) for unit, pull in noise.pulls.items()}
    noise = replace(noise, pulls=pulls)
    # Seeds that agree to the last question say nothing of what they do with images: these count in full.
    over_images = over_images * _share_apart(over_images, noise.residual if noise.variance > 0 else 0.0)
    errors = _errors(float(numpy.var(over_images)), noise, sample.images - 1)
    contrast = _by_image(sample, weights, used, least)
    interval = _interval(sample, weights, used, estimate, over_images, noise, errors, contrast)
    differing = sample.images if contrast is None else int((contrast != 0).sum())
    step = math.nan if contrast is None or not differing else float(numpy.abs(contrast).sum()) / differing
    p, freedom = max((_two_sided(estimate, *each), each[1]) for each in errors)
    if not math.isnan(p):
        p = 1.0 if estimate == 0 else max(p, 2.0 ** (1 - differing))
        p = max(p, 1 - LEVEL) if interval.low <= 0 <= interval.high else p  # the two never contradict each other
    precision = Precision(
        float(numpy.var(over_images)),
        noise.variance,
        noise.freedom,
        from_both=noise.residual,
        images=sample.images,
        step=step,
    )
    return Estimate(interval, errors[0][0], min(p, 1.0), freedom, noise.known, over_images, pulls, precision)


def joint_deviations(found: Sequence[Estimate]) -> Array:
    """[M,B+U]: the deviations of each estimate over resamples and by units of luck, whose products add up to what the
    estimates have in common of their variances."""
    over_images = numpy.stack([each.over_images - each.over_images.mean() for each in found])  # [M,B]
    units = list(dict.fromkeys(unit for each in found for unit in each.pulls))
    pulls = numpy.array([[each.pulls.get(unit, 0.0) for unit in units] for each in found]).reshape(len(found), -1)
    return numpy.concatenate([over_images / math.sqrt(over_images.shape[1]), pulls], axis=1)


def holm(values: Sequence[float]) -> list[float]:
    """p values corrected for being several (Holm 1979). NaN stays NaN and does not count as a comparison."""
    return weighted_holm(values, [1.0] * len(values))


def weighted_holm(values: Sequence[float], weights: Sequence[float]) -> list[float]:
    """p values corrected for being several, of which some weigh more: each may use its share of the error allowed, and
    what is called real passes its share on (Holm 1979, *Scand. J. Statist.* 6, 65-70). NaN stays NaN and counts not."""
    corrected = [math.nan] * len(values)
    known = [place for place, p in enumerate(values) if not math.isnan(p)]
    order = sorted(known, key=lambda place: values[place] / weights[place])
    left, highest = sum(weights[place] for place in order), 0.0
    for place in order:
        highest = max(highest, min(1.0, values[place] * left / weights[place]))
        corrected[place] = highest
        left -= weights[place]
    return corrected


def _exact(value: float, least: float) -> float:
    """A sum that is zero but for what floating point left of it is zero."""
    return 0.0 if abs(value) <= least else value


def _share_apart(over_images: Array, residual: float) -> float:
    """The factor that takes out of deviations what the sum over seeds has as well."""
    variance = float(numpy.var(over_images))
    return math.sqrt(max(0.0, 1 - residual / variance)) if variance > 0 else 1.0


def _errors(from_images: float, noise: SeedNoise, freedom: int) -> list[tuple[float, float]]:
    """(standard error, degrees of freedom): of all, and of the seeds alone where they say anything."""
    from_seeds = noise.variance
    both = added_freedom([(from_images, freedom), (from_seeds, noise.freedom)])
    alone = [(math.sqrt(from_seeds), noise.freedom)] if from_seeds > 0 else []
    return [(math.sqrt(from_images + from_seeds), both), *alone]


def _by_image(sample: Sample, weights: Array, used: Places, least: float) -> Array | None:
    """What each image adds to the weighted sum [P], in its own unit: their mean is the sum. None where the metric is no
    mean of scores."""
    if sample.sums is None or sample.sums.shape[1] != 2:
        return None
    scores, counts = sample.sums[used, 0], sample.sums[used, 1]  # [t,P] each
    per_image = (weights[used] / counts.sum(1)) @ scores * scores.shape[1]
    return numpy.where(numpy.abs(per_image) <= least + ROUNDING, 0.0, per_image)


def _off_end(sample: Sample, used: Places, estimate: float) -> int:
    """On how many images not every question has the score of the nearer end, in every trial that is used."""
    if sample.sums is None:  # no mean of scores: which images fail is not to be had, but that none does is
        return sample.images if sample.replicates[:, used].std() > 0 else 0
    scores, counts = sample.sums[used, 0], sample.sums[used, 1]
    return int(((counts - scores if estimate > 0.5 else scores) > ROUNDING).any(0).sum())


def _interval(
    sample: Sample,
    weights: Array,
    used: Places,
    estimate: float,
    over_images: Array,
    noise: SeedNoise,
    errors: Sequence[tuple[float, float]],
    contrast: Array | None,
) -> Interval:
    """The middle 95 % of the replicates, stretched by Student's t about the estimate, within what is possible; not
    narrower than the seeds alone make it, nor than the few images allow on which a share is not at its end."""
    weights = weights[used]
    share = sample.limits == SHARE and not math.isnan(errors[0][0])
    if share and (weights > 0).all() and math.isclose(weights.sum(), 1.0):
        off_end = _off_end(sample, used, estimate)
        each = [share_interval(estimate, *both, sample.images, off_end, LEVEL) for both in errors]
        return Interval(estimate, min(low for low, _ in each), max(high for _, high in each))
    tail = (1 - LEVEL) / 2
    normal = numpy.random.default_rng(1).standard_normal(len(over_images))
    replicates = over_images + math.sqrt(noise.variance) * normal  # as many normal pulls, added up
    stretch = _quantile(1 - tail, errors[0][1]) / _quantile(1 - tail, math.inf)
    ends = estimate + stretch * numpy.quantile(replicates, [tail, 1 - tail])
    for error, freedom in errors[1:]:
        reach = _quantile(1 - tail, freedom) * error
        ends = numpy.array([min(ends[0], estimate - reach), max(ends[1], estimate + reach)])
    if sample.limits in (SHARE, GAIN_OF_SHARE) and (contrast is not None or errors[0][0] == 0):
        below, above = difference_reach(numpy.zeros(sample.images) if contrast is None else contrast, LEVEL)
        ends = numpy.array([min(ends[0], estimate - below), max(ends[1], estimate + above)])
    bounds = numpy.outer(weights, sample.limits)  # [t,2]
    low, high = numpy.clip(ends, bounds.min(1).sum(), bounds.max(1).sum())
    return Interval(estimate, float(low), float(high))


def _quantile(share: float, freedom: float) -> float:
    """Of Student's t; of the normal distribution where degrees of freedom have no end."""
    return float(special.stdtrit(freedom, share) if math.isfinite(freedom) else special.ndtri(share))


def _two_sided(estimate: float, error: float, freedom: float) -> float:
    if math.isnan(estimate) or math.isnan(error):
        return math.nan
    if estimate == 0:
        return 1.0
    if error == 0:
        return 0.0
    surely = abs(estimate) / error
    return 2 * float(special.stdtr(freedom, -surely) if math.isfinite(freedom) else special.ndtr(-surely))
