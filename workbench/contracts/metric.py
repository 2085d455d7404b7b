"""What a metric provides: a score for each prediction, and how they become one number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy

from workbench.contracts.example import Prediction
from workbench.ingredient import Pretrainable


class Metric(Pretrainable):
    """A score for each prediction; the metric is their mean. Factory: `Metric(*, options)`.

    A score of its own for every prediction is what makes intervals and paired tests possible. A metric of all answers
    together, which is no such mean (F1, BLEU, a perplexity), overrides `counts` and `summary` as well.
    """

    kind: ClassVar[str] = "metric"

    higher_is_better = True
    percent = False
    """Whether scores are shares 0..1, which reports show times 100."""

    def scores(self, predictions: Sequence[Prediction]) -> list[float]:
        """One number a prediction, in the same order. It may depend on what else is asked, never on other answers."""
        raise NotImplementedError

    def counts(self, predictions: Sequence[Prediction]) -> list[tuple[float, ...]] | None:
        """C numbers a prediction that add up to what `summary` needs; None for a metric that is the mean of its scores.

        Adding up is what gives such a metric intervals: they are drawn over images, and each draw is a sum.
        """
        return None

    def summary(self, totals: numpy.ndarray) -> numpy.ndarray:
        """totals [..., C], sums of `counts` over many predictions -> the metric [...]; NaN where it has no value."""
        raise NotImplementedError

    def details(self, totals: numpy.ndarray) -> dict[str, numpy.ndarray]:
        """totals [..., C] -> further numbers [...] by name, on the metric's scale, that stand beside it in reports."""
        return {}


def summarized(metric: Metric, totals: numpy.ndarray) -> dict[str, numpy.ndarray]:
    """totals [..., C] -> the metric [...] as ``, and its details by name; NaN where there is nothing to divide by."""
    with numpy.errstate(all="ignore"):
        return {"": numpy.asarray(metric.summary(totals)), **metric.details(totals)}
