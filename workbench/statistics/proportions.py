"""Intervals of shares near 0 and 1, where resampling sees no spread and so claims to be sure.

A hundred right answers of a hundred do not show that every answer is right: up to 3.6 % may be wrong. Resamples of them
are all alike, and the interval would be [100, 100]. So the interval of a share is that of Clopper and Pearson (1934,
*Biometrika* 26, 404-413) for as many independent questions as its error is worth (Korn and Graubard 1998, *Survey
Methodology* 24, 193-201): n = p (1 - p) / error². Where answers fail on few images, that error says little about how
many fail together on one, and n is held near the number of images.

Letters in shapes: P images.
"""

from __future__ import annotations

import math

import numpy
from scipy import special

from workbench.statistics.bootstrap import Array

SEVERAL = 5  # images that differ, from which on they show how far one can
FEW = 10  # images off the end of the scale: their spread is trusted the more, the more than these there are


def share_interval(
    estimate: float, error: float, freedom: float, images: int, off_end: int, level: float
) -> tuple[float, float]:
    """The ends for a share with that standard error. Of the `images`, `off_end` are not all at the nearer end of the
    scale."""
    most = images * (1 + off_end / FEW) ** 2
    product = estimate * (1 - estimate)
    count = min(product / error**2, most) if error > 0 and product > 0 else most
    tail = (1 - level) / 2
    if math.isfinite(freedom):
        count *= float(special.ndtri(tail) / special.stdtrit(freedom, tail)) ** 2
    return clopper_pearson(estimate, count, level)


def clopper_pearson(share: float, count: float, level: float) -> tuple[float, float]:
    """The ends for a share of `count` independent questions, which need not be a whole number."""
    tail, right = (1 - level) / 2, share * count
    low = 0.0 if right <= 0 else float(special.betaincinv(right, count - right + 1, tail))
    high = 1.0 if right >= count else float(special.betaincinv(right + 1, count - right, 1 - tail))
    return low, high


def difference_reach(contrast: Array, level: float) -> tuple[float, float]:
    """How far below and above a difference of shares the truth may lie, from what it is on each image, contrast [P],
    whose mean the difference is.

    Images on which the one is better and those on which the other is are two rare events, each with the interval of a
    share; the two reaches are put together as of independent estimates (Zou and Donner 2008, *Statistics in Medicine*
    27, 1693-1702). Where no image differs, the difference is still only known to some 3.7 / P.
    """
    seen = float(numpy.abs(contrast).max(initial=0.0))
    largest = seen if (contrast != 0).sum() >= SEVERAL else max(1.0, seen)
    ends = []
    for part in (numpy.maximum(contrast, 0) / largest, numpy.maximum(-contrast, 0) / largest):
        mean, error = float(part.mean()), float(part.std()) / math.sqrt(len(part))
        low, high = share_interval(mean, error, math.inf, len(part), int((part > 0).sum()), level)
        ends.append((largest * (mean - low), largest * (high - mean)))
    (gain_low, gain_high), (loss_low, loss_high) = ends
    return math.hypot(gain_low, loss_high), math.hypot(gain_high, loss_low)
