"""One style of numbers for prints, tables, figures, reports and the command line.

Text is plain ASCII, so that it prints on every terminal; :func:`typographic` sets true minus signs
for HTML and figures.
"""

from __future__ import annotations

import math

MISSING = "n/a"
MINUS = "\N{MINUS SIGN}"


def compact(value: float, digits: int = 3) -> str:
    """Write a number in at most ``digits`` figures with k, M or bn.

    Examples
    --------
    >>> compact(1234567), compact(0.012345), compact(float("nan"))
    ('1.23M', '0.0123', 'n/a')
    """
    value = float(value)
    if not math.isfinite(value):
        return MISSING
    for limit, suffix in ((1e9, "bn"), (1e6, "M"), (1e3, "k")):
        # Rounding first: 999,999 is 1M, not 1000k.
        if float(f"{abs(value):.{digits}g}") >= limit:
            scaled = float(f"{value / limit:.{digits}g}")
            return f"{scaled:,.0f}{suffix}" if abs(scaled) >= 100 else f"{scaled:g}{suffix}"
    return f"{float(f'{value:.{digits}g}'):g}"


def byte_size(count: float) -> str:
    """Write a number of bytes in KiB, MiB or GiB.

    Examples
    --------
    >>> byte_size(3 * 2**20), byte_size(2**31), byte_size(0)
    ('3.0 MiB', '2.0 GiB', '0')
    """
    for unit, size in (("GiB", 2**30), ("MiB", 2**20)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{compact(count / 1024)} KiB" if count else "0"


def in_full(value: float) -> str:
    """Write an amount to the unit from a thousand on, to six figures below.

    Examples
    --------
    >>> in_full(1234567.8), in_full(12.5)
    ('1,234,568', '12.5')
    """
    if not math.isfinite(value):
        return MISSING
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.6g}"


def four_figures(value: float) -> str:
    """Write a number for a table: at least four figures, thousands separated.

    Examples
    --------
    >>> four_figures(1234567.8), four_figures(12.5), four_figures(0.00123)
    ('1,234,568', '12.50', '0.001230')
    """
    value = float(value)
    if not math.isfinite(value):
        return MISSING
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}"
    if size == 0:
        return "0"
    places = min(max(3 - math.floor(math.log10(size)), 0), 6)
    return f"{value:.{places}f}"


def ratio(value: float) -> str:
    """Write a return on spend: two decimals.

    Examples
    --------
    >>> ratio(1234.567), ratio(0.5)
    ('1,234.57', '0.50')
    """
    return f"{float(value):,.2f}" if math.isfinite(value) else MISSING


def percent(value: float) -> str:
    """Write a share as a percentage, with one decimal below ten percent.

    Examples
    --------
    >>> percent(0.0345), percent(0.345)
    ('3.5%', '34%')
    """
    if not math.isfinite(value):
        return MISSING
    hundred = 100.0 * float(value)
    return f"{hundred:.1f}%" if abs(hundred) < 10 else f"{hundred:,.0f}%"


def probability(value: float) -> str:
    """Write a probability; near 0 and 1 as a bound, because the number of draws is finite.

    Examples
    --------
    >>> probability(0.5), probability(1.0)
    ('50%', 'over 99%')
    """
    if not math.isfinite(value):
        return MISSING
    if value > 0.99:
        return "over 99%"
    if value < 0.01:
        return "under 1%"
    return f"{100 * value:.0f}%"


def change(value: float) -> str:
    """Write a relative change as a percentage with its sign.

    Examples
    --------
    >>> change(0.123), change(-0.5)
    ('+12.3%', '-50.0%')
    """
    return f"{100.0 * float(value):+.1f}%" if math.isfinite(value) else MISSING


def p_value(value: float) -> str:
    """Write a p-value: two figures, and a bound below a thousandth.

    Examples
    --------
    >>> p_value(0.0312), p_value(1e-8)
    ('0.031', '<0.001')
    """
    if not math.isfinite(value):
        return MISSING
    return "<0.001" if value < 0.001 else f"{value:.2g}"


def between(low: str, high: str) -> str:
    """Write an interval from the texts of its ends."""
    return f"{low} to {high}"


def plural(count: int, word: str) -> str:
    """Count things.

    Examples
    --------
    >>> plural(1, "week"), plural(1300, "week")
    ('1 week', '1,300 weeks')
    """
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


def typographic(text: str) -> str:
    """Replace hyphens by true minus signs, for numbers in HTML and figures."""
    return text.replace("-", MINUS)
