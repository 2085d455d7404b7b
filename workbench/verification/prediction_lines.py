"""The lines of predictions.jsonl with their numbers, and whether they are whole: every question once under every
condition that does not have to leave it out, in one order, and asked alike."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.contracts.example import Example, Prediction, Turn, is_image
from workbench.storage.conditions import OUTSIDE
from workbench.storage.hashing import canonical
from workbench.storage.older_records import predictions_of
from workbench.storage.records import LIKELY
from workbench.verification.outcome import Disagreement

TEXTS = ("condition", "id", "image", "group", "question")  # fields of every line
ALIKE = ("image", "more_images", "group", "history", "question", "answers")  # under every condition


@dataclass(frozen=True)
class PredictionLine:
    """One line: its number in the file, from 1, and what it says, in the words of this version."""

    number: int
    content: dict[str, Any]

    @property
    def id(self) -> str:
        """The question's."""
        return self.content["id"]

    @property
    def place(self) -> str:
        """Where it stands."""
        return f"line {self.number}"

    def prediction(self) -> Prediction:
        """What a metric is given: the question with its right answers, the answer, and what of it was kept."""
        line = self.content
        history = tuple(Turn(*turn) for turn in line.get("history", ()))
        more, answers = tuple(line.get("more_images", ())), tuple(line["answers"])
        image = line["image"] if is_image(line["image"]) else ""  # what stands for text alone is none
        example = Example(line["id"], image, line["question"], answers, line["group"], history, more)
        loss = math.nan if line["loss"] is None else line["loss"]
        return Prediction(example, line["answer"], loss, line.get(LIKELY, math.nan))


Lines = Mapping[str, Sequence[PredictionLine]]


def read_prediction_lines(file: Path, name: str) -> tuple[dict[str, list[PredictionLine]], list[Disagreement]]:
    """The lines of each condition in their order, and which lines are no prediction; `name` is what the file is
    called."""
    lines: dict[str, list[PredictionLine]] = {}
    damaged = []
    for number, text in enumerate(file.read_text(encoding="utf-8", errors="replace").split("\n"), start=1):
        if not text:
            continue
        try:
            content = _prediction(json.loads(text))
        except (TypeError, ValueError, RecursionError) as error:
            damaged.append(Disagreement(name, f"line {number}", f"it is no prediction: {error}"))
        else:
            lines.setdefault(content["condition"], []).append(PredictionLine(number, content))
    return lines, damaged


def faults_of(lines: Lines, left_out: Callable[[str], Container[str]], name: str) -> Iterator[Disagreement]:
    """Questions that stand twice or are missing under a condition, stand in another order, or are asked otherwise;
    `left_out` gives those that a condition has to lack."""
    yield from _twice(lines, name)
    order = _order_of(lines)
    for condition, each in lines.items():
        yield from _missing(condition, each, order, left_out(condition), name)
        yield from _disordered(each, order, name)
    yield from _asked_otherwise(lines, name)


def _prediction(content: Any) -> dict[str, Any]:
    """What a line says; `ValueError` where a field is missing or of another type."""
    if not isinstance(content, dict):
        raise ValueError("it is no JSON object")
    [line] = predictions_of([content])
    wanted: dict[str, Any] = dict.fromkeys(TEXTS, str)
    if line.get("condition") != OUTSIDE:
        wanted |= {"answer": str, "answers": list, "scores": dict, "loss": int | float | None}
        wanted |= {LIKELY: int | float} if LIKELY in line else {}
    for field, form in wanted.items():
        if field not in line:
            raise ValueError(f"'{field}' is missing")
        if not isinstance(line[field], form):
            raise ValueError(f"'{field}' is {line[field]!r}")
    if not all(isinstance(answer, str) for answer in line.get("answers", ())):
        raise ValueError(f"'answers' is {line['answers']!r}")
    if line["condition"] != OUTSIDE:
        PredictionLine(0, line).prediction()  # `TypeError` for a history that is none
    return line


def _twice(lines: Lines, name: str) -> Iterator[Disagreement]:
    for condition, each in lines.items():
        first: dict[str, int] = {}
        for line in each:
            if line.id in first:
                told = f"the question '{line.id}' stands under '{condition}' in line {first[line.id]} already"
                yield Disagreement(name, line.place, told)
            first.setdefault(line.id, line.number)


def _order_of(lines: Lines) -> list[str]:
    """The questions in the order that most conditions have them, then those that these lack."""
    orders = Counter(tuple(dict.fromkeys(line.id for line in each)) for each in lines.values())
    common = [order for order, _ in orders.most_common()]
    return list(dict.fromkeys(id_ for order in common for id_ in order))


def _missing(
    condition: str, lines: Sequence[PredictionLine], order: Sequence[str], left_out: Container[str], name: str
) -> Iterator[Disagreement]:
    there = {line.id: line.number for line in lines}
    before = 0
    for id_ in order:
        if id_ not in there and id_ not in left_out:
            place = f"after line {before}" if before else f"before line {lines[0].number}"
            yield Disagreement(name, place, f"the question '{id_}' has no line under '{condition}'")
        before = there.get(id_, before)


def _disordered(lines: Sequence[PredictionLine], order: Sequence[str], name: str) -> Iterator[Disagreement]:
    """Each line that stands where another should; those that are missing or stand twice are told elsewhere."""
    first = {line.id: line for line in reversed(lines)}
    found = sorted(first.values(), key=lambda line: line.number)
    for line, id_ in zip(found, [id_ for id_ in order if id_ in first], strict=True):
        if line.id != id_:
            yield Disagreement(name, line.place, f"the question '{line.id}' stands there, '{id_}' should")


def _asked_otherwise(lines: Lines, name: str) -> Iterator[Disagreement]:
    """A question that is not the same under every condition: what most of them have is taken for right."""
    asked: dict[str, list[PredictionLine]] = {}
    for each in lines.values():
        for line in each:
            asked.setdefault(line.id, []).append(line)
    for found in asked.values():
        for field in ALIKE:
            told = [line for line in found if line.content["condition"] != OUTSIDE or field == "question"]
            values = [canonical(line.content.get(field)) for line in told]
            if len(set(values)) < 2:
                continue
            common = Counter(values).most_common(1)[0][0]
            for line, value in zip(told, values, strict=True):
                if value != common:
                    yield Disagreement(name, line.place, f"'{field}' is {value}, under other conditions {common}")
