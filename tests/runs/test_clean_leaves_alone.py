"""Cleaning touches nothing that no run has made, wherever it lies and whatever it is called."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.small import CommandLine, files_of, load, run_inside
from workbench.runs.clean import clean, left_alone
from workbench.storage.artifacts import ArtifactStore
from workbench.storage.result_files import ResultsError

KEY = "0123456789abcdef"


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """Results with a stage that no record needs."""
    folder = tmp_path_factory.mktemp("finished")
    assert run_inside(load(folder), folder / "results").done
    shutil.rmtree(folder / "results/small")
    return folder


@pytest.fixture
def workbench(finished, tmp_path, monkeypatch, capsys) -> CommandLine:
    shutil.copytree(finished, tmp_path / "copy")
    return CommandLine(tmp_path / "copy", monkeypatch, capsys)


@pytest.fixture
def artifacts(workbench) -> Path:
    return workbench.folder / "results/artifacts"


def stage_of(artifacts: Path) -> Path:
    [folder] = artifacts.glob("[!.]*/")
    return folder


def add_stages(artifacts: Path, count: int) -> None:
    for number in range(count):
        with ArtifactStore(artifacts)._new(f"{number:016x}", {"phase": "tune"}) as folder:
            (folder / "weights.safetensors").write_bytes(b"1234")


def test_a_folder_that_was_never_one_of_results_is_refused_and_left_as_it_is(workbench):
    mine = workbench.folder / "g/artifacts/mine"
    mine.mkdir(parents=True)
    (mine / "thesis.tex").write_text("all of it")
    before = files_of(workbench.folder)
    for words in ((), ("--dry-run",), ("--unfinished",)):
        told = workbench("clean", "--results", "g", *words)
        assert told.code == 2
        assert "g holds no stages that a run kept there" in told.errors
    assert files_of(workbench.folder) == before


@pytest.mark.parametrize("name", ["mine", KEY, f"{KEY}.partial", "old-weights"])
def test_what_no_run_has_made_is_left_alone_and_told(workbench, artifacts, name):
    (artifacts / name).mkdir()
    (artifacts / name / "notes.txt").write_text("mine")
    told = workbench("clean")
    assert "removed 1 stages" in told.output
    assert f"left alone: results/artifacts/{name} is no stage as a run left it" in told.output
    assert (artifacts / name / "notes.txt").read_text() == "mine"


def test_a_stage_that_somebody_put_a_file_into_is_left_alone(workbench, artifacts):
    stage = stage_of(artifacts)
    (stage / "notes.txt").write_text("mine")
    assert clean(workbench.folder / "results") == ({}, {})
    assert left_alone(workbench.folder / "results") == [stage]
    (stage / "notes.txt").unlink()
    assert len(clean(workbench.folder / "results")[0]) == 1


@pytest.mark.parametrize("content", ["{", "[]", '{"files": {}}', '{"files": {}, "checksum": "0"}'])
def test_a_folder_whose_summary_is_not_ours_is_left_alone(workbench, artifacts, content):
    stage = stage_of(artifacts)
    (stage / "stage.json").write_text(content)
    assert clean(workbench.folder / "results") == ({}, {})
    assert stage.is_dir()


def test_no_link_leads_out_of_the_folder(workbench, artifacts):
    """Of a stage, of its snapshots, within a stage, and of what killed runs left half written."""
    stage, elsewhere = stage_of(artifacts), workbench.folder / "elsewhere"
    shutil.copytree(stage, elsewhere / "stage")
    (elsewhere / ".weights.0123456789ab.tmp").write_text("mine")
    (elsewhere / "trials").mkdir()
    (elsewhere / "trials/.a.0123456789ab.tmp").write_text("mine")
    before = files_of(elsewhere)
    (artifacts / KEY).symlink_to(elsewhere / "stage", target_is_directory=True)
    (artifacts / f"{KEY}.partial").symlink_to(elsewhere, target_is_directory=True)
    (workbench.folder / "results/other").symlink_to(elsewhere, target_is_directory=True)
    shutil.copytree(stage, artifacts / "fedcba9876543210")
    (artifacts / "fedcba9876543210/more").symlink_to(elsewhere, target_is_directory=True)
    gone, _ = clean(workbench.folder / "results")
    assert set(gone) == {stage.name}
    assert files_of(elsewhere) == before
    assert (artifacts / KEY).is_symlink()


def test_hidden_files_that_only_look_half_written_stay(workbench):
    mine = workbench.folder / "results/small"
    mine.mkdir()
    for name in (".draft.tmp", ".draft.notes.tmp", ".draft.0123456789AB.tmp"):
        (mine / name).write_text("mine")
    before = files_of(mine)
    clean(workbench.folder / "results")
    assert files_of(mine) == before


def test_many_stages_are_listed_and_removed_only_when_somebody_says_so(workbench, artifacts):
    add_stages(artifacts, 5)
    before = files_of(artifacts)
    told = workbench("clean")
    assert told.code == 2
    assert "6 stages would be removed: see above. Nothing was. Add --yes to remove them" in told.errors
    assert all(f"results/artifacts/{number:016x}  0.0 MB" in told.output for number in range(5))
    assert workbench("clean", "--dry-run").output.count("results/artifacts/") == 6
    assert files_of(artifacts) == before
    assert "removed 6 stages" in workbench("clean", "--yes").output
    assert not list(artifacts.glob("[!.]*/"))


@pytest.mark.parametrize("content", ["", "{", "{}", "[1]", "null"])
def test_a_damaged_note_of_an_unfinished_run_is_told_and_nothing_removed(workbench, artifacts, content):
    note = artifacts / ".needed/small-0123456789ab.json"
    note.parent.mkdir(exist_ok=True)
    note.write_text(content)
    before = files_of(artifacts)
    told = workbench("clean")
    assert told.code == 2
    assert f"{note.relative_to(workbench.folder)} is damaged (" in told.errors
    assert "nothing was removed. Run the experiment 'small' again, which writes it anew" in told.errors
    assert files_of(artifacts) == before
    assert "removed 1 stages" in workbench("clean", "--unfinished").output


def test_a_name_in_a_record_or_a_note_leads_nowhere_else(workbench, artifacts):
    elsewhere = workbench.folder / "elsewhere"
    shutil.copytree(stage_of(artifacts), elsewhere)
    note = artifacts / ".needed/small-0123456789ab.json"
    note.parent.mkdir(exist_ok=True)
    note.write_text(json.dumps(["../../elsewhere", "/"]))
    before = files_of(elsewhere)
    assert len(clean(workbench.folder / "results")[0]) == 1
    with pytest.raises(ResultsError, match="holds no stages"):
        clean(elsewhere)
    assert files_of(elsewhere) == before
