"""`workbench power`: what it says, from which results, and how it ends without any."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy
import pytest

from tests.made_results import change_summary
from tests.small import PLUGINS, SMALL, CommandLine, load, write
from workbench.cli.report import asked_of
from workbench.config.experiment import Experiment
from workbench.reports.results_data import read_study
from workbench.statistics.verdicts import UNCLEAR
from workbench.storage.experiment_summary import write_summary
from workbench.storage.records import DONE, Record, write_trial

TWO_AXES = SMALL + "grid:\n  fusion: [concat_projection, gated]\n  quantizer: [none, int8]\nseeds: [0, 1]\n"


@pytest.fixture
def command(tmp_path, monkeypatch, capsys) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capsys)


def write_pilot(folder: Path, seeds: int, metric: str = "vqa_accuracy", experiment: Experiment | None = None) -> Path:
    """One axis of two values, or the trials of the experiment; 60 images, right or wrong by the toss of a coin that
    each seed biases anew."""
    chance, ids = numpy.random.default_rng(0), []
    rows = [
        (f"{place:012x}", {"fusion": "ab"[place // seeds], "seed": f"{place % seeds}"}) for place in range(2 * seeds)
    ]
    axes: dict[str, list[str]] = {"fusion": ["a", "b"], "seed": [str(seed) for seed in range(seeds)]}
    if experiment:
        rows = [(trial.id, dict(trial.axes)) for trial in experiment.trials]
        axes = {axis: list(labels) for axis, labels in experiment.axes.items()}
    for id_, labels in rows:
        right = chance.random(60) < 0.7 + 0.05 * chance.standard_normal()
        lines = [
            {
                "condition": "image",
                "id": f"q{image}",
                "image": f"{image}",
                "group": "",
                "question": "?",
                "answers": ["x"],
            }
            | {"answer": "x" if each else "y", "scores": {metric: float(each)}}
            for image, each in enumerate(right)
        ]
        scales = {metric: {"higher_is_better": True, "percent": True}}
        made_by, metrics = {"trained": [f"{labels['fusion']}/{labels['seed']}"]}, {metric: float(right.mean())}
        ids.append(id_)
        record = Record(id_, DONE, "pilot", labels, {"seed": int(labels["seed"])}, metrics, scales, made_by, None)
        write_trial(folder / "trials" / record.id, record, lines, [])
    name, question = (experiment.name, experiment.question) if experiment else ("pilot", "?")
    summary = {"name": name, "question": question, "axes": axes, "baseline": {}, "metrics": [metric], "trials": ids}
    write_summary(folder, summary, "question: pilot\n")
    return folder


def rows_of(told: str) -> list[list[str]]:
    return [line.split() for line in told.splitlines() if line.strip()[:1].isdigit() and "found" not in line]


def test_without_results_it_says_what_to_give(command):
    told = command("power", write(command.folder, TWO_AXES), "--plugins", PLUGINS)
    assert (told.code, told.output) == (2, "")
    assert "nothing says how far seeds are apart: results/small has no results of two seeds that differ" in told.errors
    assert "--from RESULTS" in told.errors
    assert "seed_spread" in told.errors


def test_a_pilot_gives_a_table_of_seeds_and_images_for_each_axis(command):
    pilot = write_pilot(command.folder / "pilot", 4)
    file = write(command.folder, TWO_AXES)
    told = command("power", file, "--plugins", PLUGINS, "--from", pilot, "--seeds", "4", "--images", "1000")
    assert told.code == 0
    assert "the report makes 3 comparisons" in told.output  # two pairs and a dependence
    assert "fusion: 1 value against concat_projection" in told.output
    assert "quantizer: 1 value against none" in told.output
    assert told.output.count("seeds compared as pairs, as trials share trained stages") == 1
    assert "rests on 6 degrees of freedom" in told.output
    assert "8 images  16 images  32 images  1,000 images" in told.output
    rows = rows_of(told.output)
    assert [row[0] for row in rows] == ["2", "3", "4", "5", "10", "20"] * 2
    least = [float(row[-1].replace("none", "inf")) for row in rows[:6]]
    assert least == sorted(least, reverse=True)
    assert all(float(row[-1]) < float(row[1].replace("none", "inf")) for row in rows if row[0] != "2")


def test_a_difference_has_the_fewest_seeds_that_find_it(command):
    pilot = write_pilot(command.folder / "pilot", 4)
    file = write(command.folder, TWO_AXES)
    told = command("power", file, "--plugins", PLUGINS, "--from", pilot, "--images", "400", "--difference", "12")
    [line, _] = [line for line in told.output.splitlines() if line.startswith("12 points: ")]
    seeds = int(line.rpartition(" or ")[2].split()[0] if " or " in line else line.split()[4])
    assert line.endswith("seeds with 400 images")
    for number, found in ((seeds, True), (seeds - 1, False)):
        shown = command(
            "power", file, "--plugins", PLUGINS, "--from", pilot, "--images", "400", "--seeds", str(number)
        ).output
        [row, *_] = [row for row in rows_of(shown) if row[0] == str(number)]
        assert (float(row[-1]) <= 12.05) == found
    told = command("power", file, "--plugins", PLUGINS, "--from", pilot, "--difference", "0.5")
    assert "0.5 points: not found with 100 seeds and 32 images" in told.output


def test_its_own_results_say_what_their_report_says(command):
    """About: the report knows which of two seems to spread farther, and counts fewer degrees of freedom for it."""
    experiment = load(command.folder, text=TWO_AXES.replace("[0, 1]\n", "[0, 1, 2, 3, 4]\n"))
    write_pilot(command.folder / "results" / "small", 5, experiment=experiment)
    file = command.folder / "small.yaml"
    told = command("power", file, "--plugins", PLUGINS, "--images", "60", "--seeds", "5")
    assert told.code == 0
    assert told.output.count("(from results/small)") == 2
    rows = [row for row in rows_of(told.output) if row[0] == "5"]
    study = read_study(command.folder / "results" / "small", experiment=asked_of(experiment))
    [fusion, quantizer] = (study.effects(axis)[1] for axis in ("fusion", "quantizer"))
    assert (fusion.verdict, quantizer.verdict) == (UNCLEAR, UNCLEAR)
    assert float(rows[0][-1]) == pytest.approx(100 * fusion.detectable, rel=0.25)
    assert float(rows[1][-1]) == pytest.approx(100 * quantizer.detectable, rel=0.25)


def test_without_results_of_its_own_those_count_that_its_spread_names(command):
    file = write(command.folder, TWO_AXES)
    write_pilot(command.folder / "results" / "earlier", 3)
    override = ("--set", "statistics.seed_spread=earlier")
    told = command("power", file, "--plugins", PLUGINS, *override)
    assert "(from results/earlier)" in told.output
    own = command.folder / "results" / "small"
    shutil.copytree(command.folder / "results" / "earlier", own)
    change_summary(own, name="small")
    told = command("power", file, "--plugins", PLUGINS, *override)
    assert told.code == 0  # trials that the file does not have are none of its own
    assert "(from results/earlier)" in told.output


def test_a_spread_that_is_given_counts_with_the_worst_that_images_can_do(command):
    told = command("power", write(command.folder, TWO_AXES), "--plugins", PLUGINS, "--set", "statistics.seed_spread=2")
    assert told.code == 0
    assert "images 25.0, seeds 2.8, both together 0.0 points (from 'seed_spread: 2', with the largest" in told.output


def test_a_pilot_of_one_seed_of_another_metric_or_none_at_all_is_refused(command):
    file = write(command.folder, TWO_AXES)
    for pilot, what in (
        (write_pilot(command.folder / "single", 1), "single has no results of two seeds that differ"),
        (write_pilot(command.folder / "other", 2, "exact_match"), "is about exact match, the file about VQA accuracy"),
        (command.folder / "nowhere", "nowhere is no results folder"),
    ):
        told = command("power", file, "--plugins", PLUGINS, "--from", pilot)
        assert told.code == 2
        assert what in told.errors


def test_a_trial_of_a_pilot_that_is_damaged_is_left_out_and_told(command):
    file, pilot = write(command.folder, TWO_AXES), write_pilot(command.folder / "pilot", 4)
    trial = sorted((pilot / "trials").iterdir())[0]
    (trial / "predictions.jsonl").write_text("{")
    told = command("power", file, "--plugins", PLUGINS, "--from", pilot)
    assert told.code == 0
    assert f"{pilot}: 1 trial is left out, as the results are damaged (trials/{trial.name}: predictions.jsonl" in (
        told.output
    )
