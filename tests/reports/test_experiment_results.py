"""What is asked of an experiment's results is what was put into them."""

from __future__ import annotations

from pathlib import Path

from tests.made_results import write_results
from workbench.reports.results_data import read_study
from workbench.statistics.verdicts import BASELINE, MODEL_BETTER, UNCLEAR


def test_a_study_finds_the_differences_that_were_put_in(tmp_path: Path):
    study = read_study(write_results(tmp_path, images=400), resamples=400)
    verdicts = {axis: {each.value: each.verdict for each in study.effects(axis)} for axis in study.compared}
    assert verdicts["encoder"] == {"vit": BASELINE, "clip": MODEL_BETTER}
    assert verdicts["fusion"] == {"concat_projection": BASELINE, "cross_attention": MODEL_BETTER, "gated": UNCLEAR}
    assert verdicts["quantizer"] == {"none": BASELINE, "int8": UNCLEAR}
