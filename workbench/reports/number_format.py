"""How numbers are written for people: honest digits, units, and a dash where there is nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from workbench.reports.results_data import Scale
from workbench.reports.statistics import Interval

NOTHING = "–"
ABBREVIATIONS = {"vqa": "VQA", "bleu": "BLEU", "cider": "CIDEr", "anls": "ANLS"}
MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Notation:
    """How one metric is written: shares as percent, their differences as points, others as they are."""

    name: str
    scale: Scale
    decimals: int

    @property
    def unit(self) -> str:
        """`%`, or nothing."""
        return "%" if self.scale.percent else ""

    @property
    def difference_unit(self) -> str:
        """`points`, or nothing."""
        return "points" if self.scale.percent else ""

    @property
    def words(self) -> str:
        """The metric's name as words."""
        return spoken(self.name)

    def value(self, value: float) -> str:
        """As `93.2`."""
        return fixed(self._scaled(value), self.decimals)

    def bounds(self, interval: Interval) -> str:
        """As `92.5 to 93.9`."""
        if math.isnan(interval.low):
            return NOTHING
        return f"{self.value(interval.low)} to {self.value(interval.high)}"

    def interval(self, interval: Interval) -> str:
        """As `93.2 [92.5, 93.9]`."""
        low, high = self.value(interval.low), self.value(interval.high)
        return self.value(interval.estimate) + ("" if math.isnan(interval.low) else f" [{low}, {high}]")

    def difference(self, interval: Interval) -> str:
        """As `+0.7 [+0.1, +1.3]`."""
        notation = self.for_gap(interval)
        parts = [notation.signed(each) for each in (interval.estimate, interval.low, interval.high)]
        return parts[0] + ("" if math.isnan(interval.low) else f" [{parts[1]}, {parts[2]}]")

    def for_gap(self, gap: Interval) -> Notation:
        """With so many decimals, up to three, that the interval of a difference shows a digit, no `0.0 [0.0, 0.0]`, and
        that one without zero does not seem to end there."""
        shown = abs(self._scaled(gap.high - gap.low)) / 2
        if gap.low * gap.high > 0:
            shown = min(shown, 2 * abs(self._scaled(gap.low)), 2 * abs(self._scaled(gap.high)))
        if math.isnan(shown) or shown == 0:
            return self
        return replace(self, decimals=max(self.decimals, min(3, math.ceil(-math.log10(shown)))))

    def signed(self, value: float) -> str:
        """A difference with its sign, as `+0.7`."""
        return signed(self._scaled(value), self.decimals)

    def quantity(self, value: float) -> str:
        """A value with its unit, as `93.2 %`."""
        return f"{self.value(value)} {self.unit}".strip()

    def distance(self, value: float) -> str:
        """How far apart, without a sign and with its unit, as `0.7 points`."""
        return f"{self.value(abs(value))} {self.difference_unit}".strip()

    def _scaled(self, value: float) -> float:
        return 100 * value if self.scale.percent else value


def notation_for(name: str, scale: Scale, intervals: Sequence[Interval]) -> Notation:
    """Percentages get one decimal, and two where one would hide what the intervals can tell apart."""
    if not scale.percent:
        return Notation(name, scale, 3)
    widths = [each.high - each.low for each in intervals if not math.isnan(each.high - each.low)]
    narrow = bool(widths) and min(widths) < 0.006
    values = {round(each.estimate, 9) for each in intervals if not math.isnan(each.estimate)}
    collide = len({fixed(100 * value, 1) for value in values}) < len({fixed(100 * value, 2) for value in values})
    return Notation(name, scale, 2 if narrow and collide else 1)


def fixed(value: float, decimals: int) -> str:
    """As `12.3` or `−12.3`; never `−0.0`."""
    if not math.isfinite(value):
        return NOTHING
    text = f"{value:.{decimals}f}"
    return text.replace("-", MINUS) if float(text) != 0 else text.replace("-", "")


def signed(value: float, decimals: int) -> str:
    """As `+12.3`, `−12.3` or `0.0`."""
    text = fixed(value, decimals)
    return f"+{text}" if math.isfinite(value) and value > 0 and float(f"{value:.{decimals}f}") != 0 else text


def significant(value: float, digits: int = 3) -> str:
    """Three significant digits without an exponent, as `6.14` or `1,310`."""
    if not math.isfinite(value):
        return NOTHING
    if value == 0:
        return "0"
    magnitude = math.floor(math.log10(abs(value)))
    return f"{round(value, digits - 1 - magnitude):,.{max(0, digits - 1 - magnitude)}f}".replace("-", MINUS)


def megabytes(size: float) -> str:
    """Bytes in MB of 10^6, as `5.24`."""
    return significant(size / 1e6)


def millions(count: float) -> str:
    """A number of parameters in millions, as `1.31`."""
    return significant(count / 1e6)


def share(part: float) -> str:
    """A share in percent, as `33.4`; small ones keep two significant digits, as `0.29`."""
    return fixed(100 * part, 1) if not 0 < part < 0.01 else significant(100 * part, 2)


def duration(seconds: float) -> str:
    """As `41 s`, `3 min 20 s`, `35 min`, `2 h 5 min`."""
    if not math.isfinite(seconds):
        return NOTHING
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(whole / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def p_value(p: float) -> str:
    """As `0.03`, and `<0.001` below what resampling can tell."""
    if math.isnan(p):
        return NOTHING
    if p < 0.001:
        return "<0.001"
    return f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def joined(words: Sequence[str], last: str = "and") -> str:
    """As `a, b and c`."""
    return f" {last} ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def spoken(name: str) -> str:
    """A name of the YAML as words: `visual_gain` -> `visual gain`, `language_model.depth` -> `language model depth`."""
    return " ".join(ABBREVIATIONS.get(word, word) for word in name.replace("_", " ").replace(".", " ").split())


def capital(text: str) -> str:
    """The first letter large, the rest as it is."""
    return text[:1].upper() + text[1:]
