"""Settings of causal data augmentation for a media-mix model: :class:`CausalDA`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, Literal, final, get_args

import numpy as np

from mmm_bayes.augmentation.kernels import BANDWIDTH_RULES
from mmm_bayes.augmentation.table_checks import Bandwidth
from mmm_bayes.causal.causal_graph import CausalGraph
from mmm_bayes.runtime.deprecation import named_arguments
from mmm_bayes.runtime.findings import DataError, Finding, listing, nearest

Method = Literal["sample", "resample", "enumerate"]
METHODS: tuple[str, ...] = get_args(Method)


@final
@dataclass(frozen=True)
class CausalDA:
    r"""Augment the table of a model with rows that follow a causal graph.

    Parameters
    ----------
    graph
        A graph over all channels, all controls and the target's column, and optionally the
        calendar, ``season``. If there is no node ``season``, one is added that causes every
        variable: weekly rows are not exchangeable, and the augmentation assumes that they are,
        given the calendar and the Markov pillow.
    method
        As in :func:`mmm_bayes.augmentation.augment.augment`: ``"sample"``, ``"resample"`` or
        ``"enumerate"``.
    estimator
        Estimator of the conditional distribution of each variable, one name for all or names by
        variable; for ``method="sample"``. By default ``"model"`` for the target and ``"kernel"``
        for all others. ``"model"`` is the media-mix model fitted with only the target's Markov
        pillow (:mod:`mmm_bayes.augmentation.model_outcomes`). Channels and the calendar copy whole
        weeks, and therefore need ``"kernel"`` or ``"nearest"``, as do binary controls.
    bandwidth, bandwidth_scale
        Rule, number, or numbers by variable, in scaled units; and a factor for all bandwidths.
    smoothing
        Jitter of drawn values, in bandwidths; for ``method="sample"``. The target (unless it is a
        count) and continuous controls keep the jitter. Channels keep the values of whole weeks, but
        their effects are matched on the jittered values.
    num_rows
        Number of augmented rows per geo; by default twice the number of dates.
    mixture
        Share of the likelihood given to augmented rows, from 0 to 1. By default the largest share,
        up to one half, at which they add at most a tenth to the information of observed rows about
        any direction of the coefficients. Where the graph separates channels that move together in
        the table, augmented rows would otherwise make each look better known than it is
        (:mod:`mmm_bayes.augmentation.likelihood_weights`). A number is used as given.
    exclusions
        Whether to remove the effects of channels and controls outside the target's Markov pillow
        from the model. The missing edges into the target are all that the graph states about the
        target's conditional distribution; missing edges between channels state nothing about it.
    season
        Name of the node of the calendar.
    order
        Order in which variables are drawn, causes first; by default that of the graph.

    Raises
    ------
    DataError
        Listing every invalid setting.

    Examples
    --------
    >>> from mmm_bayes.causal.causal_graph import CausalGraph
    >>> graph = CausalGraph(edges=[("tv", "search"), ("tv", "sales"), ("search", "sales")])
    >>> CausalDA(graph, mixture=0.3).mixture
    0.3
    """

    graph: CausalGraph
    _: KW_ONLY
    method: Method = "sample"
    estimator: str | Mapping[str, str] | None = None
    bandwidth: Bandwidth = "normal_reference"
    bandwidth_scale: float = 1.0
    smoothing: float = 0.0
    num_rows: int | None = None
    mixture: float | None = None
    exclusions: bool = True
    season: str = "season"
    order: Sequence[str] | None = None

    def __post_init__(self) -> None:
        findings = [_setting(*problem) for problem in self._problems()]
        if findings:
            raise DataError(findings, "CausalDA")
        if self.order is not None:
            object.__setattr__(self, "order", tuple(self.order))

    def _problems(self) -> list[tuple[str, str, str]]:
        """List every invalid setting: its name, a message and a remedy."""
        found = []
        if not isinstance(self.graph, CausalGraph):
            kind = type(self.graph).__name__
            found.append(("graph", f"graph should be a CausalGraph, but got a {kind}.", _GRAPH))
        method: Any = self.method
        if method not in METHODS:
            hint = f"Choose from {listing(METHODS)}.{nearest(str(method), METHODS)}"
            if method == "residual":
                hint = "Use method='sample', with estimator={target: 'residual'} for the target."
            found.append(("method", f"There is no method {method!r} for models.", hint))
        elif method != "sample" and (self.estimator not in (None, "kernel") or self.smoothing):
            message = f"method={method!r} only copies observed values by their kernel weights."
            hint = "Other estimators and smoothing require method='sample'."
            found.append(("method", message, hint))
        estimator: Any = self.estimator
        if estimator is not None and not isinstance(estimator, (str, Mapping)):
            message = f"estimator should be a name or names by variable, but got {estimator!r}."
            found.append(("estimator", message, "Give 'kernel', or e.g. {'sales': 'residual'}."))
        found += _number_problems("bandwidth_scale", self.bandwidth_scale, positive=True)
        found += _number_problems("smoothing", self.smoothing, positive=False)
        if isinstance(self.bandwidth, str):
            if self.bandwidth not in BANDWIDTH_RULES:
                hint = nearest(self.bandwidth, BANDWIDTH_RULES)
                hint = f"Choose from {listing(BANDWIDTH_RULES)}, or give numbers.{hint}"
                found.append(("bandwidth", f"There is no rule {self.bandwidth!r}.", hint))
        elif isinstance(self.bandwidth, Mapping):
            for name, value in self.bandwidth.items():
                found += _number_problems(f"bandwidth of {name!r}", value, positive=True)
        else:
            found += _number_problems("bandwidth", self.bandwidth, positive=True)
        rows: Any = self.num_rows
        if rows is not None and (isinstance(rows, bool) or not isinstance(rows, int) or rows < 1):
            message = f"num_rows should be a whole number of at least 1, but got {rows!r}."
            found.append(("num_rows", message, "Leave it out for twice the number of dates."))
        share = self.mixture
        if share is not None and (_number_problems("mixture", share, positive=False) or share > 1):
            message = f"mixture should be between 0 and 1, but got {self.mixture!r}."
            hint = "Give the share of the likelihood for augmented rows, e.g. 0.5."
            found.append(("mixture", message, hint))
        season: Any = self.season
        if not (isinstance(season, str) and season):
            message = f"season should be a name, but got {season!r}."
            found.append(("season", message, "Name the node of the calendar, e.g. 'season'."))
        return found

    def completed(self) -> CausalDA:
        """Add the calendar to the graph as a cause of every variable, unless it is a node."""
        if self.season in self.graph.nodes:
            return self
        edges = [(self.season, name) for name in self.graph.nodes]
        graph = CausalGraph(
            (self.season, *self.graph.nodes), [*edges, *self.graph.edges], self.graph.bidirected
        )
        order = None if self.order is None else (self.season, *self.order)
        return replace(self, graph=graph, order=order)

    @named_arguments
    def estimator_of(self, name: str, target: str) -> str:
        """Return the name of a variable's estimator."""
        own = self.estimator
        if isinstance(own, str):
            return own
        default = "model" if name == target and own is None else "kernel"
        return default if own is None else own.get(name, default)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain values, for JSON."""
        plain = lambda x: dict(x) if isinstance(x, Mapping) else x  # noqa: E731
        names = ("method", "bandwidth_scale", "smoothing", "num_rows", "mixture", "exclusions")
        graph = {
            "nodes": list(self.graph.nodes),
            "edges": [list(edge) for edge in self.graph.edges],
            "bidirected": [list(pair) for pair in self.graph.bidirected],
        }
        return {name: getattr(self, name) for name in names} | {
            "season": self.season,
            "estimator": plain(self.estimator),
            "bandwidth": plain(self.bandwidth),
            "order": None if self.order is None else list(self.order),
            "graph": graph,
        }


_GRAPH = "Build it with CausalGraph(edges=[('tv', 'sales'), ...]) or CausalGraph.from_file."


def _setting(name: str, message: str, remedy: str) -> Finding:
    return Finding("setting", "error", message, remedy, where=name)


def _number_problems(name: str, value: Any, *, positive: bool) -> list[tuple[str, str, str]]:
    numeric = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if numeric and np.isfinite(value) and (value > 0 if positive else value >= 0):
        return []
    wanted = "a number above 0" if positive else "a number of at least 0"
    message = f"{name} should be {wanted}, but got {value!r}."
    return [(name, message, "Leave it out for the default.")]
