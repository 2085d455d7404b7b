"""The answer says what the statistics say, in few sentences."""

from __future__ import annotations

import json
from pathlib import Path

from tests.made_results import change_summary, copy_answers, write_results
from workbench.reports.answer import answer, progress
from workbench.reports.findings import finding
from workbench.reports.key_figures import key_figures
from workbench.reports.results_data import read_study
from workbench.statistics.verdicts import UNCLEAR


def test_the_answer_is_made_of_the_numbers_of_the_tables(tmp_path: Path):
    study = read_study(write_results(tmp_path, images=150, failed=(5,)))
    told = " ".join(answer(study))
    leader = next(effect for effect in study.effects("fusion") if effect.value == "cross_attention")
    assert f"+{100 * leader.difference.estimate:.1f} points" in told
    assert "int8 takes 0.29 of the bytes" in told
    assert finding(study, "quantizer").headline == "quantizer: these trained models cannot be told apart"
    assert finding(study, "fusion").headline == (
        "fusion: of these trained models, cross_attention answered better than concat_projection and gated"
    )
    assert told.startswith("This is about the models that were trained, from one seed each, and not yet about methods.")
    assert "best" not in told.lower()
    assert " p " not in told + finding(study, "fusion").details
    assert key_figures(study)[0] == ("11 of 12", "", "trials finished")
    assert progress(study).startswith("11 of 12")


def test_values_behind_a_better_baseline_are_called_worse(tmp_path: Path):
    axes = {"fusion": ["cross_attention", "gated"], "quantizer": ["none", "int8"]}
    folder = write_results(tmp_path, images=200, axes=axes, seeds=(0, 1, 2))
    summary = json.loads((folder / "experiment.json").read_text())
    baseline = {**summary["baseline"], "fusion": "cross_attention"}
    change_summary(folder, baseline=baseline)
    study = read_study(folder, resamples=300)
    told = " ".join(answer(study))
    assert told.startswith("Nothing that was tried beats the baseline: fusion cross_attention and quantizer none.")
    assert "gated is worse than cross_attention" in told


def test_many_values_of_one_verdict_are_told_together(tmp_path: Path):
    labels = ["none", "int8", *(f"scheme {number}" for number in range(6))]
    study = read_study(write_results(tmp_path, images=40, axes={"quantizer": labels}), resamples=200)
    told = finding(study, "quantizer")
    assert [effect.verdict for effect in study.effects("quantizer")[1:]] == [UNCLEAR] * 7
    *_, evidence, _, _ = answer(study)
    gaps = sorted((effect.difference.estimate, effect.value) for effect in study.effects("quantizer")[1:])
    assert evidence.startswith("7 values cannot be told from none (")
    assert f"for {gaps[0][1]} to" in evidence
    assert evidence.endswith(f"for {gaps[-1][1]}).")
    assert told.details.startswith("7 others are ")
    assert told.details.count("which may be chance") == 1


def test_with_seeds_the_answer_is_about_methods(tmp_path: Path):
    study = read_study(write_results(tmp_path, images=300, seeds=(0, 1, 2)), resamples=300)
    told = answer(study)
    assert told[0] == (
        "Best of what was tried: encoder clip and fusion cross_attention; of 2 values of encoder and 3 values of"
        " fusion, in 36 trials from 3 seeds."
    )
    assert finding(study, "fusion").headline == "fusion: cross_attention is the best of 3"
    assert finding(study, "quantizer").headline == "quantizer: no difference can be told"
    assert "trained models" not in " ".join(told)


def test_a_winner_that_others_share_the_lead_with_is_not_called_best(tmp_path: Path):
    axes = {"fusion": ["concat_projection", "cross_attention", "bidirectional"]}
    folder = write_results(tmp_path, images=300, axes=axes, seeds=(0, 1, 2))
    copy_answers(folder, "cross_attention", "bidirectional")
    told = " ".join(answer(read_study(folder, resamples=300)))
    assert "Better than the baseline: fusion " in told
    assert "best of what was tried" not in told.lower()


def test_where_one_seed_is_compared_the_answer_names_of_what(tmp_path: Path):
    axes = {"fusion": ["concat_projection", "cross_attention", "gated"]}
    folder = write_results(tmp_path, images=200, axes=axes, seeds=(0, 1, 2), left_out=(7, 8))
    told = answer(read_study(folder, resamples=100))
    assert told[0].startswith("What is said of fusion gated is about the models that were trained, from one seed")


def test_without_its_baseline_an_axis_is_said_to_have_none_and_its_leader_is_told(tmp_path: Path):
    axes = {"fusion": ["concat_projection", "cross_attention", "gated"]}
    study = read_study(
        write_results(tmp_path, images=300, axes=axes, seeds=(0, 1, 2), left_out=(0, 1, 2)), resamples=100
    )
    told = " ".join(answer(study))
    assert "The baseline of fusion, concat_projection, has no finished trial." in told
    assert "No difference to the baseline can be told" not in told
    assert finding(study, "fusion").headline in told


def test_trials_that_answered_other_questions_are_said_to_have(tmp_path: Path):
    folder = write_results(tmp_path, images=30, axes={"fusion": ["concat_projection", "gated"]}, seeds=(0, 1, 2))
    file = sorted(folder.glob("trials/*/predictions.jsonl"))[-1]
    assert "Not all trials answered the same questions" not in " ".join(answer(read_study(folder, resamples=20)))
    file.write_text("".join(line for line in file.read_text().splitlines(True) if '"image": "3-' not in line))
    assert "Not all trials answered the same questions" in " ".join(answer(read_study(folder, resamples=20)))
