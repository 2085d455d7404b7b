"""Variants train for as many operations, or seconds, as the baseline: whole steps, within one percent of it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from tests.small import SMALL, small_registry, write
from workbench.config.experiment import Experiment, ExperimentError, load_experiment
from workbench.config.phase import AUTO
from workbench.config.trial import Trial
from workbench.runs.flops import FlopCounts
from workbench.runs.matched_length import MatchedLength, nearest_steps
from workbench.runs.matching import Matching
from workbench.runs.planner import Planner
from workbench.runs.step_seconds import file_beside, step_of
from workbench.runs.trial_data import TrialData
from workbench.training.training_set import planned_steps

TWO = """\
  phases:
    - {name: align, train: [connector], steps: 30, batch: 4, precision: fp32}
    - {name: tune, train: [connector, fusion, language_model], epochs: 40, batch: 4, precision: fp32}
"""
GRID = (
    SMALL[: SMALL.index("  phases:")]
    + TWO
    + SMALL[SMALL.index("metrics:") :]
    + "grid:\n  fusion: [concat_projection, cross_attention, gated]\n  quantizer: [none, int8]\nseeds: [0, 1]\n"
)


def load(folder: Path, match: str, text: str = GRID, *overrides: str) -> Experiment:
    file = write(folder, f"{text}match: {match}\n")
    return load_experiment(file, small_registry(), overrides, sizer=Matching(small_registry(), file))


def steps(trial: Trial, phase: str = "tune") -> int | None:
    return next(each.steps for each in trial.phases if each.name == phase)


def first(experiment: Experiment, fusion: str) -> Trial:
    return next(trial for trial in experiment.trials if trial.axes["fusion"] == fusion)


@pytest.mark.parametrize("phase", ["tune", "align"])
def test_training_takes_as_many_operations_as_the_baselines_within_one_percent(tmp_path: Path, phase: str):
    text = GRID if phase == "tune" else GRID.replace("steps: 30", "steps: 3000")
    experiment = load(tmp_path, f"{{flops: {phase}}}", text)
    counts = FlopCounts(small_registry(), TrialData(small_registry()))
    target = counts.of(experiment.trials[0]).training
    assert steps(experiment.trials[0]) is None, "the baseline is as it is written, in epochs"
    for trial in experiment.trials:
        assert abs(counts.of(trial).training / target - 1) <= 0.01
    for fusion in ("cross_attention", "gated"):
        trial = first(experiment, fusion)
        found = next(each for each in counts.of(trial).phases if each.name == phase)
        one_more = abs(counts.of(trial).training + found.step - target)
        one_less = abs(counts.of(trial).training - found.step - target)
        assert abs(counts.of(trial).training - target) <= min(one_more, one_less), "the nearest whole number"
        assert steps(trial, phase) == found.steps
    untouched = "align" if phase == "tune" else "tune"
    written = load_experiment(write(tmp_path, text), small_registry())
    assert [each for trial in experiment.trials for each in trial.phases if each.name == untouched] == [
        each for trial in written.trials for each in trial.phases if each.name == untouched
    ]


def test_a_bare_word_sets_the_last_phase_and_ids_are_the_same_each_time(tmp_path: Path):
    one, other = load(tmp_path, "flops"), load(tmp_path, "{flops: tune}")
    assert [trial.id for trial in one.trials] == [trial.id for trial in other.trials]
    written = load_experiment(write(tmp_path, GRID), small_registry())
    assert [trial.id for trial in one.trials[:4]] == [trial.id for trial in written.trials[:4]]
    assert not {trial.id for trial in one.trials[4:]} & {trial.id for trial in written.trials}


def test_seeds_and_quantizers_share_the_steps_and_what_trains(tmp_path: Path):
    experiment = load(tmp_path, "flops")
    for fusion in ("cross_attention", "gated"):
        assert len({steps(trial) for trial in experiment.trials if trial.axes["fusion"] == fusion}) == 1
    planner = Planner(experiment, small_registry(), tmp_path / "results")
    assert len({planner.chains.chain(trial)[1].key for trial in experiment.trials}) == 6
    assert [each.axes for each in experiment.matched] == [
        {"fusion": "concat_projection"},
        {"fusion": "cross_attention"},
        {"fusion": "gated"},
    ]
    assert experiment.matched[2].settings == {"phases.tune.steps": steps(first(experiment, "gated"))}


def test_size_and_length_are_matched_one_after_the_other(tmp_path: Path):
    wide = GRID.replace("name: gpt, width: 16", "name: gpt, width: 32")
    experiment = load(tmp_path, "{parameters: language_model.width, flops: tune}", wide)
    planner = Planner(experiment, small_registry(), tmp_path / "results")
    counts = FlopCounts(small_registry(), TrialData(small_registry()))
    plain, gated = experiment.trials[0], first(experiment, "gated")
    sizes = planner.sizes()
    assert abs(sizes[gated.id].parameters / sizes[plain.id].parameters - 1) <= 0.1
    assert abs(counts.of(gated).training / counts.of(plain).training - 1) <= 0.01
    assert [each.by for each in experiment.matched] == ["parameters"] * 3 + ["flops"] * 3
    assert gated.components["language_model"].options["width"] < 32


def test_too_few_steps_to_come_near_are_an_error_with_the_nearest(tmp_path: Path):
    text = GRID.replace("epochs: 40", "steps: 7")
    with pytest.raises(ExperimentError) as error:
        load(tmp_path, "flops", text)
    assert f"{tmp_path / 'small.yaml'}:{len(text.splitlines()) + 1}: match.flops: 'gated' comes nearest with" in str(
        error.value
    )
    assert "steps of 'tune'" in str(error.value)
    assert "until all come within 1%" in str(error.value)


def test_a_baseline_that_does_not_train_has_no_length(tmp_path: Path):
    text = GRID.replace("name: align, ", "name: align, only: {fusion: gated}, ")
    text = text.replace("name: tune, ", "name: tune, only: {fusion: gated}, ")
    with pytest.raises(
        ExperimentError, match="match.flops: nothing trains in the baseline 'concat_projection, none, 0'"
    ):
        load(tmp_path, "flops", text)


def test_a_variant_without_the_phase_is_told(tmp_path: Path):
    text = GRID.replace("name: align, ", "name: align, only: {fusion: concat_projection}, ")
    with pytest.raises(ExperimentError, match="'align' does not take place in 'gated', whose training takes"):
        load(tmp_path, "{flops: align}", text)


def test_what_cannot_be_counted_is_told(tmp_path: Path):
    data = TrialData(small_registry())
    experiment = load_experiment(write(tmp_path, GRID), small_registry())
    [fault, *_] = (
        MatchedLength("flops", "tune", data)
        .sized(experiment.trials, experiment.trials[0], lambda trial: lambda count: math.nan)
        .faults
    )
    assert "its flops are not known" in fault[1]


@pytest.mark.parametrize(
    ("target", "nearest"), [(1000, 97), (1004, 97), (1006, 98), (0, 1), (30, 1), (10**9, 99_999_997)]
)
def test_the_nearest_number_of_steps(target: float, nearest: int):
    assert nearest_steps(lambda count: 30 + 10 * count, 5, target) == nearest


def test_steps_stay_as_they_are_written_where_no_number_is_nearer():
    assert nearest_steps(lambda count: 10.0 * count, 12, 125) == 12
    assert nearest_steps(lambda count: 10.0 * count, 13, 125) == 13


def measured(folder: Path, seconds: dict[tuple[str, str], float]) -> None:
    """Write the seconds of steps by phase and fusion beside the file, as if they had been measured."""
    file = write(folder, GRID)
    experiment = load_experiment(file, small_registry(), (), lambda _: AUTO)
    found = {
        step_of(trial, index): seconds[phase.name, trial.axes["fusion"]]
        for trial in experiment.trials
        for index, phase in enumerate(trial.phases)
    }
    steps = [{"step": step, "of": "", "seconds": each} for step, each in found.items()]
    file_beside(file).write_text(json.dumps({"device": "a machine", "measured": "then", "steps": steps}))


SECONDS = {
    **{("align", fusion): 0.5 for fusion in ("concat_projection", "cross_attention", "gated")},
    ("tune", "concat_projection"): 0.1,
    ("tune", "cross_attention"): 0.2,
    ("tune", "gated"): 0.03,
}


def test_by_time_training_takes_as_many_seconds_as_were_measured_of_the_baselines(tmp_path: Path):
    measured(tmp_path, SECONDS)
    experiment = load(tmp_path, "time")
    planned = load_experiment(write(tmp_path, GRID), small_registry()).trials[0]
    data = TrialData(small_registry())
    base = planned_steps(planned.phases[1], data.dataset(planned), 0)
    assert steps(first(experiment, "cross_attention")) == base / 2
    assert steps(first(experiment, "gated")) == round(base / 0.3)
    assert experiment.matched[0].aimed == pytest.approx(30 * 0.5 + base * 0.1)
    assert all(abs(each.deviation) <= 0.01 for each in experiment.matched)


def test_by_time_another_machine_and_another_day_have_the_same_trials(tmp_path: Path):
    measured(tmp_path, SECONDS)
    ids = [trial.id for trial in load(tmp_path, "time").trials]
    there = tmp_path / "another machine"
    there.mkdir()
    (there / "small.step_seconds.json").write_bytes(file_beside(tmp_path / "small.yaml").read_bytes())
    assert [trial.id for trial in load(there, "time").trials] == ids
    measured(tmp_path, {**SECONDS, ("tune", "gated"): 0.04})
    assert [trial.id for trial in load(tmp_path, "time").trials] != ids, "measured anew, it is another length"


def test_what_a_step_is_does_not_depend_on_what_auto_means_or_how_long_it_trains(tmp_path: Path):
    auto = GRID.replace(", precision: fp32}", "}")
    known = load_experiment(write(tmp_path, auto), small_registry(), (), lambda _: AUTO)
    longer = load_experiment(
        write(tmp_path, auto), small_registry(), ["phases.tune.epochs=3", "phases.tune.rate=1e-4"], lambda _: AUTO
    )
    batch = load_experiment(write(tmp_path, auto), small_registry(), ["phases.tune.batch=5"], lambda _: AUTO)
    now = [step_of(trial, 1) for trial in known.trials]
    assert now == [step_of(trial, 1) for trial in longer.trials]
    assert not set(now) & {step_of(trial, 1) for trial in batch.trials}
    assert len(set(now)) == 3, "seeds and quantizers have the same steps"


def test_what_was_not_measured_is_told_with_the_command_that_does(tmp_path: Path):
    with pytest.raises(
        ExperimentError, match="does not say how long a step of 'align' takes in 'concat_projection"
    ) as error:
        load(tmp_path, "time")
    assert "workbench match FILE" in str(error.value)
    measured(tmp_path, SECONDS)
    with pytest.raises(ExperimentError, match="does not say how long a step of 'tune' takes"):
        load(tmp_path, "time", GRID.replace("epochs: 40, batch: 4", "epochs: 40, batch: 5"))


@pytest.mark.parametrize(
    "content", ["", "[]", '{"device": "a", "measured": "b", "steps": [{"step": "c", "seconds": -1}]}']
)
def test_a_damaged_file_of_seconds_is_told(tmp_path: Path, content: str):
    (tmp_path / "small.step_seconds.json").write_text(content)
    with pytest.raises(ExperimentError, match=r"small.step_seconds.json is damaged: .*measure anew"):
        load(tmp_path, "time")
