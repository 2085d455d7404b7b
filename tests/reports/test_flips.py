"""Which answers turned is counted question by question, between trials that differ in the one value alone."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.made_results import copy_answers, write_results
from tests.reports import made_counts
from workbench.reports.flips import flips
from workbench.reports.results_data import read_study
from workbench.reports.tables import axis_table
from workbench.storage.experiment_summary import Summary

TWO = {"fusion": ["concat_projection", "gated"], "quantizer": ["none", "int8"]}


def study_of(folder: Path):
    return read_study(folder, resamples=50)


def change(folder: Path, labels: dict[str, str], scores: dict[str, float]) -> None:
    """Give the one trial with these labels other scores, by the id of the question asked with its image."""
    for file in folder.glob("trials/*/record.json"):
        if json.loads(file.read_text())["axes"] != labels:
            continue
        predictions = file.with_name("predictions.jsonl")
        lines = [json.loads(line) for line in predictions.read_text().splitlines()]
        for line in lines:
            if line["condition"] == "image" and line["id"] in scores:
                line["scores"]["vqa_accuracy"] = scores[line["id"]]
        predictions.write_text("".join(json.dumps(line) + "\n" for line in lines))


def right(folder: Path, **labels: str) -> dict[str, float]:
    """The scores of the trial with these labels by the id of the question."""
    for file in folder.glob("trials/*/record.json"):
        if json.loads(file.read_text())["axes"] == labels:
            lines = [json.loads(line) for line in file.with_name("predictions.jsonl").read_text().splitlines()]
            return {line["id"]: line["scores"]["vqa_accuracy"] for line in lines if line["condition"] == "image"}
    raise AssertionError(labels)


def test_every_turned_answer_is_counted_on_its_side(tmp_path):
    """One cell with three lost and one gained of 160, one with none: half of that on average."""
    folder = write_results(tmp_path, images=40, axes=TWO)
    copy_answers(folder, "none", "int8")
    before = right(folder, fusion="gated", quantizer="none")
    was_right, was_wrong = ([id_ for id_, score in before.items() if score == each] for each in (1.0, 0.0))
    turned = {**dict.fromkeys(was_right[:3], 0.0), was_wrong[0]: 1.0}
    change(folder, {"fusion": "gated", "quantizer": "int8"}, turned)
    found = flips(study_of(folder), "quantizer")
    assert list(found) == ["int8"]
    assert (found["int8"].gained, found["int8"].lost) == (pytest.approx(0.5 / 160), pytest.approx(1.5 / 160))
    assert (found["int8"].questions, found["int8"].pairs) == (160, 2)


def test_a_score_turns_where_it_passes_one_half_and_not_where_it_moves_on_one_side(tmp_path):
    folder = write_results(tmp_path, images=40, axes={"quantizer": ["none", "int8"]})
    ids = [f"test-{image}-0" for image in range(6)]
    base, now = (0.0, 0.6, 1 / 3, 2 / 3, 0.5, 0.49), (0.3, 0.9, 2 / 3, 1 / 3, 0.5, 0.5)
    copy_answers(folder, "none", "int8")
    change(folder, {"quantizer": "none"}, dict(zip(ids, base, strict=True)))
    change(folder, {"quantizer": "int8"}, dict(zip(ids, now, strict=True)))
    found = flips(study_of(folder), "quantizer")["int8"]
    assert (found.gained, found.lost) == (pytest.approx(2 / 160), pytest.approx(1 / 160))


def test_pairs_have_one_seed_and_one_cell_and_the_shares_make_the_difference(tmp_path):
    folder = write_results(tmp_path, images=40, axes=TWO, seeds=(0, 1, 2))
    study = study_of(folder)
    found = flips(study, "fusion")["gated"]
    gained, lost = [], []
    for quantizer in TWO["quantizer"]:
        for seed in "012":
            base = right(folder, fusion="concat_projection", quantizer=quantizer, seed=seed)
            now = right(folder, fusion="gated", quantizer=quantizer, seed=seed)
            gained.append(sum(now[id_] > base[id_] for id_ in base) / 160)
            lost.append(sum(now[id_] < base[id_] for id_ in base) / 160)
    assert found.pairs == 6
    assert found.gained == pytest.approx(sum(gained) / 6)
    assert found.lost == pytest.approx(sum(lost) / 6)
    effect = next(each for each in study.effects("fusion") if each.value == "gated")
    assert effect.difference.estimate == pytest.approx(found.gained - found.lost)


def test_every_cell_counts_the_same_however_many_pairs_it_has(tmp_path):
    """Of four pairs in one cell and two in the other, only one of the two turned: a quarter, and not a sixth."""
    axes = {"quantizer": ["none", "int8"], "fusion": ["concat_projection", "gated"]}
    folder = write_results(tmp_path, images=10, axes=axes, seeds=(0, 1, 2, 3), left_out=(14, 15))
    copy_answers(folder, "none", "int8")
    labels = {"quantizer": "int8", "fusion": "gated", "seed": "0"}
    before = right(folder, **labels)
    change(folder, labels, {id_: 1 - score for id_, score in before.items()})
    found = flips(study_of(folder), "quantizer")["int8"]
    assert found.pairs == 6
    assert found.gained + found.lost == pytest.approx(0.25)


def test_trials_that_share_no_seed_have_no_flips_and_the_table_no_columns(tmp_path):
    axes = {"quantizer": ["none", "int8"]}
    folder = write_results(tmp_path, images=10, axes=axes, seeds=(0, 1), left_out=(1, 2))
    study = study_of(folder)
    assert len(study.done) == 2
    assert flips(study, "quantizer") == {}
    assert "gained" not in {column.key for column in axis_table(study, "quantizer").columns}


def test_what_is_no_share_of_single_answers_has_no_flips(tmp_path):
    study = study_of(write_results(tmp_path, images=10, axes=TWO))
    loss = Summary(**{**vars(study.summary), "metrics": ["loss", "vqa_accuracy"]})
    assert flips(replace(study, summary=loss), "fusion") == {}
    assert flips(study_of(made_counts.write(tmp_path)), "fusion") == {}


def test_the_table_of_an_axis_shows_both_beside_the_difference(tmp_path):
    folder = write_results(tmp_path, images=40, axes=TWO)
    copy_answers(folder, "none", "int8")
    study = study_of(folder)
    table = axis_table(study, "quantizer")
    keys = [column.key for column in table.columns]
    assert keys[keys.index("difference") + 1 :][:2] == ["gained", "lost"]
    base, int8 = csv.DictReader(io.StringIO(table.csv()))
    assert (base["gained"], base["lost"]) == ("", "")
    assert (float(int8["gained"]), float(int8["lost"])) == (0.0, 0.0)
    assert "Gained, lost: of 160 questions" in " ".join(table.notes)
    assert "(2 of them)" in " ".join(table.notes)
    found = flips(study, "fusion")["gated"]
    gated = list(csv.DictReader(io.StringIO(axis_table(study, "fusion").csv())))[1]
    assert found.gained > 0
    assert float(gated["gained"]) == found.gained
    assert float(gated["lost"]) == found.lost
