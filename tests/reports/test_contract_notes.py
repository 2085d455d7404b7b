"""Plugins that break their contract are told wherever a number of theirs stands."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.made_results import write_results
from workbench.reports.contract_notes import BROKEN, UNKNOWN, facts, trial_notes, warnings
from workbench.reports.results_data import Study, read_study
from workbench.storage.records import CONTRACTS

LEAKS = {"fusion mine": {BROKEN: {"rows do not mix": "they do"}}}
UNSEEN = {"fusion mine": {UNKNOWN: "it needs a GPU"}}


@pytest.fixture
def study(tmp_path: Path) -> Study:
    axes = {"fusion": ["concat_projection", "cross_attention"]}
    return read_study(write_results(tmp_path, images=4, axes=axes), resamples=5)


def with_contracts(study: Study, told: dict, trials: int) -> Study:
    """The first so many trials have a plugin of which that is told."""
    records = [
        replace(record, provenance={**record.provenance, CONTRACTS: told}) if place < trials else record
        for place, record in enumerate(study.records)
    ]
    return replace(study, records=records)


def test_nothing_is_told_of_plugins_that_keep_their_contract(study: Study):
    assert (warnings(study), facts(study), trial_notes(study)) == ([], [], [])


def test_a_broken_rule_is_told_with_the_trials_it_is_part_of(study: Study):
    one = with_contracts(study, LEAKS, 1)
    [told] = warnings(one)
    assert told.startswith("Not to be trusted: fusion mine breaks its contract ('rows do not mix')")
    assert "It is part of 1 of 2 finished trials." in told
    assert facts(one) == [("fusion mine breaks", "rows do not mix: they do")]
    assert trial_notes(one) == ["fusion mine breaks its contract. Trials with it: concat_projection."]
    assert trial_notes(with_contracts(study, LEAKS, 2)) == [
        "fusion mine breaks its contract. Trials with it: all of them."
    ]


def test_a_plugin_that_was_not_checked_stands_in_the_provenance_alone(study: Study):
    unseen = with_contracts(study, UNSEEN, 2)
    assert (warnings(unseen), trial_notes(unseen)) == ([], [])
    assert facts(unseen) == [("not checked against its contract", "fusion mine: it needs a GPU")]
