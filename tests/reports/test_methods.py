"""How the numbers of a report were made is told with the numbers of its experiment, whatever could be read."""

from __future__ import annotations

import json
from pathlib import Path

from tests.made_results import change_summary, write_results
from tests.reports.read_page import page_of
from workbench.reports.methods import methods
from workbench.reports.results_data import read_study


def test_a_first_metric_that_only_an_absent_plugin_could_compute_leaves_a_report_of_the_others(tmp_path: Path):
    folder = write_results(tmp_path, images=6, axes={"fusion": ["gated"]})
    (trial,) = (folder / "trials").iterdir()
    lines = [json.loads(line) for line in (trial / "predictions.jsonl").read_text().splitlines()]
    for line in lines:
        del line["scores"]["vqa_accuracy"]
        line["counts"] = {"vqa_accuracy": [1.0, 1.0]}
    (trial / "predictions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for file in (trial / "predictions.jsonl", trial / "record.json"):
        file.write_text(file.read_text().replace("vqa_accuracy", "elsewhere"))
    summary = (folder / "experiment.json").read_text().replace("vqa_accuracy", "elsewhere")
    change_summary(folder, **json.loads(summary))
    told = " ".join(methods(read_study(folder, resamples=5)))
    assert "computed from record.json and predictions.jsonl of 1 trial." in told
    assert "'elsewhere' is left out, since only its plugin can compute it" in told
    assert page_of(folder).open == []


def test_the_resamples_are_counted_that_were_drawn(tmp_path: Path):
    study = read_study(write_results(tmp_path, images=6, axes={"fusion": ["gated"]}), resamples=37)
    assert "from 37 bootstrap resamples" in " ".join(methods(study))
