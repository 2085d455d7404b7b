"""What the cells of a table of the library `datasets` hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from workbench import DataError, did_you_mean, spoken


def is_list(feature: Any) -> bool:
    """Whether a column holds lists, in any of the ways the library has had to say so."""
    return isinstance(feature, list) or hasattr(feature, "feature")


def with_names(table: Any, datasets: Any, columns: Mapping[str, str], where: str) -> Any:
    """Classes, and lists of them, as their names, which are what a model can say. `DataError` for a row without one:
    what the hub does not give away is class -1 there."""
    column = columns["answers"]
    feature = (table.features or {}).get(column)
    several = is_list(feature)
    names = getattr(_inner(feature) if several else feature, "names", None)
    if not names:
        return table

    def named(row: Mapping[str, Any], number: int) -> dict[str, Any]:
        numbers = row[column] if several else [row[column]]
        for each in numbers or [None]:
            if each is None or not 0 <= each < len(names):
                raise DataError(
                    f"row {number} of '{where}': '{column}' has no class ({each}): take a split with answers"
                )
        found = [names[each] for each in numbers]
        return {column: found if several else found[0]}

    number, text = (datasets.Value(kind) for kind in ("int64", "string"))
    table = table.cast_column(column, datasets.Sequence(number) if several else number)
    kept = {**table.features, column: datasets.Sequence(text) if several else text}
    return table.map(named, features=datasets.Features(kept), with_indices=True)


def _inner(feature: Any) -> Any:
    """What a list holds."""
    return feature[0] if isinstance(feature, list) else feature.feature


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
