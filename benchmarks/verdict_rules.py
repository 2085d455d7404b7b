"""What a study makes a rule claim: the reports' own functions, and the rule they had before.

A rule is a function of a study and a number of resamples. `ours` alone knows the interface of `workbench.reports`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy
from paired_holm import paired_holm
from simulated_studies import AXES, Array, Study

from workbench.statistics.bootstrap import image_draws
from workbench.statistics.comparisons import AS_DEFAULT, Comparisons, Rules, make_comparisons
from workbench.statistics.design import Design
from workbench.statistics.effects import Effect, axis_effects, best_effect
from workbench.statistics.estimates import Interval, Sample
from workbench.statistics.verdicts import BETTER, DEPENDS, MODEL_BETTER, MODEL_WORSE, MODELS_DEPEND, WORSE

MEAN, TABLE, HEADLINE, DEPENDENCE = "mean", "table", "headline", "dependence"
SIGNS = {BETTER: 1, WORSE: -1, MODEL_BETTER: 1, MODEL_WORSE: -1}


@dataclass(frozen=True)
class Claim:
    """One number or verdict of a page, and the truth of it. `told` is 1 for better, -1 for worse, 0 where nothing is
    told; `family` names the table it stands in."""

    kind: str
    family: str
    truth: float
    low: float
    high: float
    told: int = 0

    @property
    def false(self) -> bool:
        """Whether something is told that is not so, or not in that direction."""
        return self.told != 0 and self.told != numpy.sign(self.truth)

    @property
    def covers(self) -> bool:
        # A residue of floating point is no miss.
        return self.low - 1e-9 <= self.truth <= self.high + 1e-9


Rule = Callable[[Study, int], list[Claim]]


def ours(study: Study, resamples: int, rules: Rules = AS_DEFAULT) -> list[Claim]:
    """Every verdict that a page of reports tells, by the functions that it is made with."""
    designs, sample, made = comparisons_of(study, resamples, rules)
    claims = [claim for design in designs for claim in _of_axis(study, design, sample, made)]
    return [*claims, *_dependences(study, designs, made)]


def comparisons_of(study: Study, resamples: int, rules: Rules = AS_DEFAULT) -> tuple[list[Design], Sample, Comparisons]:
    """What a report of that study compares: along which axes, of which scores, and what is found."""
    estimates, replicates = resampled(study, resamples)
    limits = (-numpy.inf, numpy.inf) if study.setting.real else (0.0, 1.0)
    sums = numpy.stack([study.sums, study.counts], 1)
    sample = Sample(estimates, replicates, study.seeds, study.setting.images, limits, sums)
    designs = [Design(study.axes, axis, labels, _trained(study)) for axis, labels in study.labels.items()]
    made = make_comparisons(designs, sample, [design.labels[0] for design in designs], rules)
    return designs, sample, made


def baseline_alone(study: Study, resamples: int) -> list[Claim]:
    """With `statistics: {pairs: baseline}` in the experiment."""
    return ours(study, resamples, Rules(pairs="baseline"))


def equal_spread(study: Study, resamples: int) -> list[Claim]:
    """With `statistics: {equal_spread: true}` in the experiment."""
    return ours(study, resamples, Rules(equal_spread=True))


def before(study: Study, resamples: int) -> list[Claim]:
    """The first axis's table by the rule that reports had."""
    estimates, replicates = resampled(study, resamples)
    axis, labels = AXES[0], study.labels[AXES[0]]
    others = [tuple(row) for row in study.axes[list(study.labels)[1:]].to_numpy()]
    values = list(study.axes[axis])
    found = paired_holm(estimates, replicates, values, others, study.seeds, labels[0], study.setting.images)
    return [
        Claim(TABLE, axis, study.difference(axis, value, labels[0]), each.low, each.high, each.told)
        for value, each in found.items()
    ]


def resampled(study: Study, resamples: int) -> tuple[Array, Array]:
    """The mean score of each trial [T], and with images drawn anew [B,T]: what `resampled_means` gives."""
    draws = _draws(study.setting.images, resamples)
    return study.sums.sum(1) / study.counts.sum(1), (draws @ study.sums.T) / (draws @ study.counts.T)


@cache
def _draws(images: int, resamples: int) -> Array:
    """[B,P], which the reports draw afresh, and always alike."""
    return numpy.concatenate(list(image_draws(images, resamples)))


def _trained(study: Study) -> list[frozenset[str]]:
    """The trained stages of each trial: those of a seed share one where there is a base."""
    shared = study.setting.shared
    return [frozenset([seed if shared else f"{place}/{seed}"]) for place, seed in enumerate(study.seeds)]


def _of_axis(study: Study, design: Design, sample: Sample, made: Comparisons) -> Iterator[Claim]:
    """The table against the baseline, and the headline against the leader."""
    axis, baseline = design.axis, design.labels[0]
    effects = axis_effects(design, sample, baseline, True, made)
    for effect in effects:
        yield _claim(MEAN, axis, study.mean(axis, effect.value), effect.mean)
    leader = best_effect(effects, True).value
    for kind, against in ((TABLE, baseline), (HEADLINE, leader)):
        for effect in axis_effects(design, sample, against, True, made):
            if effect.value != against:
                truth = _truth(study, design, effect, against)
                yield _claim(kind, axis, truth, effect.difference, SIGNS.get(effect.verdict, 0))


def _truth(study: Study, design: Design, effect: Effect, against: str) -> float:
    """Of the methods, or of the models that are compared, where that is all that is claimed."""
    if effect.luck:
        return study.difference(design.axis, effect.value, against)
    weights = design.difference(effect.value, against, design.cells_for(effect.value, against))
    truth = float(weights @ study.accuracies)
    return 0.0 if abs(truth) < 1e-9 else truth


def _dependences(study: Study, designs: list[Design], made: Comparisons) -> Iterator[Claim]:
    """Each is told twice, as either axis sees it; here once. Of trained models, it is about what they are worth."""
    order = [design.axis for design in designs]
    for each in made.interactions:
        if order.index(each.axis) < order.index(each.other):
            asked = (each.axis, each.value, each.baseline), (each.other, each.at, each.reference)
            of_models = numpy.isnan(each.p)
            truth = study.trained_change(*asked) if of_models else study.change(*asked)
            told = int(numpy.sign(each.change.estimate)) if each.verdict in (DEPENDS, MODELS_DEPEND) else 0
            yield _claim(DEPENDENCE, DEPENDENCE, truth, each.change, told)


def _claim(kind: str, family: str, truth: float, interval: Interval, told: int = 0) -> Claim:
    return Claim(kind, family, truth, interval.low, interval.high, told)
