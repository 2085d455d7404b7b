"""Cleaning removes what nobody needs, and never what somebody may still ask for."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.small import SMALL, CommandLine, files_of, load, records, run_here
from tests.storage.other_runs import killed, on_another_machine
from workbench.runs.clean import clean
from workbench.runs.scheduler import RunOptions
from workbench.storage.artifacts import ArtifactStore
from workbench.storage.result_files import ResultsError
from workbench.storage.run_notes import RunNotes


def stages_of(folder: Path) -> set[str]:
    return set(ArtifactStore(folder / "results/artifacts").names())


def test_cleaning_keeps_what_records_go_back_to(tmp_path):
    results = tmp_path / "results"
    run_here(load(tmp_path, "base.phases.tune.steps=3"), results)
    shutil.rmtree(results / "small")
    run_here(load(tmp_path), results)
    before = files_of(results)
    gone, kept = clean(results, dry=True)
    assert (len(gone), kept) == (1, {})
    assert files_of(results) == before
    with RunNotes(results / "artifacts").in_use(), pytest.raises(ResultsError, match="a run is going on"):
        clean(results)
    assert clean(results) == (gone, {})
    assert clean(results) == ({}, {})
    times = {file: file.stat().st_mtime_ns for file in results.glob("artifacts/*/stage.json")}
    assert len(times) == 1
    assert len(run_here(load(tmp_path, "evaluation.limit=4"), results).done) == 1
    assert {file: file.stat().st_mtime_ns for file in results.glob("artifacts/*/stage.json")} == times


def test_a_finished_run_leaves_what_another_of_the_same_name_needs(tmp_path, monkeypatch, capsys):
    """The first failed in its second phase; the second, of other trials, is done."""
    results = tmp_path / "results"
    two = SMALL.replace("metrics:", "    - {name: refine, train: [connector], steps: 3, batch: 4}\nmetrics:")
    assert run_here(load(tmp_path, "base.fusion={name: raising, after: 2}", text=two), results).failed
    (trained,) = stages_of(tmp_path)
    assert run_here(load(tmp_path, "base.phases.tune.steps=3"), results).done
    gone, kept = clean(results)
    assert (gone, set(kept)) == ({}, {trained})
    assert trained in stages_of(tmp_path)
    workbench = CommandLine(tmp_path, monkeypatch, capsys)
    assert "are kept for runs that are not finished; --unfinished removes them too" in workbench("clean").output
    assert "removed 1 stages" in workbench("clean", "--unfinished").output
    assert len(stages_of(tmp_path)) == 1
    assert workbench("clean").output.count("stages") == 1


def test_the_snapshots_of_a_trial_that_failed_for_good_are_cleaned_away(tmp_path):
    results = tmp_path / "results"
    experiment = load(tmp_path, "base.fusion={name: raising, after: 1}")
    assert run_here(experiment, results, RunOptions(snapshot_seconds=0)).failed
    (snapshot,) = results.glob("artifacts/*.partial/*.safetensors")
    gone, _ = clean(results, dry=True)
    assert list(gone.values()) == [snapshot.stat().st_size]
    assert clean(results) == (gone, {})
    assert not list(results.glob("artifacts/*.partial"))
    assert run_here(experiment, results, RunOptions(retry=True)).failed
    assert records(tmp_path)[0]["status"] == "failed"


def test_a_run_leaves_no_claims_and_those_of_killed_ones_are_cleaned_away(tmp_path):
    results = tmp_path / "results"
    assert run_here(load(tmp_path), results).done
    claims = results / "artifacts/.claims"
    assert not list(claims.iterdir())
    killed(results / "artifacts", "abc")
    before = files_of(claims)
    assert len(before) == 2
    clean(results, dry=True)
    assert files_of(claims) == before
    clean(results)
    assert files_of(claims) == {}


def test_nothing_is_cleaned_beside_a_run_of_another_machine(tmp_path):
    results = tmp_path / "results"
    run_here(load(tmp_path), results)
    shutil.rmtree(results / "small")
    on_another_machine(results / "artifacts")
    before = files_of(results)
    with pytest.raises(ResultsError, match="a run is going on"):
        clean(results)
    assert files_of(results) == before
