"""The training curve: a line a step, the seconds it took, and how both stand in a snapshot."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Step:
    """One line of the training curve. `seconds` since the phase began, `images` seen so far."""

    phase: str
    step: int
    steps: int
    loss: float
    rate: float
    images: int
    seconds: float
    validation_loss: float | None = None


class Stopwatch:
    """Seconds of a phase by the clock on the wall, and those that this process' threads computed, all together."""

    def __init__(self, seconds: float = 0.0, computing: float = 0.0):
        self._begun = time.perf_counter() - seconds, time.process_time() - computing

    def read(self) -> tuple[float, float]:
        """Both since the phase began, over all processes that worked on it."""
        return time.perf_counter() - self._begun[0], time.process_time() - self._begun[1]


def table_of(curve: Sequence[Step]) -> Tensor:
    """The curve [steps,5]: loss, rate, images, seconds, validation loss (NaN where there is none)."""
    lines = [
        (
            each.loss,
            each.rate,
            each.images,
            each.seconds,
            math.nan if each.validation_loss is None else each.validation_loss,
        )
        for each in curve
    ]
    return torch.tensor(lines, dtype=torch.float64).reshape(-1, 5)


def curve_of(table: Tensor, phase: str, steps: int) -> list[Step]:
    """The curve that `table_of` made a table of; its steps are numbered from 1."""
    return [
        Step(phase, number, steps, loss, rate, int(images), seconds, None if math.isnan(validation) else validation)
        for number, (loss, rate, images, seconds, validation) in enumerate(table.tolist(), start=1)
    ]
