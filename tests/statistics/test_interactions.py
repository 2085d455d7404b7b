"""A difference that depends on another axis is found, and one that does not is rarely said to."""

from __future__ import annotations

import numpy
import pandas
import pytest

from tests.statistics.made_samples import sample_of
from workbench.statistics.comparisons import make_comparisons
from workbench.statistics.design import Design
from workbench.statistics.verdicts import DEPENDS


def two_axes(skills: dict[tuple[str, str], float], images: int, random: numpy.random.Generator, seeds: int = 1):
    """Two axes whose every pair of values has this skill; what is hard for one pair is hard for all."""
    rows = [{"fusion": a, "train": b, "seed": str(seed)} for a, b in skills for seed in range(seeds)]
    axes = pandas.DataFrame(rows)
    need, noise = random.uniform(size=images), 0.05 * random.normal(size=(len(rows), images))
    chances = numpy.array([skill for skill in skills.values() for _ in range(seeds)])
    sample = sample_of((need + noise < chances[:, None]).astype(float), list(axes["seed"]), resamples=400)
    return [Design(axes, name, list(dict.fromkeys(axes[name]))) for name in ("fusion", "train")], sample


def found(designs, sample, baselines):
    return make_comparisons(designs, sample, baselines).interactions


def test_a_difference_that_depends_on_another_axis_is_found_and_told_from_both_sides():
    skills = {("a", "frozen"): 0.5, ("a", "lora"): 0.8, ("b", "frozen"): 0.7, ("b", "lora"): 0.8}
    designs, sample = two_axes(skills, 600, numpy.random.default_rng(5), seeds=3)
    one, other = found(designs, sample, ["a", "frozen"])
    assert (one.axis, one.value, one.baseline, one.other, one.at, one.reference) == (
        *("fusion", "b", "a"),
        *("train", "lora", "frozen"),
    )
    assert (other.axis, other.value, other.other, other.at) == ("train", "lora", "fusion", "b")
    for each, here, there in ((one, 0.0, 0.2), (other, 0.1, 0.3)):
        assert each.verdict == DEPENDS
        for interval, truth in ((each.here, here), (each.there, there), (each.change, here - there)):
            assert interval.low < truth < interval.high
            assert interval.high - interval.low < 0.2
        assert each.change.estimate == pytest.approx(each.here.estimate - each.there.estimate)
    assert (one.change, one.p) == (other.change, other.p)


def test_differences_that_add_up_are_rarely_said_to_depend_on_each_other():
    random, wrong = numpy.random.default_rng(6), 0
    skills = {("a", "frozen"): 0.4, ("a", "lora"): 0.6, ("b", "frozen"): 0.5, ("b", "lora"): 0.7}
    for _ in range(120):
        designs, sample = two_axes(skills, 100, random)
        wrong += found(designs, sample, ["a", "frozen"])[0].verdict == DEPENDS
    assert wrong / 120 < 0.11


def test_a_dependence_is_asked_only_where_both_values_were_tried_with_both_others():
    skills = {("a", "x"): 0.4, ("a", "y"): 0.6, ("b", "x"): 0.5, ("c", "x"): 0.5, ("c", "y"): 0.7}
    designs, sample = two_axes(skills, 50, numpy.random.default_rng(7))
    assert {(each.value, each.at) for each in found(designs, sample, ["a", "x"])} == {("c", "y"), ("y", "c")}
    assert found(designs[:1], sample, ["a"]) == []
