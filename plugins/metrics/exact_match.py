"""Exact match: the share of answers that are a right answer word for word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from workbench import Metric, Prediction, hookimpl


class ExactMatch(Metric):
    """Share of answers equal to any of the right ones, whatever surrounds them."""

    percent = True

    def __init__(self, *, case: Annotated[bool, Field(description="capitals have to match too")] = False):
        self.case = case

    def scores(self, predictions: Sequence[Prediction]) -> list[float]:
        """1 for a right answer, else 0."""
        return [
            float(self._plain(each.answer) in [self._plain(right) for right in each.example.answers])
            for each in predictions
        ]

    def _plain(self, answer: str) -> str:
        words = " ".join(answer.split())
        return words if self.case else words.casefold()


@hookimpl
def register_metrics(register):
    """The share of answers that are a right one, word for word."""
    register("exact_match", ExactMatch)
