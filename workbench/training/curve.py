"""The training curve: a line a step, the seconds it took, and how both stand in a snapshot."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Step:
    """One line of the training curve. `seconds` trained since the phase began, `images` seen so far;
    `validation_metrics` by name, of answers about what is held out."""

    phase: str
    step: int
    steps: int
    loss: float
    rate: float
    images: int
    seconds: float
    validation_loss: float | None = None
    validation_metrics: Mapping[str, float] | None = None


class Stopwatch:
    """Seconds that a phase trained by the clock on the wall, those that this process' threads computed, all together,
    and those in which it was `paused`, which are in neither."""

    def __init__(self, seconds: float = 0.0, computing: float = 0.0, paused: float = 0.0):
        self._begun = time.perf_counter() - seconds, time.process_time() - computing
        self.paused_seconds = paused

    def read(self) -> tuple[float, float]:
        """Both since the phase began, over all processes that worked on it."""
        return time.perf_counter() - self._begun[0], time.process_time() - self._begun[1]

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Inside, the clocks stand still: to look at a model is not to train it."""
        seconds, computing = self.read()
        try:
            yield
        finally:
            now, computed = self.read()
            self.paused_seconds += now - seconds
            self._begun = self._begun[0] + now - seconds, self._begun[1] + computed - computing


def table_of(curve: Sequence[Step]) -> Tensor:
    """The curve [steps,5]: loss, rate, images, seconds, validation loss (NaN where there is none). Its metrics are what
    `metrics_of` says."""
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


def metrics_of(curve: Sequence[Step]) -> dict[str, Mapping[str, float]]:
    """The metrics of every validation, by its step in digits: what JSON takes as a key."""
    return {str(each.step): each.validation_metrics for each in curve if each.validation_metrics is not None}


def curve_of(table: Tensor, metrics: Mapping[str, Mapping[str, float]], phase: str, steps: int) -> list[Step]:
    """The curve of which `table_of` and `metrics_of` were made; its steps are numbered from 1."""

    def validated(number: int, loss: float) -> tuple[float | None, Mapping[str, float] | None]:
        return None if math.isnan(loss) else loss, metrics.get(str(number))

    return [
        Step(phase, number, steps, loss, rate, int(images), seconds, *validated(number, validation))
        for number, (loss, rate, images, seconds, validation) in enumerate(table.tolist(), start=1)
    ]
