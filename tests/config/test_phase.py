"""Settings as values: a changed copy is another one."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from tests.experiment_files import GOOD, load
from workbench.config.phase import Evaluation, Phase


def test_a_changed_copy_of_a_phase_has_a_text_of_its_own(tmp_path):
    phase = load(tmp_path, GOOD).trials[0].phases[0]
    assert json.loads(phase.spec_text) == phase.spec()
    changed = phase.model_copy(update={"batch": phase.batch + 1})
    assert json.loads(changed.spec_text) == changed.spec() != phase.spec()


def test_settings_that_are_equal_are_found_by_each_other():
    phase = Phase(name="tune", train=("encoder",), steps=2, rate={"encoder": 1e-3})
    assert {phase: "found"}[phase.model_copy(update={"batch": phase.batch})] == "found"
    assert phase.model_copy(update={"batch": 5}) not in {phase}


def test_an_evaluation_tells_its_gain_against_the_control_that_is_named_else_the_first():
    assert Evaluation().gain_control == "prior"
    assert Evaluation(controls=("shuffled", "prior")).gain_control == "shuffled"
    assert Evaluation(gain_against="mean_image").gain_control == "mean_image"
    assert Evaluation(controls=()).gain_control is None


def test_what_says_the_same_is_the_same_evaluation_and_the_usual_one_stands_as_before_there_were_controls():
    """Trials evaluated before a file could name controls keep their ids, so that a report still finds them."""
    assert not {"controls", "gain_against"} & Evaluation().spec().keys()
    assert Evaluation(gain_against="prior").spec_text == Evaluation().spec_text
    first, named = Evaluation(controls=("shuffled",)), Evaluation(controls=("shuffled",), gain_against="shuffled")
    assert first.spec_text == named.spec_text
    assert first.spec()["gain_against"] == "shuffled"
    assert Evaluation(gain_against="mean_image").spec()["controls"] == ["prior", "mean_image", "other_answer"]
    assert Evaluation.model_validate_json(json.dumps(first.spec())).gain_control == "shuffled"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"controls": ("shuffled", "prior", "shuffled")}, "names shuffled twice"),
        ({"controls": ("shuffled",), "gain_against": "prior"}, "not among the controls.*one of shuffled"),
        ({"controls": ("blurred",)}, "prior"),
    ],
)
def test_controls_that_make_no_sense_are_refused(settings, said):
    with pytest.raises(ValidationError, match=said):
        Evaluation(**settings)


def phase(**settings) -> Phase:
    return Phase(name="tune", train=("encoder",), steps=2, **settings)


def test_devices_are_told_where_there_are_several():
    """Trials of before there were devices keep their ids, and so do their stages."""
    assert not {"devices", "strategy"} & phase(devices=1).spec().keys()
    assert phase(devices=1).spec_text == phase().spec_text
    assert phase(devices=2).spec()["devices"] == 2
    assert phase(devices=2).spec_text != phase(accumulate=2).spec_text
    assert Phase.model_validate_json(json.dumps(phase(devices=2).spec())).devices == 2
    assert phase(devices=2, accumulate=3).pieces == 6


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"devices": 0}, "greater than 0"),
        ({"devices": 5, "batch": 4}, "a batch of 4 cannot be shared by 5 devices: lower 'devices', or raise 'batch'"),
        ({"devices": 2, "batch": 4, "accumulate": 3}, "by 2 devices, each in 3 pieces: lower 'devices'"),
        ({"devices": 2, "objective": "contrastive", "tasks": ("captions",)}, "which no device has whole: leave out"),
        ({"devices": 2, "compile": True}, "'compile' and 'devices' do not go together"),
    ],
)
def test_devices_that_cannot_share_a_phase_are_refused(settings, said):
    with pytest.raises(ValidationError, match=said):
        phase(**settings)
