"""Whether what a report calls detectable is: simulated studies in which the truth is just that difference.

python benchmarks/detectable.py [--studies 200]

Of each setting: the detectable difference of the second value against the baseline, on average over studies in which
nothing is apart; then, in as many studies in which those two are truly so far apart (the second worse where they are
above 90 %), how often the report finds it. 80 % is what it says.
"""

from __future__ import annotations

import argparse
import math
import zlib
from dataclasses import replace

import numpy
from coverage_settings import ALIKE
from simulated_studies import Setting, Study, simulate
from verdict_rules import comparisons_of

from workbench.statistics.effects import Effect, axis_effects
from workbench.statistics.verdicts import BETTER, WORSE

STUDIES, RESAMPLES = 200, 400
SETTINGS = (
    Setting("2 values, 5 seeds, sd 2.8", values=2, seeds=5, spread=2.8),
    Setting("2 values, 3 seeds, sd 2.8", values=2, seeds=3, spread=2.8),
    Setting("4 values, 3 seeds, sd 2.8", values=4, seeds=3, spread=2.8),
    Setting("4 values, 5 seeds, sd 1.0, 1000 images", values=4, seeds=5, spread=1.0, images=1000),
    Setting("2 values, 3 seeds, sd 0.3", values=2, seeds=3, spread=0.3),
    Setting("2 values, 5 seeds, sd 2.8 shared, 0.3 own", 2, seeds=5, spread=0.3, shared_spread=2.8, shares=ALIKE),
    Setting("2 values, 5 seeds, sd 1.0, 5000 images", values=2, seeds=5, spread=1.0, images=5000),
    Setting("2 x 3 x 2, 3 seeds, sd 1", values=2, others=(3, 2), seeds=3, spread=1.0),
    Setting("2 values, 3 seeds, 98 %, sd 0", values=2, seeds=3, accuracy=98.0),
    Setting("2 values, 3 seeds, 98 %, sd 0, 1000 images", values=2, seeds=3, accuracy=98.0, images=1000),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=STUDIES)
    parser.add_argument("--resamples", type=int, default=RESAMPLES)
    parser.add_argument("--only", default="", help="settings whose name has this text")
    chosen = parser.parse_args()
    print(f"{chosen.studies} studies of each setting, {chosen.resamples} resamples")
    print("| setting | detectable, points | found, % |\n| --- | ---: | ---: |")
    for setting in SETTINGS:
        if chosen.only in setting.name:
            points, found = measured(setting, chosen.studies, chosen.resamples)
            print(f"| {setting.name} | {points:.2f} | {100 * found:.0f} |", flush=True)


def measured(setting: Setting, studies: int, resamples: int) -> tuple[float, float]:
    """(points that are called detectable, on average; the share of studies that find a difference of as many)."""
    alike = [_effect(study, resamples) for study in _studies(setting, studies)]
    points = 100 * float(numpy.mean([each.detectable for each in alike if math.isfinite(each.detectable)]))
    sign = -1 if setting.accuracy > 90 else 1
    apart = replace(setting, name=f"{setting.name}, apart", apart=(0.0, sign * points))
    told = [_effect(study, resamples).verdict for study in _studies(apart, studies)]
    return points, told.count(BETTER if sign > 0 else WORSE) / studies


def _studies(setting: Setting, count: int) -> list[Study]:
    name = zlib.crc32(setting.name.encode())
    return [simulate(setting, numpy.random.default_rng([name, number])) for number in range(count)]


def _effect(study: Study, resamples: int) -> Effect:
    """The second value against the baseline, as the report's table has it."""
    (design, *_), sample, made = comparisons_of(study, resamples)
    return axis_effects(design, sample, design.labels[0], True, made)[1]


if __name__ == "__main__":
    main()
