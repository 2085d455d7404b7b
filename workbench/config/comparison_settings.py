"""How the report of an experiment compares: settings that change what is said of results, and no result."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, FiniteFloat

from workbench.config.phase import Settings


class ComparisonSettings(Settings, frozen=True):
    """What p values are corrected for, which pairs are compared, and what is known of the luck of training."""

    correction: Literal["report", "table"] = Field(
        default="report", description="p is corrected for all comparisons of the report, or for those of each table"
    )
    pairs: Literal["baseline_first", "all", "baseline"] = Field(
        default="baseline_first",
        description="all pairs of values, those with the baseline weighing most; all alike; those with the baseline",
    )
    equal_spread: bool = Field(
        default=False,
        description="true: seeds are declared to spread all configurations alike, so their spreads are pooled",
    )
    steps_to: dict[str, FiniteFloat] = Field(
        default={},
        description="metrics that phases validate with, and a value of each: the report tells after how many steps"
        " trainings reach it, as {vqa_accuracy: 0.95}",
    )
    seed_spread: Annotated[FiniteFloat, Field(ge=0)] | Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="where there is one seed: the standard deviation between seeds, in points for shares, or the name"
        " of results to take it from",
    )
