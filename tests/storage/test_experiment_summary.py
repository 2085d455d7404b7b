"""Whose results a folder holds, and what was asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.made_results import write_results
from workbench.storage.experiment_summary import claim_results, read_summary, write_summary
from workbench.storage.result_files import ResultsError

ASKED = {
    "name": "n",
    "question": "q",
    "axes": {"a": ["x", "y"]},
    "baseline": {"a": "x"},
    "metrics": ["m"],
    "trials": ["1"],
}


def test_results_of_another_experiment_are_not_touched(tmp_path: Path):
    folder = write_results(tmp_path, images=3, left_out=tuple(range(1, 12)))
    claim_results(folder, "made")
    with pytest.raises(ResultsError, match="results of the experiment 'made', not of 'other'"):
        claim_results(folder, "other")


def test_a_folder_that_holds_something_else_is_not_claimed(tmp_path: Path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(ResultsError, match=r"thesis\.tex"):
        claim_results(tmp_path, "made")
    claim_results(tmp_path / "new", "made")
    assert (tmp_path / "new").is_dir()


def test_a_summary_comes_back_with_the_text_that_was_run(tmp_path: Path):
    write_summary(tmp_path / "n", ASKED, "question: q\n")
    found = read_summary(tmp_path / "n")
    assert (found.name, found.axes, found.text) == ("n", {"a": ["x", "y"]}, "question: q\n")
    with pytest.raises(ResultsError, match="no results folder"):
        read_summary(tmp_path)


@pytest.mark.parametrize("changed", [{"baseline": {"a": "y"}}, {"trials": []}, {"metrics": ["other"]}, {"more": 1}])
def test_a_summary_that_was_edited_is_noticed(tmp_path: Path, changed):
    write_summary(tmp_path, ASKED, "question: q\n")
    file = tmp_path / "experiment.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changed}))
    with pytest.raises(ResultsError, match=r"experiment\.json is not what was written"):
        read_summary(tmp_path)


def test_an_experiment_file_that_was_edited_where_results_are_kept_is_noticed(tmp_path: Path):
    write_summary(tmp_path, ASKED, "question: q\r\n")
    assert read_summary(tmp_path).text == "question: q\r\n"
    (tmp_path / "experiment.yaml").write_text("question: p\n")
    with pytest.raises(ResultsError, match=r"experiment\.yaml is not what was written"):
        read_summary(tmp_path)


def test_a_summary_of_an_earlier_version_is_taken_as_it_is(tmp_path: Path):
    (tmp_path / "experiment.json").write_text(json.dumps(ASKED))
    (tmp_path / "experiment.yaml").write_text("question: q\n")
    assert read_summary(tmp_path).axes == ASKED["axes"]
