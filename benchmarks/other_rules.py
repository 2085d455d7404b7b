"""What others make of the same study: each a rule as those of `verdict_rules.py`, for the values of one axis that all
have the same seeds.

pip install evalstats statsmodels

- **rliable** (Agarwal et al. 2021, arXiv:2108.13264): percentile bootstrap over runs, of the difference of means. The
  evaluation is one task, since rliable draws runs anew in every task by itself. Its routine is written out here:
  version 1.2 does not run with pandas 3.
- **statsmodels**' mixed model: a value's effect, a random one of each seed, of each run within it, and of each image.
- **clustered error** (Miller 2024, arXiv:2411.00640): differences of the mean over seeds, image by image.
- **evalstats** 0.3: what it does by itself, and its bootstrap over images and runs within. Images are its items.

Tables are corrected for their comparisons with the baseline: intervals after Bonferroni, p after Holm; evalstats by
what it takes itself. Runs with one seed are compared where a rule can.
"""

from __future__ import annotations

import importlib
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy
import pandas
from scipy import stats
from simulated_studies import AXES, Array, Study
from verdict_rules import TABLE, Claim, Rule

from workbench.statistics.estimates import holm


@dataclass(frozen=True)
class Compared:
    """A difference to the baseline with its 95 % interval, and whether a table tells it."""

    estimate: float
    low: float
    high: float
    real: bool


def rliable(study: Study, resamples: int) -> dict[str, Compared]:
    """As `get_interval_estimates` of two arrays: either's runs are drawn with replacement, by themselves."""
    means, random = _image_means(study).mean(1), numpy.random.default_rng(0)  # [V,K]
    runs = means.shape[1]
    drawn = [each[random.integers(runs, size=(resamples, runs))].mean(1) for each in means]  # V times [B]
    found = {}
    for label, mine, value in zip(study.labels[AXES[0]][1:], drawn[1:], means[1:], strict=True):
        low, high = numpy.quantile(mine - drawn[0], [0.025, 0.975])
        tail = 0.025 / (len(means) - 1)
        least, most = numpy.quantile(mine - drawn[0], [tail, 1 - tail])
        real = bool(least > 0 or most < 0)
        found[label] = Compared(float(value.mean() - means[0].mean()), float(low), float(high), real)
    return found


def mixed_model(study: Study, resamples: int) -> dict[str, Compared]:
    """Restricted maximum likelihood. Every trial has every image, so an image's effect leaves with the image's mean: a
    crossed effect of each image would give the same contrasts, at a hundred times the work. One seed says nothing of
    the variance of runs."""
    if len(set(study.seeds)) < 2:
        return {}
    formula = _installed("statsmodels.formula.api", "statsmodels")
    means = _image_means(study)  # [V,P,K]
    place = numpy.indices(means.shape)
    centred = means - means.mean((0, 2), keepdims=True)
    rows = {"score": 100 * centred.ravel(), "value": place[0].ravel(), "seed": place[2].ravel()}
    model = formula.mixedlm(
        "score ~ C(value)",
        pandas.DataFrame(rows),
        groups="seed",
        re_formula="1",
        vc_formula={"run": "0 + C(value)"},
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a variance of zero is at the edge of what there can be
        fitted = model.fit(reml=True, method=["powell"])  # the others that it has end far from the maximum here
    return _told(study, numpy.asarray(fitted.fe_params)[1:] / 100, numpy.asarray(fitted.bse_fe)[1:] / 100)


def clustered_error(study: Study, resamples: int) -> dict[str, Compared]:
    """Seeds are pooled: what training adds is not in it."""
    means = _image_means(study).mean(2)  # [V,P]
    gaps = means[1:] - means[0]
    return _told(study, gaps.mean(1), gaps.std(1, ddof=1) / math.sqrt(gaps.shape[1]))


def evalstats(study: Study, resamples: int) -> dict[str, Compared]:
    return _evalstats(study, resamples, "auto")


def evalstats_nested(study: Study, resamples: int) -> dict[str, Compared]:
    return _evalstats(study, resamples, "bootstrap")


def _evalstats(study: Study, resamples: int, method: str) -> dict[str, Compared]:
    library = _installed("evalstats", "evalstats")
    labels = study.labels[AXES[0]]
    scores = _image_means(study)[..., None]  # [V,P,K,1]: one evaluator
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = library.BenchmarkResult(scores, labels, [str(image) for image in range(scores.shape[1])])
        bundle = library.analyze(
            result,
            method=method,
            n_bootstrap=resamples,
            rng=numpy.random.default_rng(0),
            p_values=True,
            simultaneous_ci=False,  # intervals of one comparison, as everybody's here; p is corrected
            ci_style="line",
        )
    found = {}
    for label in labels[1:]:
        each = bundle.pairwise.results[labels[0], label]
        found[label] = Compared(-each.point_diff, -each.ci_high, -each.ci_low, each.p_value < 0.05)
    return found


def _image_means(study: Study) -> Array:
    """[V,P,K]: of the first axis's values, over the questions of each image."""
    assert len(study.labels) == 1, "these rules compare the values of one axis"
    labels = study.labels[AXES[0]]
    means = study.sums / study.counts  # [T,P], value by value
    return means.reshape(len(labels), -1, means.shape[1]).swapaxes(1, 2)


def _told(study: Study, estimates: Array, errors: Array) -> dict[str, Compared]:
    """By the normal distribution, as both of these do."""
    chances = [
        2 * float(stats.norm.sf(abs(estimate) / error)) if error > 0 else 1.0
        for estimate, error in zip(estimates, errors, strict=True)
    ]
    reach = stats.norm.ppf(0.975) * errors
    return {
        label: Compared(float(estimate), float(estimate - each), float(estimate + each), p < 0.05)
        for label, estimate, each, p in zip(study.labels[AXES[0]][1:], estimates, reach, holm(chances), strict=True)
    }


def _installed(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise SystemExit(f"pip install {package}: it is one of those that ours is held against ({error})") from error


def _rule(compare: Callable[[Study, int], Mapping[str, Compared]]) -> Rule:
    def claims(study: Study, resamples: int) -> list[Claim]:
        axis, baseline = AXES[0], study.labels[AXES[0]][0]
        return [
            Claim(
                TABLE,
                axis,
                study.difference(axis, label, baseline),
                each.low,
                each.high,
                int(numpy.sign(each.estimate)) if each.real else 0,
            )
            for label, each in compare(study, resamples).items()
        ]

    return claims


OTHERS: dict[str, Rule] = {
    "rliable": _rule(rliable),
    "mixed model": _rule(mixed_model),
    "clustered error": _rule(clustered_error),
    "evalstats": _rule(evalstats),
    "evalstats, nested": _rule(evalstats_nested),
}
