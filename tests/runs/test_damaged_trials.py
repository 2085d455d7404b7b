"""A finished trial whose files are not what was written is told and made again, and nothing rests on it meanwhile."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.small import PLUGINS, CommandLine, load, run_inside, write
from workbench.runs.clean import clean
from workbench.storage.result_files import ResultsError


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    assert len(run_inside(load(folder), folder / "results").done) == 1
    return folder


@pytest.fixture
def workbench(finished, tmp_path, monkeypatch, capsys) -> CommandLine:
    shutil.copytree(finished, tmp_path / "copy")
    return CommandLine(tmp_path / "copy", monkeypatch, capsys)


def the_trial(workbench: CommandLine) -> Path:
    [trial] = (workbench.folder / "results/small/trials").glob("[!.]*")
    return trial


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    place = content.index(b"1")
    content[place] += 1
    file.write_bytes(content)


def edit(file: Path) -> None:
    record = json.loads(file.read_text())
    record["metrics"]["bytes"] = 1.0
    file.write_text(json.dumps(record))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "predictions.jsonl is not what was written": lambda trial: flip(trial / "predictions.jsonl"),
    "curve.jsonl is not what was written": lambda trial: flip(trial / "curve.jsonl"),
    "predictions.jsonl is missing": lambda trial: (trial / "predictions.jsonl").unlink(),
    "record.json is not what was written": lambda trial: edit(trial / "record.json"),
    "record.json is damaged": lambda trial: (trial / "record.json").write_text("{"),
}


@pytest.mark.parametrize("told", DAMAGE)
def test_a_damaged_trial_is_planned_told_and_made_again(workbench, told):
    trial = the_trial(workbench)
    whole = (trial / "predictions.jsonl").read_bytes()
    DAMAGE[told](trial)
    plan = workbench("plan", "small.yaml", "--plugins", PLUGINS)
    assert plan.code == 0
    assert f"to do: 1 x evaluate ({told}" in plan.output
    assert f"1 trial is made again, as what was kept in results/small is damaged: trials/{trial.name}: {told}" in (
        plan.output
    )
    run = workbench.run_inside(write(workbench.folder))
    assert run.code == 0
    assert f"trials/{trial.name}: {told}" in run.output
    assert "1 of 1 trials done\n" in run.output
    assert (trial / "predictions.jsonl").read_bytes() == whole
    assert "1 of 1 trials done (1 before this run)" in workbench.run_inside(write(workbench.folder)).output


def test_nothing_is_asked_of_or_cleaned_by_an_edited_record(workbench):
    edit(the_trial(workbench) / "record.json")
    told = workbench("export", the_trial(workbench).name, "out", "--plugins", PLUGINS)
    assert told.code == 2
    assert "record.json is not what was written: its checksum differs. Run its experiment again" in told.errors
    with pytest.raises(ResultsError, match=r"record.json is damaged"):
        clean(workbench.folder / "results")


def test_no_model_card_is_written_from_edited_answers(workbench):
    flip(the_trial(workbench) / "predictions.jsonl")
    told = workbench("export", the_trial(workbench).name, "out", "--plugins", PLUGINS)
    assert told.code == 2
    assert "predictions.jsonl is not what was written" in told.errors
    assert not (workbench.folder / "out").exists()
