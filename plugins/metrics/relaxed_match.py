"""Relaxed match: numbers may be a little off, words may not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from workbench import Metric, Prediction, hookimpl

ROUNDING = 1e-9  # 1.05 is within 5 % of 1, which floating point would deny


class RelaxedMatch(Metric):
    """Share of answers that are right, or a number within `tolerance` of a right one (relaxed accuracy: Masry et al.
    2022, ChartQA, https://arxiv.org/abs/2203.10244, section 4).

    `1,000` is 1000 and `5%` is 0.05. Other answers have to be equal, capitals apart.
    """

    percent = True

    def __init__(
        self,
        *,
        tolerance: Annotated[
            float, Field(ge=0, lt=1, description="how far a number may be off, as a share of the right one")
        ] = 0.05,
    ):
        self.tolerance = tolerance

    def scores(self, predictions: Sequence[Prediction]) -> list[float]:
        """1 for an answer that is right or near enough, else 0."""
        return [float(any(self._is_near(each.answer, right) for right in each.example.answers)) for each in predictions]

    def _is_near(self, answer: str, right: str) -> bool:
        given, wanted = number_in(answer), number_in(right)
        if given is None or wanted is None:
            return answer.strip().casefold() == right.strip().casefold()
        return abs(given - wanted) <= (self.tolerance + ROUNDING) * abs(wanted)


def number_in(answer: str) -> float | None:
    """The number that an answer is, or None."""
    text = answer.strip().replace(",", "")
    try:
        number = float(text.removesuffix("%"))
    except ValueError:
        return None
    if not math.isfinite(number):
        return None
    return number / 100 if text.endswith("%") else number


@hookimpl
def register_metrics(register):
    """Exact match in which numbers may be a little off."""
    register("relaxed_match", RelaxedMatch)
