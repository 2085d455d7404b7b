"""The test split is asked at the end, about trials that were named before, and the folder knows how often."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.runs.test_held_out import DEFAULT
from tests.small import CommandLine, load, run_inside, write
from workbench.cli.report import asked_of
from workbench.config.experiment import ExperimentError
from workbench.errors import UserError
from workbench.reports.compute_spent import all_tries, spent
from workbench.reports.results_data import read_study
from workbench.reports.split_notes import final_table, splits_note
from workbench.runs.scheduler import RunOptions
from workbench.storage.askings import askings_of, read_asked
from workbench.storage.experiment_summary import read_summary

GRID = "grid: {fusion: [concat_projection, gated, cross_attention]}\nseeds: [0, 1]\n"
NAMED = DEFAULT + GRID + "final: [{fusion: gated}, {fusion: concat_projection}]\n"
FINAL = RunOptions(final=True)


@pytest.fixture
def command(tmp_path, monkeypatch, capsys) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capsys)


def stages(results: Path) -> set[str]:
    return {folder.name for folder in (results / "artifacts").iterdir() if not folder.name.startswith(".")}


def test_final_trials_are_asked_of_the_weights_there_are_and_nothing_trains_again(tmp_path):
    experiment, results = load(tmp_path, text=NAMED), tmp_path / "results"
    assert len(run_inside(experiment, results).done) == 6
    kept = {name: (results / "artifacts" / name / "stage.json").read_bytes() for name in stages(results)}
    outcome = run_inside(experiment, results, FINAL)
    assert len(outcome.done) == 4
    assert {name: (results / "artifacts" / name / "stage.json").read_bytes() for name in stages(results)} == kept
    for trial in experiment.final:
        record = json.loads((results / f"small/trials/{trial.id}/record.json").read_text())
        assert record["spec"]["evaluation"]["split"] == "test"
        assert record["spec"]["evaluation"]["held_out"] == 0.1
        assert record["axes"]["fusion"] != "cross_attention"
    assert read_summary(results / "small").trials == [trial.id for trial in experiment.trials], (
        "they stay what is asked"
    )


def test_what_is_not_trained_yet_is_trained_first(tmp_path):
    experiment, results = load(tmp_path, text=NAMED), tmp_path / "results"
    assert len(run_inside(experiment, results, FINAL).done) == 4
    trained = stages(results)
    assert len(trained) == 4
    run_inside(experiment, results)
    assert trained < stages(results)
    assert len(stages(results)) == 6


def test_final_without_names_is_refused_before_anything_runs(tmp_path):
    experiment = load(tmp_path, text=DEFAULT + GRID)
    with pytest.raises(UserError, match=r"small.yaml names no trials under 'final'. Write there which"):
        run_inside(experiment, tmp_path / "results", FINAL)
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("final", "key", "advice"),
    [
        ("[{fusion: gatde}]", "final.0.fusion", "'gatde' is no value of this axis. Did you mean 'gated'?"),
        ("[{fusoin: gated}]", "final.0.fusoin", "'fusoin' is no axis here"),
        ("[{fusion: gated}, {fusion: gated, seed: 1}]", "final.1.seed", "with all its seeds"),
        ("{fusion: gated}", "final", "this must be a list"),
    ],
)
def test_names_that_fit_no_trial_are_told_with_their_line(tmp_path, final, key, advice):
    text = DEFAULT + GRID + f"final: {final}\n"
    with pytest.raises(ExperimentError) as error:
        load(tmp_path, text=text)
    assert f"small.yaml:{len(text.splitlines())}: {key}" in str(error.value)
    assert advice in str(error.value)


def test_a_file_that_asks_the_test_split_anyway_has_nothing_left_for_the_end(tmp_path):
    text = NAMED.replace("evaluation: {", "evaluation: {split: test, ")
    with pytest.raises(ExperimentError, match=r"final: the test split is asked by every run.*Remove 'final', or"):
        load(tmp_path, text=text)


def test_an_empty_name_is_every_trial(tmp_path):
    assert len(load(tmp_path, text=DEFAULT + "seeds: [0, 1]\nfinal: [{}]\n").final) == 2


def test_asking_the_same_again_is_no_new_asking_and_another_version_that_asks_more_is(tmp_path):
    results = tmp_path / "results"
    run_inside(load(tmp_path, text=NAMED), results)
    assert askings_of(results / "small").times == 0, "held_out may be asked at will"
    run_inside(load(tmp_path, text=NAMED), results, FINAL)
    assert str(askings_of(results / "small")) == "asked once by 1 version of the file"
    run_inside(load(tmp_path, text=NAMED), results, FINAL)
    run_inside(load(tmp_path, text=NAMED + "# a word\n"), results, FINAL)
    assert askings_of(results / "small").times == 1
    run_inside(load(tmp_path, text=NAMED.replace("final: [", "final: [{fusion: cross_attention}, ")), results, FINAL)
    assert str(askings_of(results / "small")) == "asked 2 times by 2 versions of the file"
    log = read_asked(results / "small")
    assert [len({each.trial for each in log if each.run == run}) for run in dict.fromkeys(e.run for e in log)] == [4, 2]


def test_a_run_whose_file_says_test_counts_too(tmp_path):
    results, text = (
        tmp_path / "results",
        NAMED.partition("final:")[0].replace("evaluation: {", "evaluation: {split: test, "),
    )
    run_inside(load(tmp_path, text=text), results)
    run_inside(load(tmp_path, text=text), results)
    assert askings_of(results / "small").times == 1
    run_inside(load(tmp_path, "evaluation.max_new_tokens=1", text=text), results)
    assert str(askings_of(results / "small")) == "asked 2 times by 2 versions of the file"
    note = splits_note(read_study(results / "small", resamples=50))
    assert note.startswith("Chosen and reported on test (8 images), asked 2 times by 2 versions of the file.")
    assert "too good" in note


def test_results_of_before_there_was_a_log_say_that_nobody_knows(tmp_path):
    results = tmp_path / "results"
    run_inside(load(tmp_path), results)
    (results / "small/test_split.jsonl").unlink()
    assert "how often is not on record" in splits_note(read_study(results / "small", resamples=50))


@pytest.fixture(scope="module")
def tested(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tested")
    for options in (None, FINAL):
        run_inside(load(folder, "base.dataset={name: squares, images: 60}", text=NAMED), folder / "results", options)
    return folder


def test_the_note_says_what_was_chosen_where_and_reported_on_what(tested):
    study = read_study(tested / "results/small", resamples=50)
    images = study.samples[study.primary].images
    asked = "asked once by 1 version of the file"
    assert splits_note(study) == f"Chosen on held_out ({images} images), reported on test (8 images), {asked}."
    assert images != 8
    assert study.strays == 0
    assert len(study.done) == 6, "the test is in no average of what choices are made on"


def test_a_test_at_the_end_trains_nothing_and_counts_as_an_evaluation(tested):
    study = read_study(tested / "results/small", resamples=50)
    reported, everything = (spent(records, study.trainings) for records in (study.records, all_tries(study)))
    assert (reported.finished, everything.finished) == (6, 10)
    assert reported.once is not None
    assert everything.once == reported.once
    distinct = {training for record in study.records for training in study.trainings[record.id]}
    assert len(distinct) == 6, "no two of these trials share a training"
    assert 0 < reported.once <= reported.alone, "a snapshot at the end is in the one and not in the other"
    assert everything.evaluation > reported.evaluation


def test_the_table_of_the_test_has_the_means_of_seeds_and_differences_by_the_same_statistics(tested):
    study = read_study(tested / "results/small", resamples=50)
    table = final_table(study)
    assert table is not None
    assert study.final is not None
    assert [row["trial"] for row in table.rows] == ["concat_projection", "gated"]
    for row in table.rows:
        own = [each.metrics["vqa_accuracy"] for each in study.final.done if each.axes["trial"] == row["trial"]]
        assert len(own) == row["trials"] == 2
        assert row["vqa_accuracy"].estimate == pytest.approx(sum(own) / 2)
    first, second = (row["vqa_accuracy"].estimate for row in table.rows)
    assert table.rows[1]["difference"].estimate == pytest.approx(second - first)
    assert table.rows[0]["verdict"] == "baseline"
    assert "differences are to concat_projection" in table.caption


def test_without_the_baseline_there_is_no_difference_and_the_table_says_so(tmp_path):
    results, text = tmp_path / "results", NAMED.replace("{fusion: concat_projection}", "{fusion: cross_attention}")
    for options in (None, FINAL):
        run_inside(load(tmp_path, text=text), results, options)
    table = final_table(read_study(results / "small", resamples=50))
    assert table is not None
    assert [row["trial"] for row in table.rows] == ["gated", "cross_attention"]
    assert not {"difference", "p", "verdict"} & {column.key for column in table.columns}
    assert any("The baseline concat_projection was not tested" in note for note in table.notes)


def test_one_trial_without_axes_has_a_table_too(tmp_path):
    results = tmp_path / "results"
    for options in (None, FINAL):
        run_inside(load(tmp_path, text=DEFAULT + "final: [{}]\n"), results, options)
    table = final_table(read_study(results / "small", resamples=50))
    assert table is not None
    assert [row["trial"] for row in table.rows] == ["the only trial"]


def test_a_trial_that_no_final_names_is_left_out_though_its_test_lies_there(tested, tmp_path):
    summary = json.loads((tested / "results/small/experiment.json").read_text())
    assert len(summary["final"]) == 4
    folder = tmp_path / "small"
    folder.symlink_to(tested / "results/small")
    asked = asked_of(load(tested, "base.dataset={name: squares, images: 60}", "final=[]", text=NAMED))
    study = read_study(folder, resamples=50, experiment=asked)
    assert study.final is None
    assert study.strays == 4
    assert splits_note(study).endswith("The test split was asked once by 1 version of the file.")


def test_the_commands_plan_run_and_report_it(tmp_path, command):
    file = write(tmp_path, NAMED)
    assert command.run_inside(file).code == 0
    told = command("plan", file, "--final", "--plugins", Path(__file__).parents[1] / "own_plugins")
    assert told.code == 0
    assert "4 trials, 0 done" in told.output
    assert "to do: 4 x evaluate" in told.output
    assert "test split: never asked so far" in told.output
    told = command.run_inside(file, "--final")
    assert told.code == 0
    assert "4 of 4 trials done" in told.output
    assert "test split: asked once by 1 version of the file so far" in told.output
    assert command("report", file, "--plugins", Path(__file__).parents[1] / "own_plugins").code == 0
    page = (tmp_path / "results/small/report/report.html").read_text()
    told = page.count("reported on test (8 images), asked once by 1 version of the file")
    assert told == 3, "at its head, in the checklist, and below"
    assert "On the test split" in page
    assert (tmp_path / "results/small/report/tables/test_split.csv").is_file()
    told = command.run_inside(write(tmp_path, DEFAULT), "--final")
    assert told.code == 2
    assert "names no trials under 'final'" in told.errors
