"""What would have been found: the noncentral t distribution where it is exact, else simulation, and words."""

from __future__ import annotations

import importlib
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pytest
from scipy import stats

from benchmarks.simulated_studies import Setting, Shares
from tests.made_results import write_results
from workbench.reports.findings import finding
from workbench.reports.results_data import Study, read_study
from workbench.reports.tables import axis_table
from workbench.statistics.comparisons import Rules, make_comparisons
from workbench.statistics.power import Precision, detectable_difference
from workbench.statistics.verdicts import UNCLEAR

ROOT = Path(__file__).parents[2]
ONE_BASE = Shares(image=0.3, question=0.2, seed=0.42, trial=0.03)


@pytest.fixture(scope="module")
def three_seeds(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return read_study(write_results(tmp_path_factory.mktemp("power"), images=40, seeds=(0, 1, 2)), resamples=200)


@pytest.mark.parametrize("freedom", [1, 2, 4, 18])
@pytest.mark.parametrize("level", [0.05, 0.0148])
def test_with_seeds_alone_four_of_five_studies_pass_by_the_noncentral_t_distribution(freedom: int, level: float):
    found = detectable_difference(Precision(0.0, 0.02**2, freedom), level)
    bound = stats.t.isf(level / 2, freedom)
    assert stats.nct.sf(bound, freedom, found / 0.02) == pytest.approx(0.8, abs=0.002)


def test_with_images_alone_it_is_that_of_as_many_degrees_of_freedom_as_images():
    found = detectable_difference(Precision(0.01**2, images=30), 0.05)
    assert stats.nct.sf(stats.t.isf(0.025, 29), 29, found / 0.01) == pytest.approx(0.8, abs=1e-6)
    many = detectable_difference(Precision(0.01**2, images=1_000_000), 0.05)
    assert many == pytest.approx(0.01 * (stats.norm.isf(0.025) + stats.norm.isf(0.2)), rel=1e-4)


def test_with_both_it_is_what_drawn_studies_pass():
    """Estimates and their errors drawn, and asked of as `statistics.py` asks."""
    known, level, draws = Precision(0.01**2, 0.02**2, 4, images=500), 0.0148, 200_000
    random, apart = numpy.random.default_rng(0), detectable_difference(known, level)
    estimates = apart + known.error * random.standard_normal(draws)
    seeds = known.from_seeds * random.chisquare(4, draws) / 4
    both = known.from_images + seeds
    freedom = both**2 / (known.from_images**2 / 499 + seeds**2 / 4)
    passed = (2 * stats.t.sf(estimates / numpy.sqrt(both), freedom) < level) & (
        2 * stats.t.sf(estimates / numpy.sqrt(seeds), 4) < level
    )
    assert passed.mean() == pytest.approx(0.8, abs=0.005)


def test_of_two_that_spread_alike_it_is_what_drawn_studies_pass_by_welchs_test():
    """Two values of three seeds: degrees of freedom are between 2 and 4, by how unlike their spreads seem."""
    apart = detectable_difference(Precision(0.0, 1.0, 4, 2), 0.05)
    drawn = numpy.random.default_rng(0).standard_normal((2, 100_000, 3)) * math.sqrt(3 / 2)
    _, p = stats.ttest_ind(drawn[0] + apart, drawn[1], axis=1, equal_var=False)
    assert (numpy.asarray(p) < 0.05).mean() == pytest.approx(0.8, abs=0.01)
    assert (
        detectable_difference(Precision(0.0, 1.0, 4), 0.05)
        < apart
        < detectable_difference(Precision(0.0, 1.0, 2), 0.05)
    )


def test_few_images_that_differ_never_show_a_smaller_difference_than_p_lets_them():
    """At 5 %, 6 images have to differ: 2 of 2^6 is the first p below it."""
    tiny = Precision(1e-9, images=200, step=1.0)
    found = detectable_difference(tiny, 0.05)
    assert stats.binom.sf(5, 200, found) == pytest.approx(0.8, abs=1e-6)
    assert detectable_difference(replace(tiny, images=5), 0.05) == math.inf


def test_near_the_end_of_the_scale_a_difference_is_the_harder_to_find_the_nearer():
    middle, near, end = (
        detectable_difference(Precision(0.01**2, images=500, share=share), 0.05) for share in (0.5, 0.9, 0.98)
    )
    assert middle == pytest.approx(detectable_difference(Precision(0.01**2, images=500), 0.05))
    assert middle < near < end
    assert end == pytest.approx(detectable_difference(Precision(0.01**2, images=500, share=0.02), 0.05))


def test_what_no_possible_difference_reaches_is_infinite_and_without_an_error_nothing_is_known():
    two_seeds = Precision(0.0, 0.05**2, 1, most=1.0)
    assert detectable_difference(two_seeds, 0.0148) == math.inf
    assert detectable_difference(replace(two_seeds, most=math.inf), 0.0148) > 1
    assert math.isnan(detectable_difference(Precision(0.0), 0.05))
    assert math.isnan(detectable_difference(Precision(math.nan), 0.05))
    assert math.isnan(detectable_difference(Precision(0.01), math.nan))


def test_levels_are_shares_of_one_in_twenty_by_report_or_by_table(three_seeds: Study):
    baselines = [three_seeds.baseline(axis) for axis in three_seeds.compared]
    designs, sample = list(three_seeds.designs.values()), three_seeds.samples["vqa_accuracy"]
    made = three_seeds.comparisons
    own = {frozenset(key[1:]): each.level for key, each in made.pairs.items()}
    dependences = 0.1 / (0.8 + 0.1 / 3 + 0.1)  # two axes of three have two values: no pair without the baseline
    assert sum(own.values()) == pytest.approx(0.05 * (1 - dependences))
    assert made.pairs["encoder", "clip", "vit"].level == pytest.approx(0.05 * (0.8 / 3) / (0.8 + 0.1 / 3 + 0.1))
    by_table = make_comparisons(designs, sample, baselines, Rules(correction="table"))
    assert by_table.pairs["encoder", "clip", "vit"].level == pytest.approx(0.05)


def test_whatever_cannot_be_told_is_smaller_than_what_would_be_found(three_seeds: Study):
    told = [each for axis in three_seeds.compared for each in three_seeds.effects(axis)]
    unclear = [each for each in told if each.verdict == UNCLEAR]
    assert unclear
    assert all(abs(each.difference.estimate) < each.detectable for each in unclear)
    assert all(math.isnan(each.detectable) for each in told if each.verdict != UNCLEAR)


def test_the_table_and_the_sentence_say_what_would_be_found(three_seeds: Study):
    table = axis_table(three_seeds, "quantizer")
    column = next(each for each in table.columns if each.key == "detectable")
    [row] = [each for each in table.rows if each["verdict"] == UNCLEAR]
    assert (column.heading, column.unit) == ("would be found from", "points")
    assert 0 < row["detectable"] < 0.5
    told = (
        f"A true difference of {column.show(row['detectable'])} points would be told in 80 of 100 studies of this size"
    )
    assert told in finding(three_seeds, "quantizer").details
    assert "studies of this size, a smaller less often" in " ".join(table.notes)


def test_with_one_seed_it_is_said_to_be_about_the_trained_models(tmp_path: Path):
    study = read_study(write_results(tmp_path, images=40), resamples=200)
    table = axis_table(study, "quantizer")
    assert "How far another seed would move them is not in it" in " ".join(table.notes)
    assert "in 80 of 100 studies of this size of these trained models" in finding(study, "quantizer").details


@pytest.mark.parametrize(
    "setting",
    [
        Setting("5 seeds, nothing shared", values=2, seeds=5, spread=2.8),
        Setting("one base", values=2, seeds=5, spread=0.3, shared_spread=2.8, shares=ONE_BASE),
        Setting("many images", values=2, seeds=5, spread=1.0, images=2000),
    ],
    ids=lambda setting: setting.name,
)
def test_a_difference_that_is_called_detectable_is_found_in_four_of_five_simulated_studies(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
):
    """100 studies: between 70 and 90 of them."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    measured: Any = importlib.import_module("detectable").measured
    points, found = measured(setting, 100, 200)
    assert 0 < points < 20
    assert 0.7 <= found <= 0.9
