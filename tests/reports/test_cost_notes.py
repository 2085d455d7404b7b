"""A cost is told where the values of an axis made it, and nothing else may have."""

from __future__ import annotations

import json
from pathlib import Path

from tests.made_results import write_results
from workbench.cli.report import make_report
from workbench.reports.findings import finding
from workbench.reports.results_data import read_study


def test_a_cost_is_told_only_where_other_programs_cannot_have_made_it(tmp_path: Path):
    folder = write_results(tmp_path, images=20, axes={"fusion": ["concat_projection", "cross_attention"]})
    told = finding(read_study(folder, resamples=20), "fusion").details
    assert "the latency" in told
    assert "the training time" in told
    for trial in (folder / "trials").iterdir():
        record = json.loads((trial / "record.json").read_text())
        record["metrics"]["latency_ms.highest"] = 2 * record["metrics"]["latency_ms"]
        slow = "cross" in record["axes"]["fusion"]
        record["metrics"] |= {"training_seconds": 30.0 if slow else 20.0, "training_seconds.lowest": 19.0}
        (trial / "record.json").write_text(json.dumps(record))
    told = finding(read_study(folder, resamples=20), "fusion").details
    assert "latency" not in told
    assert "training time" not in told


def test_what_an_unfinished_grid_lacks_is_no_cost(tmp_path: Path):
    """The larger encoder has one fusion alone beside the baseline, the smaller one the other."""
    axes = {"encoder": ["vit", "clip"], "fusion": ["concat_projection", "cross_attention", "gated"]}
    folder = write_results(tmp_path, images=20, axes=axes, left_out=(2, 4))
    for trial in (folder / "trials").iterdir():
        record = json.loads((trial / "record.json").read_text())
        record["metrics"] |= {"bytes": 3e6 if record["axes"]["encoder"] == "clip" else 1e6, "latency_ms": 6.0}
        (trial / "record.json").write_text(json.dumps(record))
    study = read_study(folder, resamples=20)
    assert not study.design("fusion").cells
    assert "the bytes" not in finding(study, "fusion").details
    assert "3.0 times the bytes" in finding(study, "encoder").details


def test_who_is_slow_by_writing_more_is_said_to_write_more_and_not_to_be_fast_a_token(tmp_path: Path):
    folder = write_results(tmp_path, images=20, axes={"fusion": ["concat_projection", "cross_attention"]})

    def details(tokens: float) -> str:
        for trial in (folder / "trials").iterdir():
            record = json.loads((trial / "record.json").read_text())
            more = "cross" in record["axes"]["fusion"]
            record["metrics"] |= {"latency_ms": 18.0 if more else 6.0, "generated_tokens": tokens if more else 2.0}
            record["metrics"]["token_latency_ms"] = 1.5 if more else 3.0
            (trial / "record.json").write_text(json.dumps(record))
        return finding(read_study(folder, resamples=20), "fusion").details

    told = details(12.0)
    assert "3.0 times the latency (18.0 rather than 6.00 ms, for 6.0 times the tokens)" in told
    assert "a token" not in told
    assert "3.0 times the latency (18.0 rather than 6.00 ms)" in details(2.1)


def test_trials_of_two_machines_are_said_to_be_and_their_times_not_compared(tmp_path: Path):
    folder = write_results(tmp_path, images=20, axes={"fusion": ["concat_projection", "cross_attention"]})
    assert "the latency" in finding(read_study(folder, resamples=20), "fusion").details
    assert "Trials ran on" not in make_report(folder).read_text()
    for trial in (folder / "trials").iterdir():
        record = json.loads((trial / "record.json").read_text())
        record["provenance"]["instructions"] = "AVX2"
        if "cross" in record["axes"]["fusion"]:
            record["provenance"] |= {"device": "cuda:0", "gpu": "A fast card"}
            record["metrics"]["bytes"] *= 2
        (trial / "record.json").write_text(json.dumps(record))
    told = finding(read_study(folder, resamples=20), "fusion").details
    assert "2.4 times the bytes" in told
    assert "the latency" not in told
    assert "the training time" not in told
    page = make_report(folder).read_text()
    assert "Trials ran on A &lt;fast&gt; processor (AVX2) and A fast card, which round differently" in page
