"""A record that its own files contradict is called out."""

from __future__ import annotations

import json
from pathlib import Path

from tests.made_results import write_results
from tests.reports.read_page import page_of
from workbench.reports.disagreements import disagreements
from workbench.reports.results_data import read_study


def test_a_record_that_disagrees_with_its_predictions_is_called_out(tmp_path: Path):
    folder = write_results(tmp_path, images=6, axes={"fusion": ["gated"]})
    file = next((folder / "trials").iterdir()) / "record.json"
    record = json.loads(file.read_text())
    record["metrics"]["vqa_accuracy"] = 0.99
    file.write_text(json.dumps(record))
    assert "vqa_accuracy is 0.99 in the record" in page_of(folder).text


def test_what_agrees_or_differs_in_the_last_digits_is_not_told(tmp_path: Path):
    folder = write_results(tmp_path, images=6, axes={"fusion": ["gated"]})
    assert disagreements(read_study(folder, resamples=5)) == []
    file = next((folder / "trials").iterdir()) / "record.json"
    record = json.loads(file.read_text())
    record["metrics"]["vqa_accuracy"] += 5e-5
    file.write_text(json.dumps(record))
    assert disagreements(read_study(folder, resamples=5)) == []
