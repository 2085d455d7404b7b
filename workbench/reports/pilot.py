"""What results that are there say of the error of a difference in a study that is planned.

Of the experiment's own results that is the error of its own comparisons. Another experiment's differences are averaged
otherwise, so of a pilot it is the error of a difference of two configurations: where the plan shares no trained stage,
what seeds do to each is added up, and shrinks with the cells that are averaged; what images do is held not to, and
neither is anything where stages are shared, which makes it too large rather than too small.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from itertools import combinations, islice

import numpy

from workbench.reports.experiment_results import Study
from workbench.statistics.bootstrap import Array
from workbench.statistics.comparisons import Comparison
from workbench.statistics.design import Design
from workbench.statistics.estimates import SHARE, Estimate, Sample, estimate_of
from workbench.statistics.planned_power import ErrorParts, PlannedAxis
from workbench.statistics.power import Precision
from workbench.statistics.seed_noise import ENOUGH

MOST_PAIRS = 200  # of configurations of a pilot: more make the average no better
Known = tuple[Precision, int]  # with the seeds that it was seen over


def own_parts(study: Study, planned: PlannedAxis, source: str) -> ErrorParts | None:
    """Of the experiment's own comparisons along that axis; None where none covers the luck of training."""
    if study.primary not in study.samples or planned.axis not in study.compared:
        return None
    baseline, pairs = study.baseline(planned.axis), study.comparisons.pairs
    found = [each for (axis, _, against), each in pairs.items() if (axis, against) == (planned.axis, baseline)]
    known = [(each.estimate.precision, each.seeds) for each in found if each.estimate.luck]
    if not known:
        return None
    means = [each.mean.estimate for each in study.effects(planned.axis) if not math.isnan(each.mean.estimate)]
    freedom = _freedom_of_own(study, planned, [each for each in found if each.estimate.luck])
    return _parts(study.samples[study.primary], known, known, freedom, source, float(numpy.mean(means)))


def typical_parts(study: Study, planned: PlannedAxis, source: str) -> ErrorParts | None:
    """Of a difference of any two configurations of a pilot; None where none has two seeds."""
    sample = study.samples.get(study.primary)
    if sample is None:
        return None
    design = Design(study.axes, "", (), study.trained)
    places: dict[Hashable, list[int]] = {}
    for place, configuration in enumerate(design.configurations):
        if not math.isnan(sample.estimates[place]):
            places.setdefault(configuration, []).append(place)
    places = {each: own for each, own in places.items() if len({sample.seeds[place] for place in own}) >= ENOUGH}
    if not places:
        return None
    mean = float(numpy.mean([sample.estimates[place] for own in places.values() for place in own]))
    alike = _pairs(design, sample, list(places.values()), same_stratum=True)
    if planned.shared and alike and study.trained is not None:
        freedom = sum(seeds - 1 for _, seeds in alike) / len(alike) * max(1, len(places) - 1)
        return _parts(sample, alike, alike, freedom, source, mean)
    single = [_known(design, sample, [(own, 1.0)]) for own in places.values()]
    apart = [*alike, *_pairs(design, sample, list(places.values()), same_stratum=False)]
    freedom = float(sum(seeds - 1 for _, seeds in single))
    return _parts(sample, apart, single, freedom, source, mean, 2 / planned.cells, 1 if apart else 2)


def _freedom_of_own(study: Study, planned: PlannedAxis, found: Sequence[Comparison]) -> float:
    """That the pooled error of the seeds rests on: of pairs that share stages each has its own, else each configuration
    does."""
    seeds = min(each.seeds for each in found)
    if seeds < ENOUGH:
        return study.spread.freedom if study.spread else math.inf
    return float((seeds - 1) * (len(found) if planned.shared else (len(found) + 1) * max(1, round(planned.cells))))


def _pairs(design: Design, sample: Sample, places: Sequence[list[int]], same_stratum: bool) -> list[Known]:
    """Differences of two configurations, over the seeds both have where they share trained stages."""
    found = []
    for one, other in islice(combinations(places, 2), MOST_PAIRS):
        if (design.strata[one[0]] == design.strata[other[0]]) != same_stratum:
            continue
        if same_stratum:
            both = {sample.seeds[place] for place in one} & {sample.seeds[place] for place in other}
            one, other = ([place for place in own if sample.seeds[place] in both] for own in (one, other))
            if len(both) < ENOUGH:
                continue
        found.append(_known(design, sample, [(one, 1.0), (other, -1.0)]))
    return found


def _known(design: Design, sample: Sample, sides: Sequence[tuple[list[int], float]]) -> Known:
    weights: Array = numpy.zeros(len(sample.estimates))
    for places, factor in sides:
        weights[places] = factor / len(places)
    found: Estimate = estimate_of(sample, weights, design.configurations, design.strata)
    return found.precision, min(len(places) for places, _ in sides)


def _parts(
    sample: Sample,
    of_images: Sequence[Known],
    of_seeds: Sequence[Known],
    freedom: float,
    source: str,
    mean: float,
    times_seeds: float = 1.0,
    times_images: float = 1.0,
) -> ErrorParts | None:
    """Averages of the variances; what image and seed do together is taken out of what seeds do. None where there is no
    error at all, as where every answer is wrong: that says nothing of other models."""
    together = float(numpy.mean([seeds * each.from_seeds for each, seeds in of_seeds]))
    both = float(numpy.mean([seeds * each.from_both for each, seeds in of_seeds]))
    images = float(numpy.mean([each.from_images for each, _ in of_images or of_seeds]))
    if together + images == 0:
        return None
    steps = [each.step for each, _ in of_images if not math.isnan(each.step)]
    return ErrorParts(
        images=times_images * images,
        seeds=times_seeds * max(0.0, together - both),
        both=times_seeds * both,
        count=sample.images,
        freedom=freedom,
        source=source,
        step=float(numpy.mean(steps)) if steps else math.nan,
        share=mean if sample.limits == SHARE else math.nan,
        most=sample.limits[1] - sample.limits[0],
    )


def given_parts(deviation: float, images: int, planned: PlannedAxis, source: str) -> ErrorParts:
    """Of a spread between seeds that is given, for shares: as if nothing were shared, and with the largest error that
    so many images can give a difference of two shares."""
    return ErrorParts(0.5 / images, 2 * deviation**2 / planned.cells, 0.0, images, math.inf, source, most=1.0)
