"""Whose results a folder holds, and what was asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.made_results import write_results
from workbench.storage.experiment_summary import claim_results, read_summary, write_summary
from workbench.storage.result_files import ResultsError


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
    summary = {
        "name": "n",
        "question": "q",
        "axes": {"a": ["x", "y"]},
        "baseline": {"a": "x"},
        "metrics": ["m"],
        "trials": ["1"],
    }
    write_summary(tmp_path / "n", summary, "question: q\n")
    found = read_summary(tmp_path / "n")
    assert (found.name, found.axes, found.text) == ("n", {"a": ["x", "y"]}, "question: q\n")
    with pytest.raises(ResultsError, match="no results folder"):
        read_summary(tmp_path)
