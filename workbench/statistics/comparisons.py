"""Every comparison a report makes, each made once: the pairs of values of each axis, and whether what one axis does
depends on another. They are one family, so that a page contradicts itself nowhere, and of 100 reports at most 5 claim
something anywhere that is only chance (`families.py`).

Most of the error that is allowed goes to comparisons with the baselines, each axis as much as the others; a tenth each
to pairs of other values and to dependences. What a kind does not need, and what is left of it, passes to the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

from workbench.statistics.bootstrap import Array
from workbench.statistics.design import Design
from workbench.statistics.estimates import LEVEL, Estimate, Interval, Sample, estimate_of
from workbench.statistics.families import corrected
from workbench.statistics.interactions import Dependence, Interaction, dependences_of
from workbench.statistics.seed_noise import Spread, pooled_spread

BASELINES, OTHERS, DEPENDENCES = 0.8, 0.1, 0.1  # shares of the error allowed
MOST_PAIRS = 1_000  # of an axis: with more, each value is compared with the baseline alone

SameAnswers = Callable[[int, int], bool]


@dataclass(frozen=True)
class Rules:
    """How comparisons are made.

    `correction`: for all comparisons of the report, or for those of each table by itself. `pairs`: all, of which those
    with the baseline weigh most (`baseline_first`) or as much as others (`all`), or those with the baseline alone.
    `spread`: what is known from elsewhere of the luck of training. `equal_spread`: all configurations are declared to
    have the same.
    """

    correction: Literal["report", "table"] = "report"
    pairs: Literal["baseline_first", "all", "baseline"] = "baseline_first"
    spread: Spread | None = None
    equal_spread: bool = False


AS_DEFAULT = Rules()


@dataclass(frozen=True)
class Comparison:
    """Two values of an axis: what the first has more than the second, with p corrected for all that is asked.

    `same_answers`: to every question, trial by trial. `seeds` counts those compared, of the configuration with the
    fewest; `fewer`, whether trials were left out for a seed that the other value has not; `level` is what p may be
    before it is corrected, were all else only luck. `own_spread_p` is what p were without the declaration that all have
    an equal spread.
    """

    estimate: Estimate
    p: float
    same_answers: bool
    seeds: int
    fewer: bool
    level: float
    own_spread_p: float | None = None

    def turned(self) -> Comparison:
        """The same, seen from the other value."""
        found = self.estimate.interval
        interval = Interval(-found.estimate + 0.0, -found.high + 0.0, -found.low + 0.0)
        return replace(self, estimate=replace(self.estimate, interval=interval))


@dataclass(frozen=True)
class Comparisons:
    """What was found: of two values of an axis by (axis, value, against), from either side; and every dependence."""

    pairs: dict[tuple[str, str, str], Comparison]
    interactions: list[Interaction]
    asked: int


@dataclass(frozen=True)
class Pair:
    """Two values to be compared: `weights` [T] make what the first has more than the second."""

    design: Design
    value: str
    against: str
    weights: Array
    share: float


def make_comparisons(
    designs: Sequence[Design],
    sample: Sample,
    baselines: Sequence[str],
    rules: Rules = AS_DEFAULT,
    same_answers: SameAnswers | None = None,
) -> Comparisons:
    """Compare along the axes of all designs, which have the same trials; `baselines` are those of the axes.

    `same_answers` says of two trials, by their places, whether they gave the same answers.
    """
    pairs, dependences = pairs_of(designs, baselines, rules), dependences_of(designs, baselines)
    asked = [*pairs, *dependences]
    spread = _spread(designs, sample, rules)
    estimates = _estimates(asked, sample, spread)
    p, levels = _corrected(asked, estimates, rules), levels_of(asked, rules, [each.p for each in estimates])
    own = _corrected(asked, _estimates(asked, sample, rules.spread), rules) if rules.equal_spread else None
    found: dict[tuple[str, str, str], Comparison] = {}
    for place, pair in enumerate(pairs):
        design, value, against = pair.design, pair.value, pair.against
        comparison = Comparison(
            estimates[place],
            p[place],
            _same(pair, sample, estimates[place], same_answers),
            design.seeds_compared(pair.weights),
            design.leaves_out(pair.weights, value, against),
            levels[place],
            own[place] if own else None,
        )
        found[design.axis, value, against] = comparison
        found[design.axis, against, value] = comparison.turned()
    interactions = [
        each
        for question, estimate, corrected_p in zip(dependences, estimates[len(pairs) :], p[len(pairs) :], strict=True)
        for each in question.told(sample, estimate, corrected_p, spread)
    ]
    return Comparisons(found, interactions, len(asked))


def pairs_of(designs: Sequence[Design], baselines: Sequence[str], rules: Rules) -> list[Pair]:
    """Every two values that a report compares, along all axes."""
    return [pair for each in zip(designs, baselines, strict=True) for pair in _pairs(*each, len(designs), rules)]


def levels_of(asked: Sequence[Pair | Dependence], rules: Rules, p: Sequence[float] | None = None) -> list[float]:
    """What p of each may be for it to be called real, were all others of its family only luck: its share of 5 %. Those
    whose `p` is NaN count for nothing."""
    shares, levels = _shares(asked), [math.nan] * len(asked)
    for places in _families(asked, rules).values():
        known = [place for place in places if p is None or not math.isnan(p[place])]
        whole = sum(shares[place] for place in known)
        for place in known:
            levels[place] = (1 - LEVEL) * shares[place] / whole
    return levels


def _pairs(design: Design, baseline: str, axes: int, rules: Rules) -> list[Pair]:
    """The pairs of an axis that can be compared."""
    present = [label for label in design.present if label != baseline]
    based = [(label, baseline) for label in present] if baseline in design.present else []
    others = [(second, first) for first, second in combinations(present, 2)]
    if rules.pairs == "baseline" or len(based) + len(others) > MOST_PAIRS:
        others = []
    shares = {pair: (BASELINES if pair in based else OTHERS) for pair in (*based, *others)}
    counts = {BASELINES: len(based), OTHERS: len(others)}
    if rules.pairs == "all":
        shares, counts = dict.fromkeys(shares, BASELINES + OTHERS), {BASELINES + OTHERS: len(shares)}
    found = []
    for (value, against), share in shares.items():
        cells = design.cells_for(value, against)
        if cells:
            weights = design.difference(value, against, cells)
            found.append(Pair(design, value, against, weights, share / counts[share] / axes))
    return found


def _estimates(asked: Sequence[Pair | Dependence], sample: Sample, spread: Spread | None) -> list[Estimate]:
    return [estimate_of(sample, each.weights, each.design.configurations, each.design.strata, spread) for each in asked]


def _corrected(asked: Sequence[Pair | Dependence], estimates: Sequence[Estimate], rules: Rules) -> list[float]:
    """p of each, corrected for its family: all, or those of its table."""
    shares = _shares(asked)
    p = [math.nan] * len(asked)
    for places in _families(asked, rules).values():
        found = corrected([estimates[place] for place in places], [shares[place] for place in places])
        for place, each in zip(places, found, strict=True):
            p[place] = each
    return p


def _families(asked: Sequence[Pair | Dependence], rules: Rules) -> dict[str, list[int]]:
    """What is corrected together: all, or the comparisons of each table."""
    families: dict[str, list[int]] = {}
    for place, each in enumerate(asked):
        table = "dependences" if isinstance(each, Dependence) else f"axis {each.design.axis}"
        families.setdefault(table if rules.correction == "table" else "report", []).append(place)
    return families


def _shares(asked: Sequence[Pair | Dependence]) -> list[float]:
    """Of the error allowed."""
    dependences = sum(isinstance(each, Dependence) for each in asked)
    return [each.share if isinstance(each, Pair) else DEPENDENCES / dependences for each in asked]


def _spread(designs: Sequence[Design], sample: Sample, rules: Rules) -> Spread | None:
    """The spread between seeds that is not each configuration's own."""
    if not rules.equal_spread or not designs:
        return rules.spread
    scores: dict[tuple[str, ...], list[float]] = {}
    for configuration, estimate in zip(designs[0].configurations, sample.estimates, strict=True):
        scores.setdefault(configuration, []).append(float(estimate))
    pooled = pooled_spread(scores.values())
    return replace(pooled, everywhere=True) if pooled else rules.spread


def _same(pair: Pair, sample: Sample, estimate: Estimate, same_answers: SameAnswers | None) -> bool:
    """Asked of the answers only where no score of any image tells the two apart."""
    if same_answers is None or estimate.interval.estimate != 0 or estimate.over_images.any():
        return False
    design = pair.design
    trials = design.pairs(pair.value, pair.against, design.cells_for(pair.value, pair.against))
    return bool(trials) and all(same_answers(*each) for each in trials)
