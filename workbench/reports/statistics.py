"""How sure a number is, and whether two can be told apart: intervals, paired differences, corrected tests.

Two things make a score uncertain: which images were asked about, and which seed the training began from.

- **Images.** Questions about one image are answered right or wrong together, so whole images are drawn with
  replacement (cluster bootstrap; Efron & Tibshirani 1993, *An Introduction to the Bootstrap*, ch. 8 and 13). The same
  draws serve every trial, which makes differences paired: what is hard for all cancels out (Dror et al. 2018,
  https://aclanthology.org/P18-1128).
- **Seeds.** With K seeds, K of them drawn with replacement would give a variance too small by (K-1)/K and a handful of
  distinct values. Each seed's deviation is multiplied by normal noise of the right variance instead, and the interval
  is stretched by Student's t, because K is small (degrees of freedom by Satterthwaite). Three seeds that agree by luck
  make their noise look small, and Satterthwaite then trusts the images' many degrees of freedom: so an interval is
  never narrower, and p never smaller, than the seeds alone give with their K-1. With one seed nothing can be known of
  training noise: the interval covers the questions only (Bouthillier et al. 2021, arXiv:2103.03098).

What images and seeds do together is counted in both, so intervals are a little wide rather than narrow (Owen 2007,
*The pigeonhole bootstrap*, doi:10.1214/07-AOAS122). Many comparisons are corrected after Holm (1979, *Scand. J.
Statist.* 6, 65-70).

Letters in shapes: T trials, P images, B resamples, K seeds, C columns to be averaged.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy
import pandas
from numpy.typing import NDArray
from scipy import stats

RESAMPLES = 2_000
LEVEL = 0.95
SEED = "seed"
BASELINE, BETTER, WORSE, UNCLEAR, NO_RESULT = "baseline", "better", "worse", "not distinguishable", "no result"

Array = NDArray[numpy.float64]


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval; `low` and `high` are NaN where nothing can be said."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Inference:
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


@dataclass(frozen=True)
class Effect:
    """What one value of an axis does, on average over the other axes and seeds.

    `difference` is to the baseline value, over the same cells; `p` is corrected for the comparisons of its table.
    """

    value: str
    trials: int
    seeds: int
    mean: Interval
    difference: Interval
    p: float
    verdict: str


def image_draws(images: int, resamples: int = RESAMPLES, seed: int = 0) -> Iterator[Array]:
    """How often each image is drawn in each resample, in pieces [b,P]: with the same seed always the same."""
    random = numpy.random.default_rng(seed)
    even = numpy.full(images, 1 / images)
    chunk = max(1, 4_000_000 // images)  # bounds the memory of a piece to some 32 MB
    for start in range(0, resamples, chunk):
        count = min(chunk, resamples - start)
        yield random.multinomial(images, even, size=count).astype(numpy.float64)


def resampled_totals(sums: Array, resamples: int = RESAMPLES, seed: int = 0) -> Array:
    """Sums over resampled images: sums [C,P] of a column over the questions of each image -> [B,C]."""
    return numpy.concatenate([draws @ sums.T for draws in image_draws(sums.shape[1], resamples, seed)])


def resampled_means(sums: Array, counts: Array, resamples: int = RESAMPLES, seed: int = 0) -> Array:
    """Means over resampled images: sums [C,P] and counts [C,P] of a column's scores in each image -> [B,C].

    A column without questions in a resample is NaN there.
    """
    totals = resampled_totals(numpy.concatenate([sums, counts]), resamples, seed)
    with numpy.errstate(invalid="ignore", divide="ignore"):
        return totals[:, : len(sums)] / totals[:, len(sums) :]


def infer(sample: Sample, weights: Array, groups: Sequence[Hashable], seed: int = 1) -> Inference:
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
    chances = [(error, freedom), *([(math.sqrt(from_seeds), count - 1)] if from_seeds > 0 else [])]
    interval = _interval(estimate, replicates, freedom, chances[1:], possible)
    p = max(_two_sided(estimate, each, own, sample.images) for each, own in chances)
    return Inference(interval, error, p)


def holm(values: Sequence[float]) -> list[float]:
    """p values corrected for being several (Holm 1979). NaN stays NaN and does not count as a comparison."""
    corrected = [math.nan] * len(values)
    order = sorted((place for place, p in enumerate(values) if not math.isnan(p)), key=lambda place: values[place])
    highest = 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * values[place]))
        corrected[place] = highest
    return corrected


@dataclass(frozen=True)
class Design:
    """Which trials can be compared along one axis. `axes` has one row a trial and one column an axis.

    A *cell* is one combination of the other axes; seeds lie inside a cell. Values are compared over the cells that
    all of them have (`cells`), so that a value is not favoured by the company it keeps.
    """

    axes: pandas.DataFrame
    axis: str
    labels: Sequence[str]

    @cached_property
    def others(self) -> list[tuple[str, ...]]:
        """The cell of each trial."""
        columns = [name for name in self.axes.columns if name not in (self.axis, SEED)]
        return [tuple(row) for row in self.axes[columns].astype(str).to_numpy()] if columns else [()] * len(self.axes)

    @cached_property
    def groups(self) -> list[tuple[str, ...]]:
        """Value and cell of each trial: trials of a group differ in their seed only."""
        return [(value, *cell) for value, cell in zip(self.axes[self.axis].astype(str), self.others, strict=True)]

    @cached_property
    def present(self) -> list[str]:
        """The labels that have trials, in order."""
        return [label for label in self.labels if self.cells_of(label)]

    @cached_property
    def all_cells(self) -> set[tuple[str, ...]]:
        """Every cell that any value has."""
        return set(self.others)

    @cached_property
    def cells(self) -> set[tuple[str, ...]]:
        """The cells that every present value has."""
        return set.intersection(*(self.cells_of(label) for label in self.present)) if self.present else set()

    def cells_of(self, label: str) -> set[tuple[str, ...]]:
        """The cells in which that value was tried."""
        return {group[1:] for group in self.groups if group[0] == label}

    def cells_for(self, *labels: str) -> set[tuple[str, ...]]:
        """The cells to compare these values over: those all values have, else those that these have."""
        return self.cells or set.intersection(*(self.cells_of(label) for label in labels))

    def cells_with(self, other: str, labels: Sequence[str], values: Sequence[str]) -> list[set[tuple[str, ...]]]:
        """For each of `values` of another axis, the cells with it to compare these labels over: alike in all else."""
        place = [name for name in self.axes.columns if name not in (self.axis, SEED)].index(other)
        cells = set.intersection(*(self.cells_of(label) for label in labels))
        rests = [{cell[:place] + cell[place + 1 :] for cell in cells if cell[place] == value} for value in values]
        alike = set.intersection(*rests)
        return [{(*rest[:place], value, *rest[place:]) for rest in alike} for value in values]

    def weights(self, label: str, cells: set[tuple[str, ...]]) -> Array:
        """[T] that average the value's trials: every cell counts the same, every seed the same within its cell."""
        chosen = [group[0] == label and group[1:] in cells for group in self.groups]
        sizes: dict[tuple[str, ...], int] = {}
        for group, taken in zip(self.groups, chosen, strict=True):
            sizes[group] = sizes.get(group, 0) + taken
        return numpy.array(
            [
                1 / (sizes[group] * len(cells)) if taken else 0.0
                for group, taken in zip(self.groups, chosen, strict=True)
            ]
        )


def axis_effects(design: Design, sample: Sample, baseline: str, higher_is_better: bool) -> list[Effect]:
    """Every value of an axis: its mean, its difference to the baseline value, and whether that is more than chance."""
    against = [_against(design, sample, label, baseline) for label in design.labels]
    corrected = holm([found.p if found else math.nan for found in against])
    effects = []
    for label, difference, p in zip(design.labels, against, corrected, strict=True):
        chosen = [place for place, group in enumerate(design.groups) if group[0] == label]
        mean = _mean(design, sample, label) if chosen else _nothing()
        gap = difference.interval if difference else _nothing()
        verdict = BASELINE if label == baseline and chosen else _verdict(gap, p, higher_is_better)
        seeds = len({sample.seeds[place] for place in chosen})
        effects.append(Effect(label, len(chosen), seeds, mean, gap, p, verdict))
    return effects


def _mean(design: Design, sample: Sample, label: str) -> Interval:
    return infer(sample, design.weights(label, design.cells_for(label)), design.groups).interval


def _against(design: Design, sample: Sample, label: str, baseline: str) -> Inference | None:
    """The paired difference to the baseline, or None when there is nothing to compare."""
    if label == baseline or not {label, baseline} <= set(design.present):
        return None
    cells = design.cells_for(label, baseline)
    if not cells:
        return None
    return infer(sample, design.weights(label, cells) - design.weights(baseline, cells), design.groups)


def _verdict(difference: Interval, p: float, higher_is_better: bool) -> str:
    if math.isnan(p):
        return NO_RESULT
    if p >= 1 - LEVEL:
        return UNCLEAR
    return BETTER if (difference.estimate > 0) == higher_is_better else WORSE


def _nothing() -> Interval:
    return Interval(math.nan, math.nan, math.nan)


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
