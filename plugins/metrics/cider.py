"""CIDEr-D: how far a caption agrees with what people wrote, rare words counting most."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from workbench import Metric, Prediction, hookimpl

from ._captions import MAX_ORDER, runs, words

SIGMA = 6.0  # words by which a caption may be longer or shorter before that weighs
Weights = list[dict[tuple[str, ...], float]]  # by order, of each run of words


class Cider(Metric):
    """CIDEr-D (Vedantam et al. 2015, https://arxiv.org/abs/1411.5726, section 3 and 4), from 0 to 10.

    A run of words counts by how few of the images asked about have it in their captions. Those of an image alone are
    too few: a score means something beside others of the same split.
    """

    def scores(self, predictions: Sequence[Prediction]) -> list[float]:
        """The mean over the right captions of each."""
        captions = [[words(answer) for answer in each.example.answers] for each in predictions]
        seen = Counter(run for each in captions for run in {run for tokens in each for run in runs(tokens)})
        everywhere = math.log(max(len(captions), 1))
        rare = {run: everywhere - math.log(count) for run, count in seen.items()}
        return [
            10 * sum(_agreement(words(each.answer), tokens, rare, everywhere) for tokens in right) / len(right)
            for each, right in zip(predictions, captions, strict=True)
        ]


def _agreement(given: Sequence[str], right: Sequence[str], rare: Mapping, unknown: float) -> float:
    """Of two captions, 0 to 1: the mean over the orders of the cosine of their weights, no run counting more often than
    it is right, less the more the lengths differ."""
    mine, theirs = _weights(given, rare, unknown), _weights(right, rare, unknown)
    total = 0.0
    for own, other in zip(mine, theirs, strict=True):
        overlap = sum(min(weight, other[run]) * other[run] for run, weight in own.items() if run in other)
        length = math.hypot(*own.values()) * math.hypot(*other.values())
        total += overlap / length if length else 0.0
    # The published script takes the number of pairs of words for the length of a caption.
    apart = max(len(given) - 1, 0) - max(len(right) - 1, 0)
    return total / MAX_ORDER * math.exp(-(apart**2) / (2 * SIGMA**2))


def _weights(tokens: Sequence[str], rare: Mapping, unknown: float) -> Weights:
    """The frequency of each run times its rarity, by order."""
    weights: Weights = [{} for _ in range(MAX_ORDER)]
    for run, count in runs(tokens).items():
        weights[len(run) - 1][run] = count * rare.get(run, unknown)
    return weights


@hookimpl
def register_metrics(register):
    """CIDEr-D, which counts what few captions say for more."""
    register("cider", Cider)
