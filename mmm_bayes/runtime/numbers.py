"""Numbers as a reader sees them."""

from __future__ import annotations

import math


def compact(value: float, digits: int = 3) -> str:
    """Write a number in at most ``digits`` figures with k, M or bn.

    Examples
    --------
    >>> compact(1234567)
    '1.23M'
    """
    if not math.isfinite(value):
        return "-"
    for limit, suffix in ((1e9, "bn"), (1e6, "M"), (1e3, "k")):
        # Rounding first: 999,999 is 1M, not 1000k.
        if float(f"{abs(value):.{digits}g}") >= limit:
            scaled = float(f"{value / limit:.{digits}g}")
            return f"{scaled:,.0f}{suffix}" if abs(scaled) >= 100 else f"{scaled:g}{suffix}"
    return f"{float(f'{value:.{digits}g}'):g}"


def in_full(value: float) -> str:
    """Write an amount to the unit from a thousand on, to six figures below.

    Examples
    --------
    >>> in_full(1234567.8), in_full(12.5)
    ('1,234,568', '12.5')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.6g}"
