"""Whether a model knows when it is right: how its probabilities of its answers fit what they score, and what it scores
where it may leave answers out.

A confidence is the probability that the model gave to exactly the answer it gave. Answers with the same confidence
count as one group with its mean score, so that no order among them makes a number.

Letters in shapes: N answers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy

from workbench.statistics.bootstrap import Array

BINS = 15
COVERAGE = 0.8


@dataclass(frozen=True)
class Calibration:
    """How well confidences fit, and what they are good for.

    - `error`: the expected calibration error (Guo et al. 2017, https://arxiv.org/abs/1706.04599) over 15 bins with
      equally many answers (Nixon et al. 2019, https://arxiv.org/abs/1904.01685).
    - `brier`: the mean squared distance of confidence and score (Brier 1950).
    - `selective`: the mean score of the 80 % of answers that are most confident.
    - `risk`: the area under the curve of what is missed against coverage, as the mean over all coverages (Geifman and
      El-Yaniv 2017, https://arxiv.org/abs/1705.08500).
    """

    error: float
    brier: float
    selective: float
    risk: float


def calibration(confidences: Array, scores: Array) -> Calibration:
    """Of confidences [N] and scores [N], both from 0 to 1."""
    if not len(scores):
        return Calibration(math.nan, math.nan, math.nan, math.nan)
    brier = float(((confidences - scores) ** 2).mean())
    _, group = numpy.unique(confidences, return_inverse=True)
    scores = (numpy.bincount(group, scores) / numpy.bincount(group))[group]
    order = numpy.argsort(-confidences, kind="stable")
    confidences, scores = confidences[order], scores[order]
    bins = [part for part in numpy.array_split(numpy.arange(len(scores)), BINS) if len(part)]
    gaps = [abs(float((confidences[part] - scores[part]).sum())) for part in bins]
    so_far = numpy.cumsum(scores) / numpy.arange(1, len(scores) + 1)  # [N] by how many are answered
    kept = math.ceil(COVERAGE * len(scores) - 1e-9)
    return Calibration(sum(gaps) / len(scores), brier, float(so_far[kept - 1]), float(1 - so_far.mean()))
