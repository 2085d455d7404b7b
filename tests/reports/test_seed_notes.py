"""What is said of seeds is what was done with them."""

from __future__ import annotations

import json
from pathlib import Path

from tests.made_results import write_results
from workbench.reports.results_data import Study, read_study
from workbench.reports.seed_notes import covered, seed_notes
from workbench.reports.tables import axis_table

AXES = {"fusion": ["concat_projection", "cross_attention", "gated"]}


def told(study: Study) -> str:
    return " ".join(seed_notes(study, "fusion", study.effects("fusion")))


def trained(folder: Path, shared: bool) -> Path:
    """Give records the keys of stages that trained them."""
    for file in folder.glob("trials/*/record.json"):
        record = json.loads(file.read_text())
        record["provenance"]["trained"] = [f"seed {record['spec']['seed']}" if shared else record["id"]]
        file.write_text(json.dumps(record))
    return folder


def test_a_value_with_one_seed_is_named_beside_those_with_more(tmp_path: Path):
    study = read_study(write_results(tmp_path, images=40, axes=AXES, seeds=(0, 1, 2), left_out=(4, 5)), resamples=50)
    assert "cross_attention: one seed to compare, so the interval covers the choice of questions alone" in told(study)
    assert "3 seeds compared" in told(study)
    assert "1 of 2 differences are of configurations with results from one seed" in covered(study)
    assert [row["seeds"] for row in axis_table(study, "fusion").rows] == [3, 1, 3]


def test_how_seeds_are_compared_follows_from_the_trained_stages_they_share(tmp_path: Path):
    folder = write_results(tmp_path, images=40, axes=AXES, seeds=(0, 1, 2))
    assert "as pairs, since these records do not say" in told(read_study(folder, resamples=50))
    assert "share trained stages: seeds are compared as pairs" in told(read_study(trained(folder, True), resamples=50))
    assert "without pairing (Welch)" in told(read_study(trained(folder, False), resamples=50))


def test_two_seeds_are_said_to_be_few(tmp_path: Path):
    study = read_study(write_results(tmp_path, images=40, axes=AXES, seeds=(0, 1)), resamples=50)
    assert "Two seeds say little" in told(study)


def test_where_nothing_is_compared_no_interval_is_said_to_cover_the_luck_of_training(tmp_path: Path):
    study = read_study(write_results(tmp_path, images=40, axes={}, seeds=(0, 1, 2)), resamples=50)
    assert covered(study) == (
        "Each interval is that of a trained model: it covers the choice of questions, not the luck of training."
    )
