"""What each value of an axis does: its mean, and its paired difference to the axis's baseline with a verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from workbench.reports.design import Design
from workbench.reports.statistics import LEVEL, Estimate, Interval, Sample, estimate_of, holm

BASELINE, BETTER, WORSE, UNCLEAR, NO_RESULT = "baseline", "better", "worse", "not distinguishable", "no result"


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


def best_effect(effects: Sequence[Effect], higher_is_better: bool) -> Effect:
    """The one whose value has the best mean."""
    sign = 1 if higher_is_better else -1
    return max(effects, key=lambda effect: sign * effect.mean.estimate)


def _mean(design: Design, sample: Sample, label: str) -> Interval:
    return estimate_of(sample, design.weights(label, design.cells_for(label)), design.groups).interval


def _against(design: Design, sample: Sample, label: str, baseline: str) -> Estimate | None:
    """The paired difference to the baseline, or None when there is nothing to compare."""
    if label == baseline or not {label, baseline} <= set(design.present):
        return None
    cells = design.cells_for(label, baseline)
    if not cells:
        return None
    return estimate_of(sample, design.weights(label, cells) - design.weights(baseline, cells), design.groups)


def _verdict(difference: Interval, p: float, higher_is_better: bool) -> str:
    if math.isnan(p):
        return NO_RESULT
    if p >= 1 - LEVEL:
        return UNCLEAR
    return BETTER if (difference.estimate > 0) == higher_is_better else WORSE


def _nothing() -> Interval:
    return Interval(math.nan, math.nan, math.nan)
