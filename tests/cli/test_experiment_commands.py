"""`workbench plan` and `run`: what they say, and how they end."""

from __future__ import annotations

import csv
import io
import json

import pytest

from tests.small import PLUGINS, SMALL, CommandLine, write


@pytest.fixture
def workbench(tmp_path, monkeypatch, capsys) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capsys)


def test_a_plan_shows_every_trial_with_its_parameters_and_makes_nothing(workbench):
    file = write(workbench.folder, SMALL + "grid:\n  quantizer: [none, int8]\nseeds: [0, 1]\n")
    told = workbench("plan", file, "--plugins", PLUGINS)
    assert told.code == 0
    lines = told.output.splitlines()
    start = next(place for place, line in enumerate(lines) if line.split() == ["quantizer", "seed"])
    rows = [line.split() for line in lines[start + 1 : start + 5]]
    assert rows == [["none", "0"], ["none", "1"], ["int8", "0"], ["int8", "1"]]
    shared = [line.partition(", of all trials: ")[0] for line in lines[:start]]
    assert shared == ["parameters", "trainable", "share", "phases", "state"]
    assert "state, of all trials: to do: tune, evaluate" in lines
    assert "4 trials, 0 done, 0 failed; 6 distinct stages of 8, 6 to do" in told.output
    assert [entry.name for entry in workbench.folder.iterdir()] == ["small.yaml"]


LONG = "a_label_that_is_as_long_as_some_researchers_like_their_labels_to_be_so_that_nothing_else_fits"


def test_a_plan_in_a_pipe_has_each_trial_in_one_line_with_whole_numbers(workbench):
    grid = "grid:\n  encoder.width: [16, 32]\n  quantizer: [none, int8]\n"
    file = write(workbench.folder, f"{SMALL}{grid}labels: {{encoder.width: [{LONG}_16, {LONG}_32]}}\n")
    told = workbench("plan", file, "--plugins", PLUGINS)
    assert told.code == 0, told.errors
    rows = [line.split() for line in told.output.splitlines() if line.startswith(LONG)]
    assert [row[:2] for row in rows] == [[f"{LONG}_{each}", q] for each in (16, 32) for q in ("none", "int8")]
    listed = json.loads(workbench("plan", file, "--plugins", PLUGINS, "--json").output)["trials"]
    assert [row[3] for row in rows] == [f"{each['parameters']:,}" for each in listed]
    assert "…" not in told.output
    assert "..." not in told.output


def test_a_plan_as_csv_or_json_lists_every_trial_and_nothing_else(workbench):
    file = write(workbench.folder, SMALL + "grid:\n  quantizer: [none, int8]\nseeds: [0, 1]\n")
    told = workbench("plan", file, "--plugins", PLUGINS, "--json")
    content = json.loads(told.output)
    stages = {each["stage"]: each["count"] for each in content["stages"]["to_do"]}
    assert (content["stages"]["all"], content["stages"]["distinct"], stages) == (8, 6, {"tune": 2, "evaluate": 4})
    assert [each["axes"] for each in content["trials"]][1] == {"quantizer": "none", "seed": "1"}
    rows = list(csv.DictReader(io.StringIO(workbench("plan", file, "--plugins", PLUGINS, "--csv").output)))
    assert [row["id"] for row in rows] == [each["id"] for each in content["trials"]]
    assert [int(row["parameters"]) for row in rows] == [each["parameters"] for each in content["trials"]]
    assert {row["state"] for row in rows} == {"to do"}
    assert workbench("plan", file, "--plugins", PLUGINS, "--csv", "--json").code == 2


def test_a_plan_tells_what_does_not_fit_all_at_once(workbench):
    file = write(workbench.folder, SMALL + "grid:\n  encoder.heads: [2, 3]\n  connector: [linear, picky]\n")
    told = workbench("plan", file, "--plugins", PLUGINS)
    assert told.code == 2
    assert "encoder 'vit' cannot be used: 3 heads do not divide the width 16" in told.errors
    assert "connector 'picky' cannot be used: it takes tokens 7 wide" in told.errors
    assert not told.output


def test_a_run_ends_with_0_when_all_is_done_and_with_1_when_a_trial_failed(workbench):
    file = write(workbench.folder, SMALL + "grid:\n  fusion: [concat_projection, raising]\n")
    assert workbench.run(file, "--set", "grid.fusion=[concat_projection]").code == 0
    told = workbench.run(file)
    assert told.code == 1
    assert "1 of 2 trials done (1 before this run)" in told.output
    assert "ZeroDivisionError: this fusion is broken" in told.output
    assert not told.errors


def test_a_plan_for_another_machine_names_all_that_it_takes_for_granted(workbench):
    file = write(workbench.folder, SMALL + "grid:\n  quantizer: [none, int8]\n")
    plan = ("plan", file, "--plugins", PLUGINS, "--assume", "device=h100")
    told = workbench(*plan, "--assume", "price=2")
    assert told.code == 0, told.errors
    rows = [line.split()[:2] for line in told.output.partition("GPU hours")[2].splitlines()]
    assert rows[1:4] == [["tune", "1"], ["evaluate", "2"], ["shared", "3"]]
    assert [row for row in rows if row and row[0] == "tune"] == [["tune", "1"], ["tune", "2"]]
    for each in ("NVIDIA H100", "67 TFLOP/s dense in fp32", "MFU): 0.3", "price: 2 a GPU hour", "left out: "):
        assert each in told.output
    content = json.loads(workbench(*plan, "--json").output)["elsewhere"]
    assert content["shared"]["money"] is None
    assert 0 < content["shared"]["gpu_hours"] < content["alone"]["gpu_hours"]
    assert content["alone"]["stages"]["tune"]["count"] == 2
    assert len(content["assumed"]) == 7
    assert workbench("plan", file, "--plugins", PLUGINS, "--assume", "mfu=2").code == 2


def test_automatic_precision_is_that_of_the_assumed_device(workbench):
    file = write(workbench.folder, SMALL.replace("precision: fp32", "precision: auto"))
    for device, precision in (("h100", "bf16"), ("v100", "fp32")):
        told = workbench("plan", file, "--plugins", PLUGINS, "--assume", f"device={device}")
        assert f"TFLOP/s dense in {precision}" in told.output
