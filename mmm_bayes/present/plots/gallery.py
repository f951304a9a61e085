"""All figures of a fit: ``fit.plot.roas()`` and the like, and all of them as files."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import final

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from mmm_bayes.analysis import contributions as contribution
from mmm_bayes.analysis import response
from mmm_bayes.model.fitted import Fitted
from mmm_bayes.present.plots import curves, decomposition, outcome, parameters, returns
from mmm_bayes.present.plots.save import save_figures
from mmm_bayes.present.plots.style import IntervalKind, channel_colours, period_name
from mmm_bayes.runtime.deprecation import named_arguments
from mmm_bayes.runtime.visible import shown_safely

_BAND_DRAWS = 1000  # the Monte Carlo error of a band's edge is then a tenth of its width at most


@final
class FitPlots:
    """Figures of one fit; each method returns a ``matplotlib.figure.Figure``.

    Units are those of the table, colours of channels are the same in every figure.

    Parameters
    ----------
    fitted
        The fit.

    Examples
    --------
    >>> fit.plot.roas().savefig("roas.png")  # doctest: +SKIP
    """

    def __init__(self, fitted: Fitted) -> None:
        self._fitted = fitted
        data = fitted.data
        self._target = data.roles.target or "target"
        self._period = period_name(data.time_step)
        self._colours = channel_colours(data.channels)

    @shown_safely
    def __repr__(self) -> str:
        return f"FitPlots: {', '.join(self._names())}"

    @classmethod
    def _names(cls) -> list[str]:
        return [name for name in vars(cls) if not name.startswith("_") and name != "save_all"]

    @named_arguments
    def fit(self, *, ci_prob: float = 0.9, ci_kind: IntervalKind = "eti") -> Figure:
        """Observed target on its posterior predictive distribution; see :func:`plot_fit`."""
        return outcome.plot_fit(
            self._observed,
            self._draws("posterior_predictive"),
            ci_prob=ci_prob,
            ci_kind=ci_kind,
            target=self._target,
            period=self._period,
        )

    @named_arguments
    def prior_predictive(self, *, ci_prob: float = 0.9, ci_kind: IntervalKind = "eti") -> Figure:
        """Observed target on what the priors expect; see :func:`plot_prior_predictive`."""
        return outcome.plot_prior_predictive(
            self._observed,
            self._draws("prior_predictive"),
            ci_prob=ci_prob,
            ci_kind=ci_kind,
            target=self._target,
            period=self._period,
        )

    def residuals(self) -> Figure:
        """Residuals over time and their autocorrelation; see :func:`plot_residuals`."""
        mean = contribution.fitted_mean(self._fitted, max_draws=_BAND_DRAWS)
        return outcome.plot_residuals(
            self._observed,
            mean.mean(("chain", "draw")),
            target=self._target,
            period=self._period,
        )

    def contributions(self) -> Figure:
        """Posterior mean contributions over the dates; see :func:`plot_contributions`."""
        brought = contribution.contributions(self._fitted, "date", max_draws=_BAND_DRAWS)
        return decomposition.plot_contributions(
            brought,
            observed=self._observed.sum("geo"),
            colours=self._colours,
            target=self._target,
            period=self._period,
        )

    @named_arguments
    def contribution_bars(self, *, ci_prob: float = 0.9, ci_kind: IntervalKind = "eti") -> Figure:
        """Total contribution and share of each channel; see :func:`plot_contribution_bars`."""
        return decomposition.plot_contribution_bars(
            contribution.contributions(self._fitted),
            colours=self._colours,
            ci_prob=ci_prob,
            ci_kind=ci_kind,
            target=self._target,
            shares=bool(contribution.target_total(self._fitted.data).notnull()),
        )

    @named_arguments
    def roas(
        self,
        *,
        truth: xr.Dataset | None = None,
        ci_prob: float = 0.9,
        ci_kind: IntervalKind = "eti",
    ) -> Figure:
        """ROAS and marginal ROAS with intervals; see :func:`plot_roas`."""
        return returns.plot_roas(
            contribution.roas(self._fitted),
            contribution.marginal_roas(self._fitted),
            truth=truth,
            colours=self._colours,
            ci_prob=ci_prob,
            ci_kind=ci_kind,
        )

    @named_arguments
    def response_curves(
        self,
        channels: Sequence[str] | None = None,
        *,
        ci_prob: float = 0.9,
        ci_kind: IntervalKind = "eti",
        share_y: bool = True,
    ) -> Figure:
        """Revenue at other levels of spend; see :func:`plot_response_curves`."""
        return curves.plot_response_curves(
            response.response_curves(self._fitted, channels),
            colours=self._colours,
            ci_prob=ci_prob,
            ci_kind=ci_kind,
            share_y=share_y,
        )

    @named_arguments
    def adstock_curves(self, *, ci_prob: float = 0.9, ci_kind: IntervalKind = "eti") -> Figure:
        """Carry-over before and after the data; see :func:`plot_adstock_curves`."""
        prior = None
        if "prior" in self._fitted.tree.children:
            prior = response.adstock_curves(self._fitted, group="prior")
        return curves.plot_adstock_curves(
            response.adstock_curves(self._fitted),
            prior,
            colours=self._colours,
            ci_prob=ci_prob,
            ci_kind=ci_kind,
            period=self._period,
        )

    @named_arguments
    def prior_posterior(
        self,
        var_names: Sequence[str] | None = None,
        *,
        truth: Mapping[str, xr.DataArray] | xr.Dataset | None = None,
    ) -> Figure:
        """Parameters before and after the data; see :func:`plot_prior_posterior`.

        Unless named, parameters that differ by geo are left out.
        """
        return parameters.plot_prior_posterior(
            self._group("posterior"),
            self._group("prior"),
            self._shared(var_names),
            truth=truth,
            colours=self._colours,
        )

    @named_arguments
    def trace(self, var_names: Sequence[str] | None = None) -> Figure:
        """Draws in their order; see :func:`plot_trace`."""
        return parameters.plot_trace(self._group("posterior"), self._shared(var_names))

    @named_arguments
    def ranks(self, var_names: Sequence[str] | None = None) -> Figure:
        """Ranks of the draws by chain; see :func:`plot_ranks`."""
        return parameters.plot_ranks(self._group("posterior"), self._shared(var_names))

    @named_arguments
    def save_all(
        self,
        directory: str | os.PathLike[str],
        *,
        truth: xr.Dataset | None = None,
        ci_prob: float = 0.9,
    ) -> list[Path]:
        """Write every figure as a PNG and return the paths.

        Names do not change from fit to fit (``fit.png``, ``roas.png``, ...), so that two folders
        can be compared; figures of an earlier call are replaced.

        Parameters
        ----------
        directory
            Where to; made if absent.
        truth
            Known ``roas`` and ``marginal_roas``, marked in the figure of ROAS.
        ci_prob
            Interval of every band.
        """
        makers: dict[str, Callable[[], Figure]] = {
            "fit": lambda: self.fit(ci_prob=ci_prob),
            "residuals": self.residuals,
            "contributions": self.contributions,
            "contribution_bars": lambda: self.contribution_bars(ci_prob=ci_prob),
            "response_curves": lambda: self.response_curves(ci_prob=ci_prob),
            "adstock_curves": lambda: self.adstock_curves(ci_prob=ci_prob),
            "trace": self.trace,
            "ranks": self.ranks,
        }
        if self._fitted.data.ds["paid"].values.any():
            makers["roas"] = lambda: self.roas(truth=truth, ci_prob=ci_prob)
        if "prior" in self._fitted.tree.children:
            makers["prior_posterior"] = self.prior_posterior
        if "prior_predictive" in self._fitted.tree.children:
            makers["prior_predictive"] = lambda: self.prior_predictive(ci_prob=ci_prob)
        return save_figures(directory, dict(sorted(makers.items())))

    @property
    def _observed(self) -> xr.DataArray:
        return self._fitted.data.ds["target"]

    def _group(self, name: str) -> xr.Dataset:
        if name not in self._fitted.tree.children:
            raise ValueError(
                f"The fit has no group {name!r}: it was made with num_prior_draws=0. "
                "Fit again with num_prior_draws=500."
            )
        return self._fitted.tree[name].to_dataset()

    def _draws(self, name: str) -> xr.DataArray:
        return self._group(name)["target"]

    def _shared(self, var_names: Sequence[str] | None) -> list[str]:
        posterior = self._group("posterior")
        if var_names is not None:
            return list(var_names)
        order = ["alpha", "ec", "slope", "beta", "roas"]  # what one looks for first
        shared = [
            str(name)
            for name, value in posterior.data_vars.items()
            if "geo" not in value.dims and not str(name).endswith("__z") and _varies(value)
        ]
        return sorted(shared, key=lambda n: order.index(n) if n in order else len(order))


def _varies(draws: xr.DataArray) -> bool:
    return bool(np.ptp(draws.values) > 0)


@named_arguments
def save_all(
    fitted: Fitted,
    directory: str | os.PathLike[str],
    truth: xr.Dataset | None = None,
    *,
    ci_prob: float = 0.9,
) -> list[Path]:
    """Write every figure of a fit; see :meth:`FitPlots.save_all`."""
    return FitPlots(fitted).save_all(directory, truth=truth, ci_prob=ci_prob)
