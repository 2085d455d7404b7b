"""How numbers are written for people: honest digits, units, and a dash where there is nothing."""

from __future__ import annotations

import math

NOTHING = "–"
MINUS = "\N{MINUS SIGN}"


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


def counted(number: int, word: str) -> str:
    """As `1 trial` or `1,200 trials`."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


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
