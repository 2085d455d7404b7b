"""What each value of an axis does: its mean, and its difference to the axis's baseline with a verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from workbench.statistics.comparisons import AS_DEFAULT, Comparison, Comparisons, Rules, make_comparisons
from workbench.statistics.design import Design
from workbench.statistics.estimates import SHARE, Interval, Sample, estimate_of
from workbench.statistics.power import detectable_difference
from workbench.statistics.seed_noise import Spread
from workbench.statistics.verdicts import BASELINE, NO_RESULT, UNCLEAR, difference_verdict

NOTHING = Interval(math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class Effect:
    """What one value of an axis does, on average over the other axes and seeds.

    `difference` is to the baseline value, over the same cells; `p` is corrected for all that is asked with it, and
    `verdict` one of `verdicts.py`. Where the luck of training is not covered (`luck`), there is no p of the methods: it
    is NaN. `own_spread_p` is p were it not declared that all have an equal spread. `detectable` is, of what is not
    distinguishable, the true difference that would be (`power.py`); infinite where none would.
    """

    value: str
    trials: int
    seeds: int
    mean: Interval
    difference: Interval
    p: float
    verdict: str
    luck: bool = True
    own_spread_p: float = math.nan
    detectable: float = math.nan


def axis_effects(
    design: Design,
    sample: Sample,
    baseline: str,
    higher_is_better: bool,
    comparisons: Comparisons | None = None,
    rules: Rules = AS_DEFAULT,
) -> list[Effect]:
    """Every value of an axis: its mean, its difference to the baseline value, and whether that is more than chance.

    `comparisons` are those of the whole report; by default those of this axis alone are made.
    """
    made = comparisons or make_comparisons([design], sample, [baseline], rules)
    effects = []
    for label, mean in zip(design.labels, value_means(design, sample, rules.spread), strict=True):
        chosen = [place for place, group in enumerate(design.groups) if group[0] == label]
        seeds = len({sample.seeds[place] for place in chosen})
        found = made.pairs.get((design.axis, label, baseline))
        if found is None:
            verdict = BASELINE if label == baseline and chosen else NO_RESULT
            effects.append(Effect(label, len(chosen), seeds, mean, NOTHING, math.nan, verdict))
            continue
        verdict = difference_verdict(found.estimate, found.p, found.same_answers, higher_is_better)
        luck = found.estimate.luck
        p = [each if luck and each is not None else math.nan for each in (found.p, found.own_spread_p)]
        unseen = _detectable(found, sample, mean.estimate) if verdict == UNCLEAR else math.nan
        effects.append(
            Effect(label, len(chosen), seeds, mean, found.estimate.interval, p[0], verdict, luck, p[1], unseen)
        )
    return effects


def value_means(design: Design, sample: Sample, spread: Spread | None = None) -> list[Interval]:
    """The mean of each value of an axis over the other axes and seeds."""
    found = dict.fromkeys(design.labels, NOTHING)
    for label in design.present:
        weights = design.weights(label, design.cells_for(label))
        found[label] = estimate_of(sample, weights, design.configurations, design.strata, spread).interval
    return [found[label] for label in design.labels]


def best_effect(effects: Sequence[Effect], higher_is_better: bool) -> Effect:
    """The one whose value has the best mean."""
    sign = 1 if higher_is_better else -1
    return max(effects, key=lambda effect: sign * effect.mean.estimate)


def _detectable(found: Comparison, sample: Sample, mean: float) -> float:
    """Within what two values of the metric can be apart; of shares the `mean` of one matters."""
    known = replace(found.estimate.precision, most=sample.limits[1] - sample.limits[0])
    return detectable_difference(replace(known, share=mean) if sample.limits == SHARE else known, found.level)
