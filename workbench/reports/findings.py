"""What the results say of one axis, in sentences made from the statistics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from workbench.reports.cost_notes import NOTICEABLE, price
from workbench.reports.effects import UNCLEAR, WORSE, Effect, best_effect
from workbench.reports.experiment_results import Study
from workbench.reports.interaction_notes import dependence_sentence, dependences
from workbench.reports.metric_format import MetricFormat
from workbench.reports.number_format import p_value
from workbench.reports.statistics import Interval
from workbench.reports.tables import format_of
from workbench.reports.wording import joined, spoken

MANY = 4  # values of one verdict: more are told together


@dataclass(frozen=True)
class Finding:
    """One axis in words: a headline, and the sentences that back it."""

    axis: str
    headline: str
    details: str


def finding(study: Study, axis: str) -> Finding:
    """One axis: who leads, by how much, who cannot be told from the leader, and what each value costs."""
    form, name = format_of(study, study.primary), spoken(axis)
    effects = [effect for effect in study.effects(axis) if not math.isnan(effect.mean.estimate)]
    if len(effects) < 2:
        return Finding(axis, f"{name}: nothing to compare", "Fewer than two values have finished trials.")
    leader = best_effect(effects, study.scale(study.primary).higher_is_better)
    others = {each.value: each for each in study.effects(axis, baseline=leader.value) if each.value != leader.value}
    uneven = [each for each in dependences(study) if each[0] == axis]
    tied = [value for value, each in others.items() if each.verdict == UNCLEAR]
    behind = [value for value, each in others.items() if each.verdict == WORSE]
    if not behind:
        headline = f"{name}: no difference can be told"
    elif len(tied) > MANY:
        headline = f"{name}: {leader.value} leads, and {len(tied)} others cannot be told from it"
    elif tied:
        headline = f"{name}: {joined([leader.value, *tied])} lead, and cannot be told apart"
    else:
        headline = f"{name}: {leader.value} is best{' on average' if uneven else ''}"
    sentences = [_lead(leader, [others[value] for value in behind], form)] if behind else []
    if len(tied) > MANY:
        sentences.append(_ties(leader, [others[value] for value in tied], form))
    else:
        sentences += [_tie(leader, others[value], form) for value in tied]
    sentences += [dependence_sentence(study, *each, form) for each in uneven]
    costs = price(study, axis, effects, NOTICEABLE)
    sentences += [f"{costs}."] if costs else []
    return Finding(axis, headline, " ".join(sentences))


def _lead(leader: Effect, behind: Sequence[Effect], form: MetricFormat) -> str:
    gaps = [f"{_apart(each, form)} ahead of {each.value} ({_surely(each, form)})" for each in behind]
    return f"{leader.value} has {form.quantity(leader.mean.estimate)} {form.words}, {joined(gaps)}."


def _tie(leader: Effect, other: Effect, form: MetricFormat) -> str:
    gap = other.difference
    if gap.low == gap.high == 0:
        return f"{leader.value} and {other.value} have the same scores, image by image."
    apart = _apart(other, form)
    return f"{leader.value} and {other.value} are {apart} apart, which may be chance ({_surely(other, form)})."


def _ties(leader: Effect, others: Sequence[Effect], form: MetricFormat) -> str:
    near, far = (pick(others, key=lambda each: abs(each.difference.estimate)) for pick in (min, max))
    least = min(each.p for each in others)
    return (
        f"{len(others)} others are {_apart(near, form)} ({near.value}) to {_apart(far, form)} ({far.value})"
        f" behind {leader.value}, which may be chance (p = {p_value(least)} or more)."
    )


def _apart(effect: Effect, form: MetricFormat) -> str:
    return form.for_gap(effect.difference).distance(effect.difference.estimate)


def _surely(effect: Effect, form: MetricFormat) -> str:
    """The interval of a distance, counted so that the distance is positive, and p."""
    gap = effect.difference
    turned = gap if gap.estimate > 0 else Interval(-gap.estimate, -gap.high, -gap.low)
    return f"95 % interval {form.for_gap(gap).bounds(turned)}, p {_relation(effect.p)}"


def _relation(p: float) -> str:
    text = p_value(p)
    return f"< {text[1:]}" if text.startswith("<") else f"= {text}"
