"""Columns of any names: which there are, and what an experiment calls them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from workbench import UserError, did_you_mean

Columns = Annotated[
    dict[str, str] | None, Field(description="column names that differ from the usual ones, as {answers: label}")
]
AskedOfAll = Annotated[str | None, Field(description="asked about every image, in place of a column of questions")]
Task = Annotated[str, Field(description="name of the task: questions, captions ...")]


def column_names(usual: Mapping[str, str], columns: Mapping[str, str] | None) -> dict[str, str]:
    """What each column is called; `UserError` for a column that is none."""
    for meaning in columns or {}:
        if meaning not in usual:
            known = ", ".join(usual)
            raise UserError(f"columns: '{meaning}' is none.{did_you_mean(meaning, usual)} Write one of: {known}")
    return {**usual, **(columns or {})}
