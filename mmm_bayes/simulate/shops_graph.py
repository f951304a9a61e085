"""Random graphs of channels and a target, and checks of given graphs."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmm_bayes.runtime.findings import Finding, listing

NDArray = np.ndarray[Any, Any]


def draw_graph(
    rng: np.random.Generator, channels: int, *, root_share: float, edge_probability: float
) -> NDArray:
    """Draw one graph over the channels and the target, the last node.

    ``round(root_share * channels)`` channels, at least one, are roots. The others follow in random
    order, and each takes every channel before it as a parent with probability
    ``edge_probability``, and at least one; the target likewise takes channels, and at least two if
    there are two. The target has no effects.

    Returns
    -------
    numpy.ndarray
        Boolean (source, target), with ``channels + 1`` nodes, acyclic.
    """
    roots = min(channels, max(1, round(root_share * channels)))
    order = rng.permutation(channels)
    graph = np.zeros((channels + 1, channels + 1), dtype=bool)
    for place in range(roots, channels + 1):
        target = order[place] if place < channels else channels
        least = 1 if place < channels else min(2, channels)
        u = rng.uniform(size=place)
        # If too few are drawn, those with the smallest uniform numbers are added.
        kept = (u < edge_probability) | (np.argsort(np.argsort(u)) < least)
        graph[order[:place][kept], target] = True
    return graph


def partners(graphs: NDArray) -> NDArray:
    """Return the partner of each parent in products (shop, source, target).

    The partner is the next parent of the same node, cyclically: a single parent is its own partner.
    Where there is no edge the entry is the source.
    """
    shops, nodes, _ = graphs.shape
    found = np.broadcast_to(np.arange(nodes)[:, None], (shops, nodes, nodes)).copy()
    for shop in range(shops):
        for target in range(nodes):
            into = np.flatnonzero(graphs[shop, :, target])
            found[shop, into, target] = np.roll(into, -1)
    return found


def graph_findings(graphs: NDArray, channels: int) -> list[Finding]:
    """Check that an array holds valid graphs of channels and a target."""
    side = channels + 1
    if graphs.ndim != 3 or graphs.shape[1:] != (side, side) or not len(graphs):
        text = f"graphs should be (structure, {side}, {side}), but has shape {graphs.shape}."
        return [_finding(text, "The target is the last of the channels + 1 nodes.")]
    if graphs.dtype != bool:
        return [_finding(f"graphs should be boolean, but is {graphs.dtype}.", "Use graphs != 0.")]
    found = []
    if graphs.diagonal(axis1=1, axis2=2).any():
        at = np.flatnonzero(graphs.diagonal(axis1=1, axis2=2).any(1))
        found.append(
            _finding(f"graphs {listing(at)} join a node with itself.", "Remove these edges.")
        )
    if graphs[:, -1].any():
        at = np.flatnonzero(graphs[:, -1].any(1))
        text = f"graphs {listing(at)} have edges from the target, the last node."
        found.append(_finding(text, "The target has no effects; graphs are (source, target)."))
    return found


def _finding(text: str, remedy: str) -> Finding:
    return Finding("graph", "error", text, remedy, where="graphs")
