"""Predictions of many trials -> every metric with its resamples, a mean of scores or made of all answers together.

Both are sums: of a score and of 1 for each question, or of a metric's `counts`. A resample is a sum over drawn
pictures, and what the sums make is worked out for all resamples at once.

Letters in shapes: T trials, P pictures, B resamples, N questions, C numbers that add up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy
import pandas
from numpy.typing import NDArray

from workbench.records import COUNTS, SCORE
from workbench.statistics import Array, Sample, picture_draws, resampled_totals
from workbench.summary import summarized

if TYPE_CHECKING:
    from workbench.contracts import Metric

PICTURE, CONTROLS, OUTSIDE = "picture", ("no_picture", "shuffled"), "outside"

Places = NDArray[numpy.intp]


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
    """Every metric under every condition that any trial has: `m`, its details `m.d`, `m.no_picture`, `m.shuffled`."""
    shown = {each: [frame.loc[frame["condition"] == each] for frame in frames] for each in (PICTURE, *CONTROLS)}
    made = _samples({(each, name): shown[name] for each in readings for name in shown}, frames, seeds, resamples)
    samples = {}
    for (reading, condition), found in made.items():
        if condition == PICTURE:
            samples |= found
        elif reading.name in found:
            samples[f"{reading.name}.{condition}"] = found[reading.name]
    return samples


def group_samples(
    readings: Sequence[Reading], frames: Sequence[pandas.DataFrame], group: str, seeds: Sequence[str], resamples: int
) -> dict[str, Sample]:
    """The metrics and their details over the questions of one group, and its pictures alone."""
    shown = [frame.loc[(frame["condition"] == PICTURE) & (frame["group"] == group)] for frame in frames]
    made = _samples({(each, PICTURE): shown for each in readings}, shown, seeds, resamples)
    return {name: sample for found in made.values() for name, sample in found.items()}


def auroc_sample(frames: Sequence[pandas.DataFrame], measure: str, seeds: Sequence[str], resamples: int) -> Sample:
    """How well a measure of strangeness tells pictures from outside, in every trial; NaN for trials that tried none.

    A question about a picture of the evaluation and the same one about a picture from outside are drawn together.
    """
    estimates, replicates, most = numpy.full(len(frames), numpy.nan), numpy.full((resamples, len(frames)), numpy.nan), 0
    for place, frame in enumerate(frames):
        shown, outside = (frame.loc[frame["condition"] == each] for each in (PICTURE, OUTSIDE))
        if not len(outside):
            continue
        values = [[each[measure] for each in part["strangeness"]] for part in (shown, outside)]
        _, value = numpy.unique(numpy.concatenate(values), return_inverse=True)  # [2N] equal values, equal numbers
        pictures, count = pandas.factorize(shown["picture"])[0], shown["picture"].nunique()  # [N]
        estimates[place] = _aurocs(numpy.ones((1, count)), pictures, value)[0]
        drawn = [_aurocs(draws, pictures, value) for draws in picture_draws(count, resamples)]
        replicates[:, place] = numpy.concatenate(drawn)
        most = max(most, count)
    return Sample(estimates, replicates, seeds, most, (0.0, 1.0))


def _aurocs(draws: Array, pictures: Places, value: Places) -> Array:
    """draws [b,P] of pictures; pictures [N] of the questions; value [2N], the ranks of inside, then outside -> [b]."""
    levels = int(value.max()) + 1
    found = []
    for weights in draws[:, pictures]:  # [N]
        inside = numpy.bincount(value[: len(pictures)], weights, levels)
        outside = numpy.bincount(value[len(pictures) :], weights, levels)
        below = numpy.cumsum(inside) - inside / 2  # a tie counts half
        found.append(outside @ below / (inside.sum() * outside.sum()))
    return numpy.array(found)


def _samples(
    asked: Mapping[tuple[Reading, str], Sequence[pandas.DataFrame]],
    frames: Sequence[pandas.DataFrame],
    seeds: Sequence[str],
    resamples: int,
) -> dict[tuple[Reading, str], dict[str, Sample]]:
    """One reading of the frames of all trials for each key; all see the same draws of the pictures in `frames`."""
    pictures = pandas.Index(dict.fromkeys(key for frame in frames for key in frame["picture"].astype(str)))
    sums = {key: _sums(key[0].column, chosen, pictures, key[0].metric is None) for key, chosen in asked.items()}
    known = {key: each for key, each in sums.items() if each is not None}
    if not known:
        return {}
    totals = resampled_totals(
        numpy.concatenate([each.reshape(-1, len(pictures)) for each in known.values()]), resamples
    )
    made, start = {}, 0
    for key, each in known.items():  # each [T,C,P]
        trials, width, _ = each.shape
        drawn = totals[:, start : start + trials * width].reshape(resamples, trials, width)
        start += trials * width
        estimates, replicates = key[0].made_of(each.sum(-1)), key[0].made_of(drawn)
        limits = (0.0, 1.0) if key[0].share else (-math.inf, math.inf)
        made[key] = {
            name: Sample(estimates[name], replicates[name], seeds, len(pictures), limits)
            for name in estimates
            if not numpy.isnan(estimates[name]).all()
        }
    return made


def _sums(column: str, frames: Sequence[pandas.DataFrame], pictures: pandas.Index, mean: bool) -> Array | None:
    """The numbers that add up, summed over the questions of each picture [T,C,P]; NaN for trials without any, None when
    all are."""
    found = [_picture_sums(column, frame, pictures, mean) for frame in frames]
    width = max((len(each) for each in found if each is not None), default=0)
    empty = numpy.full((width, len(pictures)), numpy.nan)
    return numpy.stack([empty if each is None else each for each in found]) if width else None


def _picture_sums(column: str, frame: pandas.DataFrame, pictures: pandas.Index, mean: bool) -> Array | None:
    """Of one trial [C,P]: a mean adds a 1 for each score."""
    rows = frame.loc[frame[column].notna()] if column in frame else frame[:0]
    if not len(rows):
        return None
    values = numpy.array(rows[column].tolist(), dtype=numpy.float64).reshape(len(rows), -1)  # [N,C]
    if mean:
        values = numpy.column_stack([values, numpy.ones(len(values))])
    places = pictures.get_indexer(list(rows["picture"].astype(str)))
    return numpy.stack([numpy.bincount(places, each, len(pictures)).astype(numpy.float64) for each in values.T])
