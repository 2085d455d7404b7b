"""What a report says of costs: how much more or less of memory and time a value of an axis takes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from workbench.reports.experiment_results import Study
from workbench.reports.number_format import megabytes, significant
from workbench.reports.wording import joined
from workbench.statistics.effects import Effect

NOTICEABLE, LARGE = 0.05, 0.1  # shares by which a cost changes: less is left out of the details, and of the answer


PRICES = (
    ("bytes", "bytes", megabytes, "MB"),
    ("latency_ms", "latency", significant, "ms"),
    ("training_seconds", "training time", significant, "s"),
)
OF_THE_MACHINE = ("latency_ms", "token_latency_ms", "training_seconds")


def price(study: Study, axis: str, effects: Sequence[Effect], least: float, briefly: bool = False) -> str:
    """What each value costs against the baseline, where that differs by at least that share, over the combinations of
    other axes in which both were tried."""
    baseline, parts = study.baseline(axis), []
    for effect in effects:
        if effect.value == baseline or not effect.trials:
            continue
        changes = []
        for name, words, show, unit in PRICES:
            if name in OF_THE_MACHINE and len(study.machines) > 1:
                continue
            cost, before = (study.cost(axis, *pair) for pair in _both(effect.value, baseline, name))
            if math.isnan(cost) or not before > 0 or abs(cost / before - 1) < least:
                continue
            if are_apart(*(cost_range(study, axis, *pair) for pair in _both(effect.value, baseline, name))):
                times = f"{significant(cost / before, 2)} {'times' if cost > before else 'of'} the {words}"
                told = [] if briefly else [f"{show(cost)} rather than {show(before)} {unit}"]
                told += filter(None, [_written(study, axis, effect.value) if name == "latency_ms" else ""])
                changes.append(f"{times} ({', '.join(told)})" if told else times)
        if changes:
            parts.append(f"{effect.value} takes {joined(changes)} of {baseline}")
    return "; ".join(parts)


def _both(value: str, baseline: str, name: str) -> tuple[tuple[str, str, str], tuple[str, str, str]]:
    """What `Study.cost` is asked of two values, each beside the other."""
    return (value, name, baseline), (baseline, name, value)


def _written(study: Study, axis: str, value: str) -> str:
    """How much longer or shorter the answers of a value are than the baseline's, where they are by a tenth or more: one
    that writes more is slower an answer and, as it reads its image once for all tokens, faster a token."""
    tokens, before = (study.cost(axis, *pair) for pair in _both(value, study.baseline(axis), "generated_tokens"))
    if math.isnan(tokens) or not before > 0 or abs(tokens / before - 1) < LARGE:
        return ""
    return f"for {significant(tokens / before, 2)} {'times' if tokens > before else 'of'} the tokens"


def are_apart(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether a cost of two values differs by more than what other programs may have made of it."""
    return one[1] < other[0] or other[1] < one[0]


def cost_range(study: Study, axis: str, value: str, name: str, *others: str) -> tuple[float, float]:
    """What a cost may be without the load of other programs, where that was measured: the lowest and the highest;
    `others` as in `Study.cost`."""
    known = [study.cost(axis, value, each, *others) for each in (f"{name}.lowest", name, f"{name}.highest")]
    return min(each for each in known if not math.isnan(each)), max(each for each in known if not math.isnan(each))
