"""ROUGE-L of captions (extra `captions`)."""

from __future__ import annotations

from collections.abc import Sequence

from workbench import Metric, Prediction, UserError, hookimpl

from ._captions import words


class RougeL(Metric):
    """ROUGE-L (Lin 2004, https://aclanthology.org/W04-1013, section 3.1): F1 of the longest common subsequence of
    words, with the right caption for which it is highest. Computed by rouge-score."""

    percent = True
    packages = ("rouge-score",)

    def __init__(self) -> None:
        try:
            from rouge_score.rouge_scorer import RougeScorer
        except ImportError as error:
            raise UserError("'rouge_l' needs the package rouge-score: pip install 'workbench[captions]'") from error
        self._scorer = RougeScorer(["rougeL"], tokenizer=_Words())

    def scores(self, predictions: Sequence[Prediction]) -> list[float]:
        """The F1 of each caption."""
        return [self._scorer.score_multi(each.example.answers, each.answer)["rougeL"].fmeasure for each in predictions]


class _Words:
    def tokenize(self, text: str) -> list[str]:
        return words(text)


@hookimpl
def register_metrics(register):
    """ROUGE-L, by the longest common subsequence."""
    register("rouge_l", RougeL)
