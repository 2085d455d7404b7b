"""How a metric is written: shares as percent, differences of them as points, with the decimals its intervals need."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from workbench.reports.number_format import NOTHING, fixed, signed
from workbench.reports.wording import spoken
from workbench.statistics.estimates import Interval


@dataclass(frozen=True)
class Scale:
    """Whether more of a metric is better, and whether it is a share that is shown in percent."""

    higher_is_better: bool
    percent: bool


@dataclass(frozen=True)
class MetricFormat:
    """How one metric is written: shares as percent, their differences as points, others as they are."""

    name: str
    scale: Scale
    decimals: int

    @property
    def unit(self) -> str:
        """What stands behind a value: `%` for a share, else nothing."""
        return "%" if self.scale.percent else ""

    @property
    def difference_unit(self) -> str:
        """What stands behind a difference of values: `points` for shares, else nothing."""
        return "points" if self.scale.percent else ""

    @property
    def words(self) -> str:
        """The name as a sentence has it, as `VQA accuracy` for `vqa_accuracy`."""
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
        form = self.for_gap(interval)
        parts = [form.signed(each) for each in (interval.estimate, interval.low, interval.high)]
        return parts[0] + ("" if math.isnan(interval.low) else f" [{parts[1]}, {parts[2]}]")

    def for_gap(self, gap: Interval) -> MetricFormat:
        """With so many decimals, up to three of a percentage and six of others, that the interval of a difference shows
        a digit, no `0.0 [0.0, 0.0]`, and that one without zero does not seem to end there."""
        shown = abs(self._scaled(gap.high - gap.low)) / 2
        if gap.low * gap.high > 0:
            shown = min(shown, 2 * abs(self._scaled(gap.low)), 2 * abs(self._scaled(gap.high)))
        if math.isnan(shown) or shown == 0:
            return self
        return replace(
            self, decimals=max(self.decimals, min(3 if self.scale.percent else 6, math.ceil(-math.log10(shown))))
        )

    def signed(self, value: float) -> str:
        """A difference with its sign, as `+0.7`."""
        return signed(self._scaled(value), self.decimals)

    def quantity(self, value: float) -> str:
        """A value with its unit, as `93.2 %`."""
        return f"{self.value(value)} {self.unit}".strip()

    def distance(self, value: float) -> str:
        """How far apart, without a sign and with its unit, as `0.7 points`."""
        return f"{self.value(abs(value))} {self.difference_unit}".strip()

    def detectable(self, value: float) -> str:
        """A difference that would be found, with a digit that shows, as `4.1`; `none` where no possible one would."""
        return "none" if value == math.inf else self.for_gap(Interval(value, 0.0, 2 * value)).value(value)

    def _scaled(self, value: float) -> float:
        return 100 * value if self.scale.percent else value


def format_for(name: str, scale: Scale, intervals: Sequence[Interval]) -> MetricFormat:
    """Percentages get one decimal, and two where one would hide what the intervals can tell apart."""
    if not scale.percent:
        return MetricFormat(name, scale, 3)
    widths = [each.high - each.low for each in intervals if not math.isnan(each.high - each.low)]
    narrow = bool(widths) and min(widths) < 0.006
    values = {round(each.estimate, 9) for each in intervals if not math.isnan(each.estimate)}
    collide = len({fixed(100 * value, 1) for value in values}) < len({fixed(100 * value, 2) for value in values})
    return MetricFormat(name, scale, 2 if narrow and collide else 1)
