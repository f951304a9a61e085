"""Numbers and names in the report, with true minus signs, and arrays for its figures."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr

from mmm_bayes.analysis.summary import interval as interval_of
from mmm_bayes.runtime import numbers
from mmm_bayes.runtime.numbers import MINUS, between, plural, probability, typographic
from mmm_bayes.runtime.visible import visible

__all__ = [
    "DRAWS", "MINUS", "NDArray", "between", "full", "identifier", "label", "listing", "middle",
    "percent", "plural", "probability", "ratio", "rounded", "short", "three",
]  # fmt: skip

NDArray = np.ndarray[Any, Any]
DRAWS = ("chain", "draw")
_DIGITS = 5  # of numbers in figures: more than a screen shows


def short(value: float, digits: int = 3) -> str:
    """Write a number in a few figures with k, M or bn."""
    return typographic(numbers.compact(value, digits))


def full(value: float) -> str:
    """Write a number for a table: at least four figures, thousands separated."""
    return typographic(numbers.four_figures(value))


def ratio(value: float) -> str:
    """Write a return on spend: two decimals."""
    return typographic(numbers.ratio(value))


def percent(value: float) -> str:
    """Write a share as a percentage, with one decimal below ten percent."""
    return typographic(numbers.percent(value))


def listing(names: Iterable[object], last: str = "and") -> str:
    """Join names as in a sentence."""
    items = [str(name) for name in names]
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} {last} {items[-1]}"


def label(name: str) -> str:
    """Escape a name for plotly, which reads its texts as a kind of HTML."""
    return html.escape(visible(name), quote=False)


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
