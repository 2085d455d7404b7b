"""What the results say, in sentences made from the statistics: the answer of a report and a line for each axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from workbench.reports.interactions import DEPENDS
from workbench.reports.number_format import Notation, duration, joined, megabytes, p_value, significant, spoken
from workbench.reports.results_data import GAIN, Study
from workbench.reports.staleness_notes import out_of_date
from workbench.reports.statistics import BETTER, UNCLEAR, WORSE, Effect, Interval
from workbench.reports.tables import notation_of, trial_intervals

MANY = 4  # values of one verdict: more are told together
NOTICEABLE, LARGE = 0.05, 0.1  # shares by which a cost changes: less is left out of the details, and of the answer

PRICES = (
    ("bytes", "bytes", megabytes, "MB"),
    ("latency_ms", "latency", significant, "ms"),
    ("training_seconds", "training time", significant, "s"),
)
OF_THE_MACHINE = ("latency_ms", "training_seconds")


VERBS = (
    (BETTER, "is better than", "are better than"),
    (WORSE, "is worse than", "are worse than"),
    (UNCLEAR, "cannot be told from", "cannot be told from"),
)


@dataclass(frozen=True)
class Finding:
    """One axis in words: a headline, and the sentences that back it."""

    axis: str
    headline: str
    details: str


def answer(study: Study) -> list[str]:
    """The answer in a few sentences, the most important one first: if it is out of date, that."""
    return [*out_of_date(study), *_answer(study)]


def finding(study: Study, axis: str) -> Finding:
    """One axis: who leads, by how much, who cannot be told from the leader, and what each value costs."""
    notation, name = notation_of(study, study.primary), spoken(axis)
    effects = [effect for effect in study.effects(axis) if not math.isnan(effect.mean.estimate)]
    if len(effects) < 2:
        return Finding(axis, f"{name}: nothing to compare", "Fewer than two values have finished trials.")
    leader = _leader(study, effects)
    others = {each.value: each for each in study.effects(axis, baseline=leader.value) if each.value != leader.value}
    uneven = [each for each in _dependences(study) if each[0] == axis]
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
    sentences = [_lead(leader, [others[value] for value in behind], notation)] if behind else []
    if len(tied) > MANY:
        sentences.append(_ties(leader, [others[value] for value in tied], notation))
    else:
        sentences += [_tie(leader, others[value], notation) for value in tied]
    sentences += [_dependence(study, *each, notation) for each in uneven]
    price = _price(study, axis, effects, NOTICEABLE)
    sentences += [f"{price}."] if price else []
    return Finding(axis, headline, " ".join(sentences))


def key_figures(study: Study) -> list[tuple[str, str, str]]:
    """The strip of a report: (figure, unit, what it is)."""
    figures = [(f"{len(study.done)} of {study.expected}", "", "trials finished")]
    best = best_trial(study)
    if best is None:
        return figures
    notation, record = notation_of(study, study.primary), study.done[best]
    estimate = float(study.samples[study.primary].estimates[best])
    figures.append(
        (
            notation.value(estimate),
            notation.unit,
            f"best {notation.words}{', out of date' if record.id in study.stale else ''}",
        )
    )
    if study.has_gain:
        gain = notation_of(study, GAIN)
        value = float(study.samples[GAIN].estimates[best])
        figures.append((gain.value(value), gain.difference_unit, "of it from the image (visual gain)"))
    for name, unit, words, show in (
        ("bytes", "MB", "size of that model", megabytes),
        ("latency_ms", "ms", "for an answer", significant),
    ):
        if not math.isnan(record.metrics.get(name, math.nan)):
            figures.append((show(record.metrics[name]), unit, words))
    seconds = float(sum(each for each in study.numbers("training_seconds") if not math.isnan(each)))
    return [*figures, (duration(seconds), "", "of training, were nothing shared")] if seconds else figures


def best_trial(study: Study) -> int | None:
    """The place of the trial with the best primary metric."""
    if study.primary not in study.samples:
        return None
    estimates = study.samples[study.primary].estimates
    sign = 1 if study.scale(study.primary).higher_is_better else -1
    known = [place for place in range(len(estimates)) if not math.isnan(estimates[place])]
    return max(known, key=lambda place: sign * estimates[place]) if known else None


def progress(study: Study) -> str:
    """How much of the experiment the answer rests on; nothing when that is all of it."""
    if not study.done or len(study.done) == study.expected:
        return ""
    waiting = study.expected - len(study.records)
    open_ends = [f"{len(study.failed)} failed"] * bool(study.failed) + [f"{waiting} have no result yet"] * bool(waiting)
    told = (
        f"{len(study.done)} of {study.expected} trials have finished, {joined(open_ends)}: what follows is from those."
    )
    return f"{told} {_to_run(study)}".rstrip()


def _answer(study: Study) -> list[str]:
    if not study.done:
        return _no_answer(study)
    if study.primary not in study.samples:
        return [f"No trial has predictions scored by {spoken(study.primary)}, so nothing can be compared."]
    notation = notation_of(study, study.primary)
    if not study.compared:
        return [_lone(study, notation), *_seeing(study)]
    effects = {axis: study.effects(axis) for axis in study.compared}
    winners = {axis: winner for axis, found in effects.items() if (winner := _winner(study, found))}
    choice = joined([f"{spoken(axis)} {winner.value}" for axis, winner in winners.items()])
    baseline = joined([f"{spoken(axis)} {study.baseline(axis)}" for axis in study.compared])
    if winners:
        lead = f"Best of what was tried: {choice}."
    elif any(effect.verdict == WORSE for found in effects.values() for effect in found):
        lead = f"Nothing that was tried beats the baseline: {baseline}."
    else:
        lead = f"No difference to the baseline can be told: {baseline}."
    once = [each for each in _dependences(study) if study.compared.index(each[0]) < study.compared.index(each[2])]
    depends = [_dependence(study, *each, notation) for each in once[:1]]
    depends += ["More such stand under 'Across axes'."] if len(once) > 1 else []
    gaps = [text for axis, found in effects.items() if (text := _evidence(study, axis, found, notation))]
    prices = [text for axis, found in effects.items() if (text := _price(study, axis, found, LARGE, briefly=True))]
    costs = [f"Costs: {'; '.join(prices)}."] if prices else []
    return [lead, f"{'; '.join(gaps)}.", *depends, *costs, *_seeing(study)]


def _no_answer(study: Study) -> list[str]:
    if study.failed:
        every = len(study.failed) == study.expected
        failed = f"all {study.expected} trials" if every else f"{len(study.failed)} of {study.expected} trials"
        return [
            f"There is no answer: {failed} failed{'' if every else ', and none has finished'}.",
            "Why they failed stands below.",
        ]
    told = f"There is no answer yet: none of {study.expected} trials has finished."
    return [f"{told} {_to_run(study)}".rstrip()]


def _to_run(study: Study) -> str:
    """What runs the trials that are missing, where that is known."""
    return f"{study.command} runs what is missing." if study.missing and study.command else ""


def _lone(study: Study, notation: Notation) -> str:
    """When there is nothing to compare: the score itself."""
    intervals = trial_intervals(study, study.primary)
    if len(intervals) == 1:
        bounds = f" (95 % interval {notation.bounds(intervals[0])})"
        return f"The one trial reaches {notation.quantity(intervals[0].estimate)} {notation.words}{bounds}."
    estimates = [each.estimate for each in intervals]
    mean = notation.quantity(sum(estimates) / len(estimates))
    spread = f"{notation.value(min(estimates))} to {notation.value(max(estimates))}"
    return f"{len(estimates)} seeds reach {mean} {notation.words} on average, from {spread}."


def _winner(study: Study, effects: Sequence[Effect]) -> Effect | None:
    """The best of the values that beat the baseline of their axis."""
    better = [effect for effect in effects if effect.verdict == BETTER]
    return _leader(study, better) if better else None


def _evidence(study: Study, axis: str, effects: Sequence[Effect], notation: Notation) -> str:
    """Every value of an axis against its baseline, and who cannot be told from the winner."""
    baseline, parts = study.baseline(axis), []
    uneven = {value for each, value, _ in _dependences(study) if each == axis}
    for verdict, one, several in VERBS:
        alike = [effect for effect in effects if effect.verdict == verdict]
        if len(alike) > MANY:
            low, high = (pick(alike, key=lambda effect: effect.difference.estimate) for pick in (min, max))
            spread = f"{_gap(low, notation)} for {low.value} to {_gap(high, notation)} for {high.value}"
            parts.append(f"{len(alike)} values {several} {baseline} ({spread})")
            continue
        for effect in alike:
            numbers = f"{_gap(effect, notation)}, {notation.for_gap(effect.difference).bounds(effect.difference)}"
            average = " on average" if effect.value in uneven else ""
            parts.append(f"{effect.value} {one} {baseline}{average} ({numbers})")
    if not parts:
        return f"{spoken(axis)}: no two values can be compared, as trials are missing"
    winner = _winner(study, effects)
    better = [effect.value for effect in effects if effect.verdict == BETTER and effect is not winner]
    if winner and better:
        rivals = study.effects(axis, baseline=winner.value)
        tied = [each.value for each in rivals if each.verdict == UNCLEAR and each.value in better]
        parts += [f"{winner.value} cannot be told from {joined(tied, 'or')}"] if tied else []
    return joined(parts)


def _dependences(study: Study) -> list[tuple[str, str, str]]:
    """Where an average misleads: (axis, value, the axis on which it depends what the value does), the most first."""
    found = [each for each in study.interactions if each.verdict == DEPENDS]
    found.sort(key=lambda each: -abs(each.change.estimate))
    return list(dict.fromkeys((each.axis, each.value, each.other) for each in found))


def _dependence(study: Study, axis: str, value: str, other: str, notation: Notation) -> str:
    """What a value does with each value of the other axis."""
    every = [each for each in study.interactions if (each.axis, each.value, each.other) == (axis, value, other)]
    gaps = [(every[0].reference, every[0].there), *((each.at, each.here) for each in every)]
    told = joined([f"{_signed(gap, notation)} with {label}" for label, gap in gaps])
    return f"That depends on {spoken(other)}: {value} differs from {every[0].baseline} by {told}."


def _signed(gap: Interval, notation: Notation) -> str:
    """As `+14.9 points (12.4 to 17.1)`."""
    written = notation.for_gap(gap)
    return f"{f'{written.signed(gap.estimate)} {notation.difference_unit}'.strip()} ({written.bounds(gap)})"


def _gap(effect: Effect, notation: Notation) -> str:
    signed = notation.for_gap(effect.difference).signed(effect.difference.estimate)
    return f"{signed} {notation.difference_unit}".strip()


def _price(study: Study, axis: str, effects: Sequence[Effect], least: float, briefly: bool = False) -> str:
    """What each value costs against the baseline, where that differs by at least that share."""
    baseline, parts = study.baseline(axis), []

    def apart(value: str, name: str) -> bool:
        """Whether the difference is larger than what other programs may have made of it."""
        (low, high), (base_low, base_high) = (_range(study, axis, each, name) for each in (value, baseline))
        return high < base_low or base_high < low

    for effect in effects:
        if effect.value == baseline or not effect.trials:
            continue
        changes = []
        for name, words, show, unit in PRICES:
            if name in OF_THE_MACHINE and len(study.machines) > 1:
                continue
            cost, before = study.cost(axis, effect.value, name), study.cost(axis, baseline, name)
            if not math.isnan(cost) and before > 0 and abs(cost / before - 1) >= least and apart(effect.value, name):
                times = f"{significant(cost / before, 2)} {'times' if cost > before else 'of'} the {words}"
                changes.append(times if briefly else f"{times} ({show(cost)} rather than {show(before)} {unit})")
        if changes:
            parts.append(f"{effect.value} takes {joined(changes)} of {baseline}")
    return "; ".join(parts)


def _range(study: Study, axis: str, value: str, name: str) -> tuple[float, float]:
    """What a cost may be without the load of other programs, where that was measured: the lowest and the highest."""
    known = [study.cost(axis, value, each) for each in (f"{name}.lowest", name, f"{name}.highest")]
    return min(each for each in known if not math.isnan(each)), max(each for each in known if not math.isnan(each))


def _seeing(study: Study) -> list[str]:
    """Whether the models look at the image at all."""
    if not study.has_gain:
        return []
    notation, intervals = notation_of(study, GAIN), trial_intervals(study, GAIN)
    known = [each for each in intervals if not math.isnan(each.estimate)]
    if not known:
        return []
    low, high = (pick(each.estimate for each in known) for pick in (min, max))
    blind = sum(each.low <= 0 for each in known)
    unit = f" {notation.difference_unit}".rstrip()
    spread = f"{notation.value(low)} to {notation.value(high)}" if len(known) > 1 else notation.value(low)
    worth = f"The image is worth {spread}{unit} over the better control."
    return [worth, f"In {blind} of {len(known)} trials that gain is not surely above zero."] if blind else [worth]


def _leader(study: Study, effects: Sequence[Effect]) -> Effect:
    sign = 1 if study.scale(study.primary).higher_is_better else -1
    return max(effects, key=lambda effect: sign * effect.mean.estimate)


def _lead(leader: Effect, behind: Sequence[Effect], notation: Notation) -> str:
    gaps = [f"{_apart(each, notation)} ahead of {each.value} ({_surely(each, notation)})" for each in behind]
    return f"{leader.value} has {notation.quantity(leader.mean.estimate)} {notation.words}, {joined(gaps)}."


def _tie(leader: Effect, other: Effect, notation: Notation) -> str:
    gap = other.difference
    if gap.low == gap.high == 0:
        return f"{leader.value} and {other.value} have the same scores, image by image."
    apart = _apart(other, notation)
    return f"{leader.value} and {other.value} are {apart} apart, which may be chance ({_surely(other, notation)})."


def _ties(leader: Effect, others: Sequence[Effect], notation: Notation) -> str:
    near, far = (pick(others, key=lambda each: abs(each.difference.estimate)) for pick in (min, max))
    least = min(each.p for each in others)
    return (
        f"{len(others)} others are {_apart(near, notation)} ({near.value}) to {_apart(far, notation)} ({far.value})"
        f" behind {leader.value}, which may be chance (p = {p_value(least)} or more)."
    )


def _apart(effect: Effect, notation: Notation) -> str:
    return notation.for_gap(effect.difference).distance(effect.difference.estimate)


def _surely(effect: Effect, notation: Notation) -> str:
    """The interval of a distance, counted so that the distance is positive, and p."""
    gap = effect.difference
    turned = gap if gap.estimate > 0 else Interval(-gap.estimate, -gap.high, -gap.low)
    return f"95 % interval {notation.for_gap(gap).bounds(turned)}, p {_relation(effect.p)}"


def _relation(p: float) -> str:
    text = p_value(p)
    return f"< {text[1:]}" if text.startswith("<") else f"= {text}"
