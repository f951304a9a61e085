"""The causal graph, drawn and in words."""

from __future__ import annotations

import base64
import io
import re

from mmm_bayes.causal.causal_graph import CausalGraph
from mmm_bayes.present.report.blocks import Image, Section, Text
from mmm_bayes.present.report.words import listing, plural

_DPI = 96


def graph_section(graph: CausalGraph) -> Section:
    """Draw a causal graph and list its edges."""
    causes = [
        f"{name} acts on {listing(effects)}."
        for name in graph.nodes
        if (effects := [b for a, b in graph.edges if a == name])
    ]
    hidden = [f"{a} and {b} share a hidden common cause." for a, b in graph.bidirected]
    source, width = _drawn(graph)
    says = (
        f"Causal graph of {plural(len(graph.nodes), 'variable')} with "
        f"{plural(len(graph.edges), 'arrow')}"
        + (f" and {plural(len(hidden), 'hidden common cause')}" if hidden else "")
        + ". Its edges are listed below the drawing."
    )
    return Section(
        "graph",
        "Causal graph",
        (
            Text(
                "Causes and effects as the experts see them. A missing arrow is a statement, too: "
                "that there is no direct effect. The graph decides which variables each effect has "
                "to be adjusted for."
            ),
            Image(source, says, width, "All edges", (*causes, *hidden)),
        ),
    )


def _drawn(graph: CausalGraph) -> tuple[str, int]:
    """SVG as a data address, and its width in pixels."""
    import matplotlib as mpl

    from mmm_bayes.present.plots.causal_graph import plot_causal_graph

    # A fixed salt: the same graph gives the same bytes.
    with mpl.rc_context({"svg.hashsalt": "mmm_bayes", "svg.fonttype": "path"}):
        figure = plot_causal_graph(graph)
        written = io.StringIO()
        figure.savefig(
            written,
            format="svg",
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )
    text = written.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    packed = base64.b64encode(text.encode("utf-8")).decode("ascii")
    return f"data:image/svg+xml;base64,{packed}", round(figure.get_figwidth() * _DPI)
