"""The loss of the right answer."""

from __future__ import annotations

from collections.abc import Sequence

from workbench import Metric, Prediction, hookimpl


class Loss(Metric):
    """Mean negative log-likelihood of the right answer, in nats a token. It moves before the accuracy does."""

    higher_is_better = False

    def scores(self, predictions: Sequence[Prediction]) -> list[float]:
        """The loss of each prediction."""
        return [prediction.loss for prediction in predictions]


@hookimpl
def register_metrics(register):
    """The loss of the right answers, which is measured anyway."""
    register("loss", Loss)
