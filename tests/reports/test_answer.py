"""The answer says what the statistics say, in few sentences."""

from __future__ import annotations

import json
from pathlib import Path

from tests.made_results import write_results
from workbench.reports.answer import answer, progress
from workbench.reports.effects import UNCLEAR
from workbench.reports.findings import finding
from workbench.reports.key_figures import key_figures
from workbench.reports.results_data import read_study


def test_the_answer_is_made_of_the_numbers_of_the_tables(tmp_path: Path):
    study = read_study(write_results(tmp_path, images=150, failed=(5,)))
    told = " ".join(answer(study))
    leader = next(effect for effect in study.effects("fusion") if effect.value == "cross_attention")
    assert f"+{100 * leader.difference.estimate:.1f} points" in told
    assert "int8 takes 0.29 of the bytes" in told
    assert finding(study, "quantizer").headline == "quantizer: no difference can be told"
    assert finding(study, "fusion").headline == "fusion: cross_attention is best"
    assert key_figures(study)[0] == ("11 of 12", "", "trials finished")
    assert progress(study).startswith("11 of 12")


def test_values_behind_a_better_baseline_are_called_worse(tmp_path: Path):
    axes = {"fusion": ["cross_attention", "gated"], "quantizer": ["none", "int8"]}
    folder = write_results(tmp_path, images=200, axes=axes)
    summary = json.loads((folder / "experiment.json").read_text())
    baseline = {**summary["baseline"], "fusion": "cross_attention"}
    (folder / "experiment.json").write_text(json.dumps({**summary, "baseline": baseline}))
    study = read_study(folder, resamples=300)
    told = " ".join(answer(study))
    assert told.startswith("Nothing that was tried beats the baseline: fusion cross_attention and quantizer none.")
    assert "gated is worse than cross_attention" in told


def test_many_values_of_one_verdict_are_told_together(tmp_path: Path):
    labels = ["none", "int8", *(f"scheme {number}" for number in range(6))]
    study = read_study(write_results(tmp_path, images=40, axes={"quantizer": labels}), resamples=200)
    told = finding(study, "quantizer")
    assert [effect.verdict for effect in study.effects("quantizer")[1:]] == [UNCLEAR] * 7
    lead, evidence, *_ = answer(study)
    assert lead == "No difference to the baseline can be told: quantizer none."
    gaps = sorted((effect.difference.estimate, effect.value) for effect in study.effects("quantizer")[1:])
    assert evidence.startswith("7 values cannot be told from none (")
    assert f"for {gaps[0][1]} to" in evidence
    assert evidence.endswith(f"for {gaps[-1][1]}).")
    assert told.details.startswith("7 others are ")
    assert told.details.count("which may be chance") == 1
