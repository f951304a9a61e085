"""Fitted equations of a graph, and the effects of interventions on them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
import xarray as xr

from mmm_bayes.analysis import interventions as do_engine
from mmm_bayes.analysis.cells import cells_of
from mmm_bayes.analysis.summary import interval, interval_name
from mmm_bayes.causal.causal_graph import CausalGraph
from mmm_bayes.causal.identify.criteria import IdentificationError
from mmm_bayes.data.schema import MMMData
from mmm_bayes.fit_result import FitResult
from mmm_bayes.model.spec import ModelSpec
from mmm_bayes.runtime.findings import DataError, Finding, listing, nearest
from mmm_bayes.runtime.report import rows_as_html, rows_as_text
from mmm_bayes.runtime.summary_table import Shown, SummaryTable
from mmm_bayes.structural.diagnosis import SystemReport

if TYPE_CHECKING:
    import pandas as pd

    from mmm_bayes.data.lift_tests import LiftTest

NDArray = np.ndarray[Any, Any]
By = Sequence[str] | str
Change = float | NDArray | xr.DataArray

_DRAWS = ("chain", "draw")
_MAX_DRAWS = 1000


@final
class StructuralFit:
    """Fitted equations of a graph, and the effects of interventions on them.

    Attributes
    ----------
    data, graph
        The table and the causal graph.
    equations
        The fit of every equation by node, causes first. Each has its own diagnostics, figures and
        summaries.
    error_correlations
        Error correlations (chain, draw, node, other) of every district of two or more nodes.
    """

    def __init__(
        self,
        data: MMMData,
        graph: CausalGraph,
        media: Iterable[str],
        equations: Mapping[str, FitResult],
        error_correlations: Mapping[tuple[str, ...], xr.DataArray],
    ) -> None:
        self.data, self.graph, self.media = data, graph, frozenset(media)
        self.equations = dict(equations)
        self.error_correlations = dict(error_correlations)
        self.target = data.target_name

    def __repr__(self) -> str:
        return rows_as_text(self._headline())

    def _repr_html_(self) -> str:
        return rows_as_html(self._headline())

    def _headline(self) -> list[tuple[str, str]]:
        lines = [("StructuralFit", f"{len(self.equations)} equations, {self.data.n_dates} dates")]
        for node in self.equations:
            parents = ", ".join(self.graph.parents(node)) or "no parents"
            lines.append((node, f"on {parents}"))
        for nodes, values in self.error_correlations.items():
            mean = values.mean(_DRAWS)
            for i, one in enumerate(nodes):
                for other in nodes[i + 1 :]:
                    at = float(mean.sel(node=one, other=other))
                    lines.append((f"{one} <-> {other}", f"errors correlated {at:+.2f}"))
        return lines

    def diagnose(self) -> SystemReport:
        """Judge every equation.

        Returns
        -------
        SystemReport
            The verdict of the worst equation, ``reports`` by node, and all findings; ``to_frame()``
            has one row per node.
        """
        return SystemReport({node: fit.diagnose() for node, fit in self.equations.items()})

    # --- Interventions ---------------------------------------------------------------------------

    def _system(self, max_draws: int | None) -> do_engine.System:
        fitted = {node: fit.fitted for node, fit in self.equations.items()}
        return do_engine.System(fitted, self.data.columns(), self.media, max_draws)

    def paths(self, channel: str) -> list[tuple[str, ...]]:
        """List the directed paths from a channel to the target, shortest first."""
        self._known([channel])
        parents = {node: self.graph.parents(node) for node in self.graph.nodes}
        return do_engine.directed_paths(parents, channel, self.target)

    def do(
        self,
        interventions: Mapping[str, Change],
        *,
        dates: slice | Sequence[Any] | None = None,
        through: Sequence[Sequence[str]] | None = None,
        max_draws: int | None = _MAX_DRAWS,
    ) -> xr.Dataset:
        """Compute the values that nodes would have had under interventions.

        Parameters
        ----------
        interventions
            Values by node: a number, or an array (date,) or (geo, date).
        dates
            Dates of the intervention, e.g. ``slice("2024-05", "2024-06")`` for a campaign; by
            default all. On other dates the nodes keep their observed values.
        through
            Paths, each a sequence of nodes; only their edges transmit the change. By default all
            edges do.
        max_draws
            Thin the draws evenly to at most this many.

        Returns
        -------
        xarray.Dataset
            Values (chain, draw, geo, date), in units of the table, of every node that changes.

        Raises
        ------
        DataError
            If nodes or edges are unknown, or values have the wrong shape or are negative.
        """
        changes = self._changes(interventions, dates)
        system = self._system(max_draws)
        edges = None if through is None else self._edges(through)
        found = do_engine.under(system, changes, edges)
        return xr.Dataset({node: self._labelled(system, own) for node, own in found.items()})

    def effects(
        self,
        channels: Sequence[str] | str | None = None,
        by: By = (),
        *,
        factor: float = 0.0,
        dates: slice | Sequence[Any] | None = None,
        max_draws: int | None = _MAX_DRAWS,
    ) -> xr.DataArray:
        """Compute the effects of channels on the target: observed against scaled exposure.

        Parameters
        ----------
        channels
            Channels; by default all with a path to the target.
        by
            Dimensions to keep: ``"geo"``, and one of ``"date"``, ``"year"``, ``"quarter"``,
            ``"month"`` (effects by region, week, season).
        factor
            The counterfactual exposure is ``factor`` times the observed one; 0 is no exposure.
        dates
            Dates at which the exposure is changed (a campaign); by default all.
        max_draws
            Thin the draws evenly to at most this many.

        Returns
        -------
        xarray.DataArray
            ``(chain, draw, channel, effect, *by)`` in units of the target; ``effect`` is
            ``"total"``, ``"direct"`` (through no other node) and ``"indirect"``, their difference.
        """
        names = self._channels(channels)
        system, cells = self._system(max_draws), cells_of(by, self.data)
        parts = []
        for name in names:
            change = self._changes({name: factor * self.data.columns()[name]}, dates)
            total = self._gain(system, change, None)
            own = frozenset({(name, self.target)})
            direct = self._gain(system, change, own)
            parts.append(np.stack([total, direct, total - direct], axis=1))
        values = np.stack([cells.of(part) for part in parts], axis=1)
        return self._draws_of(
            system, values, {"channel": names, "effect": ["total", "direct", "indirect"]}, cells
        )

    def path_effects(
        self,
        channel: str,
        by: By = (),
        *,
        factor: float = 0.0,
        dates: slice | Sequence[Any] | None = None,
        max_draws: int | None = _MAX_DRAWS,
    ) -> xr.DataArray:
        """Compute the effect of a channel along each path to the target.

        Edges off the path transmit observed values. Paths that meet in a node with saturation do
        not add up to the total effect: the remainder is ``"together"``.

        Returns
        -------
        xarray.DataArray
            ``(chain, draw, path, *by)``; labels read ``"tv -> search -> sales"``. Arguments are
            those of :meth:`effects`.
        """
        system, cells = self._system(max_draws), cells_of(by, self.data)
        change = self._changes({channel: factor * self.data.columns()[channel]}, dates)
        paths = self.paths(channel)
        parts = [self._gain(system, change, do_engine.edges_of(path)) for path in paths]
        labels = [" -> ".join(path) for path in paths]
        if len(paths) > 1:
            parts.append(self._gain(system, change, None) - sum(parts))
            labels.append("together")
        values = np.stack([cells.of(part) for part in parts], axis=1)
        return self._draws_of(system, values, {"path": labels}, cells)

    def summary(self, ci_prob: float = 0.9, *, max_draws: int | None = _MAX_DRAWS) -> pd.DataFrame:
        """Summarise total, direct and indirect effects and the ROAS of every channel.

        Returns
        -------
        pandas.DataFrame
            One row per channel and effect: ``spend``; median, ``_lower`` and ``_upper`` of
            ``contribution`` (units of the target, as spent against nothing) and ``roas`` (revenue
            per unit of money; NaN without spend), and ``positive``, the probability that it is
            above zero.
        """
        import pandas as pd

        draws = self.effects(by=("geo", "date"), max_draws=max_draws)
        revenue = self.data.ds["revenue_per_target"].values
        contribution = draws.sum(("geo", "date"))
        money = (draws * revenue).sum(("geo", "date"))
        spend = self.data.ds["spend"].sum(("geo", "date"))
        rows = []
        for channel in draws["channel"].values.tolist():
            spent = float(spend.sel(channel=channel)) if channel in self.data.channels else 0.0
            for effect in draws["effect"].values.tolist():
                at = {"channel": channel, "effect": effect}
                roas = money.sel(at) / spent if spent > 0 else money.sel(at) * np.nan
                row: dict[str, Any] = {**at, "spend": spent}
                for name, own in (("contribution", contribution.sel(at)), ("roas", roas)):
                    low, high = interval(own, ci_prob).values
                    row |= {name: float(own.median()), f"{name}_lower": low, f"{name}_upper": high}
                row["positive"] = float((contribution.sel(at) > 0).mean())
                rows.append(row)
        percent = interval_name(ci_prob)
        return SummaryTable(
            pd.DataFrame(rows).set_index(["channel", "effect"]),
            shown=(
                Shown("spend", "spend"),
                Shown("contribution", "contribution"),
                Shown(percent, ("contribution_lower", "contribution_upper")),
                Shown("ROAS", "roas", "ratio"),
                Shown(percent, ("roas_lower", "roas_upper"), "ratio"),
                Shown("above 0", "positive", "probability"),
            ),
            caption=f"Posterior medians. Contribution is in units of {self.target}, against no "
            "spend.",
        )

    def reconcile(self, plain: FitResult, ci_prob: float = 0.9) -> pd.DataFrame:
        """Compare with a plain media-mix model, and say why the results differ.

        Parameters
        ----------
        plain
            A fit of :class:`~mmm_bayes.fit.MMM` to the same table.
        ci_prob
            Mass of the intervals.

        Returns
        -------
        pandas.DataFrame
            One row per channel: contribution of the plain model, total and direct effect of this
            one with intervals, whether the intervals of plain and total overlap, and ``why``.
        """
        import pandas as pd

        ours, theirs = self.summary(ci_prob), plain.summary(ci_prob)
        rows = []
        for channel in dict.fromkeys(ours.index.get_level_values("channel")):
            if channel not in theirs.index:
                continue
            total, direct = ours.loc[(channel, "total")], ours.loc[(channel, "direct")]
            own = theirs.loc[channel]
            overlap = (
                own["contribution_lower"] <= total["contribution_upper"]
                and total["contribution_lower"] <= own["contribution_upper"]
            )
            row: dict[str, Any] = {"channel": channel}
            for name, part in (("plain", own), ("total", total), ("direct", direct)):
                row[name] = part["contribution"]
                row[f"{name}_lower"] = part["contribution_lower"]
                row[f"{name}_upper"] = part["contribution_upper"]
            used = [*plain.data.channels, *plain.data.controls]
            why = self._reasons(channel, [name for name in used if name != channel], plain.spec)
            rows.append(row | {"overlap": overlap, "why": " ".join(why)})
        return pd.DataFrame(rows).set_index("channel")

    def _reasons(self, channel: str, used: Sequence[str], spec: ModelSpec) -> list[str]:
        """Explain why a regression on ``used`` does not give the total effect of a channel."""
        graph, target = self.graph, self.target
        known = [name for name in used if name in graph.nodes]
        if spec.seasonality:
            known += [name for name in graph.nodes_of("seasonality") if name not in known]
        after = set(graph.descendants(channel))
        mediators = [n for n in known if n in after and target in graph.descendants(n)]
        late = [n for n in known if n in graph.descendants(target)]
        why = []
        if mediators:
            why.append(
                f"The plain model holds {listing(mediators)} fixed, through which {channel} acts: "
                "it estimates a direct effect."
            )
        if late:
            why.append(
                f"It adjusts for {listing(late)}, an effect of {target}, which biases all channels."
            )
        try:
            wanted = graph.adjustment_set(channel, target)
        except IdentificationError:
            why.append("No adjustment set exists: a hidden common cause confounds the channel.")
        else:
            if missing := [n for n in wanted if n not in known]:
                why.append(f"It leaves out {listing(missing)}, a common cause.")
        others = [n for n in used if n not in graph.nodes]
        if others:
            why.append(f"It uses {listing(others)}, not in the graph.")
        return why or ["Both adjust as the graph requires: they should agree."]

    def predict_lift(self, test: LiftTest, *, max_draws: int | None = _MAX_DRAWS) -> NDArray:
        """Predict the lift of a test, as draws (draw,); see :func:`.lift.predicted_lift`.

        ``mb.compare_lift_tests(fit.predict_lift, tests)`` compares several tests.
        """
        from mmm_bayes.analysis.lift import predicted_lift

        return predicted_lift(self._system(max_draws), self.data, self.target, test)

    # --- Arrays ----------------------------------------------------------------------------------

    def _known(self, names: Iterable[str]) -> None:
        wrong = [name for name in names if name not in self.graph.nodes]
        if wrong:
            raise DataError(
                [
                    Finding("unknown_node", "error", f"{name!r} is not a node of the graph.",
                            nearest(name, self.graph.nodes).strip()
                            or f"The nodes are {listing(self.graph.nodes, 12)}.", name)
                    for name in wrong
                ],
                "the question",
            )  # fmt: skip

    def _channels(self, channels: Sequence[str] | str | None) -> list[str]:
        if channels is None:
            leads = self.graph.ancestors(self.target)
            return [c for c in self.data.channels if c in leads]
        names = [channels] if isinstance(channels, str) else list(channels)
        self._known(names)
        return names

    def _changes(
        self, interventions: Mapping[str, Change], dates: slice | Sequence[Any] | None
    ) -> dict[str, NDArray]:
        """Expand interventions to values (geo, date)."""
        self._known(interventions)
        observed, findings, changes = self.data.columns(), [], {}
        mask = np.ones(self.data.n_dates, bool)
        if dates is not None:
            mask = self.data.dates.isin(self.data.subset(dates).dates)
        for node, value in interventions.items():
            if node not in observed:
                message = f"{node!r} has no column in the table, so that it cannot be set."
                remedy = f"Intervene on one of {listing(observed, 12)}."
                findings.append(Finding("intervention", "error", message, remedy, node))
                continue
            given = np.asarray(value, float)
            try:
                whole = np.broadcast_to(given, observed[node].shape)
            except ValueError:
                message = f"The values for {node!r} have the shape {given.shape}."
                remedy = f"Give a number, or an array (geo, date) of shape {observed[node].shape}."
                findings.append(Finding("intervention", "error", message, remedy, node))
                continue
            if node in self.media and (whole < 0).any():
                message = f"{node!r} is exposure, but some of its values are negative."
                remedy = "Give values of at least 0."
                findings.append(Finding("intervention", "error", message, remedy, node))
            changes[node] = np.where(mask, whole, observed[node])
        if findings:
            raise DataError(findings, "the intervention")
        return changes

    def _edges(self, paths: Sequence[Sequence[str]]) -> frozenset[do_engine.Edge]:
        edges = frozenset().union(*(do_engine.edges_of(path) for path in paths))
        wrong = sorted(edges - set(self.graph.edges))
        if wrong:
            raise DataError(
                [
                    Finding("edge", "error", f"{a} -> {b} is not an edge of the graph.",
                            f"fit.paths({a!r}) lists the paths.", a)
                    for a, b in wrong
                ],
                "the paths",
            )  # fmt: skip
        return edges

    def _gain(
        self,
        system: do_engine.System,
        change: Mapping[str, NDArray],
        edges: frozenset[do_engine.Edge] | None,
    ) -> NDArray:
        """Compute the observed target minus the one under the change (draw, geo, date)."""
        found = do_engine.under(system, change, edges)
        observed = system.observed[self.target]
        chains, draws = system.draw_labels
        after = np.broadcast_to(
            found.get(self.target, observed[None]), (len(chains) * len(draws), *observed.shape)
        )
        return observed - after

    def _labelled(self, system: do_engine.System, values: NDArray) -> xr.DataArray:
        chains, draws = system.draw_labels
        shape = (len(chains), len(draws), *values.shape[1:])
        whole = np.broadcast_to(values, (len(chains) * len(draws), *values.shape[1:]))
        coords = {"chain": chains, "draw": draws, "geo": self.data.geos, "date": self.data.dates}
        return xr.DataArray(whole.reshape(shape), coords, (*_DRAWS, "geo", "date"))

    def _draws_of(
        self, system: do_engine.System, values: NDArray, own: Mapping[str, Any], cells: Any
    ) -> xr.DataArray:
        """Label an array (draw, *own, *cells)."""
        chains, draws = system.draw_labels
        coords = {"chain": chains, "draw": draws, **own, **cells.coords}
        shaped = values.reshape(len(chains), len(draws), *values.shape[1:])
        found = xr.DataArray(shaped, coords, (*_DRAWS, *own, *cells.dims))
        return found.transpose(*_DRAWS, *own, *cells.by)

    # --- Files -----------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write one zip file with all equations, the table and the graph, atomically."""
        from mmm_bayes.structural.files import FitParts, write

        parts = FitParts(self.data, self.graph, self.media, self.equations, self.error_correlations)
        return write(parts, path)
