"""Every pair is compared once, over what can be compared, and with one p wherever it is told."""

from __future__ import annotations

import math

import numpy
import pandas
import pytest

from tests.statistics.made_samples import grid, sample_of
from workbench.statistics.comparisons import Rules, make_comparisons
from workbench.statistics.design import Design
from workbench.statistics.effects import axis_effects
from workbench.statistics.estimates import Sample
from workbench.statistics.seed_noise import Spread
from workbench.statistics.verdicts import BETTER, MODEL_BETTER, NO_RESULT, SAME, UNCLEAR, WORSE

LABELS = ["base", "a", "b"]


def studied(seeds: int = 3, cells: int = 1, spread: float = 0.02, gap: float = 0.0, images: int = 200, at: int = 0):
    """A design of three values and its sample; `a` is better by `gap`."""
    random = numpy.random.default_rng(at)
    axes = grid(LABELS, cells, seeds)
    skill = 0.7 + spread * random.standard_normal(len(axes)) + gap * (axes["axis"] == "a").to_numpy()
    scores = (random.uniform(size=(len(axes), images)) < skill[:, None]).astype(float)
    trained = [frozenset([str(place)]) for place in range(len(axes))]
    return Design(axes, "axis", LABELS, trained), sample_of(scores, list(axes["seed"]), 300)


def test_a_pair_has_one_p_from_whichever_side_and_against_whatever_baseline_it_is_told():
    design, sample = studied(gap=0.2)
    made = make_comparisons([design], sample, ["base"])
    for one, other in (("a", "base"), ("a", "b"), ("b", "base")):
        here, there = made.pairs["axis", one, other], made.pairs["axis", other, one]
        assert here.p == there.p
        assert here.estimate.interval.estimate == -there.estimate.interval.estimate
        assert here.estimate.interval.low == -there.estimate.interval.high
    told = {base: axis_effects(design, sample, base, True, made) for base in LABELS}
    p = {base: {each.value: each.p for each in effects} for base, effects in told.items()}
    assert p["base"]["a"] == p["a"]["base"]
    assert p["b"]["a"] == p["a"]["b"]
    verdicts = {base: {each.value: each.verdict for each in effects} for base, effects in told.items()}
    assert (verdicts["base"]["a"], verdicts["a"]["base"]) == (BETTER, WORSE)


def test_of_three_axes_all_comparisons_are_one_family():
    random = numpy.random.default_rng(0)
    axes = pandas.DataFrame(
        [{"x": x, "y": y, "seed": seed} for x in ("0", "1") for y in ("0", "1", "2") for seed in ("0", "1", "2")]
    )
    sample = sample_of(random.normal(size=(len(axes), 60)), list(axes["seed"]), 200)
    designs = [Design(axes, name, sorted(set(axes[name]))) for name in ("x", "y")]
    made = make_comparisons(designs, sample, ["0", "0"])
    assert made.asked == 1 + 3 + 2
    alone = make_comparisons(designs, sample, ["0", "0"], Rules(correction="table"))
    for pair, found in made.pairs.items():
        assert found.p >= alone.pairs[pair].p


def test_pairs_with_the_baseline_alone_are_sharper_and_of_others_nothing_is_said():
    design, sample = studied(gap=0.12)
    every, based = (make_comparisons([design], sample, ["base"], Rules(pairs=each)) for each in ("all", "baseline"))
    assert based.pairs["axis", "a", "base"].p < every.pairs["axis", "a", "base"].p
    assert ("axis", "a", "b") not in based.pairs
    effects = {each.value: each for each in axis_effects(design, sample, "b", True, based)}
    assert effects["a"].verdict == NO_RESULT


def test_seeds_that_are_missing_make_it_a_verdict_of_one_seed():
    design, sample = studied(gap=0.3)
    kept = [place for place in range(9) if not (place % 3 and 3 <= place < 6)]  # `a` with its first seed alone
    less = Design(
        design.axes.iloc[kept].reset_index(drop=True), "axis", LABELS, [frozenset([str(each)]) for each in kept]
    )
    fewer = Sample(sample.estimates[kept], sample.replicates[:, kept], [sample.seeds[each] for each in kept], 200)
    effects = {each.value: each for each in axis_effects(less, fewer, "base", True)}
    assert (effects["a"].verdict, effects["a"].luck, effects["a"].seeds) == (MODEL_BETTER, False, 1)
    assert math.isnan(effects["a"].p)
    assert (effects["b"].verdict, effects["b"].luck, effects["b"].seeds) == (UNCLEAR, True, 3)


def test_cells_with_one_seed_are_left_out_where_others_have_more():
    design, sample = studied(cells=2)
    kept = [place for place in range(18) if place not in (10, 11)]  # `a` in its second cell has one seed
    less = Design(
        design.axes.iloc[kept].reset_index(drop=True), "axis", LABELS, [frozenset([str(each)]) for each in kept]
    )
    fewer = Sample(sample.estimates[kept], sample.replicates[:, kept], [sample.seeds[each] for each in kept], 200)
    found = make_comparisons([less], fewer, ["base"]).pairs["axis", "a", "base"]
    assert found.estimate.luck
    first = [place for place, cell in enumerate(less.others) if cell == ("0",)]
    a, base = (
        numpy.mean([fewer.estimates[place] for place in first if less.groups[place][0] == label])
        for label in ("a", "base")
    )
    assert found.estimate.interval.estimate == pytest.approx(a - base)


def test_trials_that_share_a_trained_stage_are_compared_over_the_seeds_both_have():
    axes = pandas.DataFrame(
        [("base", "0"), ("base", "1"), ("base", "2"), ("a", "1"), ("a", "2")], columns=["axis", "seed"]
    )
    scores = numpy.repeat([[0.2], [0.5], [0.6], [0.6], [0.71]], 50, axis=1)
    sample = sample_of(scores, list(axes["seed"]), 50)
    design = Design(axes, "axis", ["base", "a"], [frozenset([f"trained {seed}"]) for seed in axes["seed"]])
    found = make_comparisons([design], sample, ["base"]).pairs["axis", "a", "base"]
    assert found.estimate.interval.estimate == pytest.approx(0.105)
    assert found.seeds == 2
    assert design.paired


def test_a_declared_equal_spread_is_sharper_and_the_other_p_stands_beside():
    design, sample = studied(gap=0.12, at=1)
    rules = Rules(equal_spread=True)
    own = make_comparisons([design], sample, ["base"]).pairs["axis", "a", "base"]
    pooled = make_comparisons([design], sample, ["base"], rules).pairs["axis", "a", "base"]
    assert pooled.own_spread_p == own.p
    assert pooled.estimate.freedom > own.estimate.freedom
    effect = axis_effects(design, sample, "base", True, rules=rules)[1]
    assert effect.own_spread_p == own.p


def test_a_spread_that_is_given_makes_one_seed_speak_of_methods():
    design, sample = studied(seeds=1, gap=0.3)
    wide, narrow = (
        axis_effects(design, sample, "base", True, rules=Rules(spread=Spread(each)))[1] for each in (0.3, 0.001)
    )
    assert (wide.verdict, narrow.verdict) == (UNCLEAR, BETTER)
    assert wide.difference.high - wide.difference.low > 2 * (narrow.difference.high - narrow.difference.low)


def test_equal_scores_are_equal_for_any_number_of_seeds_and_cells():
    random = numpy.random.default_rng(9)
    for seeds in range(1, 8):
        for cells in (1, 2, 3, 7):
            axes = grid(LABELS, cells, seeds)
            once = (random.uniform(size=(seeds * cells, 37)) < 0.93).astype(float) * random.choice([1.0, 0.3, 2 / 3])
            scores = numpy.tile(once, (3, 1))
            sample = sample_of(scores, list(axes["seed"]), 60)
            design = Design(axes, "axis", LABELS, [frozenset([str(place)]) for place in range(len(axes))])
            made = make_comparisons([design], sample, ["base"], same_answers=lambda one, other: True)
            for found in made.pairs.values():
                assert found.estimate.interval.estimate == 0
                assert found.p == 1
                assert found.same_answers
            assert {each.verdict for each in axis_effects(design, sample, "base", True, made)[1:]} == {SAME}


def test_images_that_do_not_differ_prove_nothing():
    """A thousand images, of which two differ, all seeds alike: signs alone come out so in 2 of 4 ways."""
    axes = grid(["base", "a"], 1, 3)
    scores = numpy.ones((6, 1000))
    scores[:3, :2] = 0
    sums = numpy.stack([scores, numpy.ones_like(scores)], 1)
    free = sample_of(scores, list(axes["seed"]), 300)
    sample = Sample(free.estimates, free.replicates, free.seeds, 1000, (0.0, 1.0), sums)
    found = make_comparisons([Design(axes, "axis", ["base", "a"])], sample, ["base"]).pairs["axis", "a", "base"]
    assert found.p >= 0.5


def test_what_is_called_better_never_has_zero_in_its_interval():
    """Answers lost in every trial, soft scores that move a little, differences at the end of the scale."""
    random = numpy.random.default_rng(6)
    for kind in ("lost", "soft", "end"):
        for number in range(40):
            axes = grid(["base", "a"], 1 + number % 6, 3)
            once = (random.uniform(size=(len(axes) // 2, 300)) < (0.999 if kind == "end" else 0.9)).astype(float)
            scores = numpy.concatenate([once, once])
            if kind == "soft":
                scores = 0.9 * scores + 0.05
                scores[len(once) :] += 0.01 * (random.uniform(size=once.shape) < 0.5)
            else:
                scores[len(once) :, : number % 9] = 0
            sums = numpy.stack([scores, numpy.ones_like(scores)], 1)
            free = sample_of(scores, list(axes["seed"]), 200)
            sample = Sample(free.estimates, free.replicates, free.seeds, 300, (0.0, 1.0), sums)
            effect = axis_effects(Design(axes, "axis", ["base", "a"]), sample, "base", True)[1]
            if effect.verdict in (BETTER, WORSE):
                assert not effect.difference.low <= 0 <= effect.difference.high, (kind, number)


def test_means_go_over_the_cells_that_differences_go_over():
    """One cell with three seeds, in which `a` is ahead; in three of one seed it is far behind."""
    rows = [(label, "0", str(seed)) for label in ("base", "a") for seed in range(3)]
    rows += [(label, str(cell), "0") for label in ("base", "a") for cell in (1, 2, 3)]
    axes = pandas.DataFrame(rows, columns=["axis", "other", "seed"])
    means = numpy.array([0.2, 0.21, 0.22, 0.4, 0.41, 0.45] + [0.7] * 3 + [0.4] * 3)
    sample = sample_of(numpy.repeat(means[:, None], 60, axis=1), list(axes["seed"]), 50)
    design = Design(axes, "axis", ["base", "a"], [frozenset([str(place)]) for place in range(len(axes))])
    base, a = axis_effects(design, sample, "base", True)
    assert (len(design.cells), len(design.all_cells), design.all_of_one_seed) == (1, 4, True)
    assert a.mean.estimate - base.mean.estimate == pytest.approx(a.difference.estimate)
