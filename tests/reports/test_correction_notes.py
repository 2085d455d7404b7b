"""Where an interval and a verdict seem to contradict each other, the table says why."""

from __future__ import annotations

import pytest

from tests.made_results import write_results
from workbench.reports.correction_notes import correction_notes
from workbench.reports.results_data import Study, read_study
from workbench.statistics.estimates import Interval
from workbench.statistics.verdicts import BETTER, UNCLEAR


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return read_study(write_results(tmp_path_factory.mktemp("notes"), images=30), resamples=100)


def test_that_intervals_are_not_corrected_is_said_beside_one_that_leaves_zero_out(study: Study):
    (note,) = correction_notes(study, [(Interval(0.1, 0.01, 0.2), UNCLEAR)])
    assert note.startswith("Verdicts are corrected for the 10 comparisons of the report, and intervals are not")


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [((0.1, -0.01, 0.2), UNCLEAR), ((0.1, 0.01, 0.2), BETTER), ((0.1, float("nan"), float("nan")), UNCLEAR)],
)
def test_where_the_two_agree_nothing_is_said(study: Study, interval, verdict):
    assert correction_notes(study, [(Interval(*interval), verdict)]) == []
