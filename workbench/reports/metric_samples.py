"""Predictions of many trials -> every metric with its resamples, a mean of scores or made of all answers together.

Both are sums: of a score and of 1 for each question, or of a metric's `counts`. A resample is a sum over drawn
images, and what the sums make is worked out for all resamples at once.

Letters in shapes: T trials, P images, B resamples, N questions, C numbers that add up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy
import pandas

from workbench.contracts.metric import summarized
from workbench.statistics.bootstrap import Array, Places, image_draws, resampled_totals
from workbench.statistics.estimates import Sample
from workbench.storage.conditions import CONTROLS, OUTSIDE, WITH_IMAGE
from workbench.storage.records import COUNTS, SCORE

if TYPE_CHECKING:
    from workbench.contracts.metric import Metric


@dataclass(frozen=True)
class Reading:
    """How a metric is read from predictions. `metric` is None for a mean of scores, else what summarizes its counts."""

    name: str
    share: bool
    metric: Metric | None = None

    @property
    def column(self) -> str:
        """Where its numbers are in a frame of predictions."""
        return (SCORE if self.metric is None else COUNTS) + self.name

    def made_of(self, totals: Array) -> dict[str, Array]:
        """totals [...,C] -> the metric [...] and its details, by their full names."""
        if self.metric is None:
            with numpy.errstate(invalid="ignore", divide="ignore"):
                return {self.name: totals[..., 0] / totals[..., 1]}
        made = summarized(self.metric, totals)
        return {f"{self.name}.{detail}" if detail else self.name: values for detail, values in made.items()}


def read_samples(
    readings: Sequence[Reading], frames: Sequence[pandas.DataFrame], seeds: Sequence[str], resamples: int
) -> dict[str, Sample]:
    """Every metric under every condition that any trial has: `m`, its details `m.d`, and `m.<control>`."""
    shown = {each: [frame.loc[frame["condition"] == each] for frame in frames] for each in (WITH_IMAGE, *CONTROLS)}
    made = _samples({(each, name): shown[name] for each in readings for name in shown}, frames, seeds, resamples)
    samples = {}
    for (reading, condition), found in made.items():
        if condition == WITH_IMAGE:
            samples |= found
        elif reading.name in found:
            samples[f"{reading.name}.{condition}"] = found[reading.name]
    return samples


def control_samples(
    reading: Reading,
    frames: Sequence[pandas.DataFrame],
    seeds: Sequence[str],
    resamples: int,
    controls: Sequence[str] = CONTROLS,
) -> dict[str, tuple[Sample, Sample]]:
    """By control: the metric with the image and under the control, both over the questions asked under both."""
    shown = [frame.loc[frame["condition"] == WITH_IMAGE] for frame in frames]
    asked: dict[tuple[Reading, str], Sequence[pandas.DataFrame]] = {}
    for control in controls:
        under = [frame.loc[frame["condition"] == control] for frame in frames]
        pairs = list(zip(shown, under, strict=True))
        asked[reading, control] = under
        asked[reading, f"{WITH_IMAGE}/{control}"] = [own.loc[own["id"].isin(set(other["id"]))] for own, other in pairs]
    made = _samples(asked, frames, seeds, resamples)
    found = {}
    for control in controls:
        own, other = (made.get((reading, each), {}).get(reading.name) for each in (f"{WITH_IMAGE}/{control}", control))
        if own is not None and other is not None:
            found[control] = own, other
    return found


def group_samples(
    readings: Sequence[Reading],
    frames: Sequence[pandas.DataFrame],
    group: str,
    seeds: Sequence[str],
    resamples: int,
    condition: str = WITH_IMAGE,
) -> dict[str, Sample]:
    """The metrics and their details over the questions of one group, and its images alone."""
    shown = [frame.loc[(frame["condition"] == condition) & (frame["group"] == group)] for frame in frames]
    made = _samples({(each, WITH_IMAGE): shown for each in readings}, shown, seeds, resamples)
    return {name: sample for found in made.values() for name, sample in found.items()}


def auroc_sample(frames: Sequence[pandas.DataFrame], measure: str, seeds: Sequence[str], resamples: int) -> Sample:
    """How well a measure of strangeness tells images from outside, in every trial; NaN for trials that tried none.

    A question about an image of the evaluation and the same one about an image from outside are drawn together.
    """
    estimates, replicates, most = numpy.full(len(frames), numpy.nan), numpy.full((resamples, len(frames)), numpy.nan), 0
    for place, frame in enumerate(frames):
        shown, outside = (frame.loc[frame["condition"] == each] for each in (WITH_IMAGE, OUTSIDE))
        if not len(outside):
            continue
        shown = shown.loc[shown["strangeness"].notna()]  # what is text alone looks like nothing
        values = [[each[measure] for each in part["strangeness"]] for part in (shown, outside)]
        _, value = numpy.unique(numpy.concatenate(values), return_inverse=True)  # [2N] equal values, equal numbers
        images, count = pandas.factorize(shown["image"])[0], shown["image"].nunique()  # [N]
        estimates[place] = _aurocs(numpy.ones((1, count)), images, value)[0]
        drawn = [_aurocs(draws, images, value) for draws in image_draws(count, resamples)]
        replicates[:, place] = numpy.concatenate(drawn)
        most = max(most, count)
    return Sample(estimates, replicates, seeds, most, (0.0, 1.0))


def _aurocs(draws: Array, images: Places, value: Places) -> Array:
    """draws [b,P] of images; images [N] of the questions; value [2N], the ranks of inside, then outside -> [b]."""
    levels = int(value.max()) + 1
    found = []
    for weights in draws[:, images]:  # [N]
        inside = numpy.bincount(value[: len(images)], weights, levels)
        outside = numpy.bincount(value[len(images) :], weights, levels)
        below = numpy.cumsum(inside) - inside / 2  # a tie counts half
        found.append(outside @ below / (inside.sum() * outside.sum()))
    return numpy.array(found)


def _samples(
    asked: Mapping[tuple[Reading, str], Sequence[pandas.DataFrame]],
    frames: Sequence[pandas.DataFrame],
    seeds: Sequence[str],
    resamples: int,
) -> dict[tuple[Reading, str], dict[str, Sample]]:
    """One reading of the frames of all trials for each key; all see the same draws of the images in `frames`."""
    images = pandas.Index(dict.fromkeys(key for frame in frames for key in frame["image"].astype(str)))
    sums = {key: _sums(key[0].column, chosen, images, key[0].metric is None) for key, chosen in asked.items()}
    known = {key: each for key, each in sums.items() if each is not None}
    if not known:
        return {}
    totals = resampled_totals(numpy.concatenate([each.reshape(-1, len(images)) for each in known.values()]), resamples)
    made, start = {}, 0
    for key, each in known.items():  # each [T,C,P]
        trials, width, _ = each.shape
        drawn = totals[:, start : start + trials * width].reshape(resamples, trials, width)
        start += trials * width
        estimates, replicates = key[0].made_of(each.sum(-1)), key[0].made_of(drawn)
        limits = (0.0, 1.0) if key[0].share else (-math.inf, math.inf)
        mean = key[0].metric is None
        made[key] = {
            name: Sample(estimates[name], replicates[name], seeds, len(images), limits, each if mean else None)
            for name in estimates
            if not numpy.isnan(estimates[name]).all()
        }
    return made


def _sums(column: str, frames: Sequence[pandas.DataFrame], images: pandas.Index, mean: bool) -> Array | None:
    """The numbers that add up, summed over the questions of each image [T,C,P]; NaN for trials without any, None when
    all are."""
    found = [_image_sums(column, frame, images, mean) for frame in frames]
    width = max((len(each) for each in found if each is not None), default=0)
    empty = numpy.full((width, len(images)), numpy.nan)
    return numpy.stack([empty if each is None else each for each in found]) if width else None


def _image_sums(column: str, frame: pandas.DataFrame, images: pandas.Index, mean: bool) -> Array | None:
    """Of one trial [C,P]: a mean adds a 1 for each score."""
    rows = frame.loc[frame[column].notna()] if column in frame else frame[:0]
    if not len(rows):
        return None
    values = numpy.array(rows[column].tolist(), dtype=numpy.float64).reshape(len(rows), -1)  # [N,C]
    if mean:
        values = numpy.column_stack([values, numpy.ones(len(values))])
    places = images.get_indexer(list(rows["image"].astype(str)))
    return numpy.stack([numpy.bincount(places, each, len(images)).astype(numpy.float64) for each in values.T])
