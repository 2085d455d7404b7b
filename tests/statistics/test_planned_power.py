"""What more seeds and images would find, held against simulated studies that have them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy
import pandas
import pytest

from benchmarks.simulated_studies import AXES, Setting, Shares, Study as Simulated, simulate
from workbench.reports.experiment_results import Study
from workbench.reports.pilot import given_parts, own_parts, typical_parts
from workbench.statistics.bootstrap import resampled_means
from workbench.statistics.comparisons import Rules
from workbench.statistics.estimates import Sample
from workbench.statistics.planned_power import ErrorParts, Plan, PlannedAxis
from workbench.statistics.power import Precision, detectable_difference
from workbench.storage.experiment_summary import Summary
from workbench.storage.records import DONE, Record

METRIC = "vqa_accuracy"
ONE_BASE = Shares(image=0.3, question=0.2, seed=0.42, trial=0.03)
UNSHARED = Setting("unshared", values=2, seeds=5, spread=2.0, images=200)
SHARED = Setting("shared", values=2, seeds=5, spread=0.5, shared_spread=2.8, images=200, shares=ONE_BASE)


def study_of(setting: Setting, number: int) -> Study:
    """As read from a results folder: records that say which stages trained them, and samples."""
    made = simulate(setting, numpy.random.default_rng(number))
    scales = {METRIC: {"higher_is_better": True, "percent": True}}
    records = [
        Record(f"{place}", DONE, "made", dict(row), {}, {}, scales, {"trained": sorted(stages)}, None)
        for place, (row, stages) in enumerate(zip(made.axes.to_dict("records"), trained(made), strict=True))
    ]
    axes = {**made.labels, "seed": sorted(set(made.seeds))}
    summary = Summary("made", "which?", axes, {}, [METRIC], [each.id for each in records], "")
    estimates = made.sums.sum(1) / made.counts.sum(1)
    replicates = resampled_means(made.sums, made.counts, 400)
    sums = numpy.stack([made.sums, made.counts], 1)
    sample = Sample(estimates, replicates, made.seeds, setting.images, (0.0, 1.0), sums)
    frame = pandas.DataFrame({"condition": [], "id": [], "answer": []})
    return Study(summary, records, {each.id: frame for each in records}, {}, {METRIC: sample})


def trained(made: Simulated) -> list[frozenset[str]]:
    return [frozenset([seed if made.setting.shared else f"{place}/{seed}"]) for place, seed in enumerate(made.seeds)]


def plan_of(setting: Setting, rules: Rules | None = None) -> Plan:
    made = simulate(replace(setting, images=2), numpy.random.default_rng(0))
    baselines = {axis: labels[0] for axis, labels in made.labels.items()}
    return Plan(made.axes, made.labels, baselines, trained(made), rules or Rules())


def predicted(setting: Setting, number: int, seeds: int, images: int, typical: bool = False) -> float:
    study, [axis, *_] = study_of(setting, number), plan_of(setting).compared
    parts = (typical_parts if typical else own_parts)(study, axis, "there")
    assert parts is not None
    return axis.detectable(parts, seeds, images)


def reported(setting: Setting, number: int) -> float:
    """What the report of such a study itself calls detectable, of all values that are compared."""
    study = study_of(setting, number)
    baseline = study.baseline(AXES[0])
    found = [study.comparisons.pairs[AXES[0], value, baseline] for value in study.summary.axes[AXES[0]][1:]]
    return float(numpy.mean([detectable_difference(each.estimate.precision, each.level) for each in found]))


@pytest.mark.parametrize(("setting", "apart"), [(UNSHARED, 0.15), (SHARED, 1e-6)], ids=["unshared", "shared"])
def test_of_the_study_as_it_is_it_says_what_its_report_says(setting: Setting, apart: float):
    """Where seeds seem to differ by no more than images make them, it says more. The report of unshared values knows
    which of them seems to spread farther; a plan cannot."""
    [axis], alike = plan_of(setting).compared, 0
    for number in range(8):
        parts = own_parts(study_of(setting, number), axis, "there")
        assert parts is not None
        said, report = axis.detectable(replace(parts, share=math.nan), 5, 200), reported(setting, number)
        assert said >= report * (1 - apart)
        assert said == pytest.approx(report, rel=apart) or parts.seeds == 0
        alike += parts.seeds > 0
    assert alike >= 3


@pytest.mark.parametrize("typical", [False, True])
@pytest.mark.parametrize(("setting", "too_large"), [(UNSHARED, 1.12), (SHARED, 1.5)], ids=["unshared", "shared"])
def test_more_seeds_and_images_are_foreseen_as_studies_that_have_them_turn_out(
    setting: Setting, too_large: float, typical: bool
):
    """On average over 40 studies each; too large rather than too small where hardly anything is the seeds' own."""
    larger = replace(setting, seeds=10, images=800)
    foreseen = numpy.mean([predicted(setting, number, 10, 800, typical) for number in range(40)])
    turned_out = numpy.mean([reported(larger, number) for number in range(40)])
    assert 0.9 < foreseen / turned_out < too_large


def test_a_pilot_of_one_configuration_foresees_no_smaller_difference():
    """Of two that would be alike nothing is known but that they may have nothing in common."""
    alone = replace(UNSHARED, values=1)
    [axis] = plan_of(UNSHARED).compared
    found = [typical_parts(study_of(alone, number), axis, "there") for number in range(20)]
    foreseen = numpy.mean([axis.detectable(each, 5, 200) for each in found if each])
    assert foreseen >= numpy.mean([reported(UNSHARED, number) for number in range(20)])


def test_without_two_seeds_or_any_error_results_say_nothing():
    [axis] = plan_of(UNSHARED).compared
    single = study_of(replace(UNSHARED, seeds=1), 0)
    assert own_parts(single, axis, "there") is None
    assert typical_parts(single, axis, "there") is None
    right = study_of(Setting("right", values=2, seeds=3, accuracy=100.0), 0)
    assert own_parts(right, axis, "there") is None


def test_the_plan_knows_levels_cells_and_what_is_shared():
    grid = Setting("grid", values=3, others=(2,), seeds=2)
    plan = plan_of(grid)
    first, second = plan.compared
    assert plan.comparisons == 3 + 1 + 2  # pairs of three values, the pair of two, two dependences
    whole = 0.8 + 0.1 / 2 + 0.1
    assert (first.values, second.values) == (2, 1)
    assert first.level == pytest.approx(0.05 * 0.2 / whole)
    assert second.level == pytest.approx(0.05 * 0.4 / whole)
    assert (first.cells, first.units, first.shared) == (2, 4, False)
    assert (second.cells, second.units, second.shared) == (3, 6, False)
    [pooled, _] = plan_of(grid, Rules(equal_spread=True)).compared
    assert pooled.units == 6
    [paired] = plan_of(SHARED).compared
    assert (paired.units, paired.shared) == (1, True)
    assert plan_of(grid, Rules(correction="table")).compared[1].level == pytest.approx(0.05)


def test_values_that_come_from_one_model_are_a_pair_and_the_others_are_not():
    """Three fusions, each trained once and evaluated in two precisions."""
    rows = [(fusion, kind, seed) for fusion in "abc" for kind in ("none", "int8") for seed in "01"]
    axes = pandas.DataFrame(rows, columns=["fusion", "quantizer", "seed"])
    stages = [frozenset([f"{fusion}/{seed}"]) for fusion, _, seed in rows]
    labels, baselines = {"fusion": list("abc"), "quantizer": ["none", "int8"]}, {"fusion": "a", "quantizer": "none"}
    fusion, quantizer = Plan(axes, labels, baselines, stages, Rules()).compared
    assert (fusion.shared, fusion.units, fusion.cells) == (False, 2, 1)
    assert (quantizer.shared, quantizer.units, quantizer.cells) == (True, 3, 1)


def test_the_fewest_seeds_find_the_difference_and_one_fewer_does_not():
    axis, parts = PlannedAxis("fusion", 1, 0.05, 1, 2, False), ErrorParts(1e-4, 8e-4, 2e-4, 500, 8, "there")
    seeds = axis.seeds_for(0.04, parts, 500)
    assert seeds is not None
    assert axis.detectable(parts, seeds, 500) <= 0.04 < axis.detectable(parts, seeds - 1, 500)
    assert axis.seeds_for(0.01, parts, 500) is None  # images alone allow no less
    assert (axis.seeds_for(0.04, parts, 2000) or 101) <= seeds
    variance = detectable_difference(Precision(1e-4, 1e-3 / 4, 6, 2, 2e-4 / 4, 500), 0.05)
    assert axis.detectable(parts, 4, 500) == pytest.approx(variance)


def test_a_given_spread_counts_as_if_nothing_were_shared_and_images_as_if_they_were_worst():
    parts = given_parts(0.02, 1000, PlannedAxis("fusion", 1, 0.05, 2, 4, False), "the file")
    assert (parts.images, parts.seeds, parts.both) == (0.0005, pytest.approx(0.0004), 0.0)
    assert parts.factors == (1.0, 1.0)


def test_how_far_the_error_of_seeds_may_be_off_is_what_its_degrees_of_freedom_allow():
    low, high = ErrorParts(0.0, 1.0, 0.0, 10, 4, "there").factors
    drawn = numpy.sqrt(numpy.random.default_rng(0).chisquare(4, 100_000) / 4)  # what it is taken for, where it is 1
    assert ((low * drawn < 1) & (high * drawn > 1)).mean() == pytest.approx(0.95, abs=0.005)
