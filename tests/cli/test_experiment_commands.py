"""`workbench plan` and `run`: what they say, and how they end."""

from __future__ import annotations

import pytest

from tests.small import PLUGINS, SMALL, CommandLine, write


@pytest.fixture
def workbench(tmp_path, monkeypatch, capsys) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capsys)


def test_a_plan_shows_every_trial_with_its_parameters_and_makes_nothing(workbench):
    file = write(workbench.folder, SMALL + "grid:\n  quantizer: [none, int8]\nseeds: [0, 1]\n")
    told = workbench("plan", file, "--plugins", PLUGINS)
    assert told.code == 0
    rows = [line.split() for line in told.output.splitlines() if " to do: " in line]
    assert [row[:2] for row in rows] == [["none", "0"], ["none", "1"], ["int8", "0"], ["int8", "1"]]
    assert len({tuple(row[2:4]) for row in rows}) == 1
    assert "4 trials, 0 done, 0 failed; 6 distinct stages of 8, 6 to do" in told.output
    assert [entry.name for entry in workbench.folder.iterdir()] == ["small.yaml"]


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
