"""A panel of shops: series of every node of a marketing graph, the target last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
import pandas as pd

from mmm_bayes.runtime.findings import DataError, Finding, listing

NDArray = np.ndarray[Any, Any]


@final
@dataclass(frozen=True, eq=False)
class ShopPanel:
    """Series of many shops on the same nodes, with context and, where it is known, the truth.

    Attributes
    ----------
    series : numpy.ndarray
        Values (shop, time, node) in their own units; the target is the last node. Not a number
        where a value is missing, and past the end of a shorter shop.
    nodes, shops : tuple of str
        Labels of nodes and shops.
    context : numpy.ndarray
        Context variables (shop, time, variable), any number of them, none included. What does not
        change over time is repeated.
    context_names : tuple of str
        Labels of the context variables.
    dates : pandas.DatetimeIndex, optional
        One a time.
    groups : tuple of str, optional
        What each node is: ``"brand"``, ``"views"``, ``"effect"``, ``"channel"`` or ``"target"``.
    adjacency : numpy.ndarray, optional
        The true graph of each shop (shop, source, target), boolean, nothing on the diagonal.
    structure : numpy.ndarray, optional
        Which of the latent graphs each shop has (shop,).
    """

    series: NDArray
    nodes: tuple[str, ...]
    shops: tuple[str, ...]
    context: NDArray
    context_names: tuple[str, ...] = ()
    dates: pd.DatetimeIndex | None = None
    groups: tuple[str, ...] | None = None
    adjacency: NDArray | None = None
    structure: NDArray | None = None

    def __post_init__(self) -> None:
        if findings := self._findings():
            raise DataError(findings, "the panel of shops")

    def _findings(self) -> list[Finding]:
        if self.series.ndim != 3:
            message = f"series should be (shop, time, node); it has {self.series.ndim} dimensions."
            return [_wrong("series", message, "One shop needs a leading axis of length 1.")]
        shops, times, nodes = self.series.shape
        found = []
        expected = {
            "nodes": ((len(self.nodes),), (nodes,)),
            "shops": ((len(self.shops),), (shops,)),
            "context": (np.shape(self.context), (shops, times, len(self.context_names))),
        }
        optional = {
            "dates": (self.dates, (times,)),
            "groups": (self.groups, (nodes,)),
            "adjacency": (self.adjacency, (shops, nodes, nodes)),
            "structure": (self.structure, (shops,)),
        }
        for name, (value, shape) in optional.items():
            if value is not None:
                expected[name] = (np.shape(value), shape)
        for name, (came, wanted) in expected.items():
            if came != wanted:
                message = f"{name} should have the shape {wanted}, but has {came}."
                found.append(_wrong(name, message, "series is (shop, time, node)."))
        for name, labels in (("nodes", self.nodes), ("shops", self.shops)):
            twice = sorted({label for label in labels if labels.count(label) > 1})
            if twice:
                message = f"{name} should differ; {listing(map(repr, twice))} occur more than once."
                found.append(_wrong(name, message, "Rename them."))
        if np.isinf(self.series).any():
            places = np.argwhere(np.isinf(self.series))
            message = f"series has {len(places)} infinite values, first at {tuple(places[0])}."
            found.append(_wrong("series", message, "Missing values are NaN."))
        if np.ndim(self.context) == 3 and not np.isfinite(self.context).all():
            places = np.argwhere(~np.isfinite(self.context))
            message = f"context has {len(places)} missing values, first at {tuple(places[0])}."
            found.append(_wrong("context", message, "Fill them, with the value before for one."))
        return found

    @property
    def n_shops(self) -> int:
        """Number of shops."""
        return self.series.shape[0]

    @property
    def length(self) -> int:
        """Number of times, of the longest shop."""
        return self.series.shape[1]

    @property
    def n_nodes(self) -> int:
        """Number of nodes: channels, and the target."""
        return self.series.shape[2]

    @property
    def target(self) -> str:
        """Name of the target."""
        return self.nodes[-1]

    @property
    def observed(self) -> NDArray:
        """Which values are there (shop, time, node)."""
        return np.isfinite(self.series)

    def select(self, shops: Sequence[int] | NDArray | slice) -> ShopPanel:
        """Return the panel of some shops, by position."""
        at = np.arange(self.n_shops)[shops]
        return replace(
            self,
            series=self.series[at],
            shops=tuple(self.shops[i] for i in at),
            context=self.context[at],
            adjacency=None if self.adjacency is None else self.adjacency[at],
            structure=None if self.structure is None else self.structure[at],
        )

    def window(self, start: int | None = None, stop: int | None = None) -> ShopPanel:
        """Return the panel of the times from ``start`` to before ``stop``."""
        span = slice(start, stop)
        return replace(
            self,
            series=self.series[:, span],
            context=self.context[:, span],
            dates=None if self.dates is None else self.dates[span],
        )


def _wrong(name: str, message: str, remedy: str) -> Finding:
    return Finding("panel", "error", message, remedy, where=name)
