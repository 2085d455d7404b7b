"""Whether a model answers better than who has read the training answers and sees nothing: group by group, in sentences.

A score may be high because most questions can be answered from their text, and a model may have learned one kind of
question and none of another. Both show beside the prior.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy
import pandas

from workbench.reports.best_of import the_best
from workbench.reports.experiment_results import Study, seed_label
from workbench.reports.key_figures import best_trial
from workbench.reports.metric_format import MetricFormat
from workbench.reports.metric_samples import Reading, control_samples
from workbench.reports.tables import format_of
from workbench.reports.visual_gains import gain_sample
from workbench.reports.wording import joined
from workbench.statistics.estimates import Interval, estimate_of
from workbench.storage.conditions import PRIOR, WITH_IMAGE
from workbench.storage.records import SCORE, Record


def prior_sentences(study: Study) -> list[str]:
    """What the prior scores, and in which groups of questions the best trial answers no better; none without prior."""
    best, prior = best_trial(study), study.samples.get(f"{study.primary}.{PRIOR}")
    if best is None or prior is None or math.isnan(prior.estimates[best]):
        return []
    form, record = format_of(study, study.primary), study.done[best]
    score = form.quantity(float(prior.estimates[best]))
    first = (
        f"The prior, which is the most frequent training answer to each question's text and sees no image, has {score}"
        f" {form.words}."
    )
    gains = group_gains(study, record)
    if len(gains) < 2:
        return [first]
    who = the_best(study, best) if len(study.done) > 1 else "the model"
    same = {group: gain for group, gain in gains.items() if gain.low <= 0}
    if not same:
        least, most = (pick(each.estimate for each in gains.values()) for pick in (min, max))
        unit = f" {form.difference_unit}".rstrip()
        return [
            first,
            f"In every group of questions {who} is better, by {form.value(least)} to {form.value(most)}{unit}.",
        ]
    return [first, _no_better(same, len(gains), who, form), *_plateau(study, record, same, form)]


def group_gains(study: Study, record: Record) -> dict[str, Interval]:
    """By group of questions: how much better a trial answers them than the prior, with the interval over images."""
    reading = next(each for each in study.readings if each.name == study.primary)
    frame = study.predictions[record.id]
    resamples = len(study.samples[study.primary].replicates)
    sign = 1 if study.scale(study.primary).higher_is_better else -1
    found = {}
    for group in study.groups.names:
        gain = _gain(reading, frame.loc[frame["group"] == group], seed_label(record), resamples, sign)
        if gain is not None and not math.isnan(gain.low):
            found[group] = gain
    return found


def _gain(reading: Reading, frame: pandas.DataFrame, seed: str, resamples: int, sign: int) -> Interval | None:
    pair = control_samples(reading, [frame], [seed], resamples, [PRIOR]).get(PRIOR)
    if pair is None:
        return None
    return estimate_of(gain_sample(sign, *pair), numpy.ones(1), [0]).interval


def _no_better(same: Mapping[str, Interval], groups: int, who: str, form: MetricFormat) -> str:
    unit = f" {form.difference_unit}".rstrip()
    told = []
    for group, gain in same.items():
        own = form.for_gap(gain)
        told.append(f"{group} ({own.signed(gain.estimate)}{unit}, {own.signed(gain.low)} to {own.signed(gain.high)})")
    if len(same) == groups:
        where = f"In no group of questions, {joined(told)},"
        return f"{where} can {who} be told to answer better than the prior."
    where = f"In the group{'s' if len(told) > 1 else ''} {joined(told)}"
    return f"{where} {who} cannot be told to answer better than the prior."


def _plateau(study: Study, record: Record, same: Mapping[str, Interval], form: MetricFormat) -> list[str]:
    """What the prior in these groups and no mistake in all others would score: a plateau that is easily taken for
    progress. Only of a share that is a mean, where no mistake is 1."""
    reading = next(each for each in study.readings if each.name == study.primary)
    if reading.metric is not None or not reading.share or not study.scale(study.primary).higher_is_better:
        return []
    frame = study.predictions[record.id]
    asked = frame.loc[frame["condition"] == WITH_IMAGE]
    prior = frame.loc[frame["condition"] == PRIOR].set_index("id")[SCORE + study.primary]
    if len(prior) < len(asked):
        return []
    asked = asked.loc[asked[SCORE + study.primary].notna()]  # a metric gives some no score, and counts the others
    others = ~asked["group"].isin(list(same)).to_numpy()
    if not others.any():
        return []
    scores = numpy.where(others, 1.0, prior.loc[list(asked["id"])].to_numpy(dtype=float))
    if numpy.isnan(scores).any():
        return []
    return [
        f"Who answers {'these' if len(same) > 1 else 'this one'} as the prior does and makes no mistake in any other"
        f" has {form.quantity(float(scores.mean()))} {form.words}."
    ]
