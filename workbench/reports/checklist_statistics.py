"""The checklist's item on statistical significance: what intervals are, what they cover, and what they rest on."""

from __future__ import annotations

import math
from collections.abc import Sequence

from workbench.reports.checklist_points import NEEDLESS, NO, PARTLY, YES, Point
from workbench.reports.correction_notes import corrected_for
from workbench.reports.experiment_results import Study
from workbench.reports.seed_notes import covered
from workbench.reports.wording import joined, spoken
from workbench.statistics.effects import Effect
from workbench.statistics.estimates import SHARE
from workbench.statistics.verdicts import BASELINE, NO_RESULT


def significance(study: Study) -> list[Point]:
    """Whether there are error bars, and everything a reader has to know to read them."""
    if study.primary not in study.samples:
        return [Point("error bars", NO, [f"No trial has answers scored by {spoken(study.primary)}."])]
    effects = [each for axis in study.compared for each in study.effects(axis)]
    compared = [each for each in effects if each.verdict not in (BASELINE, NO_RESULT)]
    points = [_bars(), _captured(study, compared), _computed(study), _assumptions(study), _bounds(study)]
    return [*points, _tests(study, compared)]


def _bars() -> Point:
    told = (
        "95 % intervals beside scores and differences in tables and plots: neither standard deviations nor standard"
        " errors. Times, sizes and calibration have none."
    )
    return Point("error bars", YES, [told])


def _captured(study: Study, compared: Sequence[Effect]) -> Point:
    asked = "what variability they capture"
    never = "Not covered: other training data, another split of the data, other settings than those compared."
    if not compared:
        told = ["The interval of a trial covers the choice of questions alone."]
        told += ["Scores of several seeds stand side by side."] if len(study.seeds) > 1 else []
        return Point(asked, PARTLY, [*told, never])
    whole = bool(compared) and all(each.luck for each in compared)
    single = "Of single trials in tables and plots the interval covers the choice of questions alone."
    return Point(asked, YES if whole else PARTLY, [covered(study), *([single] if whole else []), never])


def _computed(study: Study) -> Point:
    resamples = len(study.samples[study.primary].replicates)
    told = [f"{resamples:,} bootstrap resamples of whole images, the same for all trials."]
    if len(study.seeds) > 1 and study.compared:
        told.append("Of means and differences the spread between seeds is added, with Student's t for few seeds.")
    return Point("how they were computed", YES, told)


def _assumptions(study: Study) -> Point:
    told = ["Images are independent draws of those one wants to speak of; questions about one image may hang together."]
    if len(study.seeds) > 1 and study.compared:
        told.append("What seeds do is normally distributed: with few seeds nobody can check that.")
    return Point("what they assume", YES, told)


def _bounds(study: Study) -> Point:
    """Whether intervals leave the range of a metric, as symmetric ones do near its ends."""
    shares = [name for name in study.summary.metrics if name in study.samples and study.samples[name].limits == SHARE]
    others = [name for name in study.summary.metrics if name in study.samples and name not in shares]
    told = []
    if shares:
        told.append(
            f"Intervals of {joined([spoken(each) for each in shares])} are those of Clopper and Pearson: asymmetric,"
            " and within 0 and 100 %. Those of differences stay within what a difference can be."
        )
    if others:
        told.append(
            f"Intervals of {joined([spoken(each) for each in others])} are held within no limits: none are on record."
        )
    return Point("asymmetric near the ends of the scale", PARTLY if others else YES, told)


def _tests(study: Study, compared: Sequence[Effect]) -> Point:
    asked = "tests, and their number"
    if not compared:
        return Point(asked, NEEDLESS, ["No two values were compared."])
    if all(math.isnan(each.p) for each in compared):
        told = "No p is given of methods, since there is one seed to compare: verdicts are about the trained models"
        return Point(asked, PARTLY, [f"{told}, {corrected_for(study)}."])
    return Point(asked, YES, [f"p values are two-sided and {corrected_for(study)}."])
