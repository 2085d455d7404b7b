"""What the luck of training adds to a weighted sum of trials, and whether that can be known from the seeds there are.

Trials that began from one seed are lucky together only where they share a trained stage: the same trained encoder, or
a base that several fusions were tuned from. The stage graph knows which, before any score is seen (`Design.strata`).

- Within a *stratum*, trials that share trained stages, a seed moves all of them: its pull on the sum is one number, and
  K seeds give K-1 degrees of freedom (a paired test).
- Between strata nothing is shared, so variances add up and so do their degrees of freedom (Welch 1947, *Biometrika* 34,
  28-35; Satterthwaite 1946, *Biometrics Bulletin* 2, 110-114). What is alike for one seed without being shared, such as
  the order of the data, makes such an error too large rather than too small.

What image and seed do together moves the sum over seeds and the resamples of images alike. It is found from the
resamples (`residual`), so that it is not counted twice.

Of a configuration with one seed nothing can be known, however many seeds others have: then the noise is not `known`,
unless the spread between seeds is given or borrowed (`Spread`).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy

from workbench.statistics.bootstrap import Array

ENOUGH = 2  # seeds of a configuration from which something is known of the luck of training


@dataclass(frozen=True)
class Spread:
    """The standard deviation between seeds of one configuration, with the degrees of freedom it rests on, known from
    elsewhere than its own seeds. It counts where there is one seed; `everywhere`, where no trained stage is shared."""

    deviation: float
    freedom: float = math.inf
    everywhere: bool = False


@dataclass(frozen=True)
class SeedNoise:
    """The pull of each unit of luck, whose squares add up to the variance of the sum over seeds; `residual`, the part
    of that variance which resamples of images show as well; the degrees of freedom; whether all that is `known`."""

    pulls: Mapping[Hashable, float]
    residual: float
    freedom: float
    known: bool

    @property
    def variance(self) -> float:
        """Of the sum over seeds."""
        return sum(pull**2 for pull in self.pulls.values())


UNKNOWN = SeedNoise({}, 0.0, math.inf, known=False)


def seed_noise(
    estimates: Array,
    replicates: Array,
    seeds: Sequence[str],
    weights: Array,
    groups: Sequence[Hashable],
    strata: Sequence[Hashable],
    spread: Spread | None = None,
) -> SeedNoise:
    """Of the sum of estimates [T], replicates [B,T] with weights [T]. Trials of the same group differ in nothing but
    their seed."""
    pulls: dict[Hashable, float] = {}
    parts: list[tuple[float, float]] = []
    borrowed: dict[Hashable, float] = {}  # all from one spread, with its degrees of freedom once
    residual = 0.0
    members: dict[Hashable, list[int]] = defaultdict(list)
    for place in numpy.flatnonzero(weights).tolist():
        members[strata[place]].append(place)
    for stratum, places in members.items():
        of_group: dict[Hashable, list[int]] = defaultdict(list)
        for place in places:
            of_group[groups[place]].append(place)
        places = [place for own in of_group.values() for place in own]
        count = min(len({seeds[place] for place in own}) for own in of_group.values())
        everywhere = spread is not None and spread.everywhere and len(of_group) == 1
        if count < ENOUGH and spread is None:
            return UNKNOWN
        names, pull = (
            _pulls(seeds, weights, of_group, count) if count >= ENOUGH else ([], numpy.zeros((0, len(places))))
        )
        residual += float(numpy.var(replicates[:, places] @ pull.T, axis=0).sum())
        if spread and (count < ENOUGH or everywhere):
            borrowed |= _borrowed(weights, of_group, spread)
        else:
            moved = pull @ estimates[places]
            pulls |= {(stratum, name): float(each) for name, each in zip(names, moved, strict=True)}
            parts.append((float(moved @ moved), count - 1))
    if spread:
        parts.append((sum(each**2 for each in borrowed.values()), spread.freedom))
    return SeedNoise(pulls | borrowed, residual, added_freedom(parts), known=True)


def pooled_spread(samples: Iterable[Sequence[float]]) -> Spread | None:
    """The spread that configurations have in common, each given by its scores, one a seed; None without two seeds of
    any."""
    parts = [(float(numpy.var(scores, ddof=1)), len(scores) - 1) for scores in samples if len(scores) > 1]
    freedom = sum(own for _, own in parts)
    return Spread(math.sqrt(sum(each * own for each, own in parts) / freedom), freedom) if freedom else None


def added_freedom(parts: Iterable[tuple[float, float]]) -> float:
    """Degrees of freedom of a sum of variances, each (variance, its own degrees of freedom); Satterthwaite."""
    present = [(variance, freedom) for variance, freedom in parts if variance > 0 and freedom > 0]
    if not present:
        return math.inf
    total = sum(variance for variance, _ in present)
    spent = sum(variance**2 / freedom for variance, freedom in present)
    return total**2 / spent if spent else math.inf


def _pulls(
    seeds: Sequence[str], weights: Array, of_group: Mapping[Hashable, Sequence[int]], count: int
) -> tuple[list[str], Array]:
    """The seeds, and [K,t] that turns the scores of a stratum's trials, group by group, into how far each seed pulls
    the sum from where the average seed has it. Where groups have unequally many seeds, the smallest number of them says
    how far that can be trusted."""
    places = [place for own in of_group.values() for place in own]
    names = sorted({seeds[place] for place in places})
    found, start = numpy.zeros((len(names), len(places))), 0
    for own in of_group.values():
        rows = [names.index(seeds[place]) for place in own]
        factors = weights[own] * math.sqrt(count / (count - 1))
        columns = slice(start, start + len(own))
        found[rows, numpy.arange(start, start + len(own))] += factors
        for row, factor in zip(rows, factors, strict=True):
            found[row, columns] -= factor / len(own)
        start += len(own)
    return names, found


def _borrowed(weights: Array, of_group: Mapping[Hashable, Sequence[int]], spread: Spread) -> dict[Hashable, float]:
    """As if nothing were shared, which makes it too large rather than too small."""
    found = {}
    for group, places in of_group.items():
        whole = float(sum(weights[place] for place in places))
        found["borrowed", group] = whole * spread.deviation / math.sqrt(len(places))
    return found
