"""Numbers of a record about images from outside, computed anew from the strangeness that stands in the lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy

from workbench.contracts.example import is_image
from workbench.evaluation.out_of_distribution import MEASURES, OUTSIDE, OutOfDistributionScores
from workbench.evaluation.scored import Scored
from workbench.storage.conditions import WITH_IMAGE
from workbench.storage.records import Record
from workbench.verification.outcome import Checked, Disagreement, Said, Unchecked
from workbench.verification.prediction_lines import Lines, PredictionLine
from workbench.verification.rescoring import Rescored

APART = 1.1e-6  # two rounded numbers may have been this much nearer or farther
SAME = 1e-9
ANSWERED = "answered"


def check_outside(record: Record, lines: Lines, rescored: Rescored, files: tuple[str, str]) -> Iterator[Said]:
    """The record's numbers about images from outside; `files` are what record and predictions are called."""
    name, predictions = files
    told = {each: value for each, value in record.metrics.items() if each.startswith(f"{OUTSIDE}.")}
    asked, outside = lines.get(WITH_IMAGE, ()), lines.get(OUTSIDE, ())
    places = [place for place, line in enumerate(asked) if is_image(str(line.content.get("image")))]
    inside = [asked[place] for place in places]  # the others are text alone, and look like nothing
    if not told and not outside:
        return
    faults = [line for line in (*inside, *outside) if not _measures(line)]
    yield from (Disagreement(predictions, line.place, "the strangeness is missing or no number") for line in faults)
    if faults or not inside or not outside:
        yield Unchecked("numbers about images from outside", "not every question has its strangeness", len(told))
        return
    primaries, withhold = _primaries(record, rescored), record.spec.get("evaluation", {}).get("withhold")
    if not primaries or withhold is None:
        yield Unchecked("numbers about images from outside", "the metric or the share withheld is not known", len(told))
        return
    exact = [_numbers(inside, outside, places, primary, withhold, 0.0) for primary in primaries]
    moved = [_numbers(inside, outside, places, primaries[0], withhold, step) for step in (-APART, APART)]
    given = exact[0]
    for number, value in told.items():
        if number not in given:
            yield Disagreement(name, f"metrics, {number}", "it stands there, and no lines give it")
        elif _lies_between(value, [each[number] for each in exact]):
            continue
        elif _lies_between(value, [each[number] for each in moved]) or (
            number.endswith(ANSWERED) and _is_close(inside, number.split(".")[1], withhold)
        ):
            yield Unchecked(f"'{number}'", "rounding leaves room for more than one number, and it is one of them")
        else:
            yield Disagreement(name, f"metrics, {number}", f"{value!r} stands there, the lines give {given[number]!r}")
    missing = given.keys() - told.keys()
    yield from (
        Disagreement(name, f"metrics, {each}", f"it is missing, the lines give {given[each]!r}") for each in missing
    )
    yield Checked("numbers about images from outside computed anew", len(told))
    yield Unchecked("how strange each image looks", "only the model can tell", len(inside) + len(outside))


def _primaries(record: Record, rescored: Rescored) -> list[Scored]:
    """What the first metric of the record gives for the images themselves, and what it would with other losses."""
    name = str(record.spec["metrics"][0]["name"]) if record.spec.get("metrics") else ""
    shown = [each.get(WITH_IMAGE, {}) for each in (rescored.scored, *rescored.moved)]
    return [each[name] for each in shown if name in each]


def _lies_between(value: float, given: Sequence[float]) -> bool:
    return min(given) - SAME <= value <= max(given) + SAME


def _measures(line: PredictionLine) -> dict[str, float] | None:
    found: Any = line.content.get("strangeness")
    whole = isinstance(found, dict) and all(isinstance(found.get(each), int | float) for each in MEASURES)
    return found if whole else None


def _column(lines: Sequence[PredictionLine], measure: str) -> list[float]:
    return [line.content["strangeness"][measure] for line in lines]


def _numbers(
    inside: Sequence[PredictionLine],
    outside: Sequence[PredictionLine],
    places: Sequence[int],
    primary: Scored,
    withhold: float,
    step: float,
) -> dict[str, float]:
    """With images from outside that much stranger: what rises with it lies between what two steps give."""
    own = {each: _column(inside, each) for each in MEASURES}
    strange = {each: [value + step for value in _column(outside, each)] for each in MEASURES}
    return OutOfDistributionScores(own, strange, (), places).numbers(primary, withhold)


def _is_close(inside: Sequence[PredictionLine], measure: str, withhold: float) -> bool:
    """Whether rounding may have changed which answers are withheld: several images are about as strange as the
    limit."""
    values = numpy.array(_column(inside, measure))
    return int((numpy.abs(values - numpy.quantile(values, 1 - withhold)) <= APART).sum()) > 1
