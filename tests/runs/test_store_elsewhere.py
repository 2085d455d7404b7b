"""Runs that keep their stages behind a URL: folders of results share them, and each remembers where they are."""

from __future__ import annotations

import json
import os
import shutil
import signal
import uuid
from pathlib import Path

import pytest

from tests.processes import ended, start, until
from tests.small import SMALL, CommandLine, load, records, run_inside, small_registry, write
from workbench.inference.load_trial import load_trial
from workbench.runs.scheduler import RunOptions
from workbench.storage.chosen_store import open_store
from workbench.storage.fsspec_store import FsspecStore

HELD = SMALL.replace("steps: 2", "steps: 100")


@pytest.fixture
def workbench(tmp_path, monkeypatch, capsys) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capsys)


def weights_in(results: Path) -> list[bytes]:
    return [file.read_bytes() for file in results.glob("artifacts/*/weights.safetensors")]


def test_what_one_folder_of_results_trained_another_one_only_evaluates(tmp_path):
    url = f"memory://{uuid.uuid4().hex}/kept"
    for name in ("one", "two"):
        assert not run_inside(load(tmp_path), tmp_path / name, RunOptions(store=url)).failed
    curves = [
        (file.parent, json.loads(file.read_text().splitlines()[0]))
        for file in tmp_path.glob("*/artifacts/*/curve.jsonl")
    ]
    assert len(curves) == 2
    assert curves[0][1] == curves[1][1], "with its seconds: it is a copy"
    assert len(set(weights_in(tmp_path / "one") + weights_in(tmp_path / "two"))) == 1
    left = open_store(tmp_path / "one/artifacts").store
    assert isinstance(left, FsspecStore)
    assert left.files.names(".claims") == []


def test_a_phase_on_several_devices_is_kept_behind_the_url_at_once(workbench, tmp_path):
    file = write(tmp_path, SMALL.replace("batch: 4", "batch: 4, devices: 2"))
    told = workbench.run(file, "--store", f"file://{tmp_path}/far")
    assert told.code == 0
    assert "is made again" not in told.output
    assert len(list(tmp_path.glob("far/*/stage.json"))) == 1


def test_the_folder_of_results_remembers_where_its_stages_are(workbench, tmp_path):
    url = f"file://{tmp_path}/far"
    file = write(tmp_path)
    told = workbench.run_inside(file, "--store", url)
    assert told.code == 0, told.output + told.errors
    key = open_store(tmp_path / "results/artifacts").store.names()[0]
    shutil.rmtree(tmp_path / "results/artifacts" / key)
    assert workbench.run_inside(file, "--set", "evaluation.limit=4").code == 0
    assert (tmp_path / "results/artifacts" / key).is_dir(), "fetched, not trained"
    shutil.rmtree(tmp_path / "results/artifacts" / key)
    trial = records(tmp_path)[0]["id"]
    assert load_trial(trial, tmp_path / "results", [small_registry().folders[0]]).model()


def test_a_plan_sees_what_lies_behind_a_url(workbench, tmp_path):
    url, file = f"file://{tmp_path}/far", write(tmp_path)
    assert workbench.run_inside(file, "--store", url, "--results", tmp_path / "other").code == 0
    asked = ("plan", file, "--plugins", small_registry().folders[0], "--device", "cpu", "--json")
    missing = [
        len(json.loads(workbench(*asked, *more).output)["trials"][0]["to_do"]) for more in ((), ("--store", url))
    ]
    assert missing == [2, 1]
    assert not (tmp_path / "results/artifacts/.store").exists(), "a plan chooses nothing"


def test_stages_that_are_there_already_are_shared_and_not_made_again(workbench, tmp_path):
    file = write(tmp_path)
    assert workbench.run_inside(file).code == 0
    before = weights_in(tmp_path / "results")
    url = f"file://{tmp_path}/far"
    assert workbench.run_inside(file, "--store", url, "--set", "evaluation.limit=4").code == 0
    assert weights_in(tmp_path / "results") == before
    assert len(open_store(tmp_path / "empty", url).store.names()) == 1


@pytest.mark.parametrize("url", ["results2", "nothing://a"])
def test_a_store_that_cannot_be_is_refused_before_anything_runs(workbench, tmp_path, url):
    told = workbench.run_inside(write(tmp_path), "--store", url)
    assert told.code == 2
    assert f"--store {url}" in told.errors
    assert not (tmp_path / "results/artifacts/.store").exists()


def test_a_run_that_was_killed_is_gone_on_with_at_once(tmp_path):
    gate, url = tmp_path / "gate", f"file://{tmp_path}/far"
    gate.touch()
    write(tmp_path, HELD + f"grid:\n  fusion: [{{name: slow, gate: {gate}}}]\n")
    command = start(tmp_path, "--workers", "1", "--store", url, "--snapshot-seconds", "0")
    until(lambda: list((tmp_path / "results/artifacts").glob("*.partial/*.safetensors")))
    os.kill(command.pid, signal.SIGKILL)
    command.wait()
    gate.unlink()
    said = ended(start(tmp_path, "--workers", "1"), 0)
    assert "waiting" not in said
    assert len(open_store(tmp_path / "empty", url).store.names()) == 1
