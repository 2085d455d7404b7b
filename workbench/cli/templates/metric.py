"""A metric: one score for each answer. The metric is their mean; intervals and tests are made from the scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, PositiveInt

from workbench import Metric, Prediction, hookimpl


class NewPlugin(Metric):
    """Share of answers whose first words are those of a right answer."""

    higher_is_better = True
    percent = True  # scores are shares from 0 to 1; reports show them times 100

    # What stands behind the `*` is set in the experiment file: `metrics: [{name: new_plugin, words: 2}]`.
    def __init__(
        self,
        *,
        words: Annotated[PositiveInt, Field(description="words at the start of an answer that are compared")] = 1,
    ):
        self.words = words

    def scores(self, predictions: Sequence[Prediction]) -> list[float]:
        """One number a prediction, in the same order, each from its own prediction alone."""
        return [
            float(self._start(each.answer) in [self._start(right) for right in each.example.answers])
            for each in predictions
        ]

    def _start(self, answer: str) -> list[str]:
        return answer.lower().split()[: self.words]


@hookimpl
def register_metrics(register):
    """The name that experiment files use."""
    register("new_plugin", NewPlugin)
