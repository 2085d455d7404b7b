"""What the cells of a table of the library `datasets` hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from workbench import DataError, did_you_mean, spoken


def is_list(feature: Any) -> bool:
    """Whether a column holds lists, in any of the ways the library has had to say so."""
    return isinstance(feature, list) or hasattr(feature, "feature")


def with_names(table: Any, datasets: Any, columns: Mapping[str, str]) -> Any:
    """Classes as their names, which are what a model can say."""
    column = columns["answers"]
    names = getattr((table.features or {}).get(column), "names", None)
    if not names:
        return table
    table = table.cast_column(column, datasets.Value("int64"))
    kept = {**table.features, column: datasets.Value("string")}
    return table.map(lambda row: {column: names[row[column]]}, features=datasets.Features(kept), input_columns=None)


def check_columns(row: Mapping[str, Any], names: Sequence[str], where: str) -> None:
    """`DataError` for a name that is no column, with those that are."""
    for name in names:
        if name not in row:
            there = ", ".join(row)
            raise DataError(f"{where}: there is no column '{name}'.{did_you_mean(name, row)} There are: {there}")


def answers_of(value: Any, where: str) -> tuple[str, ...]:
    """An answer, or a list of them, as texts."""
    if isinstance(value, list | tuple):
        found = tuple(text_of(each["answer"] if isinstance(each, dict) else each, where) for each in value)
        if found:
            return found
    return (text_of(value, where),)


def text_of(value: Any, where: str) -> str:
    """A cell that has to be a text; `DataError` for any other."""
    if isinstance(value, str) and value.strip():
        return value.strip()
    if isinstance(value, int | float):
        return spoken(value)
    raise DataError(f"{where} should be a text, not {value!r}")
