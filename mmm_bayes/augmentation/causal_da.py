"""How a model's table is augmented: :class:`CausalDA`, the settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, Literal, final, get_args

import numpy as np

from mmm_bayes.augmentation.kernels import BANDWIDTH_RULES
from mmm_bayes.augmentation.table_checks import Bandwidth
from mmm_bayes.causal.graph.causal_graph import CausalGraph
from mmm_bayes.runtime.findings import DataError, Finding, listing, nearest

Method = Literal["sample", "resample", "enumerate"]
METHODS: tuple[str, ...] = get_args(Method)


@final
@dataclass(frozen=True)
class CausalDA:
    r"""How a model's table is augmented by a causal graph.

    Parameters
    ----------
    graph
        Over the channels, the controls and the target's column, all of them, and ``season`` if
        wanted. Without a node ``season`` one is added that causes every variable: weekly rows are
        not exchangeable, and are taken to be so only given the calendar and the Markov pillow.
    method
        As in :func:`mmm_bayes.augmentation.augment.admgda`: ``"sample"``, ``"resample"`` or
        ``"enumerate"``.
    estimator
        Conditional of each variable, one name for all or by variable; for ``"sample"``. By default
        ``"model"`` for the target and ``"kernel"`` for all others. ``"model"`` is the media-mix
        model fitted with the target's Markov pillow alone
        (:mod:`mmm_bayes.augmentation.model_outcomes`). Channels and the calendar lend whole weeks,
        so theirs is ``"kernel"`` or ``"nearest"``; so are those of controls of 0 and 1.
    bandwidth, bandwidth_scale
        Rule, number, or numbers by variable, in scaled units; and a factor of all.
    smoothing
        Jitter of drawn values, in bandwidths; for ``"sample"``. The target (unless it is a count)
        and continuous controls keep it. Channels are those of a whole week: what follows from one
        is matched on its jittered value.
    num_rows
        Augmented rows a geo; twice the dates by default.
    mixture
        Share of the likelihood that augmented rows have, 0 to 1. By default the greatest one up to
        a half at which they add no more than a tenth to what observed rows tell of any direction of
        the coefficients: where the graph separates channels that move together in the table,
        augmented rows would make each look better known than it is
        (:mod:`mmm_bayes.augmentation.powers`). A number is taken as it is.
    exclusions
        Whether channels and controls outside the target's Markov pillow are without effect in the
        model: that the graph denies their arrows into the target is what the graph knows of its
        conditional distribution. Denying dependence between channels says nothing of it.
    season
        Name of the calendar's node.
    order
        Order of visiting, causes first; the graph's own by default.

    Raises
    ------
    DataError
        With every setting that cannot be used.

    Examples
    --------
    >>> from mmm_bayes.causal.graph.causal_graph import CausalGraph
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
        """Setting, what is wrong with it, and the remedy."""
        found = []
        if not isinstance(self.graph, CausalGraph):
            came = type(self.graph).__name__
            found.append(("graph", f"graph should be a CausalGraph, but is a {came}.", _GRAPH))
        method: Any = self.method
        if method not in METHODS:
            hint = f"Choose from {listing(METHODS)}.{nearest(str(method), METHODS)}"
            if method == "residual":
                hint = "Use method='sample', with estimator={target: 'residual'} for the target."
            found.append(("method", f"There is no method {method!r} for models.", hint))
        elif method != "sample" and (self.estimator not in (None, "kernel") or self.smoothing):
            message = f"method {method!r} copies observed values by their kernel weights."
            hint = "Use method='sample' for other estimators and for smoothing."
            found.append(("method", message, hint))
        estimator: Any = self.estimator
        if estimator is not None and not isinstance(estimator, (str, Mapping)):
            message = f"estimator should be a name or names by variable; got {estimator!r}."
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
            message = f"num_rows should be a whole number of at least 1, but is {rows!r}."
            found.append(("num_rows", message, "Leave it out for twice the dates."))
        share = self.mixture
        if share is not None and (_number_problems("mixture", share, positive=False) or share > 1):
            message = f"mixture should lie between 0 and 1, but is {self.mixture!r}."
            found.append(("mixture", message, "Give the share of the likelihood, e.g. 0.5."))
        season: Any = self.season
        if not (isinstance(season, str) and season):
            message = f"season should be a name, but is {season!r}."
            found.append(("season", message, "Name the calendar's node, e.g. 'season'."))
        return found

    def completed(self) -> CausalDA:
        """The same with the calendar in the graph: a cause of everything where it is no node."""
        if self.season in self.graph.nodes:
            return self
        edges = [(self.season, name) for name in self.graph.nodes]
        graph = CausalGraph(
            (self.season, *self.graph.nodes), [*edges, *self.graph.edges], self.graph.bidirected
        )
        order = None if self.order is None else (self.season, *self.order)
        return replace(self, graph=graph, order=order)

    def estimator_of(self, name: str, target: str) -> str:
        """Name of a variable's conditional."""
        own = self.estimator
        if isinstance(own, str):
            return own
        default = "model" if name == target and own is None else "kernel"
        return default if own is None else own.get(name, default)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
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
    least = "a number above 0" if positive else "a number of 0 or more"
    return [(name, f"{name} should be {least}, but is {value!r}.", "Leave it out for the default.")]
