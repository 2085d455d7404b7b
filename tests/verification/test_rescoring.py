"""Metrics are asked again with the options of the record, and rounding is allowed for only where losses are read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy
import pytest

from tests.tiny import builtin_registry
from tests.verification.made_answers import CONDITIONS, predictions, write
from workbench.registry import load_registry
from workbench.storage.records import Record, read_record
from workbench.verification.rescoring import rescore

PLUGIN = """
from workbench import Metric, hookimpl


class Odd(Metric):
    def __init__(self, *, broken: bool = False):
        self.broken = broken

    def scores(self, predictions):
        if self.broken:
            raise KeyError("no score")
        return [1.0] * len(predictions)


@hookimpl
def register_metrics(register):
    register("odd", Odd)
"""


@pytest.fixture
def record(tmp_path: Path) -> Record:
    return read_record(next((write(tmp_path) / "trials").iterdir()))


def asked() -> dict:
    return {condition: predictions(place) for place, condition in enumerate(CONDITIONS)}


def test_the_options_of_the_record_are_those_the_metric_gets(record):
    registry = builtin_registry()
    strict = replace(record, spec={"metrics": [{"name": "exact_match", "case": True}]}, scales={})
    loud = {each: [replace(one, answer=one.answer.upper()) for one in found] for each, found in asked().items()}
    assert rescore(strict, loud, registry).numbers["exact_match"] == 0
    mild = replace(record, spec={"metrics": [{"name": "exact_match"}]}, scales={})
    assert rescore(mild, loud, registry).numbers["exact_match"] > 0


def test_only_what_reads_losses_is_given_slack(record):
    found = rescore(record, asked(), builtin_registry())
    assert 4e-7 < found.slack["loss"] < 6e-7
    assert found.slack["visual_gain"] == 0
    assert {name for each in found.moved for name in each["image"]} == {"loss", "perplexity"}
    exact = [name for name in found.slack if name.startswith(("exact_match", "yes_no"))]
    assert exact == []


def test_rounded_losses_move_no_number_further_than_its_slack(record):
    exact = asked()
    rounded = {each: [replace(one, loss=round(one.loss, 6)) for one in found] for each, found in exact.items()}
    found, kept = (rescore(record, each, builtin_registry()) for each in (rounded, exact))
    for name, value in kept.numbers.items():
        assert numpy.isnan(value) or abs(value - found.numbers[name]) <= found.slack.get(name, 0) + 1e-12


def test_a_metric_that_raises_is_told_and_the_others_are_asked(record, tmp_path):
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins/odd.py").write_text(PLUGIN)
    registry = load_registry([tmp_path / "plugins"])
    spec = {"metrics": [{"name": "odd", "broken": True}, {"name": "exact_match"}]}
    found = rescore(replace(record, spec=spec, scales={}), asked(), registry)
    assert found.not_usable == {"odd": "it cannot score these answers: 'no score'"}
    assert "exact_match" in found.numbers
    assert "visual_gain" not in found.numbers, "that is the gain of the first metric"
