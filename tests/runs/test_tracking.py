"""Trackers: told while training and of every result, in no key, and never in the way."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from tests.broken_plugins import WantsATraining
from tests.small import load, records, run_inside, small_registry, write
from workbench.config.experiment import ExperimentError
from workbench.contracts.launcher import Advance
from workbench.runs.stages import Stage, chain
from workbench.runs.tracking import Tracking
from workbench.storage.records import read_curve


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Every number of an event file as its own reader finds it: (step, value) by tag."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder))
    read.Reload()
    return {tag: [(each.step, each.value) for each in read.Scalars(tag)] for tag in read.Tags()["scalars"]}


def test_tensorboard_has_every_step_of_a_training_and_every_number_of_a_trial(tmp_path: Path):
    experiment = load(tmp_path, "trackers=[tensorboard]", "grid={quantizer: [none, int8]}")
    run_inside(experiment, tmp_path / "results")
    folder = tmp_path / "results/small/tensorboard"
    [training] = (folder / "trainings").iterdir()
    [shared, _] = [read_curve(file.parent) for file in (tmp_path / "results/small/trials").glob("*/record.json")]
    assert [step for step, _ in scalars(training)["loss"]] == list(shared["step"]) == [1, 2]
    assert [loss for _, loss in scalars(training)["loss"]] == pytest.approx(list(shared["loss"]), rel=1e-6)
    trials = {file.name: scalars(file) for file in (folder / "trials").iterdir()}
    assert len(trials) == 2
    for record in records(tmp_path):
        [found] = [each for name, each in trials.items() if record["id"] in name]
        for name, value in record["metrics"].items():
            assert found[name.replace(".", "/", 1)][0][1] == pytest.approx(value, rel=1e-6), name


def test_a_tracker_changes_no_key(tmp_path: Path):
    keys = [
        [stage.key for stage in chain(load(tmp_path, *more).trials[0], small_registry(), lambda _: "data")]
        for more in ([], ["trackers=[tensorboard]"])
    ]
    assert keys[0] == keys[1]


def test_a_tracker_that_fails_is_named_once_and_no_other_is_disturbed(tmp_path: Path):
    told: list[tuple[str, int]] = []

    class Listens(WantsATraining):
        def advance(self, training, step, steps, loss):
            told.append((training, step))

        def close(self):
            told.append(("closed", 0))

    class Fails(Listens):
        def advance(self, training, step, steps, loss):
            raise ZeroDivisionError("no tool today")

    trial = load(tmp_path).trials[0]
    stage, console = Stage("key", "tune", 0, trial, None), Console(file=io.StringIO(), width=300)
    with Tracking({"fails": Fails(), "listens": Listens()}, "small", tmp_path, console) as tracking:
        for step in (1, 2):
            tracking.advance(stage, Advance("key", step, 2, 0.5))
        tracking.advance(Stage("other", "evaluate", 1, trial, "key"), Advance("other", 1, 2))
    assert told == [(stage.label, 1), (stage.label, 2), ("closed", 0)]
    output = console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
    assert output.count("the tracker 'fails' is left out from here on: ZeroDivisionError: no tool today") == 1


def test_a_tracker_that_there_is_not_is_told_with_its_line(tmp_path: Path):
    write(tmp_path)
    with pytest.raises(ExperimentError, match="there is no tracker 'tensorbord'. Did you mean 'tensorboard'"):
        load(tmp_path, "trackers=[tensorbord]")
