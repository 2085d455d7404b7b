"""What was set to make the variants of an experiment alike, and how near that came: for the page, and for a plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from workbench.reports.number_format import duration, share, significant
from workbench.reports.wording import joined

MOST = 12  # variants that a sentence names one by one
OPERATIONS = (("PFLOPs", 1e15), ("TFLOPs", 1e12), ("GFLOPs", 1e9), ("MFLOPs", 1e6))
Told = Mapping[str, Any]  # one of `Summary.matched`


def match_sentences(matched: Sequence[Told]) -> list[str]:
    """By what variants were matched, how near all came, and what was set where; a sentence for each quantity."""
    return [_sentence(by, [each for each in matched if each["by"] == by]) for by in _quantities(matched)]


def match_lines(matched: Sequence[Told]) -> Iterator[str]:
    """What was set and what it came to, a line for each variant."""
    for by in _quantities(matched):
        for each in [each for each in matched if each["by"] == by]:
            set_to = ", ".join(f"{name}={value}" for name, value in each["settings"].items()) or "as it is written"
            yield f"matched by {by}: {_variant(each)}: {set_to}, {_amount(by, each['reached'])} ({_apart(each)})"


def _quantities(matched: Sequence[Told]) -> list[str]:
    return list(dict.fromkeys(each["by"] for each in matched))


def _sentence(by: str, matched: Sequence[Told]) -> str:
    widest = max(abs(_deviation(each)) for each in matched)
    near = f"within {share(widest)} % of" if widest else "exactly at"
    told = f"Variants were matched by {by}: all are {near} the baseline's {_amount(by, matched[0]['aimed'])}"
    where: dict[str, list[str]] = {}
    for each in matched:
        for name, value in each["settings"].items():
            where.setdefault(f"{name}={value}", []).append(f"{_variant(each)} ({_apart(each)})")
    if not where:
        return f"{told}, as they are written."
    parts = [f"{setting} in {joined(variants)}" for setting, variants in list(where.items())[:MOST]]
    more = f"; {len(where) - MOST} more stand in experiment.json" if len(where) > MOST else ""
    return f"{told}. Set for that: {'; '.join(parts)}{more}."


def _variant(each: Told) -> str:
    return ", ".join(each["axes"].values()) or "every trial"


def _apart(each: Told) -> str:
    deviation = _deviation(each)
    return f"{share(abs(deviation))} % {'more' if deviation > 0 else 'less'}" if deviation else "equal"


def _deviation(each: Told) -> float:
    return each["reached"] / each["aimed"] - 1


def _amount(by: str, value: float) -> str:
    """As `1,368,192 parameters`, `4.81 TFLOPs of training`, `41 s of training, as measured once`."""
    if by == "parameters":
        return f"{value:,} parameters"
    if by == "time":
        return f"{duration(value)} of training, as measured once"
    unit, size = next((each for each in OPERATIONS if value >= each[1]), OPERATIONS[-1])
    return f"{significant(value / size)} {unit} of training"
