"""What a rule is worth in one kind of study: the same studies for every rule, and shares of what each claimed."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import numpy
from other_rules import OTHERS
from simulated_studies import Setting, simulate
from verdict_rules import DEPENDENCE, HEADLINE, MEAN, TABLE, Claim, Rule, baseline_alone, before, equal_spread, ours

OWN: dict[str, Rule] = {
    **{"ours": ours, "baseline alone": baseline_alone, "equal spread": equal_spread, "before": before}
}
RULES = OWN | OTHERS


def measured(setting: Setting, rules: Sequence[str], studies: int, resamples: int) -> list[dict[str, Any]]:
    """What each rule is worth in that setting: all rules see the same studies."""
    claims: dict[str, list[list[Claim]]] = {name: [] for name in rules}
    for number in range(studies):
        study = simulate(setting, numpy.random.default_rng([zlib.crc32(setting.name.encode()), number]))
        for name in rules:
            claims[name].append(RULES[name](study, resamples))
    described = {"setting": setting.name, "parameters": asdict(setting), "studies": studies}
    return [{**described, "rule": name, **figures(found)} for name, found in claims.items()]


def figures(studies: Sequence[Sequence[Claim]]) -> dict[str, float]:
    """Shares of what was claimed of all studies; NaN where nothing of the kind was."""
    told = [claim for claims in studies for claim in claims]
    differences = [claim for claim in told if claim.kind == TABLE and not math.isnan(claim.low)]
    widths = [(claim.high - claim.low) / 2 for claim in differences]
    return {
        "differences": _share(claim.covers for claim in differences),
        "means": _share(claim.covers for claim in told if claim.kind == MEAN and not math.isnan(claim.low)),
        **{kind: _false_families(studies, kind) for kind in (TABLE, HEADLINE, DEPENDENCE)},
        "page": _share(any(claim.false for claim in claims) for claims in studies),
        "power": _found(told, TABLE),
        "dependences found": _found(told, DEPENDENCE),
        "width": 100 * float(numpy.mean(widths)) if widths else math.nan,
    }


def _found(claims: Iterable[Claim], kind: str) -> float:
    """The share of true differences that are told, in the right direction."""
    real = [claim for claim in claims if claim.kind == kind and claim.truth != 0]
    return _share(claim.told == numpy.sign(claim.truth) for claim in real)


def _false_families(studies: Iterable[Sequence[Claim]], kind: str) -> float:
    """The share of tables, or headlines, in which anything is false."""
    false = []
    for claims in studies:
        mine = [claim for claim in claims if claim.kind == kind]
        for family in {claim.family for claim in mine}:
            false.append(any(claim.false for claim in mine if claim.family == family))
    return _share(false)


def _share(found: Iterable[bool]) -> float:
    counted = list(found)
    return sum(map(bool, counted)) / len(counted) if counted else math.nan
