"""What a report says of results that are no longer those of the code, the data and the weights there are now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.reports.experiment_results import Study


FEW = 4  # reasons that are told


def out_of_date(study: Study) -> list[str]:
    """In words: how many results are no longer those of what there is now, what changed, and what to do."""
    if not study.stale:
        return []
    count, every = len(study.stale), len(study.done)
    which = f"{count} of {every} results are" if every > 1 else "The one result is"
    why = list(dict.fromkeys(reason for told in study.stale.values() for reason in told))
    again = f"{study.command} makes them anew" if study.command else "Run the experiment again to make them anew"
    return [f"{which} out of date: {_some(why)} since. {again}."]


def not_compared(study: Study) -> str:
    """In words: of what nobody can say here whether it is as it was."""
    if not study.not_compared:
        return ""
    return f"Whether results are out of date was not checked in full: {_some(study.not_compared, '; ')}."


def _some(texts: Sequence[str], between: str = ", ") -> str:
    """The first few in one line, and how many more there are."""
    more = f"{between}and {len(texts) - FEW} more" if len(texts) > FEW else ""
    return between.join(texts[:FEW]) + more
