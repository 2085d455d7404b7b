"""Every answer of the reviewers' checklist follows from the records, and what they do not say is not answered."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.made_results import write_results
from tests.reports.read_page import Page
from workbench.reports.checklist import ITEMS, SOURCE, Checklist, checklist_table
from workbench.reports.checklist_points import NEEDLESS, NO, PARTLY, UNKNOWN, YES
from workbench.reports.page import render
from workbench.reports.results_data import Study, read_study
from workbench.reports.tables import all_tables
from workbench.reports.trainings import Training
from workbench.storage.askings import Askings
from workbench.storage.records import Record

FUSIONS = {"fusion": ["concat_projection", "cross_attention"]}
MADE_BEFORE = Path(__file__).parents[1] / "made_before/results/before"
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return read_study(
        write_results(tmp_path_factory.mktemp("one"), images=12, axes=FUSIONS, checksums=True), resamples=20
    )


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = write_results(tmp_path_factory.mktemp("three"), images=12, axes=FUSIONS, seeds=(0, 1, 2))
    return read_study(folder, resamples=20)


def table_of(study: Study) -> Checklist:
    table = checklist_table(study)
    assert table is not None
    return table


def point(study: Study, asked: str) -> tuple[str, str]:
    """The answer to a point, and what backs it."""
    [row] = [row for row in table_of(study).rows if row["point"] == asked]
    return row["answer"], row["told"]


def changed(study: Study, change: Callable[[Record], Record], first: int | None = None) -> Study:
    """With these records changed, the first so many or all."""
    many = len(study.records) if first is None else first
    return replace(study, records=[*map(change, study.records[:many]), *study.records[many:]])


def with_provenance(study: Study, first: int | None = None, **told: Any) -> Study:
    return changed(study, lambda each: replace(each, provenance={**each.provenance, **told}), first)


def with_spec(study: Study, first: int | None = None, **told: Any) -> Study:
    return changed(study, lambda each: replace(each, spec={**each.spec, **told}), first)


def with_metrics(study: Study, first: int | None = None, **numbers: float) -> Study:
    return changed(study, lambda each: replace(each, metrics={**each.metrics, **numbers}), first)


def without(study: Study, *names: str, of: str = "provenance") -> Study:
    def change(record: Record) -> Record:
        kept = {name: value for name, value in getattr(record, of).items() if name not in names}
        return replace(record, **{of: kept})

    return changed(study, change)


def known(study: Study) -> dict[str, tuple[Training, ...]]:
    """Of each trial that all share a base, and what it was trained in besides."""
    return {record.id: (("base", 50.0), (record.id, 11.0)) for record in study.done}


def with_split(study: Study, split: str, **told: Any) -> Study:
    return with_spec(study, evaluation={"split": split, **told})


def test_every_item_is_answered_in_order_with_one_of_the_answers_there_are(made):
    rows = table_of(made).rows
    assert list(dict.fromkeys(row["item"] for row in rows)) == [item for item, _ in ITEMS]
    assert {row["answer"] for row in rows} <= {YES, PARTLY, NO, UNKNOWN, NEEDLESS}
    assert all(row["told"].endswith(".") for row in rows)
    assert SOURCE in table_of(made).caption


@pytest.mark.parametrize(
    "results",
    [
        {"failed": (0, 1)},
        {"failed": (1,)},
        {"left_out": (0,)},
        {"axes": {}},
        {"axes": {}, "seeds": (0, 1)},
        {"conditions": ("image",)},
    ],
)
def test_it_is_answered_for_whatever_a_run_left(tmp_path, results):
    study = read_study(write_results(tmp_path, images=6, **{"axes": FUSIONS, **results}), resamples=10)
    assert "nan" not in table_of(study).csv()


def test_there_is_none_before_any_trial_has_a_record(tmp_path):
    none = read_study(write_results(tmp_path, axes=FUSIONS, left_out=(0, 1)), resamples=10)
    assert checklist_table(none) is None


def test_records_of_an_earlier_version_are_asked_for_no_more_than_they_have():
    study = read_study(MADE_BEFORE, resamples=20)
    answer, told = point(study, "time of the trials reported")
    assert answer == PARTLY
    assert "which stages trials shared is not on record" in told
    assert point(study, "data")[0] == UNKNOWN


# The way to the results


def test_the_way_to_the_results_is_the_command_where_it_is_known_and_else_the_file(made):
    answer, told = point(replace(made, command="workbench run my.yaml --set a=1"), "the way to the results")
    assert answer == YES
    assert "workbench run my.yaml --set a=1 && workbench report my.yaml --set a=1" in told
    assert "commit 0123456789abcdef0123456789abcdef01234567" in told
    answer, told = point(made, "the way to the results")
    assert answer == YES
    assert "workbench run experiment.yaml, the file beside the results" in told
    assert "experiments/made.yaml" not in told, "a name that is guessed"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda study: with_provenance(study, git_dirty=True), "the changes are not on record"),
        (lambda study: with_provenance(study, 1, git_commit="f" * 40), "Not all trials are of the same one"),
        (lambda study: without(study, "workbench", "git_commit"), "Which version of the workbench it was is not"),
        (lambda study: replace(study, summary=replace(study.summary, text="")), "is not beside the results"),
        (lambda study: replace(study, stale={study.done[0].id: ("x.py changed",)}), "1 of 2 results are out of date"),
        (lambda study: replace(study, not_compared=("data: gone",)), "was not checked in full: data: gone"),
    ],
)
def test_what_is_in_the_way_is_told(made, change, said):
    answer, told = point(change(made), "the way to the results")
    assert answer == PARTLY
    assert said in told


def test_an_operation_that_cannot_be_repeated_is_named_with_the_trials_it_is_part_of(made):
    asked = "the same numbers again"
    assert point(made, asked)[0] == YES
    answer, told = point(with_provenance(made, 1, unrepeatable="cumsum_cuda"), asked)
    assert answer == PARTLY
    assert "cumsum_cuda has no repeatable implementation" in told
    assert "1 of 2 trials may differ" in told
    answer, told = point(with_provenance(made, 1, cpu="Another"), asked)
    assert answer == PARTLY
    assert "Another and A <fast> processor, which round differently" in told


def test_the_results_are_as_written_only_where_checksums_say_so(made):
    asked = "whether the results are as they were written"
    assert point(made, asked)[0] == YES
    assert point(without(made, "files"), asked)[0] == UNKNOWN
    answer, told = point(replace(made, damaged={"0": "predictions.jsonl is missing"}), asked)
    assert answer == NO
    assert "1 trial is left out, as the results are damaged (trials/0: predictions.jsonl is missing)" in told
    one = made.done[0]
    old = replace(one, provenance={name: each for name, each in one.provenance.items() if name != "files"})
    answer, told = point(replace(made, records=[old, *made.records[1:]]), asked)
    assert answer == PARTLY
    assert "1 of 2 records have none" in told
    gone = {**made.predictions, one.id: made.predictions[one.id][:0]}
    answer, told = point(replace(made, predictions=gone), asked)
    assert answer == PARTLY
    assert "1 of 2 trials have no answers any more" in told


# Data, settings, choices


def test_plugins_and_data_are_named_and_whether_they_are_open_is_not_answered(made):
    made_of = {"plugin:dataset mix": "1", "plugin:dataset parts": "2", "plugin:encoder own": "3", "data:mix": "4"}
    study = with_provenance(made, made_of=made_of)
    answer, told = point(study, "open code")
    assert answer == UNKNOWN
    assert "the source of every plugin it used: dataset mix, dataset parts, encoder own" in told
    answer, told = point(study, "open data")
    assert answer == UNKNOWN
    assert "Data: made_shapes, mix, parts." in told
    assert "fingerprint" in told
    assert "fingerprint" not in point(made, "open data")[1]


def test_splits_are_told_with_what_was_asked_held_out_and_left_out(made):
    study = with_split(made, "held_out", held_out=0.1, limit=500)
    skipped = {"train": ["a.png", "b.png"], "test": []}
    answer, told = point(with_provenance(study, skipped_images=skipped), "data splits")
    assert answer == PARTLY
    assert "Asked: held_out (48 questions about 12 images)." in told
    assert "10 % of the training images are held out" in told
    assert "At most 500 images" in told
    assert "2 images of train left out as unreadable" in told
    assert "of test left out" not in told
    assert "How many images the training split has is not on record" in told
    tested = replace(study, final=with_split(made, "test"))
    assert "Tested at the end: test (48 questions about 12 images)." in point(tested, "data splits")[1]
    assert point(without(made, "evaluation", of="spec"), "data splits")[0] == UNKNOWN


def test_every_value_of_a_setting_is_told_by_phase(made):
    one = {
        "name": "tune",
        "train": ["fusion", "adapter"],
        "steps": 60,
        "rate": 0.001,
        **{"clip": None, "compile": False, "quantized": True},
    }
    study = with_spec(made, phases=[one])
    study = with_spec(study, 1, phases=[{**one, "rate": {"fusion": 0.01}}])
    answer, told = point(study, "hyperparameters")
    assert answer == YES
    assert told.endswith("Phase tune: train fusion + adapter; steps 60; rate fusion 0.01 or 0.001; quantized yes.")
    assert point(without(made, "phases", of="spec"), "hyperparameters")[0] == UNKNOWN


def test_what_some_trials_do_without_is_told_beside_what_others_have(made):
    """As where lengths are matched: the baseline has epochs, the other value steps."""
    one = {"name": "tune", "epochs": 5, "steps": None, "weight_decay": 0.1, "compile": False}
    other = {"name": "tune", "epochs": None, "steps": 73, "weight_decay": 0.0, "compile": True}
    study = with_spec(with_spec(made, phases=[other]), 1, phases=[{"name": "align", "steps": 3}, one])
    _, told = point(study, "hyperparameters")
    assert "Phase align (in 1 of 2 trials): steps 3." in told
    assert told.endswith("Phase tune: epochs 5 or none; steps none or 73; weight decay 0.1 or 0; compile no or yes.")


def test_where_no_trial_has_finished_nothing_is_said_of_what_records_would_name(tmp_path):
    study = read_study(write_results(tmp_path, images=6, axes=FUSIONS, failed=(0, 1)), resamples=10)
    unfinished = (UNKNOWN, "No trial has finished, and what others took is not on record.")
    for asked in ("type of worker", "time of each trial", "time of the trials reported"):
        assert point(study, asked) == unfinished
    assert point(study, "pretrained weights and other files") == (
        UNKNOWN,
        "No trial has finished: what weights they began from is not on record.",
    )
    _, told = point(study, "more than that, for all tries")
    assert told.startswith("2 trials failed, after a time that is not on record. Not on record, and so in none")


def test_one_trial_without_a_time_is_one(tmp_path):
    study = read_study(write_results(tmp_path, images=6, axes={}), resamples=10)
    assert point(study, "time of the trials reported")[1].endswith("; of 1 trial a time is not on record.")


def test_the_optimizer_is_the_only_one_there_is_and_told_as_not_on_record(made):
    answer, told = point(made, "optimizer")
    assert answer == PARTLY
    assert "The records do not name it. The workbench has one, AdamW" in told
    source = "".join(file.read_text() for file in (ROOT / "workbench/training").glob("*.py"))
    kinds = set(re.findall(r"optim\.(\w+)", source))
    assert kinds == {"AdamW"}, "the checklist says that there is no other"
    assert point(with_spec(made, phases=[]), "optimizer")[0] == NEEDLESS


def test_what_was_compared_is_told_and_other_trials_of_the_folder_are_counted(made, tmp_path):
    answer, told = point(made, "how settings were chosen")
    assert answer == PARTLY
    assert "fusion (concat_projection, cross_attention)" in told
    assert "more in the folder" not in told
    answer, told = point(replace(made, left_out=(made.records[0],)), "how settings were chosen")
    assert "1 trial more in the folder, not part of the report." in told
    alone = read_study(write_results(tmp_path, images=4, axes={}), resamples=10)
    assert point(alone, "how settings were chosen")[0] == UNKNOWN


def test_who_chooses_and_reports_on_the_same_split_is_answered_no(made):
    asked = "chosen on other images than reported on"
    answer, told = point(replace(made, askings=Askings(2, 1)), asked)
    assert answer == NO
    assert "Chosen and reported on test (12 images), asked 2 times by 1 version of the file." in told
    assert "The best score of 2 trials is too good on average" in told
    held_out = with_split(made, "held_out")
    answer, told = point(held_out, asked)
    assert answer == PARTLY
    assert "The test split was never asked." in told
    final = replace(held_out, final=made)
    for askings, expected in ((Askings(1, 1), YES), (Askings(3, 2), PARTLY), (Askings(0, 0), PARTLY)):
        answer, told = point(replace(final, askings=askings), asked)
        assert answer == expected
        often = askings if askings.times else "how often is not on record"  # it was reported, and so asked
        assert f"reported on test (12 images), {often}." in told
    assert point(without(made, "evaluation", of="spec"), asked)[0] == UNKNOWN


# Statistics


def test_one_seed_is_no_full_answer_and_says_why(made):
    answer, told = point(made, "what variability they capture")
    assert answer == PARTLY
    assert "trained from one seed" in told
    answer, told = point(made, "tests, and their number")
    assert answer == PARTLY
    assert "verdicts are about the trained models" in told


def test_several_seeds_cover_the_luck_of_training_in_differences_and_not_of_single_trials(seeded):
    answer, told = point(seeded, "what variability they capture")
    assert answer == YES
    assert "the luck of 3 seeds" in told
    assert "Of single trials in tables and plots the interval covers the choice of questions alone." in told
    assert "Student's t" in point(seeded, "how they were computed")[1]
    assert "normally distributed" in point(seeded, "what they assume")[1]
    answer, told = point(seeded, "tests, and their number")
    assert answer == YES
    assert "corrected for the 1 comparison of the report" in told


def test_seeds_without_anything_to_compare_are_in_no_interval(tmp_path):
    study = read_study(write_results(tmp_path, images=8, axes={}, seeds=(0, 1)), resamples=10)
    answer, told = point(study, "what variability they capture")
    assert answer == PARTLY
    assert told.startswith("The interval of a trial covers the choice of questions alone. Scores of several seeds")
    assert "Student" not in point(study, "how they were computed")[1]
    assert point(study, "tests, and their number")[0] == NEEDLESS


def test_shares_have_asymmetric_bounds_and_other_metrics_none(made):
    answer, told = point(made, "asymmetric near the ends of the scale")
    assert answer == PARTLY
    assert "Intervals of VQA accuracy are those of Clopper and Pearson" in told
    assert "Intervals of loss are held within no limits" in told
    share = replace(made, summary=replace(made.summary, metrics=["vqa_accuracy"]))
    assert point(share, "asymmetric near the ends of the scale")[0] == YES


def test_the_number_of_resamples_is_that_of_the_report(made):
    assert point(made, "how they were computed")[1].startswith("20 bootstrap resamples of whole images")


def test_without_scores_there_are_no_error_bars(tmp_path):
    study = read_study(write_results(tmp_path, images=4, axes=FUSIONS, failed=(0, 1)), resamples=10)
    assert point(study, "error bars")[0] == NO
    assert point(study, "the same numbers again")[0] == UNKNOWN


# Compute


def test_the_worker_is_told_as_far_as_it_is_on_record(made):
    answer, told = point(made, "type of worker")
    assert answer == YES
    assert told.startswith("A <fast> processor. Device: cpu.")
    assert "Threads of a worker: 1." in told
    assert "How many workers ran at once" in told
    assert "NVIDIA" in point(with_provenance(made, gpu="NVIDIA H200", device="cuda"), "type of worker")[1]
    old = without(made, "cpu", "cores", "threads", "device")
    assert point(old, "type of worker") == (UNKNOWN, "The records do not name the processor.")


def test_memory_is_the_most_that_a_stage_held_and_that_of_the_machine_is_not_known(made):
    answer, told = point(with_metrics(made, 1, peak_memory_bytes=2.5e9), "memory")
    assert answer == PARTLY
    assert "0.610 GB to 2.50 GB at the most" in told
    assert "How much memory and disk the machine had is not on record" in told
    assert point(without(made, "peak_memory_bytes", of="metrics"), "memory")[0] == UNKNOWN


def test_the_time_of_each_trial_is_a_range_and_missing_times_are_told(made):
    study = with_metrics(made, evaluation_seconds=30.0)
    answer, told = point(study, "time of each trial")
    assert answer == YES
    assert "Training, as if nothing were shared: 1 min 1 s to 1 min 13 s." in told
    assert "Evaluation: 30 s." in told
    answer, told = point(made, "time of each trial")
    assert answer == PARTLY
    assert "Of 2 of 2 trials one of the two is not on record." in told
    none = without(made, "training_seconds", of="metrics")
    assert point(none, "time of each trial") == (UNKNOWN, "The records have no times.")
    assert point(none, "time of the trials reported")[0] == UNKNOWN


def test_the_time_of_all_trials_is_told_as_if_nothing_were_shared_and_with_shared_stages_once(made):
    shared = known(made)
    study = replace(with_metrics(made, evaluation_seconds=30.0), trainings=shared)
    answer, told = point(study, "time of the trials reported")
    assert answer == YES
    assert told == (
        "2 finished trials: 2 min 14 s of training as if nothing were shared, 1 min 12 s with each stage that trials"
        " share counted once; 1 min 0 s of evaluation."
    )
    answer, told = point(made, "time of the trials reported")
    assert answer == PARTLY
    assert "which stages trials shared is not on record; evaluation is not on record" in told


def test_all_tries_count_strays_tests_and_failures_and_are_the_least_there_was(made):
    asked = "more than that, for all tries"
    answer, told = point(made, asked)
    assert answer == PARTLY
    assert told.startswith("The folder tells of no other tries. Where trials shared stages, less was computed")
    assert "the least" not in told, "nobody knows what was shared"
    assert "It is the least that was computed." in point(replace(made, trainings=known(made)), asked)[1]
    for unknown in ("features of images", "validations", "interruption", "failed", "replaced", "other folders"):
        assert unknown in told
    other = replace(made.done[0], id="other", metrics={"training_seconds": 100.0, "evaluation_seconds": 5.0})
    tested = replace(made.done[0], id="tested", metrics={"training_seconds": 61.0, "evaluation_seconds": 5.0})
    failed = replace(made.done[0], id="failed", status="failed", metrics={})
    shared = known(made)
    study = replace(
        with_metrics(made, evaluation_seconds=30.0),
        left_out=(other, failed),
        final=replace(made, records=[tested], predictions={"tested": made.predictions[made.done[0].id]}),
        trainings={**shared, "tested": shared[made.done[0].id], "other": (("base", 50.0), ("other", 50.0))},
        stale={made.done[0].id: ("x.py changed",)},
    )
    answer, told = point(study, asked)
    assert "1 trial more asked the test split. 2 trials more in the folder, not part of the report." in told
    assert "1 trial failed, after a time that is not on record. 1 result out of date" in told
    assert (
        "All that the folder tells of: 4 finished trials: 4 min 55 s of training as if nothing were shared, 2 min 2 s"
        " with each stage that trials share counted once; 1 min 10 s of evaluation." in told
    )


# Licences


def test_licences_are_those_that_the_files_tell_and_no_other(made):
    asked = "pretrained weights and other files"
    assert point(made, asked)[0] == UNKNOWN
    told = {"openai/clip": {"commit": "abc", "licence": "mit"}}
    known = with_provenance(made, downloads=told, made_of={"file:openai/clip/model.safetensors": "1"})
    assert point(known, asked) == (YES, "openai/clip, commit abc, licence mit.")
    silent = {**told, "some/decoder": {"commit": "def", "licence": ""}}
    answer, words = point(with_provenance(known, downloads=silent), asked)
    assert answer == PARTLY
    assert "some/decoder, commit def, no licence told." in words
    local = with_provenance(known, made_of={"file:/home/me/weights/own.safetensors": "1"})
    answer, words = point(local, asked)
    assert answer == PARTLY
    assert "From files, licence not on record: own.safetensors." in words
    assert "/home/me" not in words
    none = with_provenance(made, downloads={}, made_of={})
    assert point(none, asked)[0] == NEEDLESS
    assert point(with_provenance(made, 1, downloads={}, made_of={}), asked)[1].startswith("Of 1 of 2 trials")


def test_the_licences_of_data_and_code_are_not_made_up(made):
    assert point(made, "data") == (UNKNOWN, "The licence of made_shapes is not on record.")
    answer, told = point(made, "code")
    assert answer == UNKNOWN
    assert "workbench 0.1.0; torch 2.13.0" in told


# Where it stands


def test_the_page_shows_it_item_by_item(made):
    text = render(made, [*all_tables(made), table_of(made)], [], None)
    page = Page(text)
    assert page.open == []
    assert "For the reviewers' checklist" in page.text
    for item, _ in ITEMS:
        assert text.count(f'class="item">{item}<') == 1
    assert "A <fast> processor. Device: cpu." in page.text
    assert "For the reviewers" not in Page(render(made, all_tables(made), [], None)).text


def test_its_table_can_be_read_back_and_pasted(made):
    table = table_of(made)
    rows = list(csv.DictReader(io.StringIO(table.csv())))
    assert [row["answer"] for row in rows] == [row["answer"] for row in table.rows]
    assert f"| {len(ITEMS)} |" not in table.markdown()
    assert table.markdown().count("\n|") == len(rows) + 2
    text = table.latex()
    assert text.count(r"\begin{description}") == text.count(r"\end{description}") == len(ITEMS)
    assert text.count(r"\item[{") == len(rows)
    assert r"made\_shapes" in text
    assert r"\item[{data}] \textbf{not on record}." in text
    assert json.dumps(rows).count("nan") == 0
