"""What tables show of costs: how large a model is, how much of it trains, and what its answers and training take."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy

from workbench.reports.experiment_results import Study
from workbench.reports.number_format import megabytes, millions, significant
from workbench.reports.table_formats import Column
from workbench.reports.trainable_shares import trainable_cells, trainable_columns
from workbench.storage.records import Record

Cost = tuple[str, str, str, Callable[[float], str]]  # name in the record, heading, unit, how a number is written
COSTS: tuple[Cost, ...] = (
    ("bytes", "size", "MB", megabytes),
    ("latency_ms", "latency", "ms", significant),
    ("token_latency_ms", "latency a token", "ms", significant),
    ("training_seconds", "training", "s", significant),
)


def costs_of(study: Study) -> list[Cost]:
    """The costs that are shown: not those that no record has, since older ones say nothing of a token's latency."""
    return [cost for cost in COSTS if not study.done or not numpy.isnan(study.numbers(cost[0])).all()]


def cost_columns(study: Study) -> list[Column]:
    """The columns of a table of trials."""
    return [
        Column("parameters", "parameters", "M", millions),
        *trainable_columns(study),
        *(Column(name, heading, unit, show) for name, heading, unit, show in costs_of(study)),
    ]


def cost_cells(record: Record) -> dict[str, float]:
    """What stands there for a trial."""
    names = ("parameters", *(name for name, *_ in COSTS))
    return {name: record.metrics.get(name, math.nan) for name in names} | trainable_cells(record)
