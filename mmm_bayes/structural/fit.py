"""A fitted system of equations on a causal graph, and the effects of interventions on it."""

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
from mmm_bayes.data.schema import MMMData
from mmm_bayes.fit_result import FitResult
from mmm_bayes.runtime.deprecation import named_arguments
from mmm_bayes.runtime.report import rows_as_html, rows_as_text
from mmm_bayes.runtime.summary_table import Shown, SummaryTable
from mmm_bayes.runtime.visible import shown_safely
from mmm_bayes.structural.diagnosis import SystemReport
from mmm_bayes.structural.interventions import (
    Change,
    check_nodes,
    edges_along,
    expand_interventions,
    gain,
)
from mmm_bayes.structural.reconciliation import reconciled

if TYPE_CHECKING:
    import pandas as pd

    from mmm_bayes.data.lift_tests import LiftTest

NDArray = np.ndarray[Any, Any]
By = Sequence[str] | str

_DRAWS = ("chain", "draw")
_MAX_DRAWS = 1000


@final
class StructuralFit:
    """A fitted system of equations on a causal graph, and the effects of interventions on it.

    Attributes
    ----------
    data, graph
        The table and the causal graph.
    equations
        Fit of each equation by node, with causes before their effects. Each fit has its own
        diagnostics, figures and summaries.
    error_correlations
        Correlations (chain, draw, node, other) of the errors in each district, which is a group of
        two or more nodes linked by hidden causes.
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

    @shown_safely
    def __repr__(self) -> str:
        return rows_as_text(self._headline())

    def _repr_html_(self) -> str:
        return rows_as_html(self._headline())

    def _headline(self) -> list[tuple[str, str]]:
        lines = [("StructuralFit", f"{len(self.equations)} equations, {self.data.num_dates} dates")]
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
        """Diagnose the convergence and fit of each equation.

        Returns
        -------
        SystemReport
            The verdict of the worst equation, ``reports`` by node, and all findings. Its
            ``to_frame()`` has one row per node.
        """
        return SystemReport({node: fit.diagnose() for node, fit in self.equations.items()})

    # --- Interventions ---------------------------------------------------------------------------

    def _system(self, max_draws: int | None) -> do_engine.System:
        fitted = {node: fit.fitted for node, fit in self.equations.items()}
        return do_engine.System(fitted, self.data.columns(), self.media, max_draws)

    @named_arguments
    def paths(self, channel: str) -> list[tuple[str, ...]]:
        """List the directed paths from a channel to the target, with the shortest first."""
        check_nodes(self.graph, [channel])
        parents = {node: self.graph.parents(node) for node in self.graph.nodes}
        return do_engine.directed_paths(parents, channel, self.target)

    @named_arguments
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
            Values to set, by node: a number, or an array (date,) or (geo, date).
        dates
            Dates of the intervention, for example ``slice("2024-05", "2024-06")`` for a campaign.
            Default: all dates. On other dates the nodes keep their observed values.
        through
            Paths, each a sequence of nodes. Only the edges of these paths transmit the change.
            Default: all edges of the graph transmit it.
        max_draws
            Largest number of posterior draws; a larger number of draws is thinned evenly.

        Returns
        -------
        xarray.Dataset
            Values (chain, draw, geo, date) of each node that changes, in units of the table.

        Raises
        ------
        DataError
            If nodes or edges are unknown, values have the wrong shape, or media are negative.
        """
        changes = self._changes(interventions, dates)
        system = self._system(max_draws)
        edges = None if through is None else edges_along(self.graph, through)
        found = do_engine.under(system, changes, edges)
        return xr.Dataset({node: self._labelled(system, own) for node, own in found.items()})

    @named_arguments
    def effects(
        self,
        channels: Sequence[str] | str | None = None,
        by: By = (),
        *,
        factor: float = 0.0,
        dates: slice | Sequence[Any] | None = None,
        max_draws: int | None = _MAX_DRAWS,
    ) -> xr.DataArray:
        """Compute the effects on the target of observed compared with scaled exposure of channels.

        Parameters
        ----------
        channels
            Channels. Default: all channels with a path to the target.
        by
            Dimensions to keep: ``"geo"``, and one of ``"date"``, ``"year"``, ``"quarter"`` and
            ``"month"``.
        factor
            Factor by which the observed exposure is multiplied in the counterfactual; 0 means no
            exposure.
        dates
            Dates on which the exposure is changed, such as those of a campaign. Default: all dates.
        max_draws
            Largest number of posterior draws; a larger number of draws is thinned evenly.

        Returns
        -------
        xarray.DataArray
            Effects ``(chain, draw, channel, effect, *by)`` in units of the target. ``effect`` is
            ``"total"``, ``"direct"`` (along the edge to the target) or ``"indirect"`` (total minus
            direct).
        """
        names = self._channels(channels)
        system, cells = self._system(max_draws), cells_of(by, self.data)
        parts = []
        for name in names:
            change = self._changes({name: factor * self.data.columns()[name]}, dates)
            total = gain(system, self.target, change, None)
            own = frozenset({(name, self.target)})
            direct = gain(system, self.target, change, own)
            parts.append(np.stack([total, direct, total - direct], axis=1))
        values = np.stack([cells.of(part) for part in parts], axis=1)
        return self._draws_of(
            system, values, {"channel": names, "effect": ["total", "direct", "indirect"]}, cells
        )

    @named_arguments
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

        The arguments are those of :meth:`effects`. Only the edges of a path transmit the change. If
        paths meet at a node with saturation, their effects do not add up to the total effect; the
        remainder has the label ``"together"``.

        Returns
        -------
        xarray.DataArray
            Effects ``(chain, draw, path, *by)`` in units of the target, with labels such as
            ``"tv -> search -> sales"``.
        """
        system, cells = self._system(max_draws), cells_of(by, self.data)
        change = self._changes({channel: factor * self.data.columns()[channel]}, dates)
        paths = self.paths(channel)
        parts = [gain(system, self.target, change, do_engine.edges_of(path)) for path in paths]
        labels = [" -> ".join(path) for path in paths]
        if len(paths) > 1:
            parts.append(gain(system, self.target, change, None) - sum(parts))
            labels.append("together")
        values = np.stack([cells.of(part) for part in parts], axis=1)
        return self._draws_of(system, values, {"path": labels}, cells)

    @named_arguments
    def summary(self, ci_prob: float = 0.9, *, max_draws: int | None = _MAX_DRAWS) -> pd.DataFrame:
        """Summarise the total, direct and indirect effects and the ROAS of each channel.

        Returns
        -------
        pandas.DataFrame
            One row per channel and effect: ``spend``; the median, ``_lower`` and ``_upper`` of
            ``contribution`` (in units of the target, as spent compared with no spend) and ``roas``
            (revenue per unit of spend; NaN without spend); and ``positive``, the probability that
            the contribution is above zero.
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
            caption=f"Posterior medians. Contribution is in units of {self.target}, compared with "
            "no spend.",
        )

    @named_arguments
    def reconcile(self, plain: FitResult, ci_prob: float = 0.9) -> pd.DataFrame:
        """Compare the effects with a plain media-mix model, and explain differences.

        Parameters
        ----------
        plain
            A fit of :class:`~mmm_bayes.fit.MMM` to the same table.
        ci_prob
            Probability mass of the intervals.

        Returns
        -------
        pandas.DataFrame
            One row per channel: ``plain``, the contribution in the plain model; ``total`` and
            ``direct``, the effects in this model; bounds of their intervals; ``overlap``, whether
            the intervals of ``plain`` and ``total`` overlap; and ``why``, reasons for a difference.
        """
        return reconciled(self.summary(ci_prob), plain, self.graph, self.target, ci_prob)

    @named_arguments
    def predict_lift(self, test: LiftTest, *, max_draws: int | None = _MAX_DRAWS) -> NDArray:
        """Predict the lift of a test as posterior draws (draw,).

        ``mb.compare_lift_tests(fit.predict_lift, tests)`` compares several tests.
        """
        from mmm_bayes.analysis.lift import predicted_lift

        return predicted_lift(self._system(max_draws), self.data, self.target, test)

    # --- Arrays ----------------------------------------------------------------------------------

    def _changes(
        self, interventions: Mapping[str, Change], dates: slice | Sequence[Any] | None
    ) -> dict[str, NDArray]:
        return expand_interventions(self.data, self.graph, self.media, interventions, dates)

    def _channels(self, channels: Sequence[str] | str | None) -> list[str]:
        if channels is None:
            leads = self.graph.ancestors(self.target)
            return [c for c in self.data.channels if c in leads]
        names = [channels] if isinstance(channels, str) else list(channels)
        check_nodes(self.graph, names)
        return names

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

    @named_arguments
    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write all equations, the table and the graph to one zip file, atomically."""
        from mmm_bayes.structural.files import FitParts, write

        parts = FitParts(self.data, self.graph, self.media, self.equations, self.error_correlations)
        return write(parts, path)
