"""The rule of reports before verdicts were sharpened, kept to say how much was gained: seeds paired, Student's t with
no more trust than the seeds alone give, Holm over the comparisons with the baseline.

Letters in shapes: T trials, B resamples of images, K seeds.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[numpy.float64]


@dataclass(frozen=True)
class Compared:
    """A value's difference to the baseline, its 95 % interval, and its p after Holm."""

    estimate: float
    low: float
    high: float
    p: float

    @property
    def told(self) -> int:
        """1 where the value is called higher, -1 where lower, 0 where nothing is told."""
        return int(math.copysign(1, self.estimate)) if self.p < 0.05 else 0


def paired_holm(
    estimates: Array,
    replicates: Array,
    values: Sequence[str],
    cells: Sequence[Hashable],
    seeds: Sequence[str],
    baseline: str,
    images: int,
) -> dict[str, Compared]:
    """estimates [T], replicates [B,T]; the value, the other axes' values and the seed of each trial -> each value that
    is not the baseline, over cells that all values have."""
    groups = list(zip(values, cells, strict=True))
    found = {}
    for value in dict.fromkeys(values):
        if value != baseline:
            weights = _weights(groups, value) - _weights(groups, baseline)
            found[value] = _compared(estimates, replicates, weights, groups, seeds, images)
    corrected = _holm({value: each.p for value, each in found.items()})
    return {value: Compared(each.estimate, each.low, each.high, corrected[value]) for value, each in found.items()}


def _weights(groups: Sequence[tuple[str, Hashable]], value: str) -> Array:
    """[T] that average over cells, and over the seeds within each."""
    cells = {cell for name, cell in groups if name == value}
    return numpy.array([1 / (groups.count(group) * len(cells)) if group[0] == value else 0.0 for group in groups])


def _compared(
    estimates: Array,
    replicates: Array,
    weights: Array,
    groups: Sequence[Hashable],
    seeds: Sequence[str],
    images: int,
) -> Compared:
    """p is not corrected yet."""
    used = [int(place) for place in numpy.flatnonzero(weights)]
    estimate = float(weights[used] @ estimates[used])
    over_images = replicates[:, used] @ weights[used]  # [B]
    pulls = _pulls(estimates, weights, groups, seeds, used)  # [K]
    count = len(pulls)
    growth = math.sqrt(count / (count - 1)) if count > 1 else 0.0
    noise = numpy.random.default_rng(1).standard_normal((len(over_images), count))
    variances = [(float(numpy.var(over_images)), images - 1), (float(growth**2 * pulls @ pulls), count - 1)]
    error, freedom = math.sqrt(sum(each for each, _ in variances)), _freedom(variances)
    stretch = stats.t.ppf(0.975, freedom) / stats.norm.ppf(0.975)
    spread = numpy.quantile(over_images + growth * noise @ pulls, [0.025, 0.975]) - estimate
    low, high = estimate + stretch * spread
    errors = [(error, freedom)]
    if variances[1][0] > 0:
        alone = math.sqrt(variances[1][0])
        errors.append((alone, count - 1))
        reach = stats.t.ppf(0.975, count - 1) * alone
        low, high = min(low, estimate - reach), max(high, estimate + reach)
    p = max(_two_sided(estimate, *each, images) for each in errors)
    return Compared(estimate, float(low), float(high), p)


def _pulls(
    estimates: Array, weights: Array, groups: Sequence[Hashable], seeds: Sequence[str], used: Sequence[int]
) -> Array:
    """[K]: how far each seed pulls the difference."""
    totals: dict[Hashable, list[float]] = {}
    for place in used:
        totals.setdefault(groups[place], []).append(float(estimates[place]))
    pulls = dict.fromkeys(sorted({seeds[place] for place in used}), 0.0)
    for place in used:
        mean = sum(totals[groups[place]]) / len(totals[groups[place]])
        pulls[seeds[place]] += float(weights[place] * (estimates[place] - mean))
    return numpy.array(list(pulls.values()))


def _freedom(variances: Sequence[tuple[float, int]]) -> float:
    """Satterthwaite."""
    present = [(variance, freedom) for variance, freedom in variances if variance > 0 and freedom > 0]
    if not present:
        return math.inf
    total = sum(variance for variance, _ in present)
    return total**2 / sum(variance**2 / freedom for variance, freedom in present)


def _two_sided(estimate: float, error: float, freedom: float, images: int) -> float:
    if estimate == 0:
        return 1.0
    p = 2 * float(stats.t.sf(abs(estimate) / error, freedom)) if error > 0 else 0.0
    return min(1.0, max(p, 2.0 ** (1 - images)))


def _holm(values: Mapping[str, float]) -> dict[str, float]:
    corrected, highest = {}, 0.0
    for rank, name in enumerate(sorted(values, key=lambda name: values[name])):
        highest = max(highest, min(1.0, (len(values) - rank) * values[name]))
        corrected[name] = highest
    return corrected
