"""A trial whose files are not what was written is left out of a report, which says so where it is read first."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.made_results import change_summary, write_results
from tests.reports.read_page import page_of
from workbench.reports.answer import answer, progress
from workbench.reports.compute_spent import all_tries
from workbench.reports.experiment_results import Study
from workbench.reports.results_data import read_study
from workbench.reports.tables import trials_table

FUSIONS = {"fusion": ["gated", "cross_attention", "concat_projection"]}


def damaged(tmp_path: Path, name: str, change: Callable[[str], str], count: int = 1) -> tuple[Study, list[Path]]:
    folder = write_results(tmp_path, images=6, axes=FUSIONS, checksums=True)
    trials = sorted((folder / "trials").iterdir())
    for trial in trials[:count]:
        text = (trial / name).read_text()
        assert change(text) != text
        (trial / name).write_text(change(text))
    return read_study(folder, resamples=5), trials


@pytest.mark.parametrize("name", ["predictions.jsonl", "curve.jsonl"])
@pytest.mark.parametrize("change", [lambda text: text.replace("0", "1", 1), lambda text: text[:-9]])
def test_damaged_lines_leave_their_trial_out_and_what_it_took_counts(tmp_path, name, change):
    study, [first, *others] = damaged(tmp_path, name, change)
    assert [record.id for record in study.records] == [trial.name for trial in others]
    assert answer(study)[0] == (
        f"1 trial is left out, as the results are damaged (trials/{first.name}: {name} is not what was written: its"
        " checksum differs). Run the experiment again to make it anew."
    )
    assert progress(study).startswith("2 of 3 trials have finished, 1 left out as damaged: what follows is from those.")
    assert study.strays == 0
    assert {record.id for record in all_tries(study)} == {first.name, *(trial.name for trial in others)}


@pytest.mark.parametrize("old", ['"bytes": 5', '"size": 48', '"latency_ms": 6'])
def test_an_edited_cost_or_setting_leaves_its_trial_out(tmp_path, old):
    study, [first, *others] = damaged(tmp_path, "record.json", lambda text: text.replace(old, f"{old}1", 1))
    assert [record.id for record in study.records] == [trial.name for trial in others]
    assert f"trials/{first.name}: record.json is not what was written" in answer(study)[0]


def test_the_page_says_it_at_its_head_and_lists_the_trials(tmp_path):
    study, trials = damaged(tmp_path, "record.json", lambda text: text[:-20], 2)
    page = page_of(trials[0].parents[1]).text
    assert "2 trials are left out" in page[: page.index("All trials")]
    states = {row["id"]: row["status"] for row in trials_table(study).rows}
    assert states == {trials[0].name: "damaged", trials[1].name: "damaged", trials[2].name: "done"}


def test_where_every_trial_is_damaged_there_is_no_answer(tmp_path):
    study, _ = damaged(tmp_path, "predictions.jsonl", lambda text: "{", 3)
    told = answer(study)
    assert told[0].startswith("3 trials are left out")
    assert told[1] == "There is no answer yet: none of 3 trials has finished."


def test_a_damaged_trial_that_is_not_asked_for_is_nobodys_business(tmp_path):
    study, trials = damaged(tmp_path, "predictions.jsonl", lambda text: "{")
    folder = trials[0].parents[1]
    asked = json.loads((folder / "experiment.json").read_text())["trials"]
    change_summary(folder, trials=[each for each in asked if each != trials[0].name])
    study = read_study(folder, resamples=5)
    assert study.damaged == {}
    assert study.strays == 1
