"""Pieces of plotly figures, as plain dictionaries.

A colour is a token that the page resolves anew in light and dark: ``@ink``, ``@model``, ``@c3``
(the channel's), with an opacity ``@model/0.2``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmm_bayes.present.report.words import NDArray, label, rounded

Trace = dict[str, Any]


def dates_of(dates: Any) -> list[str]:
    """Dates as plotly takes them."""
    return [f"{date:%Y-%m-%d}" for date in dates]


def band(x: Sequence[Any], low: NDArray, high: NDArray, colour: str, name: str) -> list[Trace]:
    """Area between two lines, with one entry in the legend."""
    common: Trace = {"type": "scatter", "mode": "lines", "x": list(x), "line": {"width": 0}}
    group = {"legendgroup": name, "hoverinfo": "skip"}
    return [
        common | group | {"y": rounded(low), "showlegend": False},
        common
        | group
        | {"y": rounded(high), "fill": "tonexty", "fillcolor": colour, "name": label(name)},
    ]


def line(x: Sequence[Any], y: NDArray, colour: str, name: str, **more: Any) -> Trace:
    """Draw a line."""
    own = {"color": colour, "width": 2, "simplify": False} | more.pop("line", {})
    return {
        "type": "scatter",
        "mode": "lines",
        "x": list(x),
        "y": rounded(y),
        "line": own,
        "name": label(name),
    } | more


def points(x: Sequence[Any], y: Any, colour: str, name: str, **more: Any) -> Trace:
    """Markers."""
    return {
        "type": "scatter",
        "mode": "markers",
        "x": list(x),
        "y": list(y),
        "marker": {"color": colour, "size": 5} | more.pop("marker", {}),
        "name": label(name),
    } | more


def intervals(
    names: Sequence[str],
    values: tuple[NDArray, NDArray, NDArray],
    colours: str | Sequence[str],
    name: str,
    *,
    symbol: str = "circle",
    offset: Sequence[float] | None = None,
    digits: str = ".2f",
) -> Trace:
    """Draw medians with whiskers, one row per name (at a numeric place with ``offset``)."""
    median, low, high = values
    y: list[Any] = [label(own) for own in names] if offset is None else list(offset)
    text = [
        f"{label(own)}<br>{name}: %{{x:{digits}}} (%{{customdata[0]:{digits}}} to "
        f"%{{customdata[1]:{digits}}})".replace("\n", " ")
        for own in (n.replace("%", "%\N{ZERO WIDTH SPACE}") for n in names)
    ]
    marker: Trace = {
        "size": 9, "symbol": symbol, "color": colours, "line": {"color": "@ink", "width": 0.75},
    }  # fmt: skip
    whiskers: Trace = {
        "type": "data",
        "symmetric": False,
        "array": rounded(high - median),
        "arrayminus": rounded(median - low),
        "thickness": 2,
        "width": 5,
    }
    if isinstance(colours, str):
        whiskers["color"] = colours
    else:
        whiskers["color"] = "@ink/0.75"
    return {
        "type": "scatter",
        "mode": "markers",
        "orientation": "h",
        "x": rounded(median),
        "y": y,
        "customdata": list(zip(rounded(low), rounded(high), strict=True)),
        "hovertemplate": [f"{own}<extra></extra>" for own in text],
        "marker": marker,
        "error_x": whiskers,
        "name": name,
    }


def layout(**more: Any) -> Trace:
    """Axes and legend that all figures share; the page adds colours and fonts."""
    base: Trace = {
        "margin": {"l": 8, "r": 12, "t": 8, "b": 8},
        "showlegend": True,
        "legend": {
            "orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom",
        },
        "xaxis": {"automargin": True, "zeroline": False},
        "yaxis": {"automargin": True, "zeroline": False, "tickformat": "~s"},
        "hovermode": "x unified",
    }  # fmt: skip
    for name, value in more.items():
        own = base.get(name)
        base[name] = own | value if isinstance(own, dict) and isinstance(value, dict) else value
    return base


def vertical(x: float, colour: str, dash: str = "solid", width: float = 1.5) -> Trace:
    """Draw a line from the bottom to the top of the axes."""
    return {
        "type": "line", "x0": float(f"{x:.6g}"), "x1": float(f"{x:.6g}"), "y0": 0, "y1": 1,
        "yref": "paper",
        "layer": "below",
        "line": {"color": colour, "width": width, "dash": dash},
    }  # fmt: skip


def shaded(low: float, high: float, colour: str) -> Trace:
    """Shade the axes between two places."""
    return {
        "type": "rect", "x0": float(f"{low:.6g}"), "x1": float(f"{high:.6g}"), "y0": 0, "y1": 1,
        "yref": "paper",
        "fillcolor": colour,
        "line": {"width": 0},
        "layer": "below",
    }  # fmt: skip
