"""What the image is worth: the first metric with the image less that under each control, over the same questions.

The visual gain of a trial is that over the control which its file named beforehand. Trials made before files named any
had two, and theirs is over whichever was better: it is read as what it was, and called so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy
import pandas

from workbench.reports.experiment_results import GAIN, Study
from workbench.reports.metric_samples import control_samples
from workbench.reports.wording import joined
from workbench.statistics.bootstrap import Array
from workbench.statistics.estimates import Sample
from workbench.storage.conditions import ASKED_WITH

if TYPE_CHECKING:
    from workbench.storage.records import Record

BETTER_OF_TWO = "better"  # in place of a control's name: the better one of those there were
EARLIER = ("no_image", "shuffled")
SHOWN = {
    "prior": "no model at all: the most frequent answer of the training split to the same text, else to the same group",
    "mean_image": "the mean training image",
    "other_answer": "an image for which another answer is right",
    "no_image": "an even grey image",
    "shuffled": "the image of another question",
}
OVER = {
    "prior": "the prior",
    "mean_image": "the mean image",
    "other_answer": "an image with another answer",
    "no_image": "an even grey image",
    "shuffled": "shuffled images",
    BETTER_OF_TWO: "the better control",
}


def gain_against(record: Record) -> str | None:
    """The control that a trial's visual gain is told against: `BETTER_OF_TWO` for one made before files named any, None
    for one that asked none."""
    told = record.provenance.get(ASKED_WITH)
    return BETTER_OF_TWO if told is None else told.get("gain_against")


def compared_with(study: Study) -> list[str]:
    """What the visual gains of the finished trials are against, each once."""
    return list(dict.fromkeys(name for record in study.done if (name := gain_against(record)) is not None))


def gain_over(study: Study) -> str:
    """The same as the end of a sentence, as `the prior`."""
    return joined([OVER[name] for name in compared_with(study)], "or")


def gain_method(study: Study, words: str) -> str:
    """How the visual gains of the finished trials were made, in `words` for the metric."""
    told = (
        f"The visual gain is {words} with the right image minus that under one control, over the same questions: that"
        f" over {gain_over(study)}. What can be had without the image does not count."
    )
    if BETTER_OF_TWO not in compared_with(study):
        return f"{told} Which control it is was named in the experiment file, before any result."
    return (
        f"{told} Trials that were evaluated before a file could name a control have it over the better of two:"
        f" {joined([SHOWN[name] for name in EARLIER], 'or')}."
    )


def gain_samples(study: Study, frames: Sequence[pandas.DataFrame], resamples: int) -> dict[str, Sample]:
    """The gain over each control, `visual_gain.<control>`, and of every trial that over its own, `visual_gain`."""
    reading = next((each for each in study.readings if each.name == study.primary), None)
    if reading is None or study.primary not in study.samples:
        return {}
    sign = 1 if study.scale(study.primary).higher_is_better else -1
    seeds = study.samples[study.primary].seeds
    pairs = control_samples(reading, frames, seeds, resamples)
    gains = {control: gain_sample(sign, *pair) for control, pair in pairs.items()}
    earlier = [pair for control, pair in pairs.items() if control in EARLIER]
    if earlier:
        best = numpy.fmax if sign > 0 else numpy.fmin
        shown = earlier[0][0]
        better = _combined([control for _, control in earlier], best.reduce)
        gains[BETTER_OF_TWO] = gain_sample(sign, shown, better)
    told = {f"{GAIN}.{control}": gain for control, gain in gains.items() if control != BETTER_OF_TWO}
    own = _of_each([gains.get(gain_against(record) or "") for record in study.done])
    return {**told, **({GAIN: own} if own else {})}


def gain_sample(sign: int, shown: Sample, control: Sample) -> Sample:
    """What scores are with the image less what they are under a control; `sign` is -1 where less is better."""
    least, most = shown.limits
    return Sample(
        sign * (shown.estimates - control.estimates),
        sign * (shown.replicates - control.replicates),
        shown.seeds,
        shown.images,
        (least - most, most - least),
        None if shown.sums is None or control.sums is None else _gained(sign, shown.sums, control.sums),
    )


def _gained(sign: int, shown: Array, control: Array) -> Array:
    """Sums [T,C,P] whose scores are gains, over as many questions."""
    return numpy.stack([sign * (shown[:, 0] - control[:, 0]), shown[:, 1]], axis=1)


def _combined(samples: Sequence[Sample], take: Callable[[list[Any]], Any]) -> Sample:
    first = samples[0]
    return Sample(
        take([each.estimates for each in samples]),
        take([each.replicates for each in samples]),
        first.seeds,
        first.images,
        first.limits,
    )


def _of_each(chosen: Sequence[Sample | None]) -> Sample | None:
    """One sample whose trials come from the samples chosen for each; NaN where there is none."""
    known = next((each for each in chosen if each is not None), None)
    if known is None:
        return None
    estimates = numpy.full_like(known.estimates, numpy.nan)
    summed = all(each is None or each.sums is not None for each in chosen)
    sums = numpy.full_like(known.sums, numpy.nan) if summed and known.sums is not None else None
    replicates = numpy.full_like(known.replicates, numpy.nan)
    for place, each in enumerate(chosen):
        if each is not None:
            estimates[place], replicates[:, place] = each.estimates[place], each.replicates[:, place]
            if sums is not None and each.sums is not None:
                sums[place] = each.sums[place]
    return Sample(estimates, replicates, known.seeds, known.images, known.limits, sums)
