"""Each thing that a trial leaves is changed, one at a time, with checksums made to fit: scoring anew finds it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import builtin_registry
from tests.verification.made_answers import QUESTIONS, write
from workbench.storage.checksums import measured, sealed
from workbench.storage.hashing import digest
from workbench.storage.records import relabel
from workbench.verification.outcome import Disagreement, Outcome
from workbench.verification.results import find, verify

Lines = list[dict[str, Any]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("made"))


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "made")


def trial_of(folder: Path) -> Path:
    return sorted((folder / "trials").iterdir())[0]


def checked(folder: Path) -> Outcome:
    return verify(find(folder), builtin_registry())


def change_lines(folder: Path, change: Callable[[Lines], object]) -> None:
    file = trial_of(folder) / "predictions.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    change(lines)
    file.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    change_record(folder, lambda record: None)


def change_record(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a record, and make every checksum in it fit."""
    file = trial_of(folder) / "record.json"
    record = json.loads(file.read_text())
    change(record)
    files = record["provenance"].get("files", {})
    record["provenance"]["files"] = {name: measured(file.parent / name) for name in files}
    file.write_text(json.dumps(sealed(record)))


def told(outcome: Outcome, file: str, place: str) -> str:
    """What is said of one place; there has to be something."""
    found = [each for each in outcome.disagreements if each.file.endswith(file) and each.place == place]
    assert found, outcome.disagreements
    return found[0].told


def test_what_was_not_touched_agrees_and_what_was_not_checked_is_said(folder):
    outcome = checked(folder)
    assert outcome.disagreements == ()
    counts = {each.what: each.count for each in outcome.checked}
    assert counts["answers scored anew"] == 2 * 3 * QUESTIONS
    assert counts["numbers of records computed anew"] == 66
    assert {str(each) for each in outcome.unchecked} == {
        "not checked: steps of training curves (2): only their checksums tell",
        "not checked: losses of answers (144): only the model can tell",
        "not checked: numbers measured while the trial ran (6): such as bytes",
        "not checked: tables and sentences made anew (1): no report was written",
    }


def test_a_changed_answer_is_told_with_its_line_and_what_it_gives(folder):
    line = json.loads((trial_of(folder) / "predictions.jsonl").read_text().splitlines()[2])
    other, score = {"yes": "no", "no": "yes"}[line["answer"]], line["scores"]["exact_match"]
    change_lines(folder, lambda lines: lines[2].update(answer=other))
    there = told(checked(folder), "predictions.jsonl", "line 3")
    assert there == f"the score 'exact_match' is {score}, the answer '{other}' gives {1 - score}"


def test_a_changed_right_answer_is_told_with_its_line(folder):
    change_lines(folder, lambda lines: lines[30].update(answers=["perhaps"]))
    there = told(checked(folder), "predictions.jsonl", "line 31")
    assert there == '\'answers\' is ["perhaps"], under other conditions ["no"]'


def test_a_right_answer_changed_under_every_condition_changes_scores(folder):
    def change(lines: Lines) -> None:
        for line in lines:
            if line["id"] == "q5":
                line["answers"] = ["no"]

    change_lines(folder, change)
    places = {each.place for each in checked(folder).disagreements}
    assert {"line 6", "line 30", "line 54"} <= places


@pytest.mark.parametrize("metric", ["exact_match", "yes_no", "loss", "perplexity"])
def test_a_changed_score_is_told_with_its_line(folder, metric):
    change_lines(folder, lambda lines: lines[50]["scores"].update({metric: lines[50]["scores"][metric] * 1.001 + 2e-5}))
    assert f"the score '{metric}' is" in told(checked(folder), "predictions.jsonl", "line 51")


@pytest.mark.parametrize("metric", ["yes_no", "perplexity"])
def test_changed_counts_are_told_with_their_line(folder, metric):
    change_lines(folder, lambda lines: lines[7]["counts"][metric].__setitem__(0, 3.0))
    assert f"the counts '{metric}' are [3.0" in told(checked(folder), "predictions.jsonl", "line 8")


def test_a_loss_that_is_not_the_one_its_score_was_made_of_is_told(folder):
    change_lines(folder, lambda lines: lines[0].update(loss=lines[0]["loss"] + 1e-5))
    assert "the score 'loss' is" in told(checked(folder), "predictions.jsonl", "line 1")


@pytest.mark.parametrize(
    "number",
    [
        *("exact_match", "exact_match.no_image", "exact_match.group.popular", "visual_gain"),
        *("yes_no", "yes_no.precision", "yes_no.shuffled", "yes_no.accuracy.group.random"),
        *("loss", "loss.group.random", "perplexity", "perplexity.no_image"),
    ],
)
def test_a_changed_number_of_a_record_is_told_by_name_with_what_it_should_be(folder, number):
    kept = json.loads((trial_of(folder) / "record.json").read_text())["metrics"][number]
    change_record(folder, lambda record: record["metrics"].update({number: kept * 1.0001 + 1e-4}))
    outcome = checked(folder)
    assert len(outcome.disagreements) == 1
    there = told(outcome, "record.json", f"metrics, {number}")
    assert there.startswith(f"{kept * 1.0001 + 1e-4!r} stands there, the answers give ")
    assert float(there.rpartition(" ")[2]) == pytest.approx(kept, abs=1e-4)


@pytest.mark.parametrize(("number", "there"), [("yes_no.recall.group.random", 0.5), ("exact_match", None)])
def test_a_number_where_there_is_none_and_none_where_there_is_one_are_told(folder, number, there):
    change_record(folder, lambda record: record["metrics"].update({number: there}))
    assert told(checked(folder), "record.json", f"metrics, {number}")


@pytest.mark.parametrize("flag", ["percent", "higher_is_better"])
def test_a_changed_flag_of_a_scale_is_told(folder, flag):
    change_record(folder, lambda record: record["scales"]["yes_no"].update({flag: False}))
    assert told(checked(folder), "record.json", f"scales, yes_no, {flag}") == (
        "False stands there, the metric says True"
    )


def test_a_deleted_line_is_told_where_it_is_missing(folder):
    change_lines(folder, lambda lines: lines.pop(28))
    assert (
        told(checked(folder), "predictions.jsonl", "after line 28") == "the question 'q4' has no line under 'no_image'"
    )


def test_a_question_that_is_deleted_everywhere_changes_the_numbers(folder):
    change_lines(folder, lambda lines: lines.__setitem__(slice(None), [each for each in lines if each["id"] != "q4"]))
    assert told(checked(folder), "record.json", "metrics, exact_match")


def test_a_doubled_line_is_told(folder):
    change_lines(folder, lambda lines: lines.insert(3, lines[2]))
    there = told(checked(folder), "predictions.jsonl", "line 4")
    assert there == "the question 'q2' stands under 'image' in line 3 already"


def test_a_swapped_pair_is_told(folder):
    change_lines(folder, lambda lines: lines.__setitem__(slice(10, 12), [lines[11], lines[10]]))
    outcome = checked(folder)
    assert told(outcome, "predictions.jsonl", "line 11") == "the question 'q11' stands there, 'q10' should"
    assert told(outcome, "predictions.jsonl", "line 12") == "the question 'q10' stands there, 'q11' should"


def test_a_history_that_is_none_is_told(folder):
    change_lines(folder, lambda lines: lines[3].update(history=[["what?"]]))
    assert "it is no prediction" in told(checked(folder), "predictions.jsonl", "line 4")


def test_a_checksum_that_was_taken_out_is_said(folder):
    file = trial_of(folder) / "record.json"
    record = json.loads(file.read_text())
    del record["provenance"]["files"]["predictions.jsonl"]
    file.write_text(json.dumps(sealed(record)))
    found = [each for each in checked(folder).unchecked if each.what == "files beside records by their checksums"]
    assert [each.count for each in found] == [1]


def test_a_condition_that_is_gone_is_told(folder):
    change_lines(folder, lambda lines: lines.__setitem__(slice(48, 72), []))
    outcome = checked(folder)
    assert "no line has the condition 'shuffled'" in told(outcome, "predictions.jsonl", "")
    assert any(each.why == "not every condition was asked" for each in outcome.unchecked)


@pytest.mark.parametrize("bytes_left", [2000, 2500])
def test_a_file_that_is_cut_off_is_told_with_its_last_line(folder, bytes_left):
    file = trial_of(folder) / "predictions.jsonl"
    content = file.read_bytes()[:bytes_left]
    file.write_bytes(content)
    outcome = checked(folder)
    last = content.count(b"\n") + 1
    assert "it is no prediction" in told(outcome, "predictions.jsonl", f"line {last}")
    assert "its checksum differs" in told(outcome, "predictions.jsonl", "")


def test_a_file_cut_off_between_two_lines_is_told(folder):
    file = trial_of(folder) / "predictions.jsonl"
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:-1]))
    outcome = checked(folder)
    assert told(outcome, "predictions.jsonl", "after line 71") == "the question 'q23' has no line under 'shuffled'"


@pytest.mark.parametrize("name", ["predictions.jsonl", "curve.jsonl"])
def test_a_file_that_is_gone_or_changed_without_a_trace_in_its_numbers_is_told(folder, name):
    file = trial_of(folder) / name
    file.write_bytes(file.read_bytes() + b"\n")
    assert "its checksum differs" in told(checked(folder), name, "")
    file.unlink()
    assert told(checked(folder), name, "") == "it is missing"


def test_what_is_changed_in_a_record_and_nobody_can_compute_breaks_its_checksum(folder):
    file = trial_of(folder) / "record.json"
    file.write_text(file.read_text().replace('"latency_ms": 2.0', '"latency_ms": 1.0'))
    assert "its checksum differs" in told(checked(folder), "record.json", "")


def test_settings_that_are_not_those_of_the_trials_id_are_told(folder):
    change_record(folder, lambda record: record["spec"].update(seed=1))
    assert "it is that of the trial" in told(checked(folder), "record.json", "spec")


@pytest.mark.parametrize("key", ["exact_match", "visual_gain"])
def test_a_number_that_was_taken_out_is_told_by_the_broken_checksum_and_by_name(folder, key):
    file = trial_of(folder) / "record.json"
    record = json.loads(file.read_text())
    del record["metrics"][key]
    file.write_text(json.dumps(record))
    assert "it is missing, the answers give" in told(checked(folder), "record.json", f"metrics, {key}")


def test_labels_that_a_run_changes_keep_the_checksum_and_hide_no_other_change(folder):
    relabel(trial_of(folder), "made", {"fusion": "renamed"})
    assert checked(folder).disagreements == ()
    file = trial_of(folder) / "record.json"
    file.write_text(file.read_text().replace('"latency_ms": 2.0', '"latency_ms": 1.0'))
    relabel(trial_of(folder), "made", {"fusion": "again"})
    assert [each.told for each in checked(folder).disagreements] == [
        "it is not the file that was written: its checksum differs"
    ]


@pytest.mark.parametrize(
    ("spec", "why"),
    [({"name": "gone"}, "there is no metric 'gone'"), ({"name": "exact_match", "was": 1}, "option 'was'")],
)
def test_a_metric_that_is_missing_or_lost_an_option_is_not_checked_and_said_so(made, folder, spec, why):
    def change(record: dict[str, Any]) -> None:
        record["spec"]["metrics"][0] = spec
        if spec["name"] == "gone":
            record["metrics"] = {each.replace("exact_match", "gone"): it for each, it in record["metrics"].items()}
            record["scales"]["gone"] = record["scales"].pop("exact_match")

    name = spec["name"]
    change_lines(
        folder, lambda lines: [line["scores"].update({name: line["scores"].pop("exact_match")}) for line in lines]
    )
    change_record(folder, change)
    move(folder)
    outcome = checked(folder)
    assert outcome.disagreements == ()
    [scores] = [each for each in outcome.unchecked if each.what == f"scores by '{name}'"]
    assert (scores.count, why in scores.why) == (3 * QUESTIONS, True)
    [numbers] = [each for each in outcome.unchecked if each.what == f"numbers by '{name}'"]
    assert numbers.count == 5
    change_lines(folder, lambda lines: lines[0]["scores"].update({name: 1 - lines[0]["scores"][name]}))
    assert "the scores that were kept give" in told(checked(folder), "record.json", f"metrics, {name}")


def move(folder: Path) -> None:
    """Put a trial whose settings were changed where its id says."""
    trial = trial_of(folder)
    new = digest(json.loads((trial / "record.json").read_text())["spec"])
    change_record(folder, lambda record: record.update(id=new))
    moved = trial.rename(trial.parent / new)
    for other in trial.parent.iterdir():
        if other != moved:
            shutil.rmtree(other)


def test_many_disagreements_of_one_file_are_counted():
    every = tuple(Disagreement("a", f"line {place}", "wrong") for place in range(25))
    shown = list(Outcome(every, (), ()).shown())
    assert shown[0] == "a, line 0: wrong"
    assert shown[-1] == "a: and 5 more"
    assert len(shown) == 21


def test_how_probable_answers_were_is_listed_as_what_nobody_can_check_and_has_to_be_a_number(folder: Path):
    change_lines(folder, lambda lines: [line.update(log_probability=-0.25) for line in lines[:7]])
    told = [f"{each.what} ({each.count})" for each in checked(folder).unchecked]
    assert "probabilities of answers (7)" in told
    change_lines(folder, lambda lines: lines[0].update(log_probability="likely"))
    assert "'log_probability' is 'likely'" in " ".join(str(each) for each in checked(folder).disagreements)
