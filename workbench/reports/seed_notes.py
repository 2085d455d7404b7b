"""What a report says of seeds: whether its numbers cover the luck of training, and how seeds were compared."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.reports.experiment_results import Study
from workbench.reports.metric_format import MetricFormat
from workbench.reports.wording import joined, spoken
from workbench.statistics.effects import Effect
from workbench.statistics.seed_noise import ENOUGH
from workbench.statistics.verdicts import BASELINE, NO_RESULT


def covered(study: Study) -> str:
    """What intervals cover, for the reader of the answer alone."""
    effects = [each for axis in study.compared if study.primary in study.samples for each in _compared(study, axis)]
    single = sum(not each.luck for each in effects)
    if len(study.seeds) == 1 and (single or not effects):
        return (
            "Each configuration was trained from one seed: intervals say how far the choice of questions could have"
            " moved these numbers, not how far another seed would. To learn that, list more 'seeds'."
        )
    if not effects:
        return "Each interval is that of a trained model: it covers the choice of questions, not the luck of training."
    if not single:
        most = max((each.seeds for each in study.comparisons.pairs.values()), default=len(study.seeds))
        if most < ENOUGH:
            return f"Intervals cover the choice of questions{_borrowed(study)}."
        return f"Intervals cover the choice of questions and the luck of {len(study.seeds)} seeds."
    every = "All differences are" if single == len(effects) else f"{single} of {len(effects)} differences are"
    return (
        f"{every} of configurations with results from one seed, and cover the choice of questions alone; the others"
        f" cover the luck of training as well."
    )


def seed_notes(study: Study, axis: str, effects: Sequence[Effect]) -> list[str]:
    """What a reader of an axis's table has to know of its seeds."""
    compared = [each for each in effects if each.verdict not in (BASELINE, NO_RESULT)]
    single = [each.value for each in compared if not each.luck]
    notes = []
    if single and len(single) == len(compared):
        notes.append(
            "One seed to compare: the intervals cover the choice of questions, not the luck of training, and verdicts"
            " are about the models that were trained."
        )
    elif single:
        notes.append(
            f"{joined(single)}: one seed to compare, so the interval covers the choice of questions alone, and the"
            " verdict is about the models that were trained."
        )
    fewer = [each.value for each in compared if study.comparisons.pairs[axis, each.value, study.baseline(axis)].fewer]
    if fewer:
        notes.append(f"The difference of {joined(fewer)} goes over the seeds that both have, means over all seeds.")
    if len(single) < len(compared):
        notes += _how_compared(study, axis, [each.value for each in compared if each.luck])
    return notes


def _compared(study: Study, axis: str) -> list[Effect]:
    return [each for each in study.effects(axis) if each.verdict not in (BASELINE, NO_RESULT)]


def _how_compared(study: Study, axis: str, values: Sequence[str]) -> list[str]:
    baseline = study.baseline(axis)
    counts = sorted({study.comparisons.pairs[axis, value, baseline].seeds for value in values})
    number = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    if counts[0] < 2:  # of a spread that is known from elsewhere
        return [f"The intervals cover the choice of questions{_borrowed(study)}."]
    notes = [f"{number} seeds compared: the intervals cover the choice of questions and the luck of training."]
    if counts[0] == 2:
        notes.append("Two seeds say little about that luck, which makes intervals very wide: list three or more.")
    return [*notes, _pairing(study, axis)]


def _pairing(study: Study, axis: str) -> str:
    """The rule by which seeds were compared, which the stage graph settles before any score is seen."""
    design = study.design(axis)
    if study.trained is None:
        return "Seeds are compared as pairs, since these records do not say which trained stages trials share."
    if design.paired:
        return "Trials share trained stages: seeds are compared as pairs."
    equal = ", with one spread for all, as the experiment declares" if study.rules.equal_spread else " (Welch)"
    return f"Values share no trained stage: seeds are compared without pairing{equal}."


def _borrowed(study: Study) -> str:
    """As ` and a spread between seeds of 2.8 points, from results/fusion`."""
    if study.spread is None:
        return ""
    form = MetricFormat(study.primary, study.scale(study.primary), 2)
    shown = f"{form.value(study.spread.deviation)} {form.difference_unit}".strip()
    source = study.summary.statistics.get("seed_spread")
    where = f"from {source}" if isinstance(source, str) else "as the experiment gives it"
    return f" and a spread between seeds of {shown} ({spoken(study.primary)}), {where}"
