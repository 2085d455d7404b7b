"""What a worker makes sure of before it does a stage, and says of one that cannot be repeated."""

from __future__ import annotations

import pytest
import torch

from tests.small import load, records, run_inside, small_registry
from workbench.cli.report import make_report
from workbench.errors import UserError
from workbench.runs.stage_work import _check_sources
from workbench.runs.stages import chain


def test_what_cannot_be_repeated_is_done_and_every_record_that_rests_on_it_says_so(tmp_path, caplog):
    axes = ("grid.fusion=[concat_projection, unrepeatable]", "grid.quantizer=[none, int8]")
    outcome = run_inside(load(tmp_path, *axes), tmp_path / "results")
    assert not outcome.failed
    told = [(each["axes"]["fusion"], each["provenance"].get("unrepeatable")) for each in records(tmp_path)]
    assert sorted(told, key=str) == [("concat_projection", None)] * 2 + [("unrepeatable", "my_backward")] * 2
    assert "my_backward differs in its last bits" in caplog.text
    assert "my_backward" in make_report(tmp_path / "results/small").read_text()
    assert not torch.are_deterministic_algorithms_enabled(), "as before"


def test_sources_that_changed_since_the_plan_are_told(tmp_path):
    stage = chain(load(tmp_path).trials[0], small_registry(), lambda trial: "data")[0]
    _check_sources(stage, small_registry())
    stage.made_of["plugin:fusion concat_projection"] = "another"
    stage.made_of[f"file:{tmp_path / 'gone.safetensors'}"] = "another"
    with pytest.raises(UserError, match=r"gone.safetensors, fusion concat_projection changed while") as told:
        _check_sources(stage, small_registry())
    assert told.value.transient, "a record of it is tried again"
