"""Which answers count as right, by their scores."""

from __future__ import annotations

import numpy
from numpy.typing import NDArray

from workbench.statistics.bootstrap import Array

RIGHT = 0.5  # a share from here on counts as right; where less is better, one up to here


def are_right(scores: Array, higher_is_better: bool) -> NDArray[numpy.bool_]:
    """Of each score whether its answer is right; one that is NaN is not."""
    return scores >= RIGHT if higher_is_better else scores <= RIGHT
