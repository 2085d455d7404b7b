"""Perplexity of the right answers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy

from workbench import Metric, Prediction, hookimpl

LARGEST = 700.0  # nats: e to more is no number any more


class Perplexity(Metric):
    """e to the mean over all answers of their loss in nats a token: how many tokens a model hesitates between."""

    higher_is_better = False

    def scores(self, predictions: Sequence[Prediction]) -> list[float]:
        """The perplexity of each answer."""
        return [math.exp(min(each.loss, LARGEST)) for each in predictions]

    def counts(self, predictions: Sequence[Prediction]) -> list[tuple[float, ...]]:
        """Its loss, and 1."""
        return [(each.loss, 1.0) for each in predictions]

    def summary(self, totals: numpy.ndarray) -> numpy.ndarray:
        """totals [...,2] -> [...]."""
        return numpy.exp(totals[..., 0] / totals[..., 1])


@hookimpl
def register_metrics(register):
    """How surprised the decoder is by the right answers."""
    register("perplexity", Perplexity)
