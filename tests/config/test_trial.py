"""Trials: every setting, and an id that is the hash of them all."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

from tests.experiment_files import GOOD, load, with_grid
from workbench.config.phase import Evaluation, Phase


def test_a_trial_holds_every_setting_with_its_default(tmp_path):
    experiment = load(tmp_path, with_grid(""))
    trial = experiment.trials[0]
    assert trial.components["encoder"].options == {"depth": 3, "width": 8}
    assert trial.components["dataset"].options == {"size": 10, "flip": False}
    assert [phase.name for phase in trial.phases] == ["align", "tune"]
    assert trial.phases[1].rate == 0.001
    tune = Phase(name="tune", train=("encoder", "fusion"), epochs=2, rate=0.001)
    assert trial.phases[1] == tune.computed_in(str(experiment.auto_precision))
    assert trial.evaluation == Evaluation().computed_in(str(experiment.auto_precision))
    assert trial.prompt == "<image>{question}\n"
    assert trial.axes == {"seed": "0"}


def test_equal_trials_have_equal_ids_whatever_the_experiment_is_called(tmp_path):
    first = load(tmp_path, GOOD)
    other = load(tmp_path, "name: other\n" + GOOD.replace("{name: eye, depth: 3}", "{depth: 3, width: 8, name: eye}"))
    assert [trial.id for trial in first.trials] == [trial.id for trial in other.trials]
    assert len({trial.id for trial in first.trials}) == 2


def test_an_id_is_the_hash_of_the_whole_spec(tmp_path):
    for trial in load(tmp_path, GOOD + "seeds: [1, 2]\n").trials:
        with_outside = replace(trial, outside=trial.components["dataset"])
        assert with_outside.id != trial.id
        for each in (trial, with_outside):
            text = json.dumps(each.spec(), sort_keys=True, default=list)
            assert each.id == hashlib.sha256(text.encode()).hexdigest()[:12]
