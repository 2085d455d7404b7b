"""What an earlier version left on disk still gives its report, answers and an export: `made_before/` was made before
the modules of `workbench/` lay in packages, and when records said "picture" where they now say "image"."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pandas
import pandas.testing
import pytest

from tests.small import CommandLine
from workbench.inference.load_trial import load_trial
from workbench.model.build import build_dataset

MADE = Path(__file__).parent / "made_before"
INT8, UNCHANGED = "ab3c94c141e6", "5f438efded18"
INTERVALS = re.compile(r" \[[^]]*\]")
JUDGED = ("p", "verdict")  # these, and intervals, follow rules that have changed since


@pytest.fixture
def folder(tmp_path) -> Path:
    return shutil.copytree(MADE, tmp_path / "made")


@pytest.fixture
def command(folder, monkeypatch, capsys) -> CommandLine:
    return CommandLine(folder, monkeypatch, capsys)


def predictions(trial: str) -> list[dict]:
    """What that trial answered to the images themselves."""
    lines = (MADE / f"results/before/trials/{trial}/predictions.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, lines) if line["condition"] == "picture"]


def saved_image(folder: Path, key: str) -> Path:
    """An image of the trials' dataset as a file."""
    trial = load_trial(UNCHANGED, folder / "results")
    file = folder / "image.png"
    build_dataset(trial.trial, trial.registry).image(key).save(file)
    return file


@pytest.mark.parametrize("trial", [INT8, UNCHANGED])
def test_a_finished_trial_answers_what_it_answered(folder, command, trial):
    first = predictions(trial)[0]
    told = command("ask", trial, saved_image(folder, first["picture"]), first["question"])
    assert (told.code, told.output.strip()) == (0, first["answer"].strip())


def test_an_exported_folder_answers_what_its_trial_answered(folder, command):
    first = predictions(INT8)[0]
    told = command("ask", "exported", saved_image(folder, first["picture"]), first["question"])
    assert (told.code, told.output.strip()) == (0, first["answer"].strip())


def test_a_finished_trial_is_exported_with_the_numbers_of_its_record(folder, command):
    assert command("export", INT8, "again").code == 0
    before, again = ((folder / name / "README.md").read_text() for name in ("exported", "again"))
    words = re.sub(r"\\([*_|])", r"\1", again)  # which earlier versions did not mark as text
    before, words = (re.sub(r"[\d.]+ MB on disk", "", each) for each in (before, words))  # config.json says more now
    assert INTERVALS.sub("", words) == INTERVALS.sub("", before).replace("picture", "image")


@pytest.mark.parametrize("name", ["before.yaml", "results/before"])
def test_the_report_has_every_number_it_had_and_says_what_is_out_of_date(folder, command, name):
    assert command("report", name).code == 0
    report = folder / "results/before/report"
    assert "4 of 4 results are out of date" in (report / "report.html").read_text()
    for file in sorted((MADE / "tables").iterdir()):
        before, now = pandas.read_csv(file), pandas.read_csv(report / "tables" / file.name)
        before.columns = [column.replace("picture", "image") for column in before.columns]
        numbers = [column for column in before if not column.endswith((".low", ".high")) and column not in JUDGED]
        pandas.testing.assert_frame_equal(now.filter(numbers), before.filter(numbers), rtol=1e-9)


def test_a_plan_makes_every_trial_anew_and_says_why(command):
    told = command("plan", "before.yaml")
    assert told.code == 0
    assert "4 trials, 0 done" in told.output
    assert "files of the workbench changed" in told.output
