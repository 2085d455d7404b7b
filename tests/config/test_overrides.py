"""`--set`: what it changes, and what is refused."""

from __future__ import annotations

import pytest

from tests.experiment_files import GOOD, load, message_of, problems_of

# What is broken: the override, the key the message must name, and a part of its advice.
BROKEN_OVERRIDES = {
    "no equals sign": ("seeds", "", "Write --set key=value"),
    "no key": ("=3", "", "Write --set key=value"),
    "two dots": ("base..encoder=3", "", "Write --set key=value"),
    "unknown key": ("sedes=[1]", "sedes: ", "Did you mean 'seeds'?"),
    "component without base": ("fusion=tape", "fusion: ", "Indent it under 'base:'"),
    "unknown plugin": ("base.fusion=tap", "base.fusion: ", "Did you mean 'tape'?"),
    "unknown option": ("base.encoder.widht=3", "base.encoder.widht: ", "Did you mean 'width'?"),
    "wrong type": ("base.encoder.width=wide", "base.encoder.width: ", "'wide' does not fit eye.width (int)"),
    "unknown phase": (
        "phases.tun.epochs=1",
        "",
        "base.phases has no 'tun'. Did you mean 'tune'? There are: align, tune",
    ),
    "unknown setting of a phase": ("phases.tune.epoch=1", "base.phases.tune.epoch: ", "Did you mean 'epochs'?"),
    "negative epochs": ("phases.tune.epochs=-1", "base.phases.tune.epochs: ", "greater than 0, not -1"),
    "setting of a single value": ("question.text=3", "", "'question' is a single value"),
    "YAML that is broken": ("grid.fusion=[glue", "column ", "a '[' is not closed"),
    "axis that is no list": ("grid.fusion=glue", "grid.fusion: ", "write [glue]"),
    "empty axis": ("grid.quantizer=[]", "grid.quantizer: ", "Write 'quantizer: [first, second]'"),
    "unknown value": ("grid.fusion=[glue, tap]", "grid.fusion.1: ", "Did you mean 'tape'?"),
    "setting of a number": ("base.encoder.depth.x=1", "", "'base.encoder.depth' is a single value"),
    "name with a separator": ("name=a/b", "name: ", "Give another 'name'"),
}


@pytest.mark.parametrize(
    ("override", "found", "value"),
    [
        ("base.encoder.width=64", lambda trial: trial.components["encoder"].options, {"depth": 3, "width": 64}),
        ("base.encoder=lens", lambda trial: trial.components["encoder"].options, {"zoom": 1.0}),
        ("base.dataset.size=3", lambda trial: trial.components["dataset"].options, {"size": 3, "flip": False}),
        ("phases.tune.epochs=1", lambda trial: trial.phases[1].epochs, 1.0),
        ("base.phases.tune.epochs=1", lambda trial: trial.phases[1].epochs, 1.0),
        ("phases.0.steps=9", lambda trial: trial.phases[0].steps, 9),
        ("evaluation.limit=7", lambda trial: trial.evaluation.limit, 7),
        ("prompt='{question}'", lambda trial: trial.prompt, "{question}"),
        ("seeds=[5]", lambda trial: trial.seed, 5),
        ("grid.fusion=[tape, glue]", lambda trial: trial.components["fusion"].name, "tape"),
        ("grid.encoder.depth=[7]", lambda trial: trial.components["encoder"].options["depth"], 7),
        ("name=other", lambda trial: trial.experiment, "other"),
    ],
)
def test_set_changes_one_setting(tmp_path, override, found, value):
    assert found(load(tmp_path, GOOD, override).trials[0]) == value


def test_the_text_of_a_run_with_overrides_gives_the_same_trials_again(tmp_path):
    first = load(tmp_path, GOOD, "phases.tune.rate=1e-5", "grid.adapter=[whole, {name: slim, rank: 2}]")
    again = load(tmp_path, first.text)
    assert "--set phases.tune.rate=1e-5" in first.text
    assert [trial.id for trial in again.trials] == [trial.id for trial in first.trials]


def test_the_text_of_a_run_without_overrides_is_the_file_itself(tmp_path):
    assert load(tmp_path, GOOD).text == GOOD


@pytest.mark.parametrize("broken", BROKEN_OVERRIDES)
def test_a_broken_override_is_refused_with_its_key_and_advice(tmp_path, broken):
    override, key, advice = BROKEN_OVERRIDES[broken]
    message = message_of(tmp_path, GOOD, override)
    assert message.startswith(f"--set {override}: {key}")
    assert advice in message
    assert len(problems_of(message)) == 1


def test_several_broken_overrides_are_reported_at_once(tmp_path):
    lines = message_of(tmp_path, GOOD, "seeds", "phases.tun.epochs=1", "grid=[").splitlines()
    assert [line.split(": ")[0] for line in lines] == ["--set grid=[", "--set phases.tun.epochs=1", "--set seeds"]
