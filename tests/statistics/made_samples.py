"""Scores made up for tests of the statistics, and the axes of trials that have them."""

from __future__ import annotations

import numpy
import pandas

from workbench.statistics.bootstrap import resampled_means
from workbench.statistics.estimates import Sample


def sample_of(scores: numpy.ndarray, seeds: list[str] | None = None, resamples: int = 2000) -> Sample:
    """scores [T,P], one question an image."""
    means = resampled_means(scores, numpy.ones_like(scores), resamples)
    return Sample(scores.mean(1), means, seeds or ["0"] * len(scores), scores.shape[1])


def grid(labels: list[str], cells: int, seeds: int = 1) -> pandas.DataFrame:
    rows = [
        {"axis": label, "other": str(cell), "seed": str(seed)}
        for label in labels
        for cell in range(cells)
        for seed in range(seeds)
    ]
    return pandas.DataFrame(rows)
