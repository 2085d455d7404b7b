"""The finding on an axis names who leads, who shares the lead, and who has the very same scores."""

from __future__ import annotations

import json
from pathlib import Path

from tests.made_results import write_results
from workbench.reports.answer import answer
from workbench.reports.findings import finding
from workbench.reports.results_data import read_study


def test_values_that_share_the_lead_are_said_to(tmp_path: Path):
    axes = {"fusion": ["concat_projection", "cross_attention", "bidirectional"]}
    folder = write_results(tmp_path, images=300, axes=axes)
    for trial in (folder / "trials").iterdir():
        record = json.loads((trial / "record.json").read_text())
        if record["axes"]["fusion"] == "bidirectional":
            twin = next(each for each in (folder / "trials").iterdir() if each.name.endswith("1"))
            (trial / "predictions.jsonl").write_text((twin / "predictions.jsonl").read_text())
    study = read_study(folder, resamples=300)
    assert (
        finding(study, "fusion").headline == "fusion: cross_attention and bidirectional lead, and cannot be told apart"
    )
    assert "cross_attention cannot be told from bidirectional" in " ".join(answer(study))


def test_values_with_the_same_answers_are_said_to_have_the_same_scores(tmp_path: Path):
    folder = write_results(tmp_path, images=20, axes={"quantizer": ["none", "int8"]})
    one, other = sorted(folder.glob("trials/*/predictions.jsonl"))
    other.write_bytes(one.read_bytes())
    told = finding(read_study(folder, resamples=20), "quantizer").details
    assert "none and int8 have the same scores, image by image." in told
