"""On which images choices were made and on which results are reported: the line at the head of a page, and the table of
what was tested at the end."""

from __future__ import annotations

from dataclasses import replace

from workbench.reports.experiment_results import Study
from workbench.reports.final_trials import FINAL, TRIAL, split_of
from workbench.reports.table_formats import Table
from workbench.reports.tables import axis_table
from workbench.reports.wording import joined
from workbench.storage.splits import is_for_choosing

COMPARISON = ("difference", "p", "verdict")  # columns that need a baseline


def splits_note(study: Study) -> str:
    """What was chosen on which split, how often the test split was asked, and what to do where the two are one;
    nothing where no trial was run."""
    told, chosen = chosen_and_reported(study), [split_of(record) for record in study.records]
    if all(map(is_for_choosing, filter(None, chosen))):
        return told
    return (
        f"{told} Choices that are made from this page are made on the images it reports on, which makes the scores of"
        " what was chosen too good. To keep the two apart, write evaluation: {split: held_out}, and under 'final' which"
        " trials are to be tested."
    )


def chosen_and_reported(study: Study) -> str:
    """What was chosen on which split, and how often the test split was asked; nothing where no trial was run."""
    chosen = list(dict.fromkeys(split for record in study.records if (split := split_of(record))))
    final = study.final
    if not chosen:
        return ""
    asked = str(study.askings) if study.askings.times else "how often is not on record"
    if not all(map(is_for_choosing, chosen)):
        return f"Chosen and reported on {_with_images(study)}, {asked}."
    if final and final.done:
        return f"Chosen on {_with_images(study)}, reported on {_with_images(final)}, {asked}."
    return f"Chosen on {_with_images(study)}. The test split was {study.askings}."


def final_table(study: Study) -> Table | None:
    """The trials that were tested at the end, each the mean of its seeds; None where none was."""
    final = study.final
    if final is None or final.primary not in final.samples:
        return None
    table = axis_table(final, TRIAL)
    compared = len([row for row in table.rows if row["trials"]]) > 1 and final.baseline(TRIAL) in _tested(table)
    notes = [f"{len(final.failed)} of them failed there."] if final.failed else []
    against = f"; differences are to {final.baseline(TRIAL)}" if compared else ""
    if not compared and len(_tested(table)) > 1:
        notes.append(f"The baseline {final.baseline(TRIAL)} was not tested, so there is no difference to it.")
    return replace(
        table,
        name=FINAL,
        caption=f"Named, then tested on {_with_images(final)}: means over seeds, with 95 % intervals{against}.",
        columns=[column for column in table.columns if compared or column.key not in COMPARISON],
        rows=[row for row in table.rows if row["trials"]],
        notes=[*table.notes, *notes] if compared else notes,
    )


def _tested(table: Table) -> list[str]:
    return [row[TRIAL] for row in table.rows if row["trials"]]


def _with_images(study: Study) -> str:
    """As `test (1,000 images)`."""
    splits = list(dict.fromkeys(split for record in study.records if (split := split_of(record))))
    sample = study.samples.get(study.primary)
    return joined(splits) + (f" ({sample.images:,} images)" if sample and len(splits) == 1 else "")
