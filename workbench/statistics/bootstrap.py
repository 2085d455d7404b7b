"""Resamples of images, drawn with replacement: how far a number would move had other images been asked about.

Questions about one image are answered right or wrong together, so whole images are drawn (cluster bootstrap; Efron &
Tibshirani 1993, *An Introduction to the Bootstrap*, ch. 8 and 13). The same draws serve every trial, which makes
differences paired: what is hard for all cancels out (Dror et al. 2018, https://aclanthology.org/P18-1128).

Letters in shapes: P images, B resamples, C columns to be summed or averaged.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy
from numpy.typing import NDArray

RESAMPLES = 2_000

Array = NDArray[numpy.float64]
Places = NDArray[numpy.intp]


def image_draws(images: int, resamples: int = RESAMPLES, seed: int = 0) -> Iterator[Array]:
    """How often each image is drawn in each resample, in pieces [b,P]: with the same seed always the same."""
    random = numpy.random.default_rng(seed)
    even = numpy.full(images, 1 / images)
    chunk = max(1, 4_000_000 // images)  # bounds the memory of a piece to some 32 MB
    for start in range(0, resamples, chunk):
        count = min(chunk, resamples - start)
        yield random.multinomial(images, even, size=count).astype(numpy.float64)


def resampled_totals(sums: Array, resamples: int = RESAMPLES, seed: int = 0) -> Array:
    """Sums over resampled images: sums [C,P] of a column over the questions of each image -> [B,C]."""
    return numpy.concatenate([draws @ sums.T for draws in image_draws(sums.shape[1], resamples, seed)])


def resampled_means(sums: Array, counts: Array, resamples: int = RESAMPLES, seed: int = 0) -> Array:
    """Means over resampled images: sums [C,P] and counts [C,P] of a column's scores in each image -> [B,C].

    A column without questions in a resample is NaN there.
    """
    totals = resampled_totals(numpy.concatenate([sums, counts]), resamples, seed)
    with numpy.errstate(invalid="ignore", divide="ignore"):
        return totals[:, : len(sums)] / totals[:, len(sums) :]
