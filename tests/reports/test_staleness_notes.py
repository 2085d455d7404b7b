"""Results that are out of date are counted, with what changed and what makes them anew."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.made_results import write_results
from workbench.reports.results_data import Study, read_study
from workbench.reports.staleness_notes import not_compared, out_of_date


@pytest.fixture
def study(tmp_path: Path) -> Study:
    axes = {"fusion": ["concat_projection", "cross_attention"]}
    return read_study(write_results(tmp_path, images=4, axes=axes), resamples=5)


def test_nothing_is_told_of_results_that_are_as_they_were(study: Study):
    assert (out_of_date(study), not_compared(study)) == ([], "")


def test_what_changed_is_told_once_with_the_command_that_makes_it_anew(study: Study):
    first, second = (record.id for record in study.done)
    stale = replace(study, command="workbench run x.yaml", stale={first: ("data",), second: ("data", "torch 2 -> 3")})
    assert out_of_date(stale) == [
        "2 of 2 results are out of date: data, torch 2 -> 3 since. workbench run x.yaml makes them anew."
    ]
    assert out_of_date(replace(stale, command="", stale={first: ("data",)})) == [
        "1 of 2 results are out of date: data since. Run the experiment again to make them anew."
    ]


def test_many_reasons_are_cut_short(study: Study):
    reasons = tuple(f"file {number}" for number in range(6))
    [told] = out_of_date(replace(study, stale={study.done[0].id: reasons}))
    assert "file 0, file 1, file 2, file 3, and 2 more since" in told
    assert not_compared(replace(study, not_compared=reasons)).endswith("file 3; and 2 more.")
