"""The training curve and the clock of a phase."""

from __future__ import annotations

import json
import time

import pytest

from tests.training.phases import phase_of, trained
from workbench.training.curve import Step, Stopwatch, curve_of, metrics_of, table_of
from workbench.training.optimization import schedule


def test_the_curve_has_every_step_with_its_rate_and_the_images_so_far(model):
    _, curve = trained(model, steps=5, rate=0.02, warmup=0.4)
    assert [step.step for step in curve] == [1, 2, 3, 4, 5]
    assert [step.images for step in curve] == [4, 8, 12, 16, 20]
    assert {(step.phase, step.steps) for step in curve} == {("tune", 5)}
    phase = phase_of(steps=5, rate=0.02, warmup=0.4)
    assert [step.rate for step in curve] == pytest.approx([0.02 * schedule(each, 5, phase) for each in range(1, 6)])


def test_what_a_phase_computed_is_told_apart_from_the_time_it_waited():
    watch = Stopwatch(seconds=7.0, computing=3.0)
    time.sleep(0.05)
    seconds, computing = watch.read()
    assert 7.05 <= seconds < 8
    assert 3.0 <= computing < 3.05, "to sleep is not to compute"
    sum(each * each for each in range(200_000))
    assert watch.read()[1] > computing


def test_a_pause_is_in_neither_clock_and_the_clocks_go_on_behind_it():
    watch = Stopwatch(seconds=7.0, computing=3.0, paused=1.0)
    with watch.paused():
        time.sleep(0.05)
        sum(each * each for each in range(400_000))
    seconds, computing = watch.read()
    assert 7.0 <= seconds < 7.04
    assert 3.0 <= computing < 3.01
    assert 1.05 <= watch.paused_seconds < 2
    time.sleep(0.02)
    assert watch.read()[0] >= seconds + 0.02


@pytest.mark.parametrize("losses", [[], [None], [0.25, None, 1e-30]])
def test_a_curve_comes_back_from_its_table_to_the_last_bit(losses):
    curve = [
        Step("tune", number, 9, 0.1 + 0.2, 1 / 3, 4 * number, 1e9 / 7, validation, validation and {"accuracy": 1 / 3})
        for number, validation in enumerate(losses, start=1)
    ]
    table = table_of(curve)
    assert table.shape == (len(losses), 5)
    assert curve_of(table, json.loads(json.dumps(metrics_of(curve))), "tune", 9) == curve
