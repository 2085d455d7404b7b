"""Settings as values: a changed copy is another one."""

from __future__ import annotations

import json

from tests.experiment_files import GOOD, load
from workbench.config.phase import Phase


def test_a_changed_copy_of_a_phase_has_a_text_of_its_own(tmp_path):
    phase = load(tmp_path, GOOD).trials[0].phases[0]
    assert json.loads(phase.spec_text) == phase.spec()
    changed = phase.model_copy(update={"batch": phase.batch + 1})
    assert json.loads(changed.spec_text) == changed.spec() != phase.spec()


def test_settings_that_are_equal_are_found_by_each_other():
    phase = Phase(name="tune", train=("encoder",), steps=2, rate={"encoder": 1e-3})
    assert {phase: "found"}[phase.model_copy(update={"batch": phase.batch})] == "found"
    assert phase.model_copy(update={"batch": 5}) not in {phase}
