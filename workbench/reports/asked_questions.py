"""Every question that any trial was asked with its image, and which trials answered it rightly.

Letters in shapes: Q questions, N rows of a trial.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy
import pandas
from numpy.typing import NDArray

from workbench.reports.experiment_results import Study
from workbench.reports.right_answers import are_right
from workbench.reports.trial_rows import TrialRows
from workbench.statistics.bootstrap import Places
from workbench.storage.conditions import WITH_IMAGE
from workbench.storage.records import SCORE


@dataclass(frozen=True)
class Given:
    """What a trial answered: of each question whether it was `asked` and judged, is `right` [Q], and its row [Q]."""

    asked: NDArray[numpy.bool_]
    right: NDArray[numpy.bool_]
    rows: Places


class AskedQuestions:
    """The questions by number, in the order in which they come: their `images` and `groups`, and what trials gave."""

    def __init__(self, study: Study):
        self.study = study
        self.images: list[str] = []
        self.groups: list[str] = []
        self.given: dict[str, Given] = {}
        self._first: list[tuple[str, int]] = []  # the trial that is the first to be asked it, and the row
        self._numbers: dict[str, int] = {}
        self._said: dict[tuple[int, str], bool] = {}
        self._before: tuple[list[tuple[Places, pandas.Index]], Places] | None = None  # of the trial before
        rows = {id_: self._rows(id_, TrialRows(frame)) for id_, frame in study.predictions.items()}
        for id_, (places, numbers) in rows.items():
            self.given[id_] = self._given(id_, places, numbers)

    def __len__(self) -> int:
        return len(self.images)

    def doubts(self) -> list[float]:
        """Of each question: 0 when all trials agree, or none was judged, 0.5 when half of them are right."""
        asked = sum((each.asked.astype(int) for each in self.given.values()), numpy.zeros(len(self), dtype=int))
        right = sum((each.right.astype(int) for each in self.given.values()), numpy.zeros(len(self), dtype=int))
        return (numpy.minimum(right, asked - right) / numpy.maximum(asked, 1)).tolist()

    def line(self, question: int) -> dict[str, Any]:
        """What a line of predictions says of a question."""
        id_, row = self._first[question]
        return self.study.predictions[id_].iloc[row].to_dict()

    def answer(self, id_: str, question: int) -> tuple[str, bool] | None:
        """What a trial answered, and whether it is right; None where it was not asked, or not judged."""
        given = self.given[id_]
        if not given.asked[question]:
            return None
        answers = self.study.predictions[id_]["answer"]
        return str(answers.iloc[given.rows[question]]), bool(given.right[question])

    def _rows(self, id_: str, trial: TrialRows) -> tuple[Places, Places]:
        """The rows of a trial with their images, and the number of the question of each."""
        rows = trial.where("condition", WITH_IMAGE)
        columns = [trial.coded(name) for name in ("image", "id")]
        asked = [(codes[rows], labels) for codes, labels in columns]
        if self._before and all(
            labels is known and numpy.array_equal(codes, those)
            for (codes, labels), (those, known) in zip(asked, self._before[0], strict=True)
        ):
            return rows, self._before[1]
        (images, image_labels), (ids, id_labels) = asked
        groups = trial.frame["group"].to_numpy()[rows]
        numbers = numpy.empty(len(rows), dtype=numpy.intp)
        for place, row in enumerate(rows.tolist()):
            image = str(image_labels[images[place]])
            key = f"{image}\n{id_labels[ids[place]]}"
            if key not in self._numbers:
                self._numbers[key] = len(self.images)
                self._first.append((id_, row))
                self.images.append(image)
                self.groups.append(str(groups[place]))
            numbers[place] = self._numbers[key]
        self._before = asked, numbers
        return rows, numbers

    def _given(self, id_: str, rows: Places, numbers: Places) -> Given:
        asked, right = (numpy.zeros(len(self), dtype=bool) for _ in range(2))
        places = numpy.zeros(len(self), dtype=numpy.intp)
        judged, rights = self._judged(id_, rows, numbers)
        asked[numbers], right[numbers], places[numbers] = judged, rights, rows
        return Given(asked, right, places)

    def _judged(self, id_: str, rows: Places, numbers: Places) -> tuple[NDArray[numpy.bool_], NDArray[numpy.bool_]]:
        """Whether each of these rows was judged at all, and answers rightly [N]. The metric gives some no score."""
        frame, primary = self.study.predictions[id_], self.study.primary
        scale = self.study.scale(primary)
        if scale.percent and SCORE + primary in frame:
            scores = frame[SCORE + primary].to_numpy(dtype=numpy.float64)[rows]
            return ~numpy.isnan(scores), are_right(scores, scale.higher_is_better)
        answers, truths = (frame[name].to_numpy()[rows] for name in ("answer", "answers"))
        found = numpy.zeros(len(rows), dtype=bool)
        for place, (question, answer) in enumerate(zip(numbers.tolist(), answers, strict=True)):
            key = question, answer
            if key not in self._said:
                self._said[key] = _says(answer, truths[place])
            found[place] = self._said[key]
        return numpy.ones(len(rows), dtype=bool), found


def _says(answer: str, answers: Iterable[str]) -> bool:
    """Whether the words are the same, when the metric itself is no share of right answers."""
    return answer.strip().casefold() in [each.strip().casefold() for each in answers]
