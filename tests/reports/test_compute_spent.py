"""What trials took: shared stages once, what is not on record told as that, strays counted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pandas
import pytest

from tests.made_results import change_summary, write_results
from workbench.reports.compute_spent import all_tries, seconds_of, spent
from workbench.reports.results_data import read_study
from workbench.reports.trainings import trainings_of
from workbench.storage.records import DONE, FAILED, Record, read_curve, read_record

CHAINS = {"one": (("a", 10.0), ("b", 20.0)), "two": (("a", 10.0), ("c", 30.0)), "three": (("a", 10.0), ("b", 20.0))}


def record(id_: str, training: float | None, evaluation: float | None = 5.0, status: str = DONE) -> Record:
    known = {"training_seconds": training, "evaluation_seconds": evaluation}
    metrics = {name: seconds for name, seconds in known.items() if seconds is not None}
    return Record(id_, status, "made", {}, {}, metrics, {}, {}, None)


TRIALS = [record("one", 30.0), record("two", 40.0), record("three", 30.0)]


def give_keys(folder: Path, keys: list[str]) -> None:
    """Write into every record which stages trained it."""
    for file in folder.glob("trials/*/record.json"):
        content = json.loads(file.read_text())
        content["provenance"]["trained"] = keys
        file.write_text(json.dumps(content))


def test_a_stage_that_trials_share_is_counted_once_and_for_each_as_if_nothing_were_shared():
    found = spent(TRIALS, CHAINS)
    assert (found.alone, found.once, found.evaluation) == (100.0, 60.0, 15.0)
    assert (found.finished, found.failed, found.untimed) == (3, 0, 0)


def test_a_stage_that_was_trained_twice_counts_twice():
    again = {**CHAINS, "three": (("a", 10.0), ("b", 21.0))}
    assert spent(TRIALS, again).once == 81.0


def test_without_the_stages_of_every_finished_trial_nobody_knows_what_was_shared():
    some = {id_: chain for id_, chain in CHAINS.items() if id_ != "two"}
    assert spent(TRIALS, some).once is None
    assert spent(TRIALS, some).alone == 100.0
    failed = [*TRIALS[::2], record("two", None, None, FAILED)]
    assert spent(failed, some).once == 30.0


def test_a_failed_trial_has_no_time_and_a_missing_time_is_counted_as_missing():
    found = spent([*TRIALS, record("four", None), record("five", 7.0, None), record("x", None, None, FAILED)], CHAINS)
    assert (found.finished, found.failed, found.untimed) == (5, 1, 2)
    assert (found.alone, found.evaluation) == (107.0, 20.0)
    assert seconds_of([record("four", None), *TRIALS], "training_seconds") == [30.0, 40.0, 30.0]


def test_a_stage_took_what_its_curve_ends_with(tmp_path: Path):
    folder = next((write_results(tmp_path, images=2, axes={}) / "trials").iterdir())
    told, curve = read_record(folder), read_curve(folder)
    assert trainings_of(told, curve) is None, "records of before do not say which stages they are"
    told.provenance["trained"] = ["first", "second"]
    assert trainings_of(told, curve) == (("first", pytest.approx(6.0)), ("second", pytest.approx(12.0)))
    told.provenance["trained"] = ["first"]
    assert trainings_of(told, curve) is None, "another number of phases than the curve has"
    told.provenance["trained"] = []
    assert trainings_of(told, curve.head(0)) == ()
    told.provenance["trained"] = ["first", "second"]
    assert trainings_of(told, curve.assign(seconds=float("nan"))) is None
    assert trainings_of(told, pandas.DataFrame({"phase": curve["phase"]})) is None


def test_a_study_knows_the_trainings_of_all_trials_of_the_folder_and_of_those_left_out(tmp_path: Path):
    folder = write_results(tmp_path, images=2, axes={"fusion": ["gated", "cross_attention"]}, seeds=(0, 1))
    give_keys(folder, ["first", "second"])
    summary = json.loads((folder / "experiment.json").read_text())
    stray = summary["trials"].pop()
    change_summary(folder, trials=summary["trials"])
    study = read_study(folder, resamples=5)
    assert (study.strays, [each.id for each in study.left_out]) == (1, [stray])
    assert set(study.trainings) == {*summary["trials"], stray}
    assert [each.id for each in all_tries(study)] == [*summary["trials"], stray]
    assert [each.id for each in all_tries(replace(study, final=study))] == [*summary["trials"] * 2, stray]
    assert {name for name in study.inputs if stray in name} == {
        f"trials/{stray}/record.json",
        f"trials/{stray}/curve.jsonl",
    }


def test_a_damaged_curve_of_a_trial_that_is_left_out_stops_no_report(tmp_path: Path):
    folder = write_results(tmp_path, images=2, axes={"fusion": ["gated", "cross_attention"]})
    give_keys(folder, ["first", "second"])
    summary = json.loads((folder / "experiment.json").read_text())
    stray = summary["trials"].pop()
    change_summary(folder, trials=summary["trials"])
    (folder / "trials" / stray / "curve.jsonl").write_text("{")
    study = read_study(folder, resamples=5)
    assert set(study.trainings) == set(summary["trials"])
    assert spent(all_tries(study), study.trainings).once is None
