"""Predictions -> the numbers of a record, and the lines of predictions.jsonl of which they can be made again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple
from math import isnan
from typing import TYPE_CHECKING, Any

from workbench.evaluation.scored import Scored, score
from workbench.storage.conditions import GAIN, WITH_IMAGE

if TYPE_CHECKING:
    from workbench.contracts.example import Prediction
    from workbench.contracts.metric import Metric


def summarize(
    predictions: Mapping[str, Sequence[Prediction]], metrics: Mapping[str, Metric], gain_against: str | None = None
) -> tuple[dict[str, float], dict[str, dict[str, Scored]]]:
    """The metrics of every condition and group, with the gain of the first metric over each control, that over the one
    named as the visual gain; and all single scores as condition -> metric -> what it gives."""
    scored = {
        condition: {name: score(metric, each) for name, metric in metrics.items()}
        for condition, each in predictions.items()
        if each
    }
    groups: dict[str, list[int]] = {}
    for place, prediction in enumerate(predictions[WITH_IMAGE]):
        groups.setdefault(prediction.example.group, []).append(place)
    controls = [name for name in scored if name != WITH_IMAGE]
    flat: dict[str, float] = {}
    for name in metrics:
        shown = scored[WITH_IMAGE][name]
        flat |= {_joined(name, detail): value for detail, value in shown.value().items()}
        known = {f"{name}.{control}": scored[control][name].value()[""] for control in controls}
        flat |= {key: value for key, value in known.items() if not isnan(value)}
        for group, places in groups.items():
            if group:
                values = shown.value(places)
                flat |= {f"{_joined(name, detail)}.group.{group}": value for detail, value in values.items()}
    first = next(iter(metrics))
    for control in controls:
        gain = _gain(predictions, scored, control, first)
        if not isnan(gain):
            flat |= {f"{GAIN}.{control}": gain, **({GAIN: gain} if control == gain_against else {})}
    return flat, scored


def scales_of(metrics: Mapping[str, Metric]) -> dict[str, dict[str, bool]]:
    """How each metric is to be read."""
    return {
        name: {"higher_is_better": metric.higher_is_better, "percent": metric.percent}
        for name, metric in metrics.items()
    }


def lines_of(
    predictions: Mapping[str, Sequence[Prediction]], scored: Mapping[str, Mapping[str, Scored]]
) -> list[dict[str, Any]]:
    """The lines of predictions.jsonl: every answer under every condition, with what each metric gives for it; a metric
    that gives no number has none there."""
    lines = []
    for condition, found in scored.items():
        counted = {name: each.counts for name, each in found.items() if each.counts is not None}
        for index, prediction in enumerate(predictions[condition]):
            example = prediction.example
            counts = {name: [round(each, 6) for each in values[index].tolist()] for name, values in counted.items()}
            counts = {name: each for name, each in counts.items() if not any(map(isnan, each))}
            scores = {name: round(each.scores[index], 6) for name, each in found.items()}
            lines.append(
                {
                    "condition": condition,
                    "id": example.id,
                    "image": example.row[0],
                    **({"more_images": list(example.more)} if example.more else {}),
                    "group": example.group,
                    **({"history": list(map(astuple, example.history))} if example.history else {}),
                    "question": example.question,
                    "answers": list(example.answers),
                    "answer": prediction.answer,
                    "loss": round(prediction.loss, 6),
                    **_likely(prediction),
                    "scores": {name: value for name, value in scores.items() if not isnan(value)},
                    **({"counts": counts} if counts else {}),
                }
            )
    return lines


def _likely(prediction: Prediction) -> dict[str, float]:
    """How probable the given answer was; nothing where no model gave it."""
    likely = prediction.log_probability
    return {} if isnan(likely) else {"log_probability": round(likely, 6)}


def _joined(name: str, detail: str) -> str:
    return f"{name}.{detail}" if detail else name


def _gain(
    predictions: Mapping[str, Sequence[Prediction]],
    scored: Mapping[str, Mapping[str, Scored]],
    control: str,
    name: str,
) -> float:
    """The metric with the image less that under a control, over the questions that were asked under both; turned round
    where less is better."""
    asked = {prediction.example.id for prediction in predictions[control]}
    both = [place for place, each in enumerate(predictions[WITH_IMAGE]) if each.example.id in asked]
    shown = scored[WITH_IMAGE][name]
    gain = shown.value(both)[""] - scored[control][name].value()[""]
    return gain if shown.metric.higher_is_better else -gain
