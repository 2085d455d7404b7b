"""What a report says of differences that it could have found (`power.py`): in tables and in sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence

from workbench.reports.metric_format import MetricFormat
from workbench.reports.table_formats import Column
from workbench.statistics.effects import Effect

HEADING = "would be found from"
OFTEN = "in 80 of 100"


def detectable_columns(effects: Sequence[Effect], form: MetricFormat) -> list[Column]:
    """The column that stands beside every 'not distinguishable'; none where there is none."""
    return [Column("detectable", HEADING, form.difference_unit, form.detectable)] if _unseen(effects) else []


def detectable_notes(effects: Sequence[Effect]) -> list[str]:
    """What that column means: with one seed, a thing of the trained models alone."""
    unseen = _unseen(effects)
    of_methods, of_models = ([each for each in unseen if each.luck == luck] for luck in (True, False))
    told = []
    if of_methods:
        told.append(
            f"'{HEADING}': a true difference of so much is told {OFTEN} studies of this size, a smaller less often."
        )
    if of_models:
        which = f" of {', '.join(each.value for each in of_models)}" if of_methods else ""
        told.append(
            f"'{HEADING}'{which}: that much between these trained models is told {OFTEN} choices of as many images."
            " How far another seed would move them is not in it."
        )
    return told


def detectable_sentence(tied: Sequence[Effect], form: MetricFormat) -> list[str]:
    """Of values that cannot be told from another: what could have been, of the one of which that is hardest."""
    unseen = _unseen(tied)
    if not unseen:
        return []
    hardest = max(unseen, key=lambda each: each.detectable)
    where = f"studies of this size{'' if hardest.luck else ' of these trained models'}"
    if hardest.detectable == math.inf:
        return [f"No difference would be told {OFTEN} {where}."]
    least = f"{form.detectable(hardest.detectable)} {form.difference_unit}".strip()
    return [f"A true difference of {least} would be told {OFTEN} {where}, a smaller one less often."]


def _unseen(effects: Sequence[Effect]) -> list[Effect]:
    return [each for each in effects if not math.isnan(each.detectable)]
