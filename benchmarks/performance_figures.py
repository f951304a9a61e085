"""Figures of the cost curves, in the style of the package."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import performance_curves as curves

Panel = tuple[str, str, str, float, dict[str, list[dict[str, float]]]]


def panels(found: Mapping[str, Any]) -> dict[str, list[Panel]]:
    """Return figures by name: title, axes, unit and curves of every panel."""
    result: dict[str, list[Panel]] = {}
    if "gradient" in found:
        every = found["gradient"]["curves"]
        result["gradient"] = [
            (f"Over {axis}", axis, "CPU µs of a gradient", 1e6,
             {name.partition(", ")[2] or name: own for name, own in every.items()
              if name.split(",")[0] == axis})
            for axis in ("weeks", "channels", "geos")
        ]  # fmt: skip
    if "steps" in found:
        result["steps"] = [
            (f"Over {axis}", axis, "steps an effective draw", 1.0, {axis: own})
            for axis, own in found["steps"]["curves"].items()
        ]
    more: list[Panel] = []
    if "shops" in found:
        every = found["shops"]["curves"]
        more.append(("CausalMMM over shops", "shops", "CPU s of an epoch", 1.0, every))
    if "rows" in found:
        every = found["rows"]["curves"]
        kernels = {name: own for name, own in every.items() if name != "loader"}
        more.append(("ADMGDA over training rows", "rows", "CPU s", 1.0, kernels))
        loader = {"loader": every["loader"]}
        more.append(("Loader over rows", "rows", "CPU s", 1.0, loader))
    if more:
        result["rows"] = more
    return result


def draw(found: Mapping[str, Any], folder: Path) -> list[str]:
    """Draw what there is; return the names."""
    from matplotlib.ticker import LogLocator, NullFormatter

    from mmm_bayes.present.plots import style

    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for name, own in panels(found).items():
        with style.canvas(3.3 * len(own), 3.5) as figure:
            axes = style.grid(figure, len(own), len(own))
            for ax, panel in zip(axes, own, strict=True):
                _panel(ax, panel)
                for axis in (ax.xaxis, ax.yaxis):
                    axis.set_major_locator(
                        LogLocator(subs=(1.0, 2.0, 5.0) if _decades(axis) < 1.7 else (1.0, 3.0))
                    )
                    style.compact_ticks(axis)
                    axis.set_minor_formatter(NullFormatter())
            figure.savefig(folder / f"{name}.png", dpi=120)
        names.append(name)
    return names


def _panel(ax: Any, panel: Panel) -> None:
    from mmm_bayes.present.plots.style import channel_colours

    title, xlabel, ylabel, unit, every = panel
    colours = channel_colours(list(every))
    for name, points in every.items():
        sizes = np.array([point["size"] for point in points], float)
        costs = unit * np.array([point["cost"] for point in points])
        ax.plot(sizes, costs, "o", ms=4, color=colours[name])
        laws = curves.laws_of(points)
        label = name
        if laws is not None:
            # The line of the larger half, over that half.
            law = laws[1]
            upper = np.sort(sizes)[-law.points :]
            line = [unit * law.at(size).value for size in upper]
            ax.plot(upper, line, color=colours[name], lw=1.4)
            label = f"{name}: {law.exponent:.2f} ± {law.error:.2f}"
        ax.plot([], [], "o-", ms=4, color=colours[name], label=label)
    ax.set(xscale="log", yscale="log", title=title, xlabel=xlabel, ylabel=ylabel)
    # Below: points may lie anywhere inside.
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2))


def _decades(axis: Any) -> float:
    low, high = axis.get_view_interval()
    return float(np.log10(high / low))
