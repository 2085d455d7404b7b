"""BLEU of captions, over all of them together (extra `captions`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy
from pydantic import Field

from workbench import Metric, Prediction, UserError, hookimpl

from ._captions import words


class Bleu(Metric):
    """BLEU (Papineni et al. 2002, https://aclanthology.org/P02-1040, section 2).

    Counted by sacrebleu, for all captions together; an order that no caption is long enough for is left out. The score
    of one caption is smoothed.
    """

    percent = True
    packages = ("sacrebleu",)

    def __init__(
        self,
        *,
        order: Annotated[Literal[1, 2, 3, 4], Field(description="longest n-grams that are counted, in words")] = 4,
    ):
        try:
            from sacrebleu.metrics.bleu import BLEU
        except ImportError as error:
            raise UserError("'bleu' needs the package sacrebleu: pip install 'workbench[captions]'") from error
        self.order = order
        self._bleu = BLEU(tokenize="none", max_ngram_order=order, effective_order=True)

    def scores(self, predictions: Sequence[Prediction]) -> list[float]:
        """The smoothed BLEU of each caption."""
        return [min(1.0, self._counted(each).score / 100) for each in predictions]

    def counts(self, predictions: Sequence[Prediction]) -> list[tuple[float, ...]]:
        """Right runs of each order, all runs of each order, words given, words of the caption nearest in length."""
        counted = [self._counted(each) for each in predictions]
        return [(*map(float, each.counts), *map(float, each.totals), each.sys_len, each.ref_len) for each in counted]

    def summary(self, totals: numpy.ndarray) -> numpy.ndarray:
        """totals [...,2K+2] -> [...]."""
        right, given = totals[..., : self.order], totals[..., self.order : 2 * self.order]  # [...,K]
        there = given > 0
        logs = numpy.where(there, numpy.log(right / given), 0.0)
        precision = numpy.exp(logs.sum(-1) / numpy.maximum(there.sum(-1), 1))
        length, wanted = totals[..., -2], totals[..., -1]
        brevity = numpy.where(length > 0, numpy.exp(numpy.minimum(0.0, 1 - wanted / length)), 0.0)
        return precision * brevity

    def _counted(self, prediction: Prediction) -> Any:
        given, *right = [" ".join(words(each)) for each in (prediction.answer, *prediction.example.answers)]
        return self._bleu.sentence_score(given, right)


@hookimpl
def register_metrics(register):
    """BLEU-4 of a whole set of captions."""
    register("bleu", Bleu)
