"""Which trainings the weights of a trial come from, and how long each took: what trials share is computed once."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas

from workbench.storage.records import Record

Training = tuple[str, float]
"""The key of a trained stage, and the seconds it took. One that was done twice is two: no two take equally long."""


def trainings_of(record: Record, curve: pandas.DataFrame) -> tuple[Training, ...] | None:
    """The trainings of a finished trial in order, each with the seconds at which its curve ends; None where the record
    does not say which they are, or has not the curve of each."""
    keys: Sequence[str] | None = record.provenance.get("trained")
    if keys is None or "seconds" not in curve:
        return None
    ends = [float(seconds) for seconds in curve.groupby("phase", sort=False)["seconds"].last()] if len(curve) else []
    if len(ends) != len(keys) or any(math.isnan(each) for each in ends):
        return None
    return tuple(zip(keys, ends, strict=True))
