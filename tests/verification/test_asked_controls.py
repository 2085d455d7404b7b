"""What a record says of its controls is held against its settings and lines; each thing is changed, one at a time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.small import CommandLine
from tests.verification.made_answers import examples, write, write_asked
from tests.verification.test_trial_files import Lines, change_lines, change_record, checked, move, told, trial_of

ASKED = len(examples())
NO_OTHER = 6  # questions that no image has another answer to


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_asked(tmp_path_factory.mktemp("made"))


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "made")


@pytest.fixture
def command(tmp_path, monkeypatch, capsys) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capsys)


def lines_of(folder: Path) -> Lines:
    return [json.loads(line) for line in (trial_of(folder) / "predictions.jsonl").read_text().splitlines()]


def first(folder: Path, condition: str, id_: str = "") -> int:
    """Where the first line of a condition stands, or that of a question, from 0."""
    places = [place for place, line in enumerate(lines_of(folder)) if line["condition"] == condition]
    return next(place for place in places if id_ in ("", lines_of(folder)[place]["id"]))


def change_controls(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    change_record(folder, lambda record: change(record["provenance"]["controls"]))


def test_what_was_not_touched_agrees_and_what_was_not_checked_is_said(folder):
    outcome = checked(folder)
    assert outcome.disagreements == ()
    counts = {each.what: each.count for each in outcome.checked}
    assert counts["answers scored anew"] == 2 * (4 * ASKED - NO_OTHER)
    assert {str(each) for each in outcome.unchecked} == {
        "not checked: steps of training curves (2): only their checksums tell",
        f"not checked: losses of answers ({2 * (3 * ASKED - NO_OTHER)}): only the model can tell",
        f"not checked: answers of the prior ({2 * ASKED}): only the training split can tell",
        "not checked: numbers measured while the trial ran (6): such as bytes",
        "not checked: tables and sentences made anew (1): no report was written",
    }


def test_the_questions_try_what_is_left_out_what_is_presumed_and_what_has_no_loss(folder):
    record = json.loads((trial_of(folder) / "record.json").read_text())
    assert record["provenance"]["controls"] == {
        "gain_against": "prior",
        "left_out": {"other_answer": NO_OTHER},
        "presumed": {"other_answer": 1},
    }
    assert {"visual_gain", *(f"visual_gain.{each}" for each in ("prior", "mean_image", "other_answer"))} <= set(
        record["metrics"]
    )
    assert "loss.prior" not in record["metrics"]
    assert lines_of(folder)[first(folder, "prior")]["loss"] is None


@pytest.mark.parametrize("metrics", [("exact_match", "loss"), ("loss",), ("perplexity", "yes_no")])
@pytest.mark.parametrize(
    ("controls", "against", "learned"),
    [
        ((), None, True),
        (("other_answer",), "other_answer", True),
        (("shuffled", "no_image"), "no_image", True),
        (("prior", "mean_image", "other_answer"), "other_answer", True),
        (("prior", "mean_image", "other_answer"), "prior", False),
        (("prior", "mean_image", "other_answer", "no_image", "shuffled"), "mean_image", True),
    ],
)
def test_records_with_any_controls_agree_untouched(command, controls, against, learned, metrics):
    """Among them a gain of a metric that has no value for a prior, and a prior that learned nothing."""
    folder = write_asked(command.folder, controls, against, learned, metrics)
    outcome = checked(folder)
    assert outcome.disagreements == ()
    assert not any("numbers that stand in records alone" in each.what for each in outcome.unchecked)
    assert not any("scores and numbers" in each.what for each in outcome.unchecked)
    assert command("verify", folder).code == 0


def wrong_prior(folder: Path) -> str:
    place = first(folder, "prior", "p1/red")
    change_lines(folder, lambda lines: lines[place].update(answer="yes"))
    return f"predictions.jsonl, line {place + 1}: the score 'exact_match' is 1.0, the answer 'yes' gives 0.0"


def prior_of_two_minds(folder: Path) -> str:
    place = first(folder, "prior", "p1/color")
    change_lines(folder, lambda lines: lines[place].update(answer="nothing"))
    return f"line {place + 1}: the prior answers 'nothing', and elsewhere 'no' to the same question"


def prior_with_a_loss(folder: Path) -> str:
    place = first(folder, "prior")
    change_lines(folder, lambda lines: lines[place].update(loss=0.3))
    return f"line {place + 1}: 'loss' is 0.3, and the prior asks no model that could have one"


def prior_with_a_score_it_cannot_have(folder: Path) -> str:
    place = first(folder, "prior")
    change_lines(folder, lambda lines: lines[place]["scores"].update(loss=0.3))
    return f"predictions.jsonl, line {place + 1}: the score 'loss' is 0.3, the answer 'no' gives nan"


def deleted_prior(folder: Path) -> str:
    place = first(folder, "prior", "p1/red")
    change_lines(folder, lambda lines: lines.pop(place))
    return f"predictions.jsonl, after line {place}: the question 'p1/red' has no line under 'prior'"


def deleted(folder: Path) -> str:
    place = first(folder, "other_answer", "p1/red")
    change_lines(folder, lambda lines: lines.pop(place))
    return f"predictions.jsonl, after line {place}: the question 'p1/red' has no line under 'other_answer'"


def deleted_and_counted(folder: Path) -> str:
    change_controls(folder, lambda told: told["left_out"].update(other_answer=NO_OTHER + 1))
    return deleted(folder)


def asked_without_another_answer(folder: Path) -> str:
    place, shown = first(folder, "other_answer", "p1/red"), first(folder, "image", "p1/there")
    change_lines(folder, lambda lines: lines.insert(place + 1, {**lines[shown], "condition": "other_answer"}))
    return f"line {place + 2}: the question 'p1/there' stands under 'other_answer', which has no image to show for it"


def other_gain(folder: Path) -> str:
    change_controls(folder, lambda told: told.update(gain_against="mean_image"))
    return "record.json, provenance, controls, gain_against: 'mean_image' stands there, the settings give 'prior'"


def gain_against_the_other(folder: Path) -> str:
    change_record(
        folder, lambda record: record["metrics"].update(visual_gain=record["metrics"]["visual_gain.mean_image"] + 0.5)
    )
    return "record.json, metrics, visual_gain: "


def other_count(folder: Path) -> str:
    change_controls(folder, lambda told: told["left_out"].update(other_answer=5))
    return f"record.json, provenance, controls, left_out, other_answer: 5 stands there, the questions give {NO_OTHER}"


def no_count(folder: Path) -> str:
    change_controls(folder, lambda told: told["left_out"].clear())
    return f"record.json, provenance, controls, left_out, other_answer: 0 stands there, the questions give {NO_OTHER}"


def count_of_a_control_that_asks_all(folder: Path) -> str:
    change_controls(folder, lambda told: told["left_out"].update(mean_image=2))
    return "record.json, provenance, controls, left_out, mean_image: 2 stands there, the questions give 0"


def other_presumed(folder: Path) -> str:
    change_controls(folder, lambda told: told.update(presumed={}))
    return "record.json, provenance, controls, presumed, other_answer: 0 stands there, the questions give 1"


def gone(folder: Path) -> str:
    change_lines(folder, lambda lines: keep(lines, lambda line: line["condition"] != "mean_image"))
    return "predictions.jsonl: no line has the condition 'mean_image', and the record has numbers of it"


def gone_with_its_numbers(folder: Path) -> str:
    change_record(folder, lambda record: record.update(metrics=without(record["metrics"], ".mean_image")))
    change_lines(folder, lambda lines: keep(lines, lambda line: line["condition"] != "mean_image"))
    return "predictions.jsonl: no line has the condition 'mean_image', and the record says that 'mean_image' was asked"


def prior_gone_and_counted(folder: Path) -> str:
    change_controls(folder, lambda told: told["left_out"].update(prior=ASKED))
    change_lines(folder, lambda lines: keep(lines, lambda line: line["condition"] != "prior"))
    return "predictions.jsonl: no line has the condition 'prior', and the record has numbers of it"


def not_asked(folder: Path) -> str:
    def add(lines: Lines) -> None:
        lines += [{**line, "condition": "shuffled"} for line in lines if line["condition"] == "image"]

    place = len(lines_of(folder))
    change_lines(folder, add)
    return f"predictions.jsonl, line {place + 1}: the record has no control 'shuffled'"


def nothing_said(folder: Path) -> str:
    """As a record has it of before there were any: that of a new one then lacks what all had, and has what none had."""
    change_record(folder, lambda record: record["provenance"].pop("controls"))
    return f"predictions.jsonl, line {first(folder, 'prior') + 1}: the record has no control 'prior'"


def keep(lines: Lines, chosen: Callable[[dict[str, Any]], bool]) -> None:
    lines[:] = [line for line in lines if chosen(line)]


def without(metrics: dict[str, float], end: str) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if not name.endswith(end)}


@pytest.mark.parametrize(
    "change",
    [
        *(wrong_prior, prior_of_two_minds, prior_with_a_loss, prior_with_a_score_it_cannot_have, deleted_prior),
        *(deleted, deleted_and_counted, asked_without_another_answer, other_gain, gain_against_the_other),
        *(other_count, no_count, count_of_a_control_that_asks_all, other_presumed, gone, gone_with_its_numbers),
        *(prior_gone_and_counted, not_asked, nothing_said),
    ],
)
def test_each_change_ends_with_exit_code_1_and_is_told_with_its_place(command, folder, change):
    place = change(folder)
    there = command("verify", folder)
    assert there.code == 1
    assert place in there.output


@pytest.mark.parametrize("change", [deleted, other_gain, other_count, other_presumed, count_of_a_control_that_asks_all])
def test_a_change_that_touches_no_answer_is_told_once_or_with_the_numbers_it_moves(folder, change):
    place = change(folder)
    outcome = checked(folder)
    assert place in str(outcome.disagreements[0])
    assert all(each.place.startswith("metrics, ") for each in outcome.disagreements[1:])


@pytest.mark.parametrize("metrics", [("exact_match", "loss"), ("loss", "exact_match"), ("perplexity",)])
@pytest.mark.parametrize("control", ["", ".mean_image", ".other_answer", ".prior"])
def test_a_changed_gain_is_told_by_the_control_it_is_over(command, metrics, control):
    folder = write_asked(command.folder, gain_against="mean_image", metrics=metrics)
    kept = json.loads((trial_of(folder) / "record.json").read_text())["metrics"].get(f"visual_gain{control}")
    if kept is None:
        assert (control, metrics[0] == "exact_match") == (".prior", False), "no loss, no gain in it"
        return
    change_record(folder, lambda record: record["metrics"].update({f"visual_gain{control}": kept + 2e-5 + kept / 1e4}))
    [only] = checked(folder).disagreements
    assert (only.place, float(only.told.rpartition(" ")[2])) == (
        f"metrics, visual_gain{control}",
        pytest.approx(kept, abs=2e-6 * max(1, abs(kept))),
    )
    there = command("verify", folder)
    assert (there.code, f"metrics, visual_gain{control}: " in there.output) == (1, True)


def test_the_gain_over_another_answer_is_that_over_the_questions_it_asks(folder):
    """Over all questions it would be another number, and is told as one."""
    record = json.loads((trial_of(folder) / "record.json").read_text())["metrics"]
    naive = record["exact_match"] - record["exact_match.other_answer"]
    assert naive != pytest.approx(record["visual_gain.other_answer"])
    change_record(folder, lambda record: record["metrics"].update({"visual_gain.other_answer": naive}))
    assert told(checked(folder), "record.json", "metrics, visual_gain.other_answer")


def test_controls_that_the_settings_name_and_provenance_does_not_are_told(tmp_path):
    folder = write_asked(tmp_path, ("shuffled",), "shuffled")
    change_record(folder, lambda record: record["provenance"].pop("controls"))
    there = told(checked(folder), "record.json", "provenance, controls")
    assert there == "it is missing, and the settings name controls"


def test_settings_that_name_other_controls_break_the_id_and_the_lines(tmp_path):
    """With the folder called by the new id, the lines still tell."""
    folder = write_asked(tmp_path, ("shuffled", "no_image"), "shuffled")
    change_record(folder, lambda record: record["spec"]["evaluation"].update(controls=["shuffled", "mean_image"]))
    assert told(checked(folder), "record.json", "spec")
    move(folder)
    outcome = checked(folder)
    assert "no line has the condition 'mean_image'" in told(outcome, "predictions.jsonl", "")
    place = first(folder, "no_image") + 1
    assert told(outcome, "predictions.jsonl", f"line {place}") == "the record has no control 'no_image'"


@pytest.mark.parametrize("make", [write, write_asked])
def test_files_that_verify_knows_nothing_of_do_not_matter(command, make):
    folder = make(command.folder)
    add_unknown(folder)
    assert command("verify", folder).code == 0


def add_unknown(folder: Path) -> None:
    for name in (
        "notes.txt",
        "more/deeper.bin",
        "trials/notes.txt",
        "trials/empty/notes.txt",
        "trials/.half/record.json",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{not json")
    (next(file.parent for file in folder.glob("trials/[0-9a-f]*/record.json")) / "strange.jsonl").write_text("?")


@pytest.mark.parametrize("split", ["held_out", "test"])
def test_records_of_models_that_had_images_held_out_agree(command, split):
    folder = write_asked(command.folder, split=split, held_out=0.1)
    record = json.loads((trial_of(folder) / "record.json").read_text())
    assert record["spec"]["evaluation"] == {"split": split, "held_out": 0.1}
    assert command("verify", folder).code == 0
    change_record(folder, lambda record: record["spec"]["evaluation"].update(held_out=0.2))
    there = command("verify", folder)
    assert (there.code, "record.json, spec: it is that of the trial" in there.output) == (1, True)
