"""What the image is worth is told against the control that was named, and of old trials as what it was."""

from __future__ import annotations

import json
from pathlib import Path

import numpy
import pytest

from tests.made_results import write_results
from tests.reports.read_page import page_of
from workbench.reports.answer import answer
from workbench.reports.control_table import control_table
from workbench.reports.disagreements import disagreements
from workbench.reports.experiment_results import GAIN, Study
from workbench.reports.results_data import read_study
from workbench.reports.tables import trial_intervals, trials_table
from workbench.reports.visual_gains import compared_with, gain_over

AXES = {"fusion": ["concat_projection", "gated"]}
CONDITIONS = ("image", "prior", "mean_image", "other_answer")


def score(study: Study, place: int, condition: str, ids: set[str] | None = None) -> float:
    """By hand, from the lines."""
    frame = study.predictions[study.done[place].id]
    chosen = frame[(frame["condition"] == condition) & (frame["id"].isin(list(ids)) if ids is not None else True)]
    return float(numpy.mean(list(chosen["score.vqa_accuracy"])))


def study_of(folder: Path, **made) -> Study:
    given = {"images": 40, "axes": AXES, "conditions": CONDITIONS, "gain_against": "prior", **made}
    return read_study(write_results(folder, **given), resamples=200)


def test_each_control_has_its_own_gain_and_the_visual_gain_is_that_over_the_named_one(tmp_path):
    study = study_of(tmp_path, gain_against="mean_image")
    assert disagreements(study) == []
    for control in CONDITIONS[1:]:
        expected = [score(study, place, "image") - score(study, place, control) for place in range(2)]
        assert study.samples[f"{GAIN}.{control}"].estimates == pytest.approx(expected)
    assert study.samples[GAIN].estimates == pytest.approx(study.samples[f"{GAIN}.mean_image"].estimates)
    assert gain_over(study) == "the mean image"
    assert GAIN not in study.measures
    assert not any(name.startswith(GAIN) for name in study.measures)


def test_a_gain_over_another_control_is_another_number_and_never_the_best_of_them(tmp_path):
    study = study_of(tmp_path)
    controls = [[score(study, place, control) for control in CONDITIONS[1:]] for place in range(2)]
    assert len({round(each, 6) for each in controls[0]}) > 1
    shown = [score(study, place, "image") for place in range(2)]
    named = [own - each[0] for own, each in zip(shown, controls, strict=True)]
    assert study.samples[GAIN].estimates == pytest.approx(named)
    assert study.samples[GAIN].estimates != pytest.approx([a - max(b) for a, b in zip(shown, controls, strict=True)])


def test_what_was_left_out_counts_on_neither_side(tmp_path):
    folder = write_results(tmp_path, images=40, axes=AXES, conditions=CONDITIONS, gain_against="other_answer")
    for file in folder.glob("trials/*/predictions.jsonl"):
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        kept = [x for x in lines if x["condition"] != "other_answer" or int(x["image"].split("-")[0]) < 15]
        file.write_text("".join(json.dumps(line) + "\n" for line in kept))
    study = read_study(folder, resamples=100)
    frame = study.predictions[study.done[0].id]
    ids = set(frame[frame["condition"] == "other_answer"]["id"])
    assert len(ids) == 60
    own = score(study, 0, "image", ids) - score(study, 0, "other_answer")
    assert own != pytest.approx(score(study, 0, "image") - score(study, 0, "other_answer"))
    assert study.samples[f"{GAIN}.other_answer"].estimates[0] == pytest.approx(own)


def test_trials_made_before_there_was_a_choice_have_it_over_the_better_control_and_say_so(tmp_path):
    folder = write_results(tmp_path, images=40, axes=AXES)
    study = read_study(folder, resamples=50)
    controls = [[score(study, place, each) for each in ("no_image", "shuffled")] for place in range(2)]
    better = [score(study, place, "image") - max(each) for place, each in enumerate(controls)]
    assert study.samples[GAIN].estimates == pytest.approx(better)
    assert disagreements(study) == []
    assert gain_over(study) == "the better control"
    assert "have it over the better of two: an even grey image or the image of another question" in page_of(folder).text


def test_a_folder_with_old_and_new_trials_reads_each_as_what_it_is(tmp_path):
    conditions = ("image", "prior", "no_image", "shuffled")
    folder = write_results(tmp_path, images=40, axes=AXES, conditions=conditions, gain_against="prior")
    record = sorted(folder.glob("trials/*/record.json"))[1]
    content = json.loads(record.read_text())
    del content["provenance"]["controls"]
    record.write_text(json.dumps(content))
    study = read_study(folder, resamples=50)
    new, old = study.samples[GAIN].estimates
    assert new == pytest.approx(score(study, 0, "image") - score(study, 0, "prior"))
    best = max(score(study, 1, each) for each in ("no_image", "shuffled"))
    assert old == pytest.approx(score(study, 1, "image") - best)
    assert compared_with(study) == ["prior", "better"]
    assert gain_over(study) == "the prior or the better control"


def test_the_table_has_every_control_of_every_trial_with_its_interval(tmp_path):
    study = study_of(tmp_path)
    table = control_table(study)
    assert table
    assert [(row["fusion"], row["control"]) for row in table.rows] == [
        (fusion, control) for fusion in AXES["fusion"] for control in CONDITIONS[1:]
    ]
    for row in table.rows:
        place = AXES["fusion"].index(row["fusion"])
        assert row["questions"] == 160
        assert row["gain"] == trial_intervals(study, f"{GAIN}.{row['control']}")[place]
        assert row["gain"].low < row["gain"].estimate < row["gain"].high
        assert row["score"].estimate == pytest.approx(score(study, place, row["control"]))
    assert "The visual gain is that over the prior." in table.notes
    assert table.csv().startswith("fusion,control,questions,score,score.low,score.high,gain,gain.low,gain.high\n")


def test_what_a_control_left_out_and_presumed_stands_below_the_table(tmp_path):
    folder = write_results(tmp_path, images=10, axes=AXES, conditions=CONDITIONS, gain_against="prior")
    for file in folder.glob("trials/*/record.json"):
        content = json.loads(file.read_text())
        content["provenance"]["controls"] |= {"left_out": {"other_answer": 1200}, "presumed": {"other_answer": 7}}
        file.write_text(json.dumps(content))
    table = control_table(read_study(folder, resamples=20))
    assert table
    assert "other_answer left out 1,200 questions that it had nothing to show for." in table.notes
    assert "Of 7 questions it is only likely that another answer is right there." in table.notes


def test_without_controls_there_is_neither_gain_nor_table(tmp_path):
    study = read_study(write_results(tmp_path, images=10, axes=AXES, conditions=("image",)), resamples=20)
    assert not study.has_gain
    assert control_table(study) is None


def test_the_table_of_trials_shows_the_controls_beside_each_other(tmp_path):
    headings = [column.heading for column in trials_table(study_of(tmp_path)).columns]
    assert [each for each in headings if each in ("prior", "mean image", "other answer")] == [
        "prior",
        "mean image",
        "other answer",
    ]


@pytest.mark.parametrize(("named", "said"), [("prior", "over the prior."), (None, "over the better control.")])
def test_the_answer_says_what_the_gain_is_over(tmp_path, named, said):
    conditions = CONDITIONS if named else ("image", "no_image", "shuffled")
    folder = write_results(tmp_path, images=20, axes=AXES, conditions=conditions, gain_against=named)
    [sentence] = [each for each in answer(read_study(folder, resamples=20)) if each.startswith("The image is worth")]
    assert sentence.endswith(said)


def test_the_gain_of_a_trial_has_one_interval_wherever_it_stands(tmp_path):
    study = study_of(tmp_path)
    assert trial_intervals(study, GAIN) == trial_intervals(study, f"{GAIN}.prior")


def test_a_gain_of_nothing_is_not_surely_nothing(tmp_path):
    folder = write_results(tmp_path, images=40, axes=AXES, conditions=CONDITIONS, gain_against="prior")
    for file in folder.glob("trials/*/predictions.jsonl"):
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        for line in lines:
            line["scores"]["vqa_accuracy"] = 1.0
        file.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    found = trial_intervals(read_study(folder, resamples=200), GAIN)[0]
    assert found.estimate == 0
    assert found.low < -0.05 < 0.05 < found.high
