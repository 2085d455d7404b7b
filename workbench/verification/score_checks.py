"""Holds what a trial has kept against what its answers give now: scores and counts line by line, numbers and scales of
the record one by one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy

from workbench.evaluation.scored import Scored
from workbench.evaluation.scores import scales_of
from workbench.storage.conditions import GAIN, OUTSIDE, WITH_IMAGE
from workbench.storage.records import Record
from workbench.verification.outcome import Checked, Disagreement, Said, Unchecked
from workbench.verification.prediction_lines import Lines, PredictionLine
from workbench.verification.rescoring import ROUNDED, Rescored

SAME = 1e-9  # as a share: another processor adds up in another order
MEAN = 2e-6  # how far the mean of rounded scores is from that of exact ones, at the most, with room for the sum


def check_lines(lines: Lines, rescored: Rescored, name: str) -> Iterator[Said]:
    """Every score and every count that stands in a line, against what the answer in it gives."""
    for condition, by_metric in rescored.scored.items():
        for metric, scored in by_metric.items():
            moved = [each[condition][metric] for each in rescored.moved if metric in each[condition]]
            yield from _scores(lines[condition], metric, scored, moved, name)
    asked = [line for condition in rescored.scored for line in lines[condition]]
    for line in asked:
        extra = line.content["scores"].keys() - rescored.metrics.keys() - rescored.not_usable.keys()
        if extra:
            yield Disagreement(name, line.place, f"scores of {', '.join(sorted(extra))}, no metric of the record")
    yield Checked("answers scored anew", len(asked))
    for metric, why in rescored.not_usable.items():
        told = [line for each in lines.values() for line in each if metric in line.content.get("scores", ())]
        yield Unchecked(f"scores by '{metric}'", why, len(told))


def check_numbers(record: Record, rescored: Rescored, whole: bool | None, name: str) -> Iterator[Said]:
    """The record's numbers that answers give. What this version makes and an earlier one did not is no mistake, unless
    the record is not `whole`."""
    there, given = record.metrics, rescored.numbers
    for number, value in given.items():
        if number in there and not _is_near(there[number], value, SAME, rescored.slack.get(number, 0.0)):
            told = f"{there[number]!r} stands there, the answers give {value!r}"
            yield Disagreement(name, f"metrics, {number}", told)
    yield Checked("numbers of records computed anew", len(given.keys() & there.keys()))
    bases = {*rescored.metrics, GAIN} if given else set()
    odd = [
        *((each, "it is missing, the answers give {}") for each in given.keys() - there.keys()),
        *(
            (each, "it stands there, and no answers give it")
            for each in there
            if each not in given and _of(each, bases)
        ),
    ]
    if whole is False:
        for number, told in sorted(odd):
            yield Disagreement(name, f"metrics, {number}", told.format(given.get(number)))
    elif odd:
        yield Unchecked(
            "numbers that stand in records alone or that this version alone computes", _first(odd), len(odd)
        )


def check_means(record: Record, lines: Lines, rescored: Rescored, name: str) -> Iterator[Said]:
    """Of a metric that cannot be asked, whether its numbers are at least the means of the scores that were kept."""
    for metric, why in rescored.not_usable.items():
        numbers = [each for each in record.metrics if _of(each, {metric})]
        if numbers:
            yield Unchecked(
                f"numbers by '{metric}'", f"{why}. At most means of kept scores were compared", len(numbers)
            )
        for condition in lines.keys() - {OUTSIDE}:
            number = metric if condition == WITH_IMAGE else f"{metric}.{condition}"
            told = [line.content for line in lines.get(condition, ()) if metric in line.content["scores"]]
            if number not in record.metrics or not told or any(metric in line.get("counts", ()) for line in told):
                continue
            mean = float(numpy.mean([_number(line["scores"][metric]) for line in told]))
            if not _is_near(record.metrics[number], mean, SAME, MEAN):
                told_there = f"{record.metrics[number]!r} stands there, the scores that were kept give {mean!r}"
                yield Disagreement(name, f"metrics, {number}", told_there)


def check_scales(record: Record, rescored: Rescored, name: str) -> Iterator[Said]:
    """How each metric is to be read, against what its plugin says."""
    for metric, scale in scales_of(rescored.metrics).items():
        there = record.scales.get(metric, {})
        for flag, value in scale.items():
            if there.get(flag) != value:
                told = f"{there.get(flag)} stands there, the metric says {value}"
                yield Disagreement(name, f"scales, {metric}, {flag}", told)
    yield Checked("scales", len(rescored.metrics))
    if rescored.not_usable:
        for metric, why in rescored.not_usable.items():
            yield Unchecked(f"the scale of '{metric}'", why)


def _scores(
    lines: Sequence[PredictionLine], metric: str, scored: Scored, moved: Sequence[Scored], name: str
) -> Iterator[Disagreement]:
    """What a metric gives now for the answers of one condition, and with losses moved as far as rounding goes."""
    for place, line in enumerate(lines):
        given, others = scored.scores[place], [each.scores[place] for each in moved]
        kept = line.content["scores"].get(metric)
        if metric not in line.content["scores"] and not math.isnan(given):
            yield Disagreement(name, line.place, f"the score '{metric}' is missing, the answer gives {given!r}")
        elif not _is_near(kept, given, SAME, ROUNDED + _apart(others, given)):
            told = f"the score '{metric}' is {kept!r}, the answer {line.content['answer']!r} gives {round(given, 6)!r}"
            yield Disagreement(name, line.place, told)
        yield from _counts(line, metric, scored, moved, place, name)


def _counts(
    line: PredictionLine, metric: str, scored: Scored, moved: Sequence[Scored], place: int, name: str
) -> Iterator[Disagreement]:
    kept = line.content.get("counts", {}).get(metric)
    if scored.counts is None:
        if kept is not None:
            yield Disagreement(name, line.place, f"the counts '{metric}' are {kept!r}, the metric has none")
        return
    given = scored.counts[place].tolist()
    if metric not in line.content.get("counts", {}) and any(
        map(math.isnan, given)
    ):  # an evaluation writes none of these
        return
    others = [each.counts[place].tolist() for each in moved if each.counts is not None]
    apart = [_apart([other[column] for other in others], value) for column, value in enumerate(given)]
    same = isinstance(kept, list) and len(kept) == len(given)
    if not same or not all(
        _is_near(number, value, SAME, ROUNDED + more) for number, value, more in zip(kept, given, apart, strict=True)
    ):
        yield Disagreement(name, line.place, f"the counts '{metric}' are {kept!r}, the answer gives {given!r}")


def _apart(others: Sequence[float], given: float) -> float:
    return max((abs(other - given) for other in others), default=0.0)


def _is_near(kept: Any, given: float, share: float, slack: float) -> bool:
    """Whether a number is the same but for that share of it and that much; none, as JSON has it, is no number."""
    number = _number(kept)
    if math.isnan(number) or not math.isfinite(given):
        return math.isnan(number) and not math.isfinite(given)
    return abs(number - given) <= share * max(1.0, abs(given)) + slack


def _number(kept: Any) -> float:
    return float(kept) if isinstance(kept, int | float) and math.isfinite(kept) else math.nan


def _of(number: str, bases: Mapping[str, Any] | set[str]) -> bool:
    """Whether a number of a record is that of one of these metrics: of a condition, a group, a detail."""
    return any(number == base or number.startswith(f"{base}.") for base in bases)


def _first(odd: Sequence[tuple[str, str]]) -> str:
    return f"such as {odd[0][0]}; the checksum of the record is what holds them"
