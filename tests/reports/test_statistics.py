"""Intervals cover what they promise, differences are paired, and many comparisons are paid for."""

from __future__ import annotations

import math
from pathlib import Path

import numpy
import pandas
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from tests.made_results import write_results
from workbench.reports.bootstrap import resampled_means
from workbench.reports.design import Design
from workbench.reports.disagreements import disagreements
from workbench.reports.effects import BASELINE, BETTER, NO_RESULT, UNCLEAR, WORSE, axis_effects
from workbench.reports.experiment_results import GAIN
from workbench.reports.interactions import DEPENDS, interactions
from workbench.reports.results_data import read_study
from workbench.reports.statistics import Sample, holm, infer


def sample_of(scores: numpy.ndarray, seeds: list[str] | None = None, resamples: int = 2000) -> Sample:
    """scores [T,P], one question an image."""
    means = resampled_means(scores, numpy.ones_like(scores), resamples)
    return Sample(scores.mean(1), means, seeds or ["0"] * len(scores), scores.shape[1])


def test_the_interval_of_a_mean_is_the_normal_interval_of_the_textbook():
    scores = numpy.random.default_rng(3).normal(0.3, 1.0, (1, 400))
    found = infer(sample_of(scores, resamples=20_000), numpy.ones(1), ["only"])
    error = scores.std() / math.sqrt(400)
    assert found.error == pytest.approx(error, rel=0.02)
    assert found.interval.low == pytest.approx(scores.mean() - 1.96 * error, abs=0.05 * error)
    assert found.interval.high == pytest.approx(scores.mean() + 1.96 * error, abs=0.05 * error)
    assert found.p == pytest.approx(stats.ttest_1samp(scores[0], 0)[1], rel=0.25)


def test_with_seed_noise_alone_the_interval_is_students():
    """Every image scores alike, so only the three seeds differ: the t interval of three numbers."""
    values = numpy.array([0.70, 0.74, 0.69])
    sample = sample_of(numpy.repeat(values[:, None], 50, axis=1), ["0", "1", "2"], resamples=50_000)
    found = infer(sample, numpy.full(3, 1 / 3), ["cell"] * 3)
    low, high = stats.t.interval(0.95, 2, loc=values.mean(), scale=stats.sem(values))
    assert found.interval.low == pytest.approx(low, abs=0.002)
    assert found.interval.high == pytest.approx(high, abs=0.002)
    assert found.p == pytest.approx(stats.ttest_1samp(values, 0)[1], rel=1e-6)


def test_questions_of_one_image_are_not_counted_as_independent():
    """Ten equal questions an image say no more than one: the interval must not shrink."""
    scores = (numpy.random.default_rng(1).uniform(size=(1, 200)) < 0.7).astype(float)
    one = infer(sample_of(scores), numpy.ones(1), ["only"])
    means = resampled_means(10 * scores, numpy.full_like(scores, 10))
    ten = infer(Sample(scores.mean(1), means, ["0"], 200), numpy.ones(1), ["only"])
    assert ten.error == pytest.approx(one.error)


def test_images_with_more_questions_weigh_more():
    sums, counts = numpy.array([[3.0, 0.0]]), numpy.array([[3.0, 1.0]])
    means = resampled_means(sums, counts, 500)
    assert set(numpy.round(means[:, 0], 6)) == {0.0, 0.75, 1.0}


def test_what_is_hard_for_both_cancels_in_a_paired_difference():
    random = numpy.random.default_rng(5)
    hard = random.normal(size=300)
    sample = sample_of(numpy.stack([hard, hard + 0.05 + 0.1 * random.normal(size=300)]))
    alone = infer(sample, numpy.array([0.0, 1.0]), ["a", "b"])
    paired = infer(sample, numpy.array([-1.0, 1.0]), ["a", "b"])
    assert paired.error < alone.error / 5
    assert paired.p < 0.001


def test_resamples_are_the_same_each_time():
    sums = numpy.random.default_rng(0).uniform(size=(2, 30))
    assert numpy.array_equal(resampled_means(sums, numpy.ones_like(sums)), resampled_means(sums, numpy.ones_like(sums)))


@pytest.mark.parametrize("seeds", [1, 3])
def test_intervals_cover_the_truth_about_95_times_in_100(seeds: int):
    """Simulated studies whose truth is known; with seeds, their noise is as large as that of the images."""
    random = numpy.random.default_rng(11 + seeds)
    studies, images, covered = 400, 100, 0
    for _ in range(studies):
        hard = random.normal(size=images)
        luck = random.normal(size=(seeds, 1)) * (0.1 if seeds > 1 else 0.0)
        scores = hard + luck + 0.3 * random.normal(size=(seeds, images))
        names = [str(each) for each in range(seeds)]
        interval = infer(sample_of(scores, names, 300), numpy.full(seeds, 1 / seeds), ["cell"] * seeds).interval
        covered += interval.low <= 0 <= interval.high
    assert 0.92 <= covered / studies <= 0.99


@pytest.mark.parametrize("seeds", [2, 5])
def test_seeds_that_agree_by_luck_prove_nothing(seeds: int):
    """Studies of two equal values. The luck of a seed is five times that of the images; in a few studies the seeds
    happen to agree, and nothing but the images would seem to be uncertain."""
    random = numpy.random.default_rng(seeds)
    studies, ps, covered = 3000, [], 0
    weights = numpy.repeat([1 / seeds, -1 / seeds], seeds)
    names, groups = [str(each) for each in range(seeds)] * 2, ["one"] * seeds + ["other"] * seeds
    for _ in range(studies):
        luck = numpy.concatenate([5 * random.normal(size=seeds), numpy.zeros(seeds)]) + random.normal() * (weights > 0)
        images = random.normal(size=(100, 1)) * (weights > 0)
        found = infer(Sample(luck, luck + images, names, 1000), weights, groups)
        ps.append(found.p)
        covered += found.interval.low <= 0 <= found.interval.high
    assert 0.93 <= covered / studies <= 0.97
    for level in (0.05, 0.01, 0.001):
        assert sum(p < level for p in ps) <= studies * level + 3 * math.sqrt(studies * level)


@pytest.mark.parametrize("values", [[0.01, 0.04, 0.03, 0.005], [0.5], [0.2, 0.2, 0.9], [0.04, 0.001, 0.6, 0.02, 0.02]])
def test_holm_agrees_with_statsmodels(values: list[float]):
    assert holm(values) == pytest.approx(multipletests(values, method="holm")[1])


def test_a_comparison_that_could_not_be_made_is_not_paid_for():
    found = holm([math.nan, 0.01, 0.03])
    assert math.isnan(found[0])
    assert found[1:] == pytest.approx([0.02, 0.03])


def grid(labels: list[str], cells: int, seeds: int = 1) -> pandas.DataFrame:
    rows = [
        {"axis": label, "other": str(cell), "seed": str(seed)}
        for label in labels
        for cell in range(cells)
        for seed in range(seeds)
    ]
    return pandas.DataFrame(rows)


def test_a_true_difference_is_found_and_a_true_zero_is_not():
    random = numpy.random.default_rng(2)
    axes = grid(["base", "same", "up", "down"], cells=2)
    chance = {"base": 0.7, "same": 0.7, "up": 0.8, "down": 0.6}
    need = random.uniform(size=500)
    skill = numpy.array([chance[label] for label in axes["axis"]])
    noise = 0.05 * random.normal(size=(8, 500))
    sample = sample_of((need + noise < skill[:, None]).astype(float))
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
        wrong += any(effect.verdict in (BETTER, WORSE) for effect in axis_effects(design, sample, "base", True))
    assert wrong / 150 < 0.10


def test_equal_answers_are_not_distinguishable():
    scores = numpy.tile((numpy.arange(40) % 3 > 0).astype(float), (2, 1))
    effects = axis_effects(Design(grid(["base", "same"], 1), "axis", ["base", "same"]), sample_of(scores), "base", True)
    assert (effects[1].p, effects[1].verdict) == (1.0, UNCLEAR)


def test_a_handful_of_images_is_never_proof():
    """Always right against always wrong, but on four images: signs alone come out so in 2 of 16 ways."""
    scores = numpy.array([[0.0] * 4, [1.0] * 4])
    effects = axis_effects(Design(grid(["base", "up"], 1), "axis", ["base", "up"]), sample_of(scores), "base", True)
    assert (effects[1].p, effects[1].verdict) == (0.125, UNCLEAR)


def test_an_unbalanced_design_compares_only_the_cells_that_all_values_have():
    """`a` was tried in the easy cell only; over its own cells it would look better than it is."""
    axes = grid(["base", "a"], cells=2).iloc[[0, 1, 2]].reset_index(drop=True)
    scores = numpy.array([[0.9] * 50, [0.5] * 50, [0.9] * 50]) + 0.01 * numpy.random.default_rng(0).normal(size=(3, 50))
    design = Design(axes, "axis", ["base", "a"])
    effects = axis_effects(design, sample_of(scores), "base", True)
    assert effects[0].mean.estimate == pytest.approx(0.9, abs=0.01)
    assert effects[1].verdict == UNCLEAR
    assert (len(design.cells), len(design.all_cells)) == (1, 2)


def test_every_cell_counts_the_same_however_many_seeds_it_has():
    axes = pandas.concat([grid(["base"], 1, seeds=3), pandas.DataFrame([{"axis": "base", "other": "1", "seed": "0"}])])
    design = Design(axes.reset_index(drop=True), "axis", ["base"])
    assert design.weights("base", design.cells).tolist() == pytest.approx([1 / 6, 1 / 6, 1 / 6, 1 / 2])


def two_axes(skills: dict[tuple[str, str], float], images: int, random: numpy.random.Generator, seeds: int = 1):
    """Two axes whose every pair of values has this skill; what is hard for one pair is hard for all."""
    rows = [{"fusion": a, "train": b, "seed": str(seed)} for a, b in skills for seed in range(seeds)]
    axes = pandas.DataFrame(rows)
    need, noise = random.uniform(size=images), 0.05 * random.normal(size=(len(rows), images))
    chances = numpy.array([skill for skill in skills.values() for _ in range(seeds)])
    sample = sample_of((need + noise < chances[:, None]).astype(float), list(axes["seed"]), resamples=400)
    return [Design(axes, name, list(dict.fromkeys(axes[name]))) for name in ("fusion", "train")], sample


def test_a_difference_that_depends_on_another_axis_is_found_and_told_from_both_sides():
    skills = {("a", "frozen"): 0.5, ("a", "lora"): 0.8, ("b", "frozen"): 0.7, ("b", "lora"): 0.8}
    designs, sample = two_axes(skills, 600, numpy.random.default_rng(5), seeds=3)
    one, other = interactions(designs, sample, ["a", "frozen"])
    assert (one.axis, one.value, one.baseline, one.other, one.at, one.reference) == (
        *("fusion", "b", "a"),
        *("train", "lora", "frozen"),
    )
    assert (other.axis, other.value, other.other, other.at) == ("train", "lora", "fusion", "b")
    for found, here, there in ((one, 0.0, 0.2), (other, 0.1, 0.3)):
        assert found.verdict == DEPENDS
        for interval, truth in ((found.here, here), (found.there, there), (found.change, here - there)):
            assert interval.low < truth < interval.high
            assert interval.high - interval.low < 0.2
        assert found.change.estimate == pytest.approx(found.here.estimate - found.there.estimate)
    assert (one.change, one.p) == (other.change, other.p)


def test_differences_that_add_up_are_rarely_said_to_depend_on_each_other():
    random, wrong = numpy.random.default_rng(6), 0
    skills = {("a", "frozen"): 0.4, ("a", "lora"): 0.6, ("b", "frozen"): 0.5, ("b", "lora"): 0.7}
    for _ in range(120):
        designs, sample = two_axes(skills, 100, random)
        wrong += interactions(designs, sample, ["a", "frozen"])[0].verdict == DEPENDS
    assert wrong / 120 < 0.11


def test_a_dependence_is_asked_only_where_both_values_were_tried_with_both_others():
    skills = {("a", "x"): 0.4, ("a", "y"): 0.6, ("b", "x"): 0.5, ("c", "x"): 0.5, ("c", "y"): 0.7}
    designs, sample = two_axes(skills, 50, numpy.random.default_rng(7))
    assert {(each.value, each.at) for each in interactions(designs, sample, ["a", "x"])} == {("c", "y"), ("y", "c")}
    assert interactions(designs[:1], sample, ["a"]) == []


def test_an_interval_stays_within_what_the_metric_can_be():
    """Two seeds far apart: Student's interval alone would leave 0..1, and -1..1 for a difference."""
    axes = grid(["base", "a"], cells=1, seeds=2)
    free = sample_of(numpy.repeat([[0.2], [0.9], [0.1], [0.3]], 30, axis=1), list(axes["seed"]))
    sample = Sample(free.estimates, free.replicates, free.seeds, free.images, (0.0, 1.0))
    effects = axis_effects(Design(axes, "axis", ["base", "a"]), sample, "base", True)
    assert (effects[0].mean.low, effects[0].mean.high) == (0.0, 1.0)
    assert (effects[1].difference.low, effects[1].difference.high) == (-1.0, 1.0)


def test_seeds_that_disagree_widen_the_interval():
    scores = 0.2 * numpy.random.default_rng(4).normal(size=(3, 200))
    names, weights, cell = ["0", "1", "2"], numpy.full(3, 1 / 3), ["cell"] * 3
    calm = infer(sample_of(scores, names), weights, cell)
    wild = infer(sample_of(scores + numpy.array([[-0.2], [0.0], [0.2]]), names), weights, cell)
    assert wild.error > 3 * calm.error


def test_a_study_recomputes_what_the_records_say(tmp_path: Path):
    study = read_study(write_results(tmp_path, images=40), resamples=50)
    assert disagreements(study) == []
    assert study.samples[GAIN].estimates == pytest.approx(study.numbers(GAIN))
    assert study.groups.scores("vqa_accuracy").loc[study.done[0].id, "shape"] == pytest.approx(
        study.done[0].metrics["vqa_accuracy.group.shape"]
    )


def test_a_study_finds_the_differences_that_were_put_in(tmp_path: Path):
    study = read_study(write_results(tmp_path, images=400), resamples=400)
    verdicts = {axis: {each.value: each.verdict for each in study.effects(axis)} for axis in study.compared}
    assert verdicts["encoder"] == {"vit": BASELINE, "clip": BETTER}
    assert verdicts["fusion"] == {"concat_projection": BASELINE, "cross_attention": BETTER, "gated": UNCLEAR}
    assert verdicts["quantizer"] == {"none": BASELINE, "int8": UNCLEAR}


def test_a_gain_needs_a_control_and_takes_the_one_there_is(tmp_path: Path):
    none = read_study(write_results(tmp_path / "a", images=10, conditions=("image",)), resamples=20)
    one = read_study(write_results(tmp_path / "b", images=10, conditions=("image", "shuffled")), resamples=20)
    assert not none.has_gain
    assert one.samples[GAIN].estimates == pytest.approx(
        one.samples["vqa_accuracy"].estimates - one.samples["vqa_accuracy.shuffled"].estimates
    )


def test_trials_that_the_experiment_no_longer_has_are_left_out(tmp_path: Path):
    folder = write_results(tmp_path, images=5)
    write_results(tmp_path / "now", images=5, axes={"quantizer": ["none", "int8"]})
    for name in ("experiment.json", "experiment.yaml"):
        (folder / name).write_text((tmp_path / "now" / "made" / name).read_text())
    study = read_study(folder, resamples=20)
    assert ([record.id for record in study.done], study.strays) == (study.summary.trials, 10)
