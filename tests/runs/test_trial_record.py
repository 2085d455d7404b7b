"""The record of a trial says what it is, what came of it, and what made it, whether it has a result or not."""

from __future__ import annotations

import pytest

from tests.small import load, small_registry
from workbench.runs.stages import chain
from workbench.runs.trial_record import TrialResult, record_of

ERROR = {"type": "UserError", "message": "it failed", "traceback": ""}


@pytest.mark.parametrize(
    ("result", "status"), [(TrialResult({"loss": 0.5}, {}, {"downloads": []}), "done"), (None, "failed")]
)
def test_a_record_is_that_of_its_trial_and_of_the_stage_that_evaluates_it(tmp_path, result, status):
    *_, evaluation = chain(load(tmp_path).trials[0], small_registry(), lambda trial: "data")
    found = record_of(evaluation, {"torch": "2.0", "contracts": {}}, result, None if result else ERROR)
    assert (found.id, found.status, found.spec) == (evaluation.trial.id, status, evaluation.trial.spec())
    assert found.metrics == ({"loss": 0.5} if result else {})
    assert found.error == (None if result else ERROR)
    made_by = {name: found.provenance[name] for name in ("key", "before", "made_of")}
    assert made_by == {"key": evaluation.key, "before": evaluation.before, "made_of": evaluation.made_of}
    assert found.provenance["trained"] == list(evaluation.trained)
    assert found.provenance["torch"] == "2.0"
    assert ("downloads" in found.provenance) == (status == "done")
    assert "contracts" not in found.provenance, "every plugin keeps its own"
