"""A spread between seeds is given in points or taken from other results; what gives none is an error."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.made_results import change_summary, write_results
from tests.reports.read_page import page_of
from workbench.reports.results_data import read_study
from workbench.reports.seed_notes import covered, seed_notes
from workbench.storage.result_files import ResultsError

AXES = {"fusion": ["concat_projection", "cross_attention"]}


def with_spread(folder: Path, given: object) -> Path:
    change_summary(folder, statistics={"seed_spread": given})
    return folder


def test_a_number_is_in_points_and_makes_one_seed_speak_of_methods(tmp_path: Path):
    folder = with_spread(write_results(tmp_path, images=300, axes=AXES), 0.5)
    study = read_study(folder, resamples=200)
    assert study.spread is not None
    assert study.spread.deviation == 0.005
    effect = study.effects("fusion")[1]
    assert (effect.verdict, effect.luck) == ("better", True)
    assert "and a spread between seeds of 0.50 points (VQA accuracy), as the experiment gives it" in covered(study)
    assert "spread between seeds of 0.50 points" in " ".join(seed_notes(study, "fusion", study.effects("fusion")))
    assert "trained models" not in page_of(folder).text.split("How the numbers were made")[0]


def test_a_wide_spread_takes_the_verdict_back(tmp_path: Path):
    folder = with_spread(write_results(tmp_path, images=300, axes=AXES), 10)
    assert read_study(folder, resamples=200).effects("fusion")[1].verdict == "not distinguishable"


def test_it_is_taken_from_other_results_with_the_seeds_these_have(tmp_path: Path):
    write_results(tmp_path, images=60, axes=AXES, seeds=(0, 1, 2, 3)).rename(tmp_path / "pilot")
    folder = with_spread(write_results(tmp_path, images=60, axes=AXES), "pilot")
    study = read_study(folder, resamples=50)
    assert study.spread is not None
    assert study.spread.freedom == 2 * 3
    assert 0 < study.spread.deviation < 0.1
    assert "from pilot" in covered(study)


@pytest.mark.parametrize(
    ("given", "said"), [("nowhere", "names no results folder"), ("single", "from two seeds or more")]
)
def test_results_that_give_no_spread_are_an_error_that_says_what_to_give(tmp_path: Path, given: str, said: str):
    write_results(tmp_path, images=6, axes=AXES).rename(tmp_path / "single")
    folder = with_spread(write_results(tmp_path, images=6, axes=AXES), given)
    with pytest.raises(ResultsError, match=said):
        read_study(folder, resamples=20)


def test_trials_of_another_version_of_the_file_are_no_seeds(tmp_path: Path):
    """Two records with the same labels and the same seed differ in what was trained, and not by luck."""
    pilot = write_results(tmp_path, images=20, axes={"fusion": [*AXES["fusion"], "gated"]}).rename(tmp_path / "pilot")
    file = sorted(pilot.glob("trials/*/record.json"))[2]
    record = json.loads(file.read_text())
    file.write_text(json.dumps({**record, "axes": {"fusion": "concat_projection"}}))
    folder = with_spread(write_results(tmp_path, images=20, axes=AXES), "pilot")
    with pytest.raises(ResultsError, match="from two seeds or more"):
        read_study(folder, resamples=20)


def test_results_whose_metric_is_on_another_scale_give_no_spread(tmp_path: Path):
    other = write_results(tmp_path, images=6, axes=AXES, seeds=(0, 1)).rename(tmp_path / "other")
    for file in other.glob("trials/*/record.json"):
        record = json.loads(file.read_text())
        record["scales"]["vqa_accuracy"]["percent"] = False
        file.write_text(json.dumps(record))
    folder = with_spread(write_results(tmp_path, images=6, axes=AXES), "other")
    with pytest.raises(ResultsError, match="is no share in .*other, and a share here"):
        read_study(folder, resamples=20)
