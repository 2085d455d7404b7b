"""Sighted trials beside blind-trained ones: like beside like, with MMStar's two numbers."""

from __future__ import annotations

import json

import pytest

from tests.made_results import write_results
from workbench.reports.blind_training import blind_table
from workbench.reports.results_data import read_study

CONDITIONS = ("image", "prior", "no_image")


def study_of(folder, **made):
    given = {"images": 60, "conditions": CONDITIONS, "gain_against": "prior", "blind": "vit", **made}
    return read_study(write_results(folder, **given), resamples=100)


def test_every_sighted_trial_stands_beside_the_blind_one_that_is_the_same_in_all_else(tmp_path):
    study = study_of(tmp_path, axes={"encoder": ["vit", "clip"], "fusion": ["concat_projection", "gated"]})
    table = blind_table(study)
    assert table
    assert [(row["encoder"], row["beside"], row["fusion"]) for row in table.rows] == [
        ("clip", "vit", "concat_projection"),
        ("clip", "vit", "gated"),
    ]
    scores = {(each.axes["encoder"], each.axes["fusion"]): each.metrics for each in study.done}
    for row in table.rows:
        own, blind = scores["clip", row["fusion"]], scores["vit", row["fusion"]]
        assert row["over_blind"].estimate == pytest.approx(own["vqa_accuracy"] - blind["vqa_accuracy"])
        assert row["over_blind"].low < row["over_blind"].estimate < row["over_blind"].high
        assert row["without"] == pytest.approx(own["vqa_accuracy.no_image"])
        assert row["gain"].estimate == pytest.approx(own["vqa_accuracy"] - own["vqa_accuracy.no_image"])
        leak = own["vqa_accuracy.no_image"] - blind["vqa_accuracy"]
        assert leak < 0
        assert row["leakage"] == 0.0


def test_what_a_model_knows_without_its_image_beyond_the_blind_one_is_leakage(tmp_path):
    """Here the one that was trained blind is the poorer of the two without an image."""
    folder = write_results(
        tmp_path, images=60, axes={"encoder": ["vit", "clip"]}, conditions=CONDITIONS, gain_against="prior", blind="vit"
    )
    first = sorted(folder.glob("trials/*/predictions.jsonl"))[0]
    lines = [json.loads(line) for line in first.read_text().splitlines()]
    for line in lines:
        line["scores"]["vqa_accuracy"] *= 0.5
    first.write_text("".join(json.dumps(line) + "\n" for line in lines))
    study = read_study(folder, resamples=50)
    table = blind_table(study)
    assert table
    [row] = table.rows
    blind, sighted = study.samples["vqa_accuracy"].estimates
    without = study.samples["vqa_accuracy.no_image"].estimates[1]
    assert without > blind
    assert row["leakage"] == pytest.approx(without - blind)
    assert row["over_blind"].estimate == pytest.approx(sighted - blind)


def test_seeds_stand_beside_their_own(tmp_path):
    study = study_of(tmp_path, axes={"encoder": ["vit", "clip"]}, seeds=(0, 1))
    table = blind_table(study)
    assert table
    assert [(row["encoder"], row["seed"]) for row in table.rows] == [("clip", "0"), ("clip", "1")]


def test_without_a_blind_trial_or_an_axis_of_encoders_there_is_no_table(tmp_path):
    axes = {"encoder": ["vit", "clip"]}
    assert blind_table(study_of(tmp_path / "a", axes=axes, blind="")) is None
    assert blind_table(study_of(tmp_path / "b", axes={"fusion": ["gated", "concat_projection"]})) is None


def test_where_no_trial_was_shown_an_empty_image_mmstar_s_numbers_are_left_out(tmp_path):
    table = blind_table(study_of(tmp_path, axes={"encoder": ["vit", "clip"]}, conditions=("image", "prior")))
    assert table
    assert {"gain", "leakage", "without"}.isdisjoint(column.key for column in table.columns)
