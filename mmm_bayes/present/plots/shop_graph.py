"""The graph of one shop: a funnel from left to right, and the matrix of edge probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from matplotlib.transforms import Affine2D

from mmm_bayes.present.graph_arrows import Box
from mmm_bayes.present.graph_layout import lay_out
from mmm_bayes.present.plots import style
from mmm_bayes.present.plots.style import FAINT, INK, MODEL
from mmm_bayes.runtime.deprecation import named_arguments

NDArray = np.ndarray[Any, Any]
Groups = Sequence[str] | Mapping[str, str] | None

# Columns from left to right, and the words above them.
_COLUMNS = {
    "channel": "channels",
    "brand": "brand channels",
    "views": "page views",
    "effect": "effect channels",
    "target": "target",
}
_BRAND_VIEWS, _VIEWS_EFFECT, _OTHER = "#c8102e", "#e69f00", "#7d838c"
_LONGEST = 26
_MARGIN = 0.35
_ABOVE, _BELOW = 0.78, 0.95  # for the title and the legend
_NUMBERS_UP_TO = 16


@named_arguments
def plot_shop_graph(
    probabilities: xr.DataArray,
    groups: Groups = None,
    *,
    threshold: float = 0.5,
    truth: xr.DataArray | NDArray | None = None,
    title: str | None = None,
) -> Figure:
    """Draw the graph of one shop in columns: brand channels, views, effect channels, target.

    The layout of Figure 6 of Gong et al. (2024). Arrows are wider and darker the more probable the
    edge; they pass columns between the nodes, never through a label.

    Parameters
    ----------
    probabilities
        Of edges (source, target) of one shop, the target of the shop last.
    groups
        Group of each node (``ShopPanel.groups``), in order or by name: ``"brand"``, ``"views"``,
        ``"effect"``, ``"channel"`` or ``"target"``. Without, all nodes but the last are channels.
    threshold
        Least probability of an edge that is drawn.
    truth
        Known edges (source, target): arrows that it does not have are dashed, those that are
        missing are dotted.
    title
        In place of one that names the shop and the threshold.

    Raises
    ------
    ValueError
        Listing all that is wrong with probabilities, groups, threshold and truth.

    References
    ----------
    C. Gong et al. (2024), CausalMMM: learning causal structure for marketing mix modeling. WSDM.
    """
    nodes, kinds = _checked(probabilities, groups, threshold, truth)
    values = probabilities.transpose("source", "target").values
    known = None if truth is None else np.asarray(truth, bool)
    drawn = values >= threshold
    if known is not None:
        drawn |= known
    np.fill_diagonal(drawn, False)
    edges = [(int(i), int(j)) for i, j in np.argwhere(drawn)]
    columns = [name for name in _COLUMNS if name in kinds]
    place = [columns.index(kind) for kind in kinds]
    heading = title if title is not None else _title(probabilities, threshold)
    labels = [_short(name) for name in nodes]
    layout = lay_out(
        dict(zip(nodes, labels, strict=True)),
        dict(zip(nodes, place, strict=True)),
        [(nodes[i], nodes[j]) for i, j in edges],
        _MARGIN,
    )
    width = max(layout.width, 6.4)
    shift = 0.5 * (width - layout.width)
    boxes = [layout.boxes[name].moved(shift) for name in nodes]
    paths = {
        (i, j): layout.paths[nodes[i], nodes[j]].transformed(Affine2D().translate(shift, 0.0))
        for i, j in edges
    }
    with style.canvas(4.0, 3.0) as figure:
        # Sizes are in inches: labels keep their size, and arrows know where they are.
        figure.set_layout_engine("none")
        heights = [b.y + side * b.height / 2 for b in boxes for side in (-1, 1)]
        for path in paths.values():
            heights += np.asarray(path.vertices)[:, 1].tolist()
        bottom, top = min(heights), max(heights)
        figure.set_size_inches(width, top - bottom + _BELOW + _ABOVE)
        ax = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        ax.set(xlim=(0.0, width), ylim=(bottom - _BELOW, top + _ABOVE))
        ax.axis("off")
        present, found = set(), {"drawn": 0, "wrong": 0, "missed": 0}
        for edge, path in paths.items():
            p = float(values[edge])
            kind = _kind(kinds[edge[0]], kinds[edge[1]], columns)
            missed = p < threshold
            wrong = known is not None and not known[edge]
            found["missed" if missed else "wrong" if wrong else "drawn"] += 1
            present.add(kind)
            line = ":" if missed else (0, (4, 2)) if wrong else "-"
            strength = 0.0 if missed else (p - threshold) / max(1.0 - threshold, 1e-9)
            arrow = FancyArrowPatch(
                path=path,
                arrowstyle="-|>,head_length=0.42,head_width=0.18",
                mutation_scale=13.0,
                color=_colour(kind),
                alpha=0.55 if missed else 0.5 + 0.5 * strength,
                lw=1.0 if missed else _width(p, threshold),
                ls=line,
                capstyle="butt",
                joinstyle="miter",
                zorder=2 + (0.5 if kind != "other" else 0.0) + 0.1 * strength,
            )
            ax.add_patch(arrow)
        linked = {node for edge in edges for node in edge}
        for position, (label, box) in enumerate(zip(labels, boxes, strict=True)):
            _draw_node(ax, box, label, position in linked, kinds[position] == "target")
        for at, name in enumerate(columns):
            x = next(box.x for box, own in zip(boxes, place, strict=True) if own == at)
            label = _COLUMNS[name]
            ax.text(x, top + 0.26, label, color=FAINT, ha="center", va="center", fontsize=9)
        ax.text(0.15, top + _ABOVE - 0.22, heading, color=INK, va="center", fontsize=11)
        _graph_legend(figure, present, threshold, found if known is not None else None)
    return figure


@named_arguments
def plot_edge_probabilities(
    probabilities: xr.DataArray,
    *,
    truth: xr.DataArray | NDArray | None = None,
    title: str | None = None,
) -> Figure:
    """Draw the probabilities of all edges as a matrix: sources in rows, targets in columns.

    Parameters
    ----------
    probabilities
        Of edges (source, target): of one shop, or a mean over shops.
    truth
        Known edges (source, target), framed.
    title
        In place of one that names the shop.

    Raises
    ------
    ValueError
        If the probabilities are no square matrix of numbers from 0 to 1, or the truth has another
        shape.
    """
    nodes, _ = _checked(probabilities, None, 0.5, truth)
    values = np.array(probabilities.transpose("source", "target").values, float)
    np.fill_diagonal(values, np.nan)
    count = len(nodes)
    labels = [_short(name) for name in nodes]
    cell = 0.42 if count <= _NUMBERS_UP_TO else max(0.16, 8.0 / count)
    margin = 0.085 * max(map(len, labels)) + 0.5
    with style.canvas(margin + cell * count + 1.4, margin + cell * count + 0.5) as figure:
        ax = figure.subplots()
        image = ax.imshow(values, cmap="Blues", vmin=0.0, vmax=1.0)
        ax.grid(False)
        ax.set_facecolor("#eceef1")
        ax.spines[:].set_visible(False)
        ax.set_xticks(range(count), labels, rotation=90)
        ax.set_yticks(range(count), labels)
        ax.tick_params(length=0)
        ax.set(xlabel="target (the effect)", ylabel="source (the cause)")
        if count <= _NUMBERS_UP_TO:
            for i, j in np.argwhere(np.nan_to_num(values) >= 0.05):
                colour = "white" if values[i, j] > 0.55 else INK
                text = f"{values[i, j]:.2f}".lstrip("0")
                ax.text(j, i, text, ha="center", va="center", fontsize=8, color=colour)
        if truth is not None:
            for i, j in np.argwhere(np.asarray(truth, bool) & ~np.eye(count, dtype=bool)):
                frame = Rectangle((j - 0.46, i - 0.46), 0.92, 0.92)
                frame.set(fill=False, ec=_VIEWS_EFFECT, lw=2.0)
                ax.add_patch(frame)
        bar = figure.colorbar(image, ax=ax, shrink=0.6, aspect=25)
        bar.outline.set_visible(False)
        bar.set_label("probability of the edge")
        heading = title if title is not None else f"Edge probabilities{_of_shop(probabilities)}"
        framed = "; framed: true edges" if truth is not None else ""
        style.headline(figure, heading + framed)
    return figure


def _checked(
    probabilities: xr.DataArray,
    groups: Groups,
    threshold: float,
    truth: xr.DataArray | NDArray | None,
) -> tuple[list[str], list[str]]:
    """Names and groups of the nodes, or all that is wrong."""
    if set(probabilities.dims) != {"source", "target"}:
        raise ValueError(
            f"probabilities should have the dimensions source and target, of one shop; they have "
            f"{', '.join(map(str, probabilities.dims))}. Choose one: .sel(shop='...')."
        )
    nodes = [str(name) for name in probabilities["source"].values]
    wrong = []
    if nodes != [str(name) for name in probabilities["target"].values]:
        wrong.append("source and target should have the same labels in the same order.")
    elif len(nodes) < 2:
        wrong.append(f"a graph needs two nodes or more; there are {len(nodes)}.")
    values = probabilities.values
    if not ((values >= 0.0) & (values <= 1.0)).all():
        wrong.append("probabilities should lie in 0 to 1, without missing values.")
    if not 0.0 < threshold <= 1.0:
        wrong.append(f"threshold should be in (0, 1], such as 0.5; got {threshold}.")
    if truth is not None and np.shape(truth) != values.shape:
        wrong.append(f"truth should have the shape {values.shape}, but has {np.shape(truth)}.")
    kinds = ["channel"] * (len(nodes) - 1) + ["target"]
    if isinstance(groups, Mapping):
        missing = [name for name in nodes if name not in groups]
        if missing:
            wrong.append(f"groups does not name {', '.join(missing)}.")
        kinds = [str(groups.get(name, "channel")) for name in nodes]
    elif groups is not None:
        if len(groups) != len(nodes):
            wrong.append(f"groups should have one entry per node: {len(nodes)}, not {len(groups)}.")
        else:
            kinds = [str(kind) for kind in groups]
    unknown = sorted(set(kinds) - set(_COLUMNS))
    if unknown:
        wrong.append(f"no such group: {', '.join(unknown)}; known: {', '.join(_COLUMNS)}.")
    if wrong:
        raise ValueError("The graph cannot be drawn: " + " ".join(wrong))
    return nodes, kinds


def _kind(source: str, target: str, columns: Sequence[str]) -> str:
    if (source, target) == ("brand", "views"):
        return "brand"
    if (source, target) == ("views", "effect"):
        return "views"
    if target == "target" and not {"brand", "views", "effect"} & set(columns):
        return "target"
    return "other"


def _colour(kind: str) -> str:
    return {"brand": _BRAND_VIEWS, "views": _VIEWS_EFFECT, "target": MODEL}.get(kind, _OTHER)


def _width(probability: float, threshold: float) -> float:
    """Line width in points."""
    return 0.8 + 1.8 * (probability - threshold) / max(1.0 - threshold, 1e-9)


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"


def _of_shop(probabilities: xr.DataArray) -> str:
    shop = probabilities.coords.get("shop")
    return "" if shop is None or shop.ndim else f" of {shop.item()}"


def _title(probabilities: xr.DataArray, threshold: float) -> str:
    return f"Granger graph{_of_shop(probabilities)}: edges of probability {threshold:g} or more"


def _draw_node(ax: Axes, box: Box, label: str, linked: bool, target: bool) -> None:
    patch = FancyBboxPatch(
        (box.x - box.width / 2, box.y - box.height / 2),
        box.width,
        box.height,
        boxstyle="round,pad=0,rounding_size=0.07",
        fc="#eef3f8" if target else "white",
        ec=INK if linked else "#c3c8d0",
        lw=1.0,
        zorder=4,
    )
    ax.add_patch(patch)
    colour = INK if linked else FAINT
    ax.text(box.x, box.y, label, ha="center", va="center", color=colour, fontsize=10, zorder=5)


def _graph_legend(
    figure: Figure, present: set[str], threshold: float, found: dict[str, int] | None
) -> None:
    names = {
        "brand": "brand to page views",
        "views": "page views to effect",
        "target": "into the target",
        "other": "other edges",
    }
    handles = [
        Line2D([], [], color=_colour(kind), lw=2.2, label=label)
        for kind, label in names.items()
        if kind in present
    ]
    if found is not None:
        kinds = (("wrong", (0, (4, 2)), "not in the truth"), ("missed", ":", "true, not found"))
        for what, line, label in kinds:
            text = f"{label} ({found[what]})"
            handles.append(Line2D([], [], color=INK, lw=1.2, ls=line, label=text))
    sizes = [
        Line2D([], [], color=_OTHER, lw=_width(p, threshold), label=f"probability {p:.2g}")
        for p in sorted({threshold, 0.5 * (1.0 + threshold), 1.0})
    ]
    # An entry takes about 1.75 inches.
    most = max(2, int(figure.get_figwidth() / 1.75))
    rows = -(-len(handles) // most)
    for lines, low in ((handles, 0.3), (sizes, 0.05)):
        if lines:
            figure.legend(
                handles=lines,
                loc="lower center",
                ncols=min(len(lines), -(-len(lines) // rows) if lines is handles else 3),
                bbox_to_anchor=(0.5, low / figure.get_figheight()),
                handlelength=1.8,
                columnspacing=1.4,
            )
