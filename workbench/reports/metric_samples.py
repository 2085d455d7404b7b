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
from workbench.reports.trial_rows import TrialRows
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
    trials = [TrialRows(frame) for frame in frames]
    shown = {each: [trial.where("condition", each) for trial in trials] for each in (WITH_IMAGE, *CONTROLS)}
    every = [trial.all for trial in trials]
    made = _samples({(each, name): shown[name] for each in readings for name in shown}, trials, every, seeds, resamples)
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
    trials = [TrialRows(frame) for frame in frames]
    shown = [trial.where("condition", WITH_IMAGE) for trial in trials]
    asked: dict[tuple[Reading, str], Sequence[Places]] = {}
    for control in controls:
        under = [trial.where("condition", control) for trial in trials]
        both = zip(trials, shown, under, strict=True)
        asked[reading, control] = under
        asked[reading, f"{WITH_IMAGE}/{control}"] = [trial.alike("id", own, other) for trial, own, other in both]
    made = _samples(asked, trials, [trial.all for trial in trials], seeds, resamples)
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
    trials = [TrialRows(frame) for frame in frames]
    shown = [trial.where("group", group, trial.where("condition", condition)) for trial in trials]
    made = _samples({(each, WITH_IMAGE): shown for each in readings}, trials, shown, seeds, resamples)
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
    asked: Mapping[tuple[Reading, str], Sequence[Places]],
    trials: Sequence[TrialRows],
    drawn_from: Sequence[Places],
    seeds: Sequence[str],
    resamples: int,
) -> dict[tuple[Reading, str], dict[str, Sample]]:
    """One reading of rows of all trials for each key; all see the same draws of the images of the rows `drawn_from`."""
    places, count = _image_places(trials, drawn_from)
    sums = {key: _sums(key[0], trials, rows, places, count) for key, rows in asked.items()}
    known = {key: each for key, each in sums.items() if each is not None}
    if not known:
        return {}
    totals = resampled_totals(numpy.concatenate([each.reshape(-1, count) for each in known.values()]), resamples)
    made, start = {}, 0
    for key, each in known.items():  # each [T,C,P]
        number, width, _ = each.shape
        drawn = totals[:, start : start + number * width].reshape(resamples, number, width)
        start += number * width
        estimates, replicates = key[0].made_of(each.sum(-1)), key[0].made_of(drawn)
        limits = (0.0, 1.0) if key[0].share else (-math.inf, math.inf)
        mean = key[0].metric is None
        made[key] = {
            name: Sample(estimates[name], replicates[name], seeds, count, limits, each if mean else None)
            for name in estimates
            if not numpy.isnan(estimates[name]).all()
        }
    return made


def _image_places(trials: Sequence[TrialRows], chosen: Sequence[Places]) -> tuple[list[Places], int]:
    """The place of the image of each row of each trial among all images of the chosen rows, -1 for others; and how many
    these are. They stand in the order in which they come."""
    order: dict[str, int] = {}
    maps: dict[int, tuple[pandas.Index, Places]] = {}  # trials that were asked alike have the same labels
    coded = [trial.coded("image") for trial in trials]
    for (codes, labels), rows in zip(coded, chosen, strict=True):
        _, known = maps.setdefault(id(labels), (labels, numpy.zeros(len(labels), dtype=bool)))
        there = pandas.unique(codes[rows])
        new = there[~known[there]]
        known[new] = True
        for label in labels[new]:
            order.setdefault(str(label), len(order))
    places = {
        key: numpy.array([order.get(str(label), -1) for label in labels], dtype=numpy.intp)
        for key, (labels, _) in maps.items()
    }
    found = [places[id(labels)][codes] for codes, labels in coded]
    return found, len(order)


def _sums(
    reading: Reading, trials: Sequence[TrialRows], chosen: Sequence[Places], places: Sequence[Places], images: int
) -> Array | None:
    """The numbers that add up, summed over the questions of each image [T,C,P]; NaN for trials without any, None when
    all are."""
    each = zip(trials, chosen, places, strict=True)
    found = [_image_sums(reading, trial, rows, own, images) for trial, rows, own in each]
    width = max((len(each) for each in found if each is not None), default=0)
    empty = numpy.full((width, images), numpy.nan)
    return numpy.stack([empty if each is None else each for each in found]) if width else None


def _image_sums(reading: Reading, trial: TrialRows, rows: Places, places: Places, images: int) -> Array | None:
    """Of one trial [C,P]: a mean adds a 1 for each score."""
    rows, values = trial.numbers(reading.column, rows)
    if not len(rows):
        return None
    at = places[rows]
    sums = [numpy.bincount(at, each, images).astype(numpy.float64) for each in values.T]
    if reading.metric is None:
        sums.append(numpy.bincount(at, minlength=images).astype(numpy.float64))
    return numpy.stack(sums)
