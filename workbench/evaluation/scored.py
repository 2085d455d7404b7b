"""What a metric gives for predictions: a score for each, and the value of all or of some of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy

from workbench.contracts.metric import summarized
from workbench.errors import UserError

if TYPE_CHECKING:
    from workbench.contracts.example import Prediction
    from workbench.contracts.metric import Metric


@dataclass(frozen=True)
class Scored:
    """What a metric gives for some predictions: scores [N], and counts [N,C] where it is no mean of scores."""

    metric: Metric
    scores: Sequence[float]
    counts: numpy.ndarray | None

    def value(self, places: Sequence[int] | None = None) -> dict[str, float]:
        """The metric over all predictions, or those at some places, as ``, and its details by name."""
        chosen = range(len(self.scores)) if places is None else places
        if self.counts is None:
            return {"": float(numpy.mean([self.scores[place] for place in chosen]))}
        return {name: float(value) for name, value in summarized(self.metric, self.counts[chosen].sum(0)).items()}


def score(metric: Metric, predictions: Sequence[Prediction]) -> Scored:
    """Every prediction judged by a metric, which gets lists of its own: what it does to them reaches no other."""
    counts, scores = metric.counts(list(predictions)), metric.scores(list(predictions))
    for name, numbers in (("scores", scores), ("counts", counts)):
        if numbers is not None and len(numbers) != len(predictions):
            raise UserError(
                f"`{name}` of the metric {type(metric).__name__} gives {len(numbers)} for {len(predictions)}"
                " predictions: one for each, in the same order"
            )
    return Scored(metric, scores, None if counts is None else numpy.array(counts, dtype=numpy.float64))


def values(metrics: Mapping[str, Metric], predictions: Sequence[Prediction]) -> dict[str, float]:
    """Each metric over all predictions, by its name; without its details."""
    return {name: score(metric, predictions).value()[""] for name, metric in metrics.items()}
