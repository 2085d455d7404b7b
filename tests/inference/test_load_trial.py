"""A finished trial is found by its id and loaded, or it is told why that cannot be."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.inference.test_pipeline import finished, image_file, trials, workbench
from tests.small import PLUGINS, load, small_registry
from workbench.inference.load_trial import find_trial, trial_of
from workbench.storage.checksums import sealed
from workbench.storage.records import ResultsError

__all__ = ["finished", "workbench"]  # fixtures, made once for each file


def test_an_unknown_trial_is_refused_with_what_there_is(workbench):
    told = workbench("ask", "zzz", image_file(workbench.folder), "is it red?")
    assert told.code == 2
    assert "there is no trial 'zzz'" in told.errors
    assert trials(workbench.folder)[0].name in told.errors


def test_an_id_that_is_not_unique_is_refused(finished):
    with pytest.raises(ResultsError, match="several trials begin with ''|there is no trial ''"):
        find_trial("", finished / "results")
    copy = finished / "results/small/trials" / (trials(finished)[0].name[:5] + "0" * 5)
    shutil.copytree(trials(finished)[0], copy)
    try:
        with pytest.raises(ResultsError, match="several trials begin with"):
            find_trial(copy.name[:5], finished / "results")
    finally:
        shutil.rmtree(copy)


def test_a_trial_whose_stage_is_gone_says_that_it_has_to_run_again(workbench, tmp_path):
    shutil.copytree(workbench.folder / "results/small", tmp_path / "results/small")
    image = image_file(tmp_path)
    name = trials(workbench.folder)[0].name
    told = workbench("ask", name, image, "is it red?", "--results", tmp_path / "results", "--plugins", PLUGINS)
    assert told.code == 2
    assert "are gone" in told.errors
    assert "Run the experiment 'small' again" in told.errors


def test_a_failed_trial_says_why(workbench, tmp_path):
    folder = tmp_path / "results/small/trials" / trials(workbench.folder)[0].name
    shutil.copytree(trials(workbench.folder)[0], folder)
    record = json.loads((folder / "record.json").read_text())
    record |= {"status": "failed", "error": {"type": "OSError", "message": "the disk is full\nmore"}}
    (folder / "record.json").write_text(json.dumps(sealed(record)))
    told = workbench("ask", folder, image_file(tmp_path), "is it red?", "--plugins", PLUGINS)
    assert told.code == 2
    assert "failed: the disk is full. Run it again with --retry failed" in told.errors


def test_a_trial_with_a_plugin_that_is_not_given_says_so(workbench):
    told = workbench("ask", trials(workbench.folder)[0], image_file(workbench.folder), "is it red?")
    assert told.code == 2
    assert "there is no dataset 'squares'" in told.errors
    assert "--plugins" in told.errors


def test_a_trial_is_found_by_its_id_by_the_beginning_of_it_and_by_its_folder(finished):
    folder = trials(finished)[0]
    found = {find_trial(name, finished / "results") for name in (folder.name, folder.name[:7])}
    assert found == {folder}
    assert find_trial(str(folder), finished / "nowhere") == folder


def test_a_spec_becomes_the_trial_that_it_was(tmp_path):
    trial = load(tmp_path, "metrics=[vqa_accuracy, loss]", "evaluation.outside=squares").trials[0]
    again = trial_of(json.loads(json.dumps(trial.spec())), small_registry(), tmp_path)
    assert (again.id, again.spec()) == (trial.id, trial.spec())


def test_a_spec_of_another_version_is_told(tmp_path):
    spec = load(tmp_path).trials[0].spec()
    del spec["phases"]
    with pytest.raises(ResultsError, match="was made by another version, or its spec is damaged"):
        trial_of(spec, small_registry(), tmp_path)
