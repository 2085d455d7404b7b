"""Scores every answer anew, with the metrics that a record names, and says how far rounding may move what comes out.

Lines hold losses rounded to six digits. A metric that reads them is asked again with all of them a little higher and
a little lower: as far as that moves it, a kept number may be off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy

from workbench.config.resolve_components import resolve_component
from workbench.config.written import Written
from workbench.contracts.example import Prediction
from workbench.contracts.metric import Metric
from workbench.errors import UserError
from workbench.evaluation.scored import Scored, score
from workbench.evaluation.scores import summarize
from workbench.model.build import build
from workbench.registry import Registry
from workbench.storage.conditions import GAIN, WITH_IMAGE
from workbench.storage.records import Record
from workbench.verification.asked_controls import AskedControls, controls_of

ROUNDED = 5.0001e-7  # how far a number is from itself with six digits, at the most
FEW = 20  # predictions that tell whether a metric reads losses

Predictions = Mapping[str, Sequence[Prediction]]


@dataclass(frozen=True)
class Rescored:
    """What the answers give now: `numbers` of the record, and what each metric gives for each answer, by condition.

    `slack` is how far rounded losses may have moved a number; `moved` what metrics that read losses give where these
    are as far off as rounding goes. `not_usable` has the metrics that cannot be asked, and why.
    """

    metrics: Mapping[str, Metric]
    not_usable: Mapping[str, str]
    numbers: Mapping[str, float] = field(default_factory=dict)
    scored: Mapping[str, Mapping[str, Scored]] = field(default_factory=dict)
    slack: Mapping[str, float] = field(default_factory=dict)
    moved: tuple[Mapping[str, Mapping[str, Scored]], ...] = ()


def rescore(record: Record, predictions: Predictions, registry: Registry) -> Rescored:
    """Ask the record's metrics about every answer again. Numbers of the record come out where every condition that is
    named has predictions."""
    metrics, why = metrics_of(record, registry)
    if not predictions.get(WITH_IMAGE) or not all(predictions.values()):
        return Rescored(metrics, why)
    try:
        return _rescored(record, metrics, why, predictions)
    except Exception:  # a metric is anyone's code: what it raises is told, and the others are asked
        faults = {name: fault for name, each in metrics.items() if (fault := _fault(each, predictions))}
        usable = {name: each for name, each in metrics.items() if name not in faults}
        return _rescored(record, usable, {**why, **faults}, predictions)


def metrics_of(record: Record, registry: Registry) -> tuple[dict[str, Metric], dict[str, str]]:
    """The metrics of a record with the options they had there, and why others cannot be built."""
    folder, found, why = Path(str(record.provenance.get("folder", "."))), {}, {}
    for name, written in _names(record).items():
        if written is None:
            why[name] = "the record does not say with which options"
            continue
        resolved = resolve_component("metric", Written(written, ("metric",), {}), registry, folder)
        try:
            if resolved.value is None:
                raise UserError("; ".join(message for _, message in resolved.faults))
            found[name] = build(resolved.value, registry)
        except UserError as error:
            why[name] = _in_short(error)
    return found, why


def _names(record: Record) -> dict[str, Any]:
    """The metrics that a record has numbers of, in their order, with their options where it says them."""
    written = record.spec.get("metrics")
    told = {str(each["name"]): each for each in written} if isinstance(written, list) else {}
    return {**told, **{name: None for name in record.scales if name not in told}}


def _fault(metric: Metric, predictions: Predictions) -> str:
    """Why a metric cannot be asked about these answers; empty where it can."""
    try:
        summarize(predictions, {"": metric})
    except Exception as error:  # as above
        return f"it cannot score these answers: {_in_short(error)}"
    return ""


def _reads_loss(metric: Metric, predictions: Sequence[Prediction]) -> bool:
    few = list(predictions[:FEW])
    first, second = score(metric, few), score(metric, _moved(few, 0.5))
    return not all(
        numpy.array_equal(numpy.asarray(one, dtype=float), numpy.asarray(other, dtype=float), equal_nan=True)
        for one, other in ((first.scores, second.scores), (_counts(first), _counts(second)))
    )


def _rescored(
    record: Record, metrics: Mapping[str, Metric], why: Mapping[str, str], predictions: Predictions
) -> Rescored:
    if not metrics:
        return Rescored(metrics, why)
    asked, primary = controls_of(record), next(iter(_names(record)))
    numbers, scored = _summarized(predictions, metrics, primary, asked)
    reading = {name: each for name, each in metrics.items() if _reads_loss(each, predictions[WITH_IMAGE])}
    apart = [_moved_apart(predictions, step) for step in (ROUNDED, -ROUNDED)] if reading else []
    moved = [_summarized(each, reading, primary, asked) for each in apart]
    return Rescored(
        metrics, why, numbers, scored, _slack(numbers, [each for each, _ in moved]), tuple(each for _, each in moved)
    )


def _summarized(
    predictions: Predictions, metrics: Mapping[str, Metric], primary: str, asked: AskedControls
) -> tuple[dict[str, float], dict[str, dict[str, Scored]]]:
    """The numbers that an evaluation makes, and all single scores. Gains are those of the first metric of a record, and
    there are none where that is not among these; an earlier version had one, over the better of its controls."""
    numbers, scored = summarize(predictions, metrics, asked.gain_against)
    if next(iter(metrics)) == primary and not asked.earlier:
        return numbers, scored
    gains = [numbers.pop(name) for name in [*numbers] if _is_gain(name)]
    return (numbers | {GAIN: min(gains)} if gains and next(iter(metrics)) == primary else numbers), scored


def _slack(numbers: Mapping[str, float], moved: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """How far rounding may have moved each number; no gain by anything where its metric reads no loss."""
    slack = {name: 0.0 for name in numbers if _is_gain(name)}
    for each in moved:
        for name in each.keys() & numbers.keys():
            slack[name] = max(slack.get(name, 0.0), abs(each[name] - numbers[name]))
    return slack


def _is_gain(number: str) -> bool:
    return number == GAIN or number.startswith(f"{GAIN}.")


def _moved_apart(predictions: Predictions, step: float) -> dict[str, list[Prediction]]:
    """What was answered with the image moved by a step, and under controls by as much the other way: a difference of
    the two is then as far off as it can be."""
    return {name: _moved(each, step if name == WITH_IMAGE else -step) for name, each in predictions.items()}


def _moved(predictions: Sequence[Prediction], step: float) -> list[Prediction]:
    return [replace(each, loss=each.loss + step) for each in predictions]


def _counts(scored: Scored) -> numpy.ndarray:
    return numpy.zeros(0) if scored.counts is None else scored.counts


def _in_short(error: Exception) -> str:
    """The first line of what is wrong, without what might be written instead."""
    return str(error).partition("\n")[0].partition(" Known: ")[0].rstrip(".")
