"""Images that were left out are counted over all trials, whichever left them out."""

from __future__ import annotations

from tests.made_results import write_results
from workbench.reports.results_data import read_study
from workbench.reports.skipped_images import skipped_images


def test_the_images_of_all_trials_are_counted_once_each(tmp_path):
    """That of the last trial stood for all."""
    study = read_study(write_results(tmp_path, images=6, axes={"fusion": ["gated", "early"]}), resamples=5)
    first, second = study.records
    first.provenance["skipped_images"] = {"train/questions": {"a.jpg": "missing", "b.jpg": "missing"}}
    second.provenance["skipped_images"] = {"train/questions": {"a.jpg": "missing"}, "test/questions": {}}
    assert skipped_images(study.records) == {"train/questions": 2}
