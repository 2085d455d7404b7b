"""Values are told apart where there is a difference, and only there."""

from __future__ import annotations

import numpy
import pytest

from tests.statistics.made_samples import grid, sample_of
from workbench.statistics.comparisons import make_comparisons
from workbench.statistics.design import Design
from workbench.statistics.effects import axis_effects
from workbench.statistics.estimates import Sample
from workbench.statistics.verdicts import BASELINE, BETTER, MODEL_BETTER, MODEL_WORSE, NO_RESULT, UNCLEAR, WORSE


def test_a_true_difference_is_found_and_a_true_zero_is_not():
    random = numpy.random.default_rng(2)
    axes = grid(["base", "same", "up", "down"], cells=2, seeds=3)
    chance = {"base": 0.7, "same": 0.7, "up": 0.8, "down": 0.6}
    need = random.uniform(size=500)
    skill = numpy.array([chance[label] for label in axes["axis"]])
    noise = 0.05 * random.normal(size=(24, 500))
    sample = sample_of((need + noise < skill[:, None]).astype(float), list(axes["seed"]))
    design = Design(axes, "axis", ["base", "same", "up", "down", "absent"])
    effects = {effect.value: effect for effect in axis_effects(design, sample, "base", True)}
    verdicts = {value: effect.verdict for value, effect in effects.items()}
    assert verdicts == {"base": BASELINE, "same": UNCLEAR, "up": BETTER, "down": WORSE, "absent": NO_RESULT}
    assert effects["up"].difference.low < 0.1 < effects["up"].difference.high
    turned = {effect.value: effect.verdict for effect in axis_effects(design, sample, "base", False)}
    assert (turned["up"], turned["down"]) == (WORSE, BETTER)


def test_differences_that_are_only_chance_are_rarely_called_real():
    random = numpy.random.default_rng(8)
    axes = grid(["base", "a", "b", "c"], cells=1)
    design, wrong = Design(axes, "axis", ["base", "a", "b", "c"]), 0
    for _ in range(150):
        sample = sample_of(random.normal(size=(4, 80)), resamples=300)
        wrong += any(
            effect.verdict in (MODEL_BETTER, MODEL_WORSE) for effect in axis_effects(design, sample, "base", True)
        )
    assert wrong / 150 < 0.10


def test_equal_answers_are_not_distinguishable():
    scores = numpy.tile((numpy.arange(40) % 3 > 0).astype(float), (2, 1))
    effects = axis_effects(Design(grid(["base", "same"], 1), "axis", ["base", "same"]), sample_of(scores), "base", True)
    assert (effects[1].difference.estimate, effects[1].verdict) == (0.0, UNCLEAR)


def test_a_handful_of_images_is_never_proof():
    """Always right against always wrong, but on four images: signs alone come out so in 2 of 16 ways."""
    scores = numpy.array([[0.0] * 4, [1.0] * 4])
    design = Design(grid(["base", "up"], 1), "axis", ["base", "up"])
    found = make_comparisons([design], sample_of(scores), ["base"]).pairs["axis", "up", "base"]
    assert found.p == 0.125
    assert axis_effects(design, sample_of(scores), "base", True)[1].verdict == UNCLEAR


def test_an_interval_stays_within_what_the_metric_can_be():
    """Two seeds far apart: Student's interval alone would leave 0..1, and -1..1 for a difference."""
    axes = grid(["base", "a"], cells=1, seeds=2)
    free = sample_of(numpy.repeat([[0.2], [0.9], [0.1], [0.3]], 30, axis=1), list(axes["seed"]))
    sample = Sample(free.estimates, free.replicates, free.seeds, free.images, (0.0, 1.0))
    effects = axis_effects(Design(axes, "axis", ["base", "a"]), sample, "base", True)
    assert (effects[0].mean.low, effects[0].mean.high) == pytest.approx((0.0, 1.0))
    assert (effects[1].difference.low, effects[1].difference.high) == (-1.0, 1.0)
