"""What makes scores differ: shares of their variance by axis, pair of axes, seed, image, and what is left.

Analysis of variance of a balanced grid with one trial for each combination and seed (Scheffé 1959, *The Analysis of
Variance*, chapters 4 and 8), on two levels that add up:

- **Trials**: the sum of squares of their scores about the mean of all, by axis, by pair of axes, by three axes or more
  together, by seed (what it does to all configurations alike) and by seed and configuration (what it does to each
  otherwise).
- **Single scores**: those of each trial on each image, weighted by its questions. Beside what lies between trials there
  is what makes an image hard for all, and what image and trial do together.

A sum of squares of an axis is never zero, since luck moves its values too: `estimated` takes that out. Its yardstick is
how much the same effect changes from seed to seed (the mean square of effect and seed together), which holds where some
trials share trained stages and others do not; the interval is that of the noncentral F distribution (Steiger 2004,
doi:10.1037/1082-989X.9.2.164). The interval of a seed's share is from the chi-squared distribution. Both are about
these questions, and other seeds. Those of an image's share are from resampled images, and about these trials.

Letters in shapes: T trials, S seeds, P images, B resamples.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy
from scipy import optimize, stats

from workbench.statistics.bootstrap import RESAMPLES, Array, resampled_totals
from workbench.statistics.estimates import LEVEL, Interval

NOTHING = Interval(math.nan, math.nan, math.nan)
ROUNDING = 1e-12  # of the scores: less is a zero that floating point missed


@dataclass(frozen=True)
class Part:
    """One source of variance. `factors` name it; `sum_of_squares` (of trials' scores) and `freedom` are as in a table
    of an analysis of variance, `share` is of the sum of all trials, and adds up to 1; `estimated` is what is left of
    the share without luck, with its interval."""

    factors: tuple[str, ...]
    sum_of_squares: float
    freedom: int
    share: float
    estimated: Interval


@dataclass(frozen=True)
class ScoreShares:
    """Shares of the variance of single scores: between trials, by image, and by both together."""

    trials: float
    image: Interval
    together: Interval


def trial_parts(scores: Array, names: Sequence[str], strata: int) -> dict[str, list[Part]]:
    """Of scores [k1,...,kA,S] with the axes' names: parts by kind (`axis`, `pair`, `higher`, `seed`, `luck`). `strata`
    counts the groups of configurations that share no trained stage. With one seed there is neither `seed` nor `luck`,
    and nothing is estimated."""
    seed, seeds = len(names), scores.shape[-1]
    squares = _sums_of_squares(scores)
    total = sum(squares.values())
    kinds = {"axis": [{i} for i in range(seed)], "pair": [set(each) for each in combinations(range(seed), 2)]}
    found: dict[str, list[Part]] = {}
    for kind, chosen in kinds.items():
        found[kind] = [
            _effect(squares, scores.shape, [each], tuple(names[i] for i in sorted(each)), total) for each in chosen
        ]
    higher = [set(each) for size in range(3, seed + 1) for each in combinations(range(seed), size)]
    found["higher"] = [_effect(squares, scores.shape, higher, (), total)] if higher else []
    found["seed"] = found["luck"] = []
    if seeds > 1:
        alone = squares[frozenset({seed})]
        others = sum(each for factors, each in squares.items() if seed in factors and len(factors) > 1)
        configurations = scores[..., 0].size
        found["seed"] = [_luck(alone, seeds - 1, seeds - 1, total)]
        found["luck"] = [_luck(others, (seeds - 1) * (configurations - 1), (seeds - 1) * max(1, strata - 1), total)]
    return found


def score_shares(scores: Array, counts: Array, resamples: int = RESAMPLES) -> ScoreShares:
    """Of scores [T,P], those of each trial on each image, and counts [P] of its questions."""
    columns = numpy.concatenate(
        [[counts], counts * scores, [counts * scores.mean(0) ** 2, counts * (scores**2).sum(0)]]
    )
    whole = _shares(columns.sum(1)[None])[0]  # [3]
    drawn = _shares(resampled_totals(columns, resamples))  # [B,3]
    tail = (1 - LEVEL) / 2
    low, high = (
        numpy.nanquantile(drawn, [tail, 1 - tail], axis=0) if not math.isnan(whole[0]) else numpy.full((2, 3), math.nan)
    )
    image, together = (Interval(*map(float, (whole[i], low[i], high[i]))) for i in (1, 2))
    return ScoreShares(float(whole[0]), image, together)


def _sums_of_squares(scores: Array) -> dict[frozenset[int], float]:
    """By set of factors (dimensions of scores), the sum of squares of what they do together and no fewer of them do."""
    squares: dict[frozenset[int], float] = {}
    effects: dict[frozenset[int], Array] = {}
    dimensions = range(scores.ndim)
    least = scores.size * (ROUNDING * float(numpy.abs(scores).max())) ** 2
    for size in range(scores.ndim + 1):
        for chosen in map(frozenset, combinations(dimensions, size)):
            mean = scores.mean(axis=tuple(set(dimensions) - chosen), keepdims=True)
            effects[chosen] = mean - sum(effects[each] for each in _within(chosen))
            found = float((effects[chosen] ** 2).sum()) * scores.size / effects[chosen].size
            squares[chosen] = 0.0 if found <= least else found
    del squares[frozenset()]
    return squares


def _within(factors: Collection[int]) -> Iterator[frozenset[int]]:
    for size in range(len(factors)):
        yield from map(frozenset, combinations(factors, size))


def _effect(
    squares: Mapping[frozenset[int], float],
    shape: Sequence[int],
    effects: Sequence[Collection[int]],
    names: tuple[str, ...],
    total: float,
) -> Part:
    """Of one set of axes, or several together, held against what they do together with the seed."""
    seed = len(shape) - 1
    found = sum(squares[frozenset(each)] for each in effects)
    luck = sum(squares[frozenset({*each, seed})] for each in effects)
    freedom = sum(math.prod(shape[i] - 1 for i in each) for each in effects)
    share = found / total if total else math.nan
    if shape[seed] < 2 or not total:
        return Part(names, found, freedom, share, NOTHING)
    square = luck / (freedom * (shape[seed] - 1))
    rest = total - found
    estimate = _share(max(0.0, found - freedom * square), rest)
    bounds = [math.nan, math.nan]
    if square > 0:
        tail = (1 - LEVEL) / 2
        ratio = found / freedom / square
        bounds = [
            _share(square * _noncentrality(ratio, freedom, freedom * (shape[seed] - 1), q), rest)
            for q in (1 - tail, tail)
        ]
    known = not any(map(math.isnan, bounds))
    return Part(names, found, freedom, share, Interval(estimate, *(bounds if known else (math.nan, math.nan))))


def _luck(found: float, freedom: int, trusted: int, total: float) -> Part:
    """What seeds do. `trusted`: the degrees of freedom that it has at the least."""
    share = found / total if total else math.nan
    tail = (1 - LEVEL) / 2
    quantiles = [float(stats.chi2.ppf(q, trusted)) for q in (1 - tail, tail)]
    low, high = (_share(found * trusted / each, total - found) for each in quantiles)
    return Part((), found, freedom, share, Interval(share, low, high))


def _share(own: float, rest: float) -> float:
    return own / (own + rest) if own + rest > 0 else math.nan


def _noncentrality(ratio: float, above: int, below: int, quantile: float) -> float:
    """That of the F distribution which has the ratio at this quantile; zero where even the central one has it lower."""

    def apart(noncentrality: float) -> float:
        return float(stats.ncf.cdf(ratio, above, below, noncentrality)) - quantile

    if stats.f.cdf(ratio, above, below) <= quantile:
        return 0.0
    high = above * ratio + 1.0
    while apart(high) > 0:
        high *= 2
    if math.isnan(apart(high)):
        return math.nan
    return float(optimize.root_scalar(apart, bracket=(0.0, high), xtol=1e-9 * high).root)


def _shares(totals: Array) -> Array:
    """totals [B,T+3] of counts, of each trial's weighted scores, of squared means and of summed squares -> [B,3]."""
    count, trials = totals[:, 0], totals.shape[1] - 3
    means = totals[:, 1:-2] / count[:, None]  # [B,T]
    middle = means.mean(1)
    between = count * ((means - middle[:, None]) ** 2).sum(1)
    image = trials * (totals[:, -2] - count * middle**2)
    whole = totals[:, -1] - trials * count * middle**2
    parts = numpy.stack([between, image, whole - between - image], axis=1)
    parts = numpy.where(numpy.abs(parts) <= ROUNDING * totals[:, -1:], 0.0, parts)
    with numpy.errstate(invalid="ignore", divide="ignore"):
        return parts / parts.sum(1, keepdims=True)
