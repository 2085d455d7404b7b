"""`workbench verify` from the command line: exit codes, bad input, a real run, and results of an earlier version."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.runs.test_held_out import DEFAULT
from tests.small import PLUGINS, SMALL, CommandLine, write as write_file
from tests.verification.made_answers import write
from workbench.storage.checksums import sealed
from workbench.verification.results import Found, find

MADE = Path(__file__).parents[1] / "made_before"


@pytest.fixture
def command(tmp_path, monkeypatch, capsys) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capsys)


def test_a_real_run_and_its_report_agree_until_an_answer_is_changed(command):
    text = SMALL.replace("metrics: [vqa_accuracy, loss]", "metrics: [vqa_accuracy, yes_no, perplexity]")
    file = write_file(command.folder, text + "grid: {fusion: [concat_projection, gated]}\n")
    assert command.run_inside(file, "--unchecked").code == 0
    assert command("report", file, "--plugins", PLUGINS).code == 0
    told = command("verify", "results/small", "--plugins", PLUGINS)
    assert (told.code, told.errors) == (0, "")
    assert "everything that was checked agrees" in told.output
    assert "not checked: losses of answers" in told.output
    assert "made anew (" not in told.output
    predictions = next((command.folder / "results/small/trials").iterdir()) / "predictions.jsonl"
    lines = predictions.read_text().splitlines()
    first = json.loads(lines[0])
    lines[0] = json.dumps({**first, "answer": first["answers"][0]})
    predictions.write_text("\n".join(lines) + "\n")
    told = command("verify", "results/small", "--plugins", PLUGINS)
    assert told.code == 1
    assert f"{predictions.parent.name}/predictions.jsonl, line 1: the score 'vqa_accuracy' is 0.0" in told.output


def test_what_an_earlier_version_left_agrees_and_says_what_it_lacks(command):
    shutil.copytree(MADE, command.folder / "made")
    told = command("verify", "made/results/before")
    assert told.code == 0
    assert "not checked: records by their own checksums (4)" in told.output
    assert "checked: answers scored anew (528)" in told.output
    assert "checked: numbers about images from outside computed anew (24)" in told.output


def change_outside(folder: Path, number: str, step: float) -> None:
    file = folder / "made/results/before/trials/5f438efded18/record.json"
    record = json.loads(file.read_text())
    record["metrics"][f"outside.energy.{number}"] += step
    file.write_text(json.dumps(record))


@pytest.mark.parametrize("number", ["auroc", "withheld", "answered"])
def test_a_changed_number_about_images_from_outside_is_told(command, number):
    shutil.copytree(MADE, command.folder / "made")
    change_outside(command.folder, number, 0.1)
    told = command("verify", "made/results/before")
    assert told.code == 1
    assert f"record.json, metrics, outside.energy.{number}: " in told.output


def test_a_number_that_rounding_leaves_room_for_is_not_passed_in_silence(command):
    """Every image from outside is as strange as its counterpart there, but for what rounding took."""
    shutil.copytree(MADE, command.folder / "made")
    change_outside(command.folder, "auroc", 0.01)
    told = command("verify", "made/results/before")
    assert told.code == 0
    assert "not checked: 'outside.energy.auroc' (1): rounding leaves room" in told.output


def test_a_report_is_named_by_its_folder_its_page_or_its_results(tmp_path):
    folder = write(tmp_path, report=True)
    both = Found(folder, folder / "report")
    assert find(folder) == find(folder / "report") == find(folder / "report/report.html") == both
    alone = (folder / "report").rename(tmp_path / "alone")
    assert (find(folder), find(alone)) == (Found(folder, None), Found(None, alone))


def test_bad_input_is_told_in_words_with_exit_code_2(command):
    told = command("verify", "nowhere")
    assert (told.code, told.errors) == (
        2,
        "error: there is no folder nowhere. Give a results folder or its report\n",
    )
    (command.folder / "empty").mkdir()
    told = command("verify", "empty")
    assert told.code == 2
    assert "empty is neither a results folder, which has experiment.json, nor a report" in told.errors
    (command.folder / "a.txt").write_text("")
    assert command("verify", "a.txt").code == 2


@pytest.mark.parametrize("name", ["experiment.json", "record.json", "report/manifest.json"])
def test_json_that_is_damaged_is_told_in_words_with_exit_code_2(command, name):
    folder = write(command.folder)
    (folder / "report").mkdir()
    file = next(folder.glob("trials/*/record.json")) if name == "record.json" else folder / name
    for content in ("{", "[]", '{"metrics": 3}'):
        file.write_text(content)
        told = command("verify", folder)
        assert told.code == 2
        assert told.errors.startswith(f"error: {file}")


@pytest.mark.parametrize(("key", "value"), [("scales", {"loss": 3}), ("spec", {"metrics": [3]})])
def test_a_record_that_is_damaged_within_is_told_in_words(command, key, value):
    folder = write(command.folder)
    file = next(folder.glob("trials/*/record.json"))
    file.write_text(json.dumps({**json.loads(file.read_text()), key: value}))
    told = command("verify", folder)
    assert told.code == 2
    assert told.errors.startswith(f"error: {file} is damaged: ")


def test_trials_that_were_tested_at_the_end_and_the_log_of_that_agree(command):
    """Of images held out of training, and with the test split asked about one trial of two."""
    text = DEFAULT.replace("metrics: [vqa_accuracy, loss]", "metrics: [vqa_accuracy, perplexity]")
    file = write_file(command.folder, text + "grid: {fusion: [concat_projection, gated]}\nfinal: [{fusion: gated}]\n")
    assert command.run_inside(file, "--unchecked").code == 0
    assert command.run_inside(file, "--unchecked", "--final").code == 0
    assert command("report", file, "--plugins", PLUGINS).code == 0
    assert (command.folder / "results/small/test_split.jsonl").is_file()
    told = command("verify", "results/small", "--plugins", PLUGINS)
    assert (told.code, told.errors) == (0, "")
    assert "checked: records (3)" in told.output
    assert "made anew (" not in told.output
    make_out_of_date(command.folder / "results/small")
    assert command("report", file, "--plugins", PLUGINS).code == 0
    assert "out of date" in (command.folder / "results/small/report/tables/test_split.md").read_text()
    told = command("verify", "results/small", "--plugins", PLUGINS)
    assert (told.code, told.output if told.code else "") == (0, "")
    log = command.folder / "results/small/test_split.jsonl"
    log.write_text(log.read_text() + log.read_text().replace('"run": "', '"run": "1').replace('"key": "', '"key": "1'))
    told = command("verify", "results/small", "--plugins", PLUGINS)
    assert told.code == 1
    assert "test_split.jsonl: it is not the file that the report was made from" in told.output


def make_out_of_date(results: Path) -> None:
    """As if the metric had been another one when the trials were evaluated."""
    for file in results.glob("trials/*/record.json"):
        record = json.loads(file.read_text())
        made_of = record["provenance"]["made_of"]
        name = next(each for each in made_of if "vqa_accuracy" in each)
        made_of[name] = "0" * len(made_of[name])
        record["provenance"]["key"] = "another"
        file.write_text(json.dumps(sealed(record)))
