"""A panel of shops: series of the nodes of a marketing graph, with the target last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
import pandas as pd

from mmm_bayes.runtime.deprecation import named_arguments, old_name
from mmm_bayes.runtime.findings import DataError, Finding, listing

NDArray = np.ndarray[Any, Any]


@final
@dataclass(frozen=True, eq=False)
class ShopPanel:
    """Series of many shops over the same nodes, with context and, if known, the true graphs.

    Attributes
    ----------
    series : numpy.ndarray
        Values (shop, time, node) in their own units; the target is the last node. NaN where a value
        is missing, and after the end of a shorter series.
    nodes, shops : tuple of str
        Labels of nodes and shops.
    context : numpy.ndarray
        Context variables (shop, time, variable), possibly none. Variables that are constant over
        time are repeated.
    context_names : tuple of str
        Labels of the context variables.
    dates : pandas.DatetimeIndex, optional
        One date per time.
    groups : tuple of str, optional
        Kind of each node: ``"brand"``, ``"views"``, ``"effect"``, ``"channel"`` or ``"target"``.
    adjacency : numpy.ndarray, optional
        The true graph of each shop (shop, source, target), boolean, without self-loops.
    structure : numpy.ndarray, optional
        Index of each shop's latent graph (shop,).
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
            message = f"series should be (shop, time, node), but has {self.series.ndim} dimensions."
            return [_wrong("series", message, "For one shop add a leading axis of length 1.")]
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
        for name, (given, wanted) in expected.items():
            if given != wanted:
                message = f"{name} should have the shape {wanted}, but has {given}."
                found.append(_wrong(name, message, "series is (shop, time, node)."))
        for name, labels in (("nodes", self.nodes), ("shops", self.shops)):
            twice = sorted({label for label in labels if labels.count(label) > 1})
            if twice:
                message = (
                    f"{name} should be distinct, but {listing(map(repr, twice))} occur repeatedly."
                )
                found.append(_wrong(name, message, "Rename them."))
        if np.isinf(self.series).any():
            places = np.argwhere(np.isinf(self.series))
            message = f"series has {len(places)} infinite value(s), the first at {_at(places)}."
            found.append(_wrong("series", message, "Use NaN for missing values."))
        if np.ndim(self.context) == 3 and not np.isfinite(self.context).all():
            places = np.argwhere(~np.isfinite(self.context))
            message = f"context has {len(places)} missing value(s), the first at {_at(places)}."
            found.append(_wrong("context", message, "Fill them, e.g. with the previous value."))
        return found

    @property
    def num_shops(self) -> int:
        """Number of shops."""
        return self.series.shape[0]

    @property
    def length(self) -> int:
        """Number of times of the longest series."""
        return self.series.shape[1]

    @property
    def num_nodes(self) -> int:
        """Number of nodes, including the target."""
        return self.series.shape[2]

    n_shops = old_name("num_shops")
    n_nodes = old_name("num_nodes")

    @property
    def target(self) -> str:
        """Name of the target."""
        return self.nodes[-1]

    @property
    def observed(self) -> NDArray:
        """Whether each value is observed (shop, time, node)."""
        return np.isfinite(self.series)

    @named_arguments
    def select(self, shops: Sequence[int] | NDArray | slice) -> ShopPanel:
        """Return a panel of some shops, by position."""
        at = np.arange(self.num_shops)[shops]
        return replace(
            self,
            series=self.series[at],
            shops=tuple(self.shops[i] for i in at),
            context=self.context[at],
            adjacency=None if self.adjacency is None else self.adjacency[at],
            structure=None if self.structure is None else self.structure[at],
        )

    @named_arguments
    def window(self, start: int | None = None, stop: int | None = None) -> ShopPanel:
        """Return a panel of the times from ``start`` up to, but not including, ``stop``."""
        span = slice(start, stop)
        return replace(
            self,
            series=self.series[:, span],
            context=self.context[:, span],
            dates=None if self.dates is None else self.dates[span],
        )


def _at(places: NDArray) -> tuple[int, ...]:
    return tuple(int(axis) for axis in places[0])


def _wrong(name: str, message: str, remedy: str) -> Finding:
    return Finding("panel", "error", message, remedy, where=name)
