"""The checklist's item on reproducibility: the way to these results, whether it leads to the same ones, and whether
they are still the ones that came of it."""

from __future__ import annotations

from workbench.reports.checklist_points import NO, PARTLY, UNKNOWN, YES, Point, values_of
from workbench.reports.damage_notes import damage
from workbench.reports.disagreements import disagreements
from workbench.reports.experiment_results import Study
from workbench.reports.number_format import counted
from workbench.reports.repeating import command_to_repeat
from workbench.reports.staleness_notes import not_compared, out_of_date
from workbench.reports.wording import joined
from workbench.storage.records import FILES
from workbench.storage.result_files import TEXT


def reproducibility(study: Study) -> list[Point]:
    """How others get these results, the same to the last bit or not, and can check them."""
    return [_steps(study), _same_numbers(study), _verifiable(study)]


def _steps(study: Study) -> Point:
    versions = values_of(study.records, "provenance", "workbench")
    commits = values_of(study.records, "provenance", "git_commit")
    told, doubts = [], []
    if study.command:
        told.append(f"To repeat: {command_to_repeat(study)}.")
    elif study.summary.text:
        told.append(f"To repeat: workbench run {TEXT}, the file beside the results, with every --set put in.")
    if versions or commits:
        told.append(f"Made by workbench {', '.join([*versions, *(f'commit {each}' for each in commits)])}.")
    else:
        doubts.append("Which version of the workbench it was is not on record.")
    if any(record.provenance.get("git_dirty") for record in study.records):
        doubts.append("Its code had been changed after that commit, and the changes are not on record.")
    if len(versions) > 1 or len(commits) > 1:
        doubts.append("Not all trials are of the same one.")
    if not study.summary.text:
        doubts.append("The text of the experiment file is not beside the results.")
    doubts += [*out_of_date(study), *filter(None, [not_compared(study)])]
    return Point("the way to the results", PARTLY if doubts else YES, [*told, *doubts])


def _same_numbers(study: Study) -> Point:
    told = [f"Seeds: {', '.join(study.seeds)}."] if study.seeds else []
    doubts = []
    for operation in values_of(study.done, "provenance", "unrepeatable"):
        trials = sum(record.provenance.get("unrepeatable") == operation for record in study.done)
        doubts.append(
            f"{operation} has no repeatable implementation on the device that was used:"
            f" {trials} of {counted(len(study.done), 'trial')} may differ in the last bits from run to run."
        )
    if len(study.machines) > 1:
        doubts.append(f"Trials ran on {joined(study.machines)}, which round differently.")
    if not study.done:
        return Point("the same numbers again", UNKNOWN, ["No trial has finished."])
    if not doubts:
        told.append("No record names an operation that gives other last bits from run to run.")
    told.append("Another kind of machine or another version of PyTorch may round differently.")
    return Point("the same numbers again", PARTLY if doubts else YES, [*told, *doubts])


def _verifiable(study: Study) -> Point:
    asked = "whether the results are as they were written"
    without = sum(FILES not in record.provenance for record in study.done)
    gone = sum(not len(study.predictions[record.id]) for record in study.done)
    wrong = disagreements(study)
    if study.damaged:
        return Point(asked, NO, damage(study))
    if wrong:
        return Point(asked, NO, [f"{counted(len(wrong), 'place')} where records and answers disagree: {wrong[0]}."])
    if not study.done or without == len(study.done):
        return Point(asked, UNKNOWN, ["The records keep no checksums of the answers."])
    told = ["Checksums in the records fit the answers and training curves that are there."]
    told += [f"{without} of {counted(len(study.done), 'record')} have none."] if without else []
    told += [f"{gone} of {counted(len(study.done), 'trial')} have no answers any more."] if gone else []
    told.append("Every answer is kept with its right answers: workbench verify scores all anew.")
    return Point(asked, PARTLY if without or gone else YES, told)
