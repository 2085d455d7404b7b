"""Whole studies whose truth is known: scores of trials on images, drawn from a model of training and questions.

A trained model has a true accuracy: the mean of its value, and what its seed adds. Its answer to a question is right
where a sum of normal parts lies above the threshold that gives this accuracy: a part for the image, one for the
question (what is hard for one is hard for all), one for question and seed (models that come from one base err alike),
one for image and trial, and the rest. The parts' variances sum to 1, so the expected score of a trial is its accuracy
exactly, whatever the parts are.

Letters in shapes: T trials, P images, Q questions of an image.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property

import numpy
import pandas
from numpy.typing import NDArray
from scipy import special

Array = NDArray[numpy.float64]

SEED = "seed"
AXES = ("value", "second", "third")
LATTICE = 400_001  # equally likely quantiles, where an expectation has no closed form


@dataclass(frozen=True)
class Shares:
    """How much of what decides an answer, of 1 in all, lies in the image, in the question, in question and seed
    (common to all values trained from one base), in image and trial; the rest is of each answer alone."""

    image: float = 0.3
    question: float = 0.2
    seed: float = 0.0
    trial: float = 0.1

    @property
    def rest(self) -> float:
        return 1 - self.image - self.question - self.seed - self.trial


@dataclass(frozen=True)
class Setting:
    """A kind of study. Points are percentage points; sequences by value begin with the baseline and end with zeros
    (`apart`) or ones (`spreads`)."""

    name: str
    values: int = 4
    others: tuple[int, ...] = ()  # how many values each further axis has
    seeds: int = 3
    finished: tuple[tuple[int, ...], ...] = ()  # the seeds that each value has; none given: all have all
    accuracy: float = 70.0  # percent
    apart: tuple[float, ...] = ()  # points by value
    change: float = 0.0  # points that the last value of the first axis gains with the last value of the second
    spread: float = 0.0  # points: standard deviation over seeds, of each trial by itself
    shared_spread: float = 0.0  # points: of all trials of a seed together, which have a base in common
    spreads: tuple[float, ...] = ()  # by value, times `spread`
    shape: str = "normal"  # of the spread; or "skewed", "two-valued", "half bad"
    images: int = 200
    questions: int = 1
    shares: Shares = field(default_factory=Shares)
    copies: bool = False  # all values answer word for word alike
    real: bool = False  # scores are any numbers, not right or wrong

    @property
    def shared(self) -> bool:
        """Whether trials of one seed come from one trained base: then their differences are paired by seed."""
        return self.copies or self.shared_spread > 0 or self.shares.seed > 0


@dataclass(frozen=True)
class Study:
    """What a study gave, and what is true: sums and counts [T,P] of the scores of each image; the accuracy [T] of each
    trained model; and its expectation [T] over seeds. `axes` has one row a trial and one column an axis."""

    setting: Setting
    axes: pandas.DataFrame
    labels: dict[str, list[str]]
    sums: Array
    counts: Array
    accuracies: Array
    expected: Array

    @property
    def seeds(self) -> list[str]:
        """The seed of each trial."""
        return list(self.axes[SEED])

    def mean(self, axis: str, label: str) -> float:
        """What a value of an axis truly scores: over seeds, images and the other axes."""
        return self._average(self.expected, {axis: label})

    def difference(self, axis: str, label: str, baseline: str) -> float:
        """How far two values of an axis truly are apart."""
        return _zero(self.mean(axis, label) - self.mean(axis, baseline))

    def trained_difference(self, axis: str, label: str, baseline: str) -> float:
        """How far the models that were trained truly are apart, whatever other seeds would give."""
        return _zero(self._average(self.accuracies, {axis: label}) - self._average(self.accuracies, {axis: baseline}))

    def change(self, first: tuple[str, str, str], second: tuple[str, str, str]) -> float:
        """(axis, value, baseline) twice: how much the difference that the first makes truly changes with the second."""
        return self._change(self.expected, first, second)

    def trained_change(self, first: tuple[str, str, str], second: tuple[str, str, str]) -> float:
        """The same of the models that were trained."""
        return self._change(self.accuracies, first, second)

    def _change(self, numbers: Array, first: tuple[str, str, str], second: tuple[str, str, str]) -> float:
        corners = itertools.product(first[1:], second[1:])
        means = [self._average(numbers, {first[0]: here, second[0]: there}) for here, there in corners]
        return _zero(means[0] - means[1] - means[2] + means[3])

    @cached_property
    def _combinations(self) -> dict[tuple[str, ...], list[int]]:
        """The places of the trials that differ in their seed only."""
        found: dict[tuple[str, ...], list[int]] = {}
        for place, labels in enumerate(self.axes[list(self.labels)].itertuples(index=False, name=None)):
            found.setdefault(labels, []).append(place)
        return found

    def _average(self, numbers: Array, wanted: dict[str, str]) -> float:
        """Over the trials with these labels: every combination counts the same, and every seed within it."""
        order = list(self.labels)
        chosen = [
            sum(float(numbers[place]) for place in places) / len(places)
            for labels, places in self._combinations.items()
            if all(labels[order.index(axis)] == label for axis, label in wanted.items())
        ]
        return sum(chosen) / len(chosen)


def simulate(setting: Setting, random: numpy.random.Generator) -> Study:
    """One study of that kind."""
    labels = {
        axis: [f"{axis}{place}" for place in range(count)]
        for axis, count in zip(AXES, (setting.values, *setting.others), strict=False)
    }
    axes = _trials(setting, labels)
    first = numpy.array([labels[AXES[0]].index(label) for label in axes[AXES[0]]])  # [T]
    means = _means(setting, axes, labels, first)
    factors = numpy.array([*setting.spreads, *[1.0] * setting.values])[first]
    accuracies = _accuracies(setting, means, factors, list(axes[SEED]), random)
    expected = numpy.array([_expected(setting, *each) for each in zip(means, factors, strict=True)])
    scores = _scores(setting, accuracies, list(axes[SEED]), random)  # [T,P,Q]
    if setting.copies:
        originals = {seed: place for place, seed in reversed(list(enumerate(axes[SEED])))}
        places = [originals[seed] for seed in axes[SEED]]
        scores, accuracies = scores[places], accuracies[places]
    counts = numpy.full(scores.shape[:2], float(setting.questions))
    return Study(setting, axes, labels, scores.sum(-1), counts, accuracies, expected)


def _trials(setting: Setting, labels: dict[str, list[str]]) -> pandas.DataFrame:
    """Every combination of values with the seeds it has."""
    rows = []
    for combination in itertools.product(*labels.values()):
        place = labels[AXES[0]].index(combination[0])
        seeds = setting.finished[place] if setting.finished else range(setting.seeds)
        rows += [(*combination, str(seed)) for seed in seeds]
    return pandas.DataFrame(rows, columns=[*labels, SEED])


def _means(setting: Setting, axes: pandas.DataFrame, labels: dict[str, list[str]], first: NDArray[numpy.intp]) -> Array:
    """[T] before what is impossible is cut off."""
    apart = numpy.array([*setting.apart, *[0.0] * setting.values])[first]
    changed = numpy.zeros(len(axes))
    if setting.change:
        last = [axes[axis] == labels[axis][-1] for axis in AXES[:2]]
        changed = setting.change * numpy.all(last, axis=0)
    return (setting.accuracy + apart + changed) / 100


def _accuracies(
    setting: Setting, means: Array, factors: Array, seeds: Sequence[str], random: numpy.random.Generator
) -> Array:
    """[T]: what the trained models are truly worth."""
    quantile, names = SHAPES[setting.shape], sorted(set(seeds))
    own = setting.spread / 100 * factors * quantile(random.uniform(size=len(seeds)))
    common = dict(zip(names, quantile(random.uniform(size=len(names))), strict=True))
    together = setting.shared_spread / 100 * numpy.array([common[seed] for seed in seeds])
    return _possible(setting, means + own + together)


@cache
def _expected(setting: Setting, mean: float, factor: float) -> float:
    """The mean over seeds: other than what was asked for where a share would leave 0 to 1."""
    own, together = setting.spread / 100 * factor, setting.shared_spread / 100
    quantiles = _lattice(setting.shape)
    effects = own * quantiles
    if together:
        effects = effects + together * numpy.random.default_rng(0).permutation(quantiles)
    if (_possible(setting, mean + effects) == mean + effects).all():
        return mean
    return float(_possible(setting, mean + effects).mean())


def _scores(setting: Setting, accuracies: Array, seeds: Sequence[str], random: numpy.random.Generator) -> Array:
    """[T,P,Q]: right and wrong answers, or real scores."""
    trials, images, questions, shares = len(seeds), setting.images, setting.questions, setting.shares
    draw = random.standard_normal
    part = math.sqrt(shares.rest) * draw((trials, images, questions))
    part += math.sqrt(shares.image) * draw((images, 1)) + math.sqrt(shares.question) * draw((images, questions))
    part += math.sqrt(shares.trial) * draw((trials, images, 1))
    if shares.seed:
        names = {seed: place for place, seed in enumerate(dict.fromkeys(seeds))}
        together = draw((len(names), images, questions))
        part += math.sqrt(shares.seed) * together[[names[seed] for seed in seeds]]
    if setting.real:
        return accuracies[:, None, None] + 0.4 * part
    return (part < special.ndtri(accuracies)[:, None, None]).astype(float)


def _possible(setting: Setting, values: Array) -> Array:
    return values if setting.real else numpy.clip(values, 0, 1)


def _zero(difference: float) -> float:
    """A residue of floating point is no difference."""
    return 0.0 if abs(difference) < 1e-9 else difference


def _normal(chances: Array) -> Array:
    return special.ndtri(chances)


def _skewed(chances: Array) -> Array:
    """Most seeds a little above the mean, few far below it: an exponential distribution, turned round."""
    return 1 + numpy.log(chances)


def _two_valued(chances: Array) -> Array:
    """One seed in ten is bad."""
    return numpy.where(chances < 0.1, -0.9, 0.1) / 0.3


def _half_bad(chances: Array) -> Array:
    """One seed in two is bad."""
    return numpy.where(chances < 0.5, -1.0, 1.0)


@cache
def _lattice(shape: str) -> Array:
    return SHAPES[shape]((numpy.arange(LATTICE) + 0.5) / LATTICE)


# Each turns chances from 0 to 1 into values of mean 0 and standard deviation 1.
SHAPES: dict[str, Callable[[Array], Array]] = {
    "normal": _normal,
    "skewed": _skewed,
    "two-valued": _two_valued,
    "half bad": _half_bad,
}
