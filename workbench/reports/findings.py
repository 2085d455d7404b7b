"""What the results say of one axis, in sentences made from the statistics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from workbench.reports.cost_notes import NOTICEABLE, price
from workbench.reports.experiment_results import Study
from workbench.reports.interaction_notes import dependence_sentence, dependences
from workbench.reports.metric_format import MetricFormat
from workbench.reports.number_format import p_value
from workbench.reports.power_notes import detectable_sentence
from workbench.reports.tables import format_of
from workbench.reports.wording import joined, spoken
from workbench.statistics.effects import Effect, best_effect
from workbench.statistics.estimates import Interval
from workbench.statistics.verdicts import BETTER_OF_ANY, NO_RESULT, SAME, UNCLEAR, WORSE_OF_ANY

MANY = 4  # values of one verdict: more are told together


@dataclass(frozen=True)
class Finding:
    """One axis in words: a headline, and the sentences that back it."""

    axis: str
    headline: str
    details: str


@dataclass(frozen=True)
class Ranking:
    """The values of an axis as they stand against one of them: the one with the best mean, or, where not all pairs were
    compared, the baseline. `luck` is whether all that is said covers the luck of training."""

    reference: Effect
    ahead: Sequence[Effect]
    tied: Sequence[Effect]
    same: Sequence[Effect]
    behind: Sequence[Effect]

    @property
    def luck(self) -> bool:
        """Whether what is told is about methods, and not about single trained models."""
        return all(each.luck for each in (*self.ahead, *self.tied, *self.behind))


def finding(study: Study, axis: str) -> Finding:
    """One axis: who leads, by how much, who cannot be told from the leader, and what each value costs."""
    form, name = format_of(study, study.primary), spoken(axis)
    effects = [effect for effect in study.effects(axis) if not math.isnan(effect.mean.estimate)]
    if len(effects) < 2:
        return Finding(axis, f"{name}: nothing to compare", "Fewer than two values have finished trials.")
    ranking = _ranking(study, axis, effects)
    uneven = [each for each in dependences(study) if each[0] == axis]
    sentences = _sentences(ranking, form)
    sentences += [dependence_sentence(study, *each, form) for each in uneven]
    costs = price(study, axis, effects, NOTICEABLE)
    sentences += [f"{costs}."] if costs else []
    return Finding(axis, f"{name}: {_headline(ranking, bool(uneven))}", " ".join(sentences))


def _ranking(study: Study, axis: str, effects: Sequence[Effect]) -> Ranking:
    leader = best_effect(effects, study.scale(study.primary).higher_is_better)
    baseline, values = study.baseline(axis), {each.value for each in effects}
    found: list[Effect] = []
    for value in dict.fromkeys((leader.value, baseline)):
        found = [each for each in study.effects(axis, baseline=value) if each.value in values and each.value != value]
        if not any(each.verdict == NO_RESULT for each in found):
            leader = next((each for each in effects if each.value == value), leader)
            break
    verdicts = {each.value: each.verdict for each in found}
    parts = [[each for each in found if verdicts[each.value] in kind] for kind in (BETTER_OF_ANY, WORSE_OF_ANY)]
    tied, same = ([each for each in found if verdicts[each.value] == kind] for kind in (UNCLEAR, SAME))
    return Ranking(leader, parts[0], tied, same, parts[1])


def _headline(ranking: Ranking, uneven: bool) -> str:
    name, average = ranking.reference.value, " on average" if uneven else ""
    tied = [each.value for each in (*ranking.same, *ranking.tied)]
    if ranking.same and not (ranking.ahead or ranking.tied or ranking.behind):
        return f"{joined([name, *tied])} gave the same answers"
    if ranking.ahead:  # the reference is the baseline
        verb = "better" if ranking.luck else "answered better"
        return f"{joined([each.value for each in ranking.ahead])} {verb} than {name}{average}"
    if not ranking.luck:
        return _of_models(ranking, tied)
    if not ranking.behind:
        return "no difference can be told"
    if len(tied) > MANY:
        return f"{name} leads, and {len(tied)} others cannot be told from it"
    if tied:
        return f"{joined([name, *tied])} lead, and cannot be told apart"
    return f"{name} is{average} the best of {1 + len(ranking.behind)}"


def _of_models(ranking: Ranking, tied: Sequence[str]) -> str:
    if not ranking.behind:
        return "these trained models cannot be told apart"
    leaders = joined([ranking.reference.value, *tied]) if len(tied) <= MANY else ranking.reference.value
    return f"of these trained models, {leaders} answered better than {joined([each.value for each in ranking.behind])}"


def _sentences(ranking: Ranking, form: MetricFormat) -> list[str]:
    told = []
    apart = [*ranking.ahead, *ranking.behind]
    if apart:
        told.append(_lead(ranking.reference, apart, form))
    told += [f"{ranking.reference.value} and {each.value} gave the same answers." for each in ranking.same]
    if len(ranking.tied) > MANY:
        told.append(_ties(ranking.reference, ranking.tied, form))
    else:
        told += [_tie(ranking.reference, each, form) for each in ranking.tied]
    return [*told, *detectable_sentence(ranking.tied, form)]


def _lead(leader: Effect, others: Sequence[Effect], form: MetricFormat) -> str:
    gaps = []
    for each in others:
        where = "ahead of" if each.verdict in WORSE_OF_ANY else "behind"
        gaps.append(f"{_apart(each, form)} {where} {each.value} ({_surely(each, form)})")
    return f"{leader.value} has {form.quantity(leader.mean.estimate)} {form.words}, {joined(gaps)}."


def _tie(leader: Effect, other: Effect, form: MetricFormat) -> str:
    if other.difference.estimate == 0:
        return f"{leader.value} and {other.value} have the same score ({_surely(other, form)})."
    apart = _apart(other, form)
    return f"{leader.value} and {other.value} are {apart} apart, which may be chance ({_surely(other, form)})."


def _ties(leader: Effect, others: Sequence[Effect], form: MetricFormat) -> str:
    near, far = (pick(others, key=lambda each: abs(each.difference.estimate)) for pick in (min, max))
    least = min((each.p for each in others if not math.isnan(each.p)), default=math.nan)
    p = "" if math.isnan(least) else f" (p = {p_value(least)} or more)"
    return (
        f"{len(others)} others are {_apart(near, form)} ({near.value}) to {_apart(far, form)} ({far.value})"
        f" from {leader.value}, which may be chance{p}."
    )


def _apart(effect: Effect, form: MetricFormat) -> str:
    return form.for_gap(effect.difference).distance(effect.difference.estimate)


def _surely(effect: Effect, form: MetricFormat) -> str:
    """The interval of a distance, counted so that the distance is positive, and p where it is about methods."""
    gap = effect.difference
    turned = gap if gap.estimate > 0 else Interval(-gap.estimate, -gap.high, -gap.low)
    bounds = f"95 % interval {form.for_gap(gap).bounds(turned)}"
    return f"{bounds} over the questions" if math.isnan(effect.p) else f"{bounds}, p {_relation(effect.p)}"


def _relation(p: float) -> str:
    text = p_value(p)
    return f"< {text[1:]}" if text.startswith("<") else f"= {text}"
