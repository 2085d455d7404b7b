"""Losses and weights that are no finite numbers: they end a phase, with advice on what to change."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

from workbench.errors import UserError
from workbench.training.resume import Snapshots


class NotFiniteError(UserError):
    """A loss or a weight that is no finite number, in which phase and at which step."""


def finite(value: float, what: str, phase: str, step: int) -> float:
    """The value; `NotFiniteError` when it is NaN or infinite."""
    if not math.isfinite(value):
        raise NotFiniteError(f"the {what} became {value} in phase '{phase}' at step {step}")
    return value


@contextmanager
def with_advice(snapshots: Snapshots | None) -> Iterator[None]:
    """Inside, a `NotFiniteError` says as well where the last good snapshot lies, and what to change."""
    try:
        yield
    except NotFiniteError as error:
        where = f"{snapshots.in_words()}. " if snapshots else ""
        raise NotFiniteError(
            f"{error}. {where}Lower its rate, lengthen its warmup or lower its clip; in fp16, try bf16 or fp32"
        ) from error
