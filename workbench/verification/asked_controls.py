"""Which controls a record has to have lines of, and which questions each of them may leave out.

The settings say which controls were asked and which one the gain is told against; provenance says how many questions
were left out. Which ones had to be, comes of the questions themselves: they are partnered with other images once more.
Records from before a file could name controls say nothing of them: they have the two that all had.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.contracts.example import Example
from workbench.data.image_views import Keys
from workbench.evaluation.partners import Partners, other_answers
from workbench.evaluation.prior import plain
from workbench.reports.visual_gains import BETTER_OF_TWO, EARLIER
from workbench.storage.conditions import ASKED_WITH, CONTROLS, OUTSIDE, PRIOR, USUAL, WITH_IMAGE
from workbench.storage.records import Record
from workbench.verification.outcome import Disagreement
from workbench.verification.prediction_lines import Lines, PredictionLine

OTHER_ANSWER, SHUFFLED = "other_answer", "shuffled"
COUNTED = ("left_out", "presumed")


@dataclass(frozen=True)
class AskedControls:
    """The controls that the settings of a record name, what its gain is told against, and what its provenance says of
    them: None for a record of before a file could name any."""

    names: tuple[str, ...]
    gain_against: str | None
    told: Mapping[str, Any] | None

    @property
    def earlier(self) -> bool:
        """Whether the record is from before a file could name its controls."""
        return self.gain_against == BETTER_OF_TWO


def controls_of(record: Record) -> AskedControls:
    """What a record says of its controls; settings without any mean the usual ones."""
    told = record.provenance.get(ASKED_WITH)
    settings = record.spec.get("evaluation", {})
    written = settings.get("controls")
    if told is None and written is None:
        return AskedControls(EARLIER, BETTER_OF_TWO, None)
    names = tuple(USUAL if written is None else written)
    return AskedControls(names, settings.get("gain_against") or next(iter(names), None), told)


class LeftOut:
    """The questions that each control has to leave out: `other_answer` those for which no image has another answer, and
    `prior` all of them where there was nothing to learn from; what is text alone is shown no other image. Else none."""

    def __init__(self, asked: AskedControls, lines: Lines):
        self.asked = asked
        self.questions = _questions(lines)
        self.alone = {id_ for id_, example in self.questions.items() if not example.images}
        self.partners = _partners(self.questions) if OTHER_ANSWER in asked.names else Partners({})
        nothing_learned = not lines.get(PRIOR) and _count(asked, "left_out", PRIOR) == len(self.questions)
        self.every = {PRIOR} if PRIOR in asked.names and nothing_learned else set()

    def of(self, control: str) -> set[str]:
        """The ids of those that this control leaves out."""
        if control == OTHER_ANSWER and control in self.asked.names:
            return self.questions.keys() - self.partners.shown.keys()
        if control in (SHUFFLED, OUTSIDE):
            return self.alone
        return set(self.questions) if control in self.every else set()

    def counts(self, control: str) -> dict[str, int]:
        """How many it leaves out, and of how many that it asks it is presumed that another answer is right."""
        return {"left_out": len(self.of(control)), "presumed": self.partners.presumed if control == OTHER_ANSWER else 0}

    @property
    def conditions(self) -> list[str]:
        """What has to have lines, in order."""
        return [WITH_IMAGE, *(name for name in self.asked.names if len(self.of(name)) < len(self.questions))]


def control_faults(record: Record, lines: Lines, left_out: LeftOut, files: tuple[str, str]) -> Iterator[Disagreement]:
    """Controls that are missing, that nobody asked, or of which the record says something else; `files` are what record
    and predictions are called."""
    record_name, name = files
    yield from _told_otherwise(left_out, record_name)
    for each in (WITH_IMAGE, *left_out.asked.names):
        numbers = [number for number in record.metrics if number.endswith(f".{each}")]
        if not lines.get(each) and (each in left_out.conditions or numbers):
            yield Disagreement(name, "", f"no line has the condition '{each}', and the record {_says(each, numbers)}")
    for each in sorted(lines.keys() - {WITH_IMAGE, *left_out.asked.names, OUTSIDE}):
        told = f"the record has no control '{each}'" if each in CONTROLS else f"there is no condition '{each}'"
        yield Disagreement(name, lines[each][0].place, told)
    for each in left_out.asked.names:
        lacking = left_out.of(each)
        for line in lines.get(each, ()):
            if line.id in lacking:
                told = f"the question '{line.id}' stands under '{each}', which has no image to show for it"
                yield Disagreement(name, line.place, told)
    yield from _prior_faults(lines.get(PRIOR, ()), name)


def _questions(lines: Lines) -> dict[str, Example]:
    """Every question that stands under any condition, as it stands under the first."""
    found: dict[str, Example] = {}
    for condition in (WITH_IMAGE, *CONTROLS):
        for line in lines.get(condition, ()):
            found.setdefault(line.id, line.prediction().example)
    return found


def _partners(questions: Mapping[str, Example]) -> Partners:
    grouped: dict[Keys, list[Example]] = {}
    for example in questions.values():
        grouped.setdefault(example.row, []).append(example)
    return other_answers(grouped)


def _count(asked: AskedControls, what: str, control: str) -> Any:
    return (asked.told or {}).get(what, {}).get(control, 0)


def _told_otherwise(left_out: LeftOut, name: str) -> Iterator[Disagreement]:
    """What provenance says of the controls, against the settings and the questions."""
    asked = left_out.asked
    if asked.earlier:
        return
    if asked.told is None:
        yield Disagreement(name, f"provenance, {ASKED_WITH}", "it is missing, and the settings name controls")
        return
    there = asked.told.get("gain_against")
    if there != asked.gain_against:
        told = f"{there!r} stands there, the settings give {asked.gain_against!r}"
        yield Disagreement(name, f"provenance, {ASKED_WITH}, gain_against", told)
    for what in COUNTED:
        for control in dict.fromkeys((*asked.names, *asked.told.get(what, {}))):
            count, given = _count(asked, what, control), left_out.counts(control)[what]
            if count != given:
                told = f"{count!r} stands there, the questions give {given}"
                yield Disagreement(name, f"provenance, {ASKED_WITH}, {what}, {control}", told)


def _says(condition: str, numbers: Sequence[str]) -> str:
    return f"has numbers of it, such as {numbers[0]}" if numbers else f"says that '{condition}' was asked"


def _prior_faults(lines: Sequence[PredictionLine], name: str) -> Iterator[Disagreement]:
    """The prior answers a text in a group always alike, and knows no loss."""
    answers: dict[tuple[str, str], Counter[str]] = {}
    for line in lines:
        answers.setdefault(_asked_as(line), Counter())[line.content["answer"]] += 1
    for line in lines:
        [(usual, _)] = answers[_asked_as(line)].most_common(1)
        if line.content["answer"] != usual:
            told = f"the prior answers {line.content['answer']!r}, and elsewhere {usual!r} to the same question"
            yield Disagreement(name, line.place, told)
        if line.content["loss"] is not None:
            told = f"'loss' is {line.content['loss']!r}, and the prior asks no model that could have one"
            yield Disagreement(name, line.place, told)


def _asked_as(line: PredictionLine) -> tuple[str, str]:
    return plain(line.content["question"]), line.content["group"]
