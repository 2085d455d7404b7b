"""The checklist's item on the setting: the data that was asked, what was set, and how choices were made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workbench.reports.best_of import of_how_many
from workbench.reports.checklist_points import NEEDLESS, NO, PARTLY, UNKNOWN, YES, Point, values_of
from workbench.reports.experiment_results import Study
from workbench.reports.final_trials import split_of
from workbench.reports.number_format import counted
from workbench.reports.skipped_images import skipped_images
from workbench.reports.split_notes import chosen_and_reported
from workbench.reports.trial_rows import TrialRows
from workbench.reports.wording import joined, spoken
from workbench.storage.conditions import WITH_IMAGE
from workbench.storage.splits import is_for_choosing


def setting(study: Study) -> list[Point]:
    """Splits, settings and optimizer; what was chosen how, and whether on other images than those it is told of."""
    return [_splits(study), _settings(study), _optimizer(study), _choices(study), _apart(study)]


def _splits(study: Study) -> Point:
    told = []
    for part in (study, study.final):
        splits = list(dict.fromkeys(filter(None, map(split_of, part.records)))) if part else []
        if part and splits:
            told.append(f"{'Tested at the end' if part is study.final else 'Asked'}: {joined(splits)}{_asked(part)}.")
    if not told:
        return Point("data splits", UNKNOWN, ["The records do not name the split that was asked."])
    for share in values_of(study.records, "spec", "evaluation", "held_out"):
        told.append(f"{100 * share:g} % of the training images are held out of all training.")
    for limit in values_of(study.records, "spec", "evaluation", "limit"):
        told.append(f"At most {limit:,} images of a split are asked.")
    skipped = skipped_images(study.records)
    told += [f"{counted(count, 'image')} of {where} left out as unreadable." for where, count in skipped.items()]
    return Point("data splits", PARTLY, [*told, "How many images the training split has is not on record."])


def _asked(study: Study) -> str:
    """As ` (4,000 questions about 1,000 images)`, where all trials answered the same."""
    sample = study.samples.get(study.primary)
    if sample is None or not study.asked_alike:
        return ""
    questions = len(TrialRows(study.predictions[study.done[0].id]).where("condition", WITH_IMAGE))
    return f" ({counted(questions, 'question')} about {counted(sample.images, 'image')})"


def _settings(study: Study) -> Point:
    phases = [phase for record in study.records for phase in record.spec.get("phases", [])]
    if not all("phases" in record.spec for record in study.records):
        return Point("hyperparameters", UNKNOWN, ["Not all records have the settings of training."])
    told = ["Every setting of each trial stands in its record and follows from the experiment file."]
    for name in dict.fromkeys(str(phase.get("name", "")) for phase in phases):
        alike = [phase for phase in phases if str(phase.get("name", "")) == name]
        some = f" (in {len(alike)} of {len(study.records)} trials)" if len(alike) < len(study.records) else ""
        told.append(f"Phase {name}{some}: {_phase(alike)}.")
    return Point("hyperparameters", YES, told)


def _phase(alike: Sequence[dict[str, Any]]) -> str:
    """The settings of a phase in words: every value that trials have of each, but those that are null or off in all."""
    told = []
    for key in dict.fromkeys(key for phase in alike for key in phase if key != "name"):
        values = list(dict.fromkeys(_written(phase[key]) for phase in alike if key in phase))
        told += [f"{spoken(key)} {joined(values, 'or')}"] if any(phase.get(key) for phase in alike) else []
    return "; ".join(told) or "nothing but its name is on record"


def _written(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    if isinstance(value, dict):
        return ", ".join(f"{name} {_written(each)}" for name, each in value.items())
    if isinstance(value, list):
        return " + ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _optimizer(study: Study) -> Point:
    if all("phases" in record.spec and not record.spec["phases"] for record in study.records):
        return Point("optimizer", NEEDLESS, ["Nothing was trained."])
    told = "The records do not name it. The workbench has one, AdamW, whose rate rises and then falls along a cosine."
    return Point("optimizer", PARTLY, [told])


def _choices(study: Study) -> Point:
    compared = [f"{spoken(axis)} ({', '.join(study.summary.axes[axis])})" for axis in study.compared]
    told = [f"Compared here: {'; '.join(compared)}."] if compared else ["Nothing was compared here."]
    if study.left_out:
        told.append(f"{counted(len(study.left_out), 'trial')} more in the folder, not part of the report.")
    told.append("Why every other setting is what it is, and what was tried elsewhere, is not on record.")
    return Point("how settings were chosen", PARTLY if compared else UNKNOWN, told)


def _apart(study: Study) -> Point:
    """Whether what is told of what was chosen comes from images that no choice was made on."""
    asked = "chosen on other images than reported on"
    splits = [split_of(record) for record in study.records]
    if not all(splits):
        return Point(asked, UNKNOWN, ["The records do not name the split that was asked."])
    told = [chosen_and_reported(study), *filter(None, [of_how_many(study)])]
    told.append("Of askings by other folders of results nothing is on record.")
    if not all(map(is_for_choosing, splits)):
        return Point(asked, NO, told)
    tested = study.final is not None and bool(study.final.done)
    return Point(asked, YES if tested and study.askings.times == 1 and not study.askings.unnamed else PARTLY, told)
