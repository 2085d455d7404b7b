"""Tables hold the numbers of the statistics, and say over what they were compared."""

from __future__ import annotations

import pytest

from tests.made_results import write_results
from workbench.reports.results_data import Study, read_study
from workbench.reports.tables import axis_table, trials_table


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return read_study(write_results(tmp_path_factory.mktemp("tables"), images=60, failed=(5,)), resamples=200)


def test_the_trials_table_lists_every_trial_with_the_best_first_and_failed_ones_last(study: Study):
    table = trials_table(study)
    scores = [row["vqa_accuracy"].estimate for row in table.rows if row["status"] == "done"]
    assert len(table.rows) == 12
    assert scores == sorted(scores, reverse=True)
    assert table.rows[-1]["status"] == "failed"
    assert "1 failed" in " ".join(table.notes)
    keys = {column.key for column in table.columns}
    assert {"vqa_accuracy", "loss", "visual_gain", "vqa_accuracy.no_image", "vqa_accuracy.shuffled"} <= keys
    assert {"parameters", "trainable_share", "bytes", "latency_ms", "training_seconds"} <= keys


def test_an_axis_that_misses_a_trial_says_over_what_it_compared(study: Study):
    assert "Compared over the 3 of 4 combinations" in " ".join(axis_table(study, "fusion").notes)
    assert "One seed" in " ".join(axis_table(study, "fusion").notes)


def test_a_caption_speaks_of_p_only_where_there_is_one(tmp_path):
    study = read_study(write_results(tmp_path, images=30), resamples=50)
    assert ", p corrected" not in axis_table(study, "fusion").caption
