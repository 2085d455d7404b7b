"""What a report says of trials that it leaves out, since what they left is not what was written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.storage.result_files import TRIALS

if TYPE_CHECKING:
    from workbench.reports.experiment_results import Study

FEW = 3  # trials that are named


def damage(study: Study) -> list[str]:
    """In words: how many trials are left out, which file of each is damaged, and what to do."""
    if not study.damaged:
        return []
    count = len(study.damaged)
    which = "1 trial is" if count == 1 else f"{count} trials are"
    named = "; ".join(f"{TRIALS}/{id_}: {why}" for id_, why in list(study.damaged.items())[:FEW])
    more = f"; and {count - FEW} more" if count > FEW else ""
    thing = "it" if count == 1 else "them"
    again = f"{study.command} makes {thing} anew" if study.command else f"Run the experiment again to make {thing} anew"
    return [f"{which} left out, as the results are damaged ({named}{more}). {again}."]
