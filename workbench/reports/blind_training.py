"""What seeing adds to a model that was trained to guess as well as it can: sighted trials beside blind-trained ones.

Chen et al. 2024 (MMStar, https://arxiv.org/abs/2403.20330) ask for two numbers: the multi-modal gain, the score with
images less that of the same model without, and the multi-modal leakage, how much more the model without images knows
than the text model it came from: max(0, S_wv - S_t). Their S_t is a decoder before any multi-modal training; here it is
a trial that had the same training without ever seeing an image. What questions and answers alone teach is then no
leakage, and the difference to a blind-trained trial is the stricter gain: a model that was never blind in training is
not used to having no image.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy

from workbench.reports.experiment_results import GAIN, Study, seed_label
from workbench.reports.table_formats import Column, Table
from workbench.reports.tables import format_of, legend, stale_cell, stale_columns, trial_intervals
from workbench.reports.visual_gains import SHOWN
from workbench.reports.wording import spoken
from workbench.statistics.design import SEED
from workbench.statistics.estimates import estimate_of
from workbench.storage.conditions import BLIND

AXIS = "encoder"
WITHOUT = ("no_image", "mean_image")  # the controls without an image of its own, the first that a trial has


def blind_table(study: Study) -> Table | None:
    """Every sighted trial beside the blind-trained one that is the same in all else; None where there is no pair."""
    pairs = list(_pairs(study)) if study.primary in study.samples and AXIS in study.compared else []
    if not pairs:
        return None
    sample, own = study.samples[study.primary], trial_intervals(study, study.primary)
    without = next((each for each in WITHOUT if f"{GAIN}.{each}" in study.samples), None)
    gains = trial_intervals(study, f"{GAIN}.{without}")
    sign = 1 if study.scale(study.primary).higher_is_better else -1
    rows = []
    for sighted, blind in pairs:
        record, weights = study.done[sighted], numpy.zeros(len(study.done))
        weights[sighted], weights[blind] = sign, -sign
        unseeing = float(study.samples[f"{study.primary}.{without}"].estimates[sighted]) if without else math.nan
        row: dict[str, Any] = {"id": record.id, **{axis: record.axes.get(axis, "") for axis in study.compared}}
        row |= {SEED: seed_label(record), "beside": study.done[blind].axes.get(AXIS, "")}
        row |= {"score": own[sighted], "blind": own[blind]}
        row |= {"over_blind": estimate_of(sample, weights, range(len(weights))).interval, "without": unseeing}
        row |= {"gain": gains[sighted], "leakage": _leakage(sign * (unseeing - sample.estimates[blind]))}
        rows.append(row | stale_cell(study, record))
    return Table("blind", _caption(), _columns(study, without), rows, [*_notes(without), *legend(study)])


def _pairs(study: Study) -> Iterator[tuple[int, int]]:
    """The places of each sighted trial and of each blind one that differs from it in the encoder alone."""
    blind = [bool(record.provenance.get(BLIND)) for record in study.done]
    rest = [tuple(row) for row in study.axes.drop(columns=AXIS).astype(str).to_numpy()]
    for sighted, sees_not in enumerate(blind):
        if not sees_not:
            yield from ((sighted, place) for place, each in enumerate(blind) if each and rest[place] == rest[sighted])


def _leakage(more: float) -> float:
    return more if math.isnan(more) else max(0.0, more)


def _columns(study: Study, without: str | None) -> list[Column]:
    form, gain = format_of(study, study.primary), format_of(study, GAIN if study.has_gain else study.primary)
    mmstar = [
        Column("without", f"without its image ({without})", form.unit, form.value),
        Column("gain", "multi-modal gain", gain.difference_unit, gain.interval),
        Column("leakage", "leakage", form.difference_unit, form.value),
    ]
    return [
        *(Column(axis, spoken(axis), show=str, numeric=False) for axis in study.compared),
        *([Column(SEED, SEED)] if len(study.seeds) > 1 else []),
        Column("beside", "trained blind", show=str, numeric=False),
        Column("score", form.words, form.unit, form.interval),
        Column("blind", "of the blind", form.unit, form.interval),
        Column("over_blind", "seeing adds", form.difference_unit, form.interval),
        *(mmstar if without else []),
        *stale_columns(study),
    ]


def _caption() -> str:
    return (
        "What seeing adds: each trial beside the one that was trained blind and is the same in all else, with 95 %"
        " intervals over the questions."
    )


def _notes(without: str | None) -> list[str]:
    if without is None:
        return []
    return [
        f"Without its image a trial is shown {SHOWN[without]}. Multi-modal gain: its score less that without its image."
        " Leakage: how much more it scores without its image than the trial that was trained blind, 0 where it is less"
        " (Chen et al. 2024, arXiv:2403.20330; their text model has had no multi-modal training, this one has had the"
        " same without images)."
    ]
