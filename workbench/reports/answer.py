"""The answer of a report: what the results say in a few sentences, made from the statistics."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from workbench.reports.best_of import in_trials
from workbench.reports.cost_notes import LARGE, price
from workbench.reports.damage_notes import damage
from workbench.reports.experiment_results import GAIN, Study
from workbench.reports.findings import MANY, finding
from workbench.reports.interaction_notes import dependence_sentence, dependences
from workbench.reports.metric_format import MetricFormat
from workbench.reports.staleness_notes import out_of_date
from workbench.reports.tables import format_of, trial_intervals
from workbench.reports.visual_gains import gain_over
from workbench.reports.wording import joined, spoken
from workbench.statistics.effects import Effect, best_effect
from workbench.statistics.verdicts import (
    BASELINE,
    BETTER,
    BETTER_OF_ANY,
    MODEL_BETTER,
    MODEL_WORSE,
    NO_RESULT,
    SAME,
    UNCLEAR,
    WORSE,
)

VERBS = (
    (BETTER, "is better than", "are better than"),
    (MODEL_BETTER, "answered better than", "answered better than"),
    (WORSE, "is worse than", "are worse than"),
    (MODEL_WORSE, "answered worse than", "answered worse than"),
    (SAME, "gave the same answers as", "gave the same answers as"),
    (UNCLEAR, "cannot be told from", "cannot be told from"),
)


def answer(study: Study) -> list[str]:
    """The answer in a few sentences, the most important one first: if results are damaged or out of date, that."""
    return [*damage(study), *out_of_date(study), *_answer(study)]


def progress(study: Study) -> str:
    """How much of the experiment the answer rests on; nothing when that is all of it."""
    if not study.done or len(study.done) == study.expected:
        return ""
    damaged = sum(id_ in study.damaged for id_ in study.summary.trials)
    waiting = study.expected - len(study.records) - damaged
    open_ends = [f"{len(study.failed)} failed"] * bool(study.failed) + [f"{waiting} have no result yet"] * bool(waiting)
    open_ends += [f"{damaged} left out as damaged"] * bool(damaged)
    told = (
        f"{len(study.done)} of {study.expected} trials have finished, {joined(open_ends)}: what follows is from those."
    )
    return f"{told} {_to_run(study)}".rstrip()


def _answer(study: Study) -> list[str]:
    if not study.done:
        return _no_answer(study)
    if study.primary not in study.samples:
        return [f"No trial has predictions scored by {spoken(study.primary)}, so nothing can be compared."]
    form = format_of(study, study.primary)
    if not study.compared:
        return [_lone(study, form), *_seeing(study)]
    effects = {axis: study.effects(axis) for axis in study.compared}
    once = [each for each in dependences(study) if study.compared.index(each[0]) < study.compared.index(each[2])]
    depends = [dependence_sentence(study, *each, form) for each in once[:1]]
    depends += ["More such stand under 'Across axes'."] if len(once) > 1 else []
    gaps = [text for axis, found in effects.items() if (text := _evidence(study, axis, found, form))]
    prices = [text for axis, found in effects.items() if (text := price(study, axis, found, LARGE, briefly=True))]
    costs = [f"Costs: {'; '.join(prices)}."] if prices else []
    return [*_lead(study, effects), f"{'; '.join(gaps)}.", *depends, *costs, *_seeing(study)]


def _lead(study: Study, effects: Mapping[str, Sequence[Effect]]) -> list[str]:
    """What is best, or better than the baseline, of the methods; of one seed, that nothing is said of them."""
    verdicts = {effect.verdict for found in effects.values() for effect in found}
    based = [axis for axis in study.compared if study.baseline(axis) in study.design(axis).present]
    baseline = joined([f"{spoken(axis)} {study.baseline(axis)}" for axis in based])
    winners = {axis: winner for axis, found in effects.items() if (winner := _winner(study, found))}
    best = {axis: winner for axis, winner in winners.items() if _beats_all(study, axis, winner, effects[axis])}
    told = [*_of_models(study, effects), *_asked_otherwise(study)]
    told += [f"{_without_baseline(study, axis)}." for axis in study.compared if axis not in based]
    if not based:
        return told
    if best:
        told.append(f"Best of what was tried: {_choice(best)}; {_how_many(study, best)}.")
    if len(best) < len(winners):
        better = {axis: winner for axis, winner in winners.items() if axis not in best}
        told.append(f"Better than the baseline: {_choice(better)}.")
    if not winners and WORSE in verdicts:
        told.append(f"Nothing that was tried beats the baseline: {baseline}.")
    elif not winners and not verdicts & {MODEL_BETTER, MODEL_WORSE}:
        told.append(f"No difference to the baseline can be told: {baseline}.")
    return told


def _of_models(study: Study, effects: Mapping[str, Sequence[Effect]]) -> list[str]:
    """That what follows, or which part of it, is about trained models, because there is one seed to compare."""
    compared = {
        axis: [each for each in found if each.verdict not in (BASELINE, NO_RESULT)] for axis, found in effects.items()
    }
    single = {axis: [each.value for each in found if not each.luck] for axis, found in compared.items()}
    count, every = (sum(map(len, each.values())) for each in (single, compared))
    if not count:
        return []
    if count == every:
        return ["This is about the models that were trained, from one seed each, and not yet about methods."]
    which = joined([f"{spoken(axis)} {joined(values)}" for axis, values in single.items() if values])
    return [f"What is said of {which} is about the models that were trained, from one seed, and not yet about methods."]


def _asked_otherwise(study: Study) -> list[str]:
    if study.asked_alike:
        return []
    return ["Not all trials answered the same questions: differences between them are in part those of the questions."]


def _without_baseline(study: Study, axis: str) -> str:
    return f"The baseline of {spoken(axis)}, {study.baseline(axis)}, has no finished trial"


def _how_many(study: Study, best: Mapping[str, Effect]) -> str:
    """Of how many: the values of each axis that have results, and the trials that these are."""
    counts = [f"{len(study.design(axis).present)} values of {spoken(axis)}" for axis in best]
    return f"of {joined(counts)}, in {in_trials(study)}"


def _choice(winners: Mapping[str, Effect]) -> str:
    return joined([f"{spoken(axis)} {winner.value}" for axis, winner in winners.items()])


def _beats_all(study: Study, axis: str, winner: Effect, effects: Sequence[Effect]) -> bool:
    """Whether the winner has the best mean, and every other value that was tried is told apart from it, and worse."""
    known = [each for each in effects if not math.isnan(each.mean.estimate)]
    if best_effect(known, study.scale(study.primary).higher_is_better).value != winner.value:
        return False
    others = [each for each in study.effects(axis, baseline=winner.value) if each.trials and each is not winner]
    return all(each.verdict == WORSE for each in others if each.value != winner.value)


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


def _lone(study: Study, form: MetricFormat) -> str:
    """When there is nothing to compare: the score itself."""
    intervals = trial_intervals(study, study.primary)
    if len(intervals) == 1:
        bounds = f" (95 % interval {form.bounds(intervals[0])})"
        return f"The one trial reaches {form.quantity(intervals[0].estimate)} {form.words}{bounds}."
    estimates = [each.estimate for each in intervals]
    mean = form.quantity(sum(estimates) / len(estimates))
    spread = f"{form.value(min(estimates))} to {form.value(max(estimates))}"
    return f"{len(estimates)} seeds reach {mean} {form.words} on average, from {spread}."


def _winner(study: Study, effects: Sequence[Effect], verdicts: Sequence[str] = (BETTER,)) -> Effect | None:
    """The best of the values that beat the baseline of their axis."""
    better = [effect for effect in effects if effect.verdict in verdicts]
    return best_effect(better, study.scale(study.primary).higher_is_better) if better else None


def _evidence(study: Study, axis: str, effects: Sequence[Effect], form: MetricFormat) -> str:
    """Every value of an axis against its baseline, and who cannot be told from the winner."""
    baseline, parts = study.baseline(axis), []
    uneven = {value for each, value, _ in dependences(study) if each == axis}
    for verdict, one, several in VERBS:
        alike = [effect for effect in effects if effect.verdict == verdict]
        if len(alike) > MANY:
            low, high = (pick(alike, key=lambda effect: effect.difference.estimate) for pick in (min, max))
            spread = f"{_gap(low, form)} for {low.value} to {_gap(high, form)} for {high.value}"
            parts.append(f"{len(alike)} values {several} {baseline} ({spread})")
            continue
        for effect in alike:
            numbers = f"{_gap(effect, form)}, {form.for_gap(effect.difference).bounds(effect.difference)}"
            average = " on average" if effect.value in uneven else ""
            parts.append(f"{effect.value} {one} {baseline}{average} ({numbers})")
    if not parts and baseline not in study.design(axis).present:
        return finding(study, axis).headline
    if not parts:
        return f"{spoken(axis)}: no two values can be compared, as trials or scores are missing"
    winner = _winner(study, effects, BETTER_OF_ANY)
    better = [effect.value for effect in effects if effect.verdict in BETTER_OF_ANY and effect is not winner]
    if winner and better:
        rivals = study.effects(axis, baseline=winner.value)
        tied = [each.value for each in rivals if each.verdict == UNCLEAR and each.value in better]
        parts += [f"{winner.value} cannot be told from {joined(tied, 'or')}"] if tied else []
    return joined(parts)


def _gap(effect: Effect, form: MetricFormat) -> str:
    signed = form.for_gap(effect.difference).signed(effect.difference.estimate)
    return f"{signed} {form.difference_unit}".strip()


def _seeing(study: Study) -> list[str]:
    """Whether the models look at the image at all."""
    if not study.has_gain:
        return []
    form, intervals = format_of(study, GAIN), trial_intervals(study, GAIN)
    known = [each for each in intervals if not math.isnan(each.estimate)]
    if not known:
        return []
    low, high = (pick(each.estimate for each in known) for pick in (min, max))
    blind = sum(each.low <= 0 for each in known)
    unit = f" {form.difference_unit}".rstrip()
    spread = f"{form.value(low)} to {form.value(high)}" if len(known) > 1 else form.value(low)
    worth = f"The image is worth {spread}{unit} over {gain_over(study)}."
    return [worth, f"In {blind} of {len(known)} trials that gain is not surely above zero."] if blind else [worth]
