"""Each thing in a report is changed, one at a time, with its checksums made to fit: making it once more finds it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.made_results import change_summary
from tests.tiny import builtin_registry
from tests.verification.made_answers import write
from workbench.cli.report import make_report
from workbench.storage.checksums import measured, sealed
from workbench.storage.records import relabel
from workbench.verification.outcome import Outcome
from workbench.verification.results import find, verify


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("made"), report=True)


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "made")


def checked(folder: Path) -> Outcome:
    return verify(find(folder), builtin_registry())


def change_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a manifest, and make its checksum fit."""
    file = folder / "report/manifest.json"
    manifest = json.loads(file.read_text())
    change(manifest)
    file.write_text(json.dumps(sealed(manifest)))


def change_file(folder: Path, name: str, old: str, new: str) -> int:
    """Change the first place in a file of the report, and its checksum in the manifest; returns the line."""
    file = folder / "report" / name
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")
    change_manifest(folder, lambda manifest: manifest["outputs"].update({name: measured(file)}))
    return text[: text.index(old)].count("\n") + 1


def only(outcome: Outcome) -> str:
    [told] = outcome.disagreements
    return str(told)


def test_a_report_that_was_not_touched_agrees(folder):
    outcome = checked(folder)
    assert outcome.disagreements == ()
    assert {each.what: each.count for each in outcome.checked}["files of the report"] > 10
    assert not any("made anew" in each.what for each in outcome.unchecked)


def test_a_changed_cell_of_a_csv_table_is_told_by_row_and_column(folder):
    table = (folder / "report/tables/trials.csv").read_text().splitlines()
    headings, row = table[0].split(","), table[2].split(",")
    place = headings.index("exact_match")
    row[place] = "0.999"
    change_file(folder, "tables/trials.csv", table[2], ",".join(row))
    right = table[2].split(",")[place]
    assert only(checked(folder)) == (
        f"report/tables/trials.csv, row 2, column 'exact_match': '0.999' stands there, '{right}' should"
    )


@pytest.mark.parametrize("form", ["md", "tex"])
def test_a_changed_cell_of_another_table_is_told_by_line(folder, form):
    text = (folder / f"report/tables/axis_fusion.{form}").read_text()
    number = re.findall(r"\d\d\.\d", text)[0]
    line = change_file(folder, f"tables/axis_fusion.{form}", number, "12.3")
    told = only(checked(folder))
    assert told.startswith(f"report/tables/axis_fusion.{form}, line {line}: ")
    assert "12.3" in told
    assert number in told


def test_a_changed_sentence_is_told_by_line(folder):
    line = change_file(folder, "report.html", "Answers are generated, not picked", "Answers are picked")
    told = only(checked(folder))
    assert told.startswith(f"report/report.html, line {line}: ")
    assert "Answers are picked" in told
    assert "Answers are generated, not picked" in told


def test_a_sentence_that_was_put_in_and_one_that_was_taken_out_are_told(folder):
    line = change_file(folder, "report.html", "<section class=", "<p>INT8 is best.</p>\n<section class=")
    assert only(checked(folder)) == f"report/report.html, line {line}: 'INT8 is best.' stands there, and nothing should"
    change_file(folder, "report.html", "<p>INT8 is best.</p>\n", "")
    text = (folder / "report/report.html").read_text()
    first = re.search(r" *<h2>Provenance</h2>\n", text)
    assert first
    change_file(folder, "report.html", first[0], "")
    assert "'Provenance' is missing" in only(checked(folder))


@pytest.mark.parametrize("name", ["tables/trials.csv", "plots/pareto.svg", "report.html"])
def test_a_file_that_was_cut_off_is_told(folder, name):
    file = folder / "report" / name
    file.write_bytes(file.read_bytes()[:200])
    told = [str(each) for each in checked(folder).disagreements]
    assert f"report/{name}: it is not the file that was written: its checksum differs" in told
    assert all(each.startswith(f"report/{name}") for each in told)


def test_a_file_that_is_gone_is_told(folder):
    (folder / "report/tables/trials.md").unlink()
    assert only(checked(folder)) == "report/tables/trials.md: it is missing"


def test_a_file_of_another_report_is_told(folder):
    (folder / "report/tables/axis_made_up.csv").write_text("a\n1\n")
    assert only(checked(folder)) == "report/tables/axis_made_up.csv: it is no file of this report"


def test_a_manifest_that_was_changed_is_told(folder):
    file = folder / "report/manifest.json"
    file.write_text(file.read_text().replace('"command": ""', '"command": "workbench run other.yaml"'))
    told = [str(each) for each in checked(folder).disagreements]
    assert told[0] == "report/manifest.json: it is not what was written: its checksum differs"
    assert any("report.html, line" in each and "other.yaml" in each for each in told)


def test_a_record_that_is_no_longer_the_one_the_report_was_made_from_is_told(folder):
    trial = sorted((folder / "trials").iterdir())[0]
    relabel(trial, "made", {"fusion": "concat_projection"})
    told = [str(each) for each in checked(folder).disagreements]
    name = f"trials/{trial.name}/record.json"
    assert any(each.startswith(f"{name}: it is not the file that the report was made from") for each in told)


def test_a_trial_that_is_gone_is_told(folder):
    trial = sorted((folder / "trials").iterdir())[1]
    shutil.rmtree(trial)
    told = [str(each) for each in checked(folder).disagreements]
    assert f"trials/{trial.name}/record.json: it is gone, and the report was made from it" in told


def test_what_other_code_wrote_is_not_called_changed_while_its_checksums_agree(folder):
    change_file(folder, "report.html", "Answers are generated, not picked", "Answers are picked")
    change_manifest(folder, lambda manifest: manifest["made_with"].update(workbench="0.0.9"))
    outcome = checked(folder)
    assert outcome.disagreements == ()
    [told] = [each for each in outcome.unchecked if each.what == "places in tables and sentences"]
    assert told.why == "workbench 0.0.9 writes them otherwise than it does here"
    (folder / "report/report.html").write_text("another")
    assert any("its checksum differs" in str(each) for each in checked(folder).disagreements)


def test_a_report_that_left_out_other_metrics_than_are_left_out_here_is_not_made_anew(folder):
    change_manifest(folder, lambda manifest: manifest.update(notes=["'cider' is left out"]))
    outcome = checked(folder)
    assert outcome.disagreements == ()
    [told] = [each for each in outcome.unchecked if each.what == "tables and sentences made anew"]
    assert told.why == "here it is otherwise: 'cider' is left out"


def test_a_report_without_results_or_without_a_manifest_is_checked_as_far_as_it_goes(folder, tmp_path):
    alone = shutil.copytree(folder / "report", tmp_path / "alone")
    outcome = checked(alone)
    assert outcome.disagreements == ()
    assert {each.what for each in outcome.unchecked} == {
        "answers, scores and records",
        "tables and sentences made anew",
    }
    (alone / "tables/trials.csv").write_text("a\n")
    assert "its checksum differs" in only(checked(alone))
    (folder / "report/manifest.json").unlink()
    outcome = checked(folder)
    assert outcome.disagreements == ()
    [told] = [each for each in outcome.unchecked if each.what == "the report"]
    assert "an earlier version wrote it" in told.why


@pytest.fixture
def with_stray(folder: Path) -> tuple[Path, str]:
    """The folder with a report about all but one of its trials, and the id of that one."""
    summary = json.loads((folder / "experiment.json").read_text())
    stray = summary["trials"].pop()
    change_summary(folder, trials=summary["trials"])
    make_report(folder, builtin_registry())
    return folder, stray


def test_a_trial_that_is_left_out_counts_for_what_was_computed_and_is_told_when_it_goes(with_stray):
    folder, stray = with_stray
    assert checked(folder).disagreements == ()
    assert "1 trial more in the folder, not part of the report." in (folder / "report/tables/checklist.md").read_text()
    shutil.rmtree(folder / "trials" / stray)
    told = [str(each) for each in checked(folder).disagreements]
    assert f"trials/{stray}/record.json: it is gone, and the report was made from it" in told
    assert any(each.startswith("report/tables/checklist.csv, row ") for each in told)


def test_a_report_of_a_version_that_read_no_trial_it_left_out_is_not_called_behind(with_stray):
    folder, stray = with_stray

    def forget(manifest: dict[str, Any]) -> None:
        manifest["inputs"] = {name: each for name, each in manifest["inputs"].items() if stray not in name}

    change_manifest(folder, forget)
    told = [str(each) for each in checked(folder).disagreements]
    assert any(each.startswith(f"trials/{stray}/record.json: it came after the report") for each in told)
    change_manifest(folder, lambda manifest: manifest["made_with"].update(workbench="0.0.9"))
    assert checked(folder).disagreements == ()
