"""Numbers and names as a reader sees them, and as the page's figures take them."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr

from mmm_bayes.analysis.summary import interval as interval_of
from mmm_bayes.runtime.numbers import compact

NDArray = np.ndarray[Any, Any]
DRAWS = ("chain", "draw")
MINUS = "\N{MINUS SIGN}"
_DIGITS = 5  # of numbers in figures: more than a screen shows


def short(value: float, digits: int = 3) -> str:
    """Write a number in a few figures with k, M or bn, with a true minus sign."""
    return compact(float(value), digits).replace("-", MINUS) if np.isfinite(value) else "n/a"


def full(value: float) -> str:
    """Write a number for a table: at least four figures, thousands apart."""
    value = float(value)
    if not np.isfinite(value):
        return "n/a"
    size = abs(value)
    if size >= 1000:
        text = f"{value:,.0f}"
    elif size == 0:
        text = "0"
    else:
        places = int(np.clip(3 - np.floor(np.log10(size)), 0, 6))
        text = f"{value:.{places}f}"
    return text.replace("-", MINUS)


def ratio(value: float) -> str:
    """Write a return: two decimals."""
    return f"{float(value):,.2f}".replace("-", MINUS) if np.isfinite(value) else "n/a"


def percent(value: float) -> str:
    """Write a share as percent, to a tenth below ten percent."""
    if not np.isfinite(value):
        return "n/a"
    hundred = 100.0 * float(value)
    text = f"{hundred:.1f}%" if abs(hundred) < 10 else f"{hundred:,.0f}%"
    return text.replace("-", MINUS)


def probability(value: float) -> str:
    """Write a probability; near 0 and 1 as a bound, since draws are finite."""
    if not np.isfinite(value):
        return "n/a"
    if value > 0.99:
        return "over 99%"
    if value < 0.01:
        return "under 1%"
    return f"{100 * value:.0f}%"


def between(low: str, high: str) -> str:
    """Write an interval."""
    return f"{low} to {high}"


def listing(names: Iterable[object], last: str = "and") -> str:
    """Join names as in a sentence."""
    items = [str(name) for name in names]
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} {last} {items[-1]}"


def plural(count: int, word: str) -> str:
    """Count things: ``1 week``, ``3 weeks``."""
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


def label(name: str) -> str:
    """Escape a name for plotly, which reads its texts as a kind of HTML."""
    return html.escape(str(name), quote=False)


def identifier(name: str, position: int) -> str:
    """Make an identifier of the page from a name."""
    return f"{position}-{re.sub(r'[^a-z0-9]+', '-', str(name).lower()).strip('-') or 'x'}"


def rounded(values: Any) -> list[float | None]:
    """Numbers of a figure in five figures; what is not finite is left out."""
    flat = np.asarray(values, float).ravel()
    return [float(f"{x:.{_DIGITS}g}") if np.isfinite(x) else None for x in flat]


def middle(draws: xr.DataArray, prob: float) -> tuple[NDArray, NDArray, NDArray]:
    """Median and interval over the draws, each with the other dimensions."""
    bounds = interval_of(draws, prob)
    median = draws.median(DRAWS, skipna=False)
    return (
        np.asarray(median.values),
        np.asarray(bounds.sel(ci_bound="lower").values),
        np.asarray(bounds.sel(ci_bound="upper").values),
    )


def three(draws: NDArray, prob: float) -> tuple[float, float, float]:
    """Median and interval of plain draws."""
    tail = 0.5 * (1.0 - prob)
    low, median, high = np.quantile(draws, [tail, 0.5, 1.0 - tail])
    return float(median), float(low), float(high)
