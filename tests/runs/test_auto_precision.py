"""`precision: auto` is what the device multiplies natively, and stays what a results folder began with."""

from __future__ import annotations

import json
import os

import pytest

from tests.small import PLUGINS, SMALL, CommandLine, load, records, run_inside, small_registry, write
from workbench.config.experiment import load_experiment
from workbench.config.phase import Evaluation, Phase
from workbench.config.problems import ExperimentError
from workbench.devices.precision import is_native, slowdown
from workbench.runs.auto_precision import begun_with, precision_for, precision_notes

AUTO = SMALL.replace(", precision: fp32", "")
NATIVE = "bf16" if is_native("bf16", "cpu") else "fp32"
OTHER = {"bf16": "fp32", "fp32": "bf16"}[NATIVE]


@pytest.fixture
def workbench(tmp_path, monkeypatch, capsys) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capsys)


def begun(folder, precision: str):
    """An experiment whose folder of results began with that precision."""
    file = write(folder, AUTO)
    experiment = load_experiment(file, small_registry(), auto_precision=lambda name: precision)
    assert not run_inside(experiment, folder / "results").failed
    return file


def test_auto_is_the_default_and_an_explicit_precision_stays():
    assert Phase(name="tune", train=("encoder",), steps=1).precision == Evaluation().precision == "auto"
    assert Evaluation().computed_in("bf16") == Evaluation(precision="bf16")
    assert Evaluation(precision="fp32").computed_in("bf16") == Evaluation(precision="fp32")


def test_a_record_says_what_auto_was(tmp_path):
    begun(tmp_path, NATIVE)
    [record] = records(tmp_path)
    assert [phase["precision"] for phase in record["spec"]["phases"]] == [NATIVE]
    assert record["spec"]["evaluation"]["precision"] == NATIVE
    assert record["provenance"]["instructions"]


def test_auto_and_what_it_is_here_are_one_trial(tmp_path):
    written = AUTO.replace("batch: 4", f"batch: 4, precision: {NATIVE}")
    written = written.replace("max_new_tokens: 2", f"max_new_tokens: 2, precision: {NATIVE}")
    assert load(tmp_path, text=AUTO).trials[0].id == load(tmp_path, text=written).trials[0].id
    with pytest.raises(ExperimentError, match=f"trials are the same: .* where precision: auto is {NATIVE}"):
        load(tmp_path, "grid.phases.tune.precision=[auto, fp32, bf16]", text=AUTO)


def test_an_experiment_that_goes_on_elsewhere_stays_one(tmp_path, workbench):
    file = begun(tmp_path, OTHER)
    assert precision_for(tmp_path / "results", "cpu")("small") == OTHER
    assert precision_for(tmp_path / "results", "cpu")("another") == NATIVE
    told = workbench.run_inside(file, "--set", "seeds=[0, 1]")
    assert told.code == 0
    assert f"precision: auto is {OTHER}, which results/small began with" in told.output
    assert f"would take {NATIVE} by itself" in told.output
    assert {phase["precision"] for record in records(tmp_path) for phase in record["spec"]["phases"]} == {OTHER}
    assert "2 of 2 trials done (1 before this run)" in told.output


def test_a_plan_says_what_auto_is_and_why(tmp_path, workbench):
    told = workbench("plan", write(tmp_path, AUTO), "--plugins", PLUGINS, "--device", "cpu")
    verb = "multiplies" if NATIVE == "bf16" else "does not multiply"
    assert f"precision: auto is {NATIVE}, since this processor" in told.output
    assert f"{verb} bf16 natively" in told.output


def test_a_plan_says_what_a_precision_costs_that_the_processor_lacks(tmp_path):
    lacking = next((each for each in ("bf16", "fp16") if not is_native(each, "cpu")), None)
    if lacking is None:
        pytest.skip(
            "natively this processor multiplies every type; tests/devices/test_capabilities.py runs this on lesser ones"
        )
    experiment = load(tmp_path, f"base.phases.tune.precision={lacking}")
    [note] = precision_notes(experiment, tmp_path / "results/small", "cpu")
    assert f"has no {lacking} products of its own: one takes " in note
    assert "times as long as in fp32, measured now. Write precision: auto" in note
    assert slowdown(lacking, "cpu") > (0 if "WORKBENCH_CPU" in os.environ else 1)  # the override slows nothing down


def test_what_every_device_computes_needs_no_note(tmp_path):
    experiment = load(tmp_path)
    assert experiment.auto_precision is None
    assert list(precision_notes(experiment, tmp_path / "results/small", "cpu")) == []


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"auto_precision": null}', '{"auto_precision": "fp8"}'])
def test_a_summary_that_says_nothing_of_it_decides_nothing(tmp_path, text):
    (tmp_path / "experiment.json").write_text(text)
    assert begun_with(tmp_path) is None


def test_a_run_writes_down_what_auto_was(tmp_path):
    begun(tmp_path, NATIVE)
    assert json.loads((tmp_path / "results/small/experiment.json").read_text())["auto_precision"] == NATIVE
    assert begun_with(tmp_path / "results/small") == NATIVE


def test_a_run_that_leaves_nothing_to_the_device_keeps_what_the_folder_began_with(tmp_path, workbench):
    file = begun(tmp_path, OTHER)
    explicit = ("--set", f"base.phases.tune.precision={NATIVE}", "--set", f"evaluation.precision={NATIVE}")
    assert workbench.run(file, *explicit).code == 0
    assert begun_with(tmp_path / "results/small") == OTHER
    assert f"precision: auto is {OTHER}, which results/small began with" in workbench.run(file).output


@pytest.mark.parametrize(("phases", "evaluation", "meant"), [(OTHER, OTHER, OTHER), ("bf16", "fp32", "fp32")])
def test_trials_of_a_version_without_auto_say_what_their_folder_began_with(tmp_path, phases, evaluation, meant):
    """Whose default was fp32: a phase may have been written, and an evaluation not."""
    explicit = (f"base.phases.tune.precision={phases}", f"evaluation.precision={evaluation}")
    run_inside(load(tmp_path, *explicit), tmp_path / "results")
    summary = tmp_path / "results/small/experiment.json"
    content = json.loads(summary.read_text())
    del content["auto_precision"]
    summary.write_text(json.dumps(content))
    assert precision_for(tmp_path / "results", "cpu")("small") == meant
