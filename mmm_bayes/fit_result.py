"""A fit as a user holds it: draws, judgement, and every quantity a plan is made from."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, final

import numpy as np
import xarray as xr

from mmm_bayes._typing import RngKey
from mmm_bayes.analysis import contributions, predictive, response, summary
from mmm_bayes.data.lift_tests import LiftTest
from mmm_bayes.data.schema import MMMData
from mmm_bayes.fit_settings import (
    BudgetSettings,
    ContributionSettings,
    DrawSettings,
    ForecastSettings,
    MeanSettings,
    RankingSettings,
    ReportSettings,
    ResponseSettings,
    WindowSettings,
)
from mmm_bayes.model import store
from mmm_bayes.model.fitted import Fitted
from mmm_bayes.model.spec import ModelSpec
from mmm_bayes.present.fit_headline import fit_headline
from mmm_bayes.runtime.deprecation import named_arguments, renamed, rng_key_first, spelled_out
from mmm_bayes.runtime.report import rows_as_html, rows_as_text
from mmm_bayes.runtime.visible import shown_safely

if TYPE_CHECKING:
    import pandas as pd

    from mmm_bayes.analysis.calibration_effect import CalibrationEffect
    from mmm_bayes.analysis.forecast import Forecast
    from mmm_bayes.analysis.next_experiment import ExperimentRanking
    from mmm_bayes.analysis.summary import CiKind
    from mmm_bayes.budget import BudgetPlan, PlanComparison
    from mmm_bayes.causal.effects.lift_comparison import LiftComparison
    from mmm_bayes.inference.verdict import DiagnosticsReport
    from mmm_bayes.present.plots import FitPlots
    from mmm_bayes.runtime.summary_table import SummaryTable

NDArray = np.ndarray[Any, Any]
By = Sequence[str] | str


@final
class FitResult:
    """A fitted model: draws, diagnostics, and every quantity a plan is made from.

    Draws are in ``tree``, an ``xarray.DataTree`` with ArviZ's group names.
    """

    def __init__(self, fitted: Fitted) -> None:
        self._fitted = fitted
        self._report: DiagnosticsReport | None = None

    @shown_safely
    def __repr__(self) -> str:
        return rows_as_text(self._headline())

    def _repr_html_(self) -> str:
        return rows_as_html(self._headline())

    def _headline(self) -> list[tuple[str, str]]:
        return fit_headline(self._fitted, self._report.verdict if self._report else None)

    @property
    def fitted(self) -> Fitted:
        """Specification, data and draws: what the functions of ``mmm_bayes.analysis`` take."""
        return self._fitted

    @property
    def tree(self) -> xr.DataTree:
        """Draws and data, under ArviZ's group names."""
        return self._fitted.tree

    @property
    def data(self) -> MMMData:
        """The table."""
        return self._fitted.data

    @property
    def spec(self) -> ModelSpec:
        """The model."""
        return self._fitted.spec

    @property
    def plot(self) -> FitPlots:
        """Figures: ``fit.plot.roas()``, ``fit.plot.response_curves()``, ``fit.plot.save_all()``."""
        from mmm_bayes.present.plots import FitPlots

        return FitPlots(self._fitted)

    def diagnose(self) -> DiagnosticsReport:
        """Judge the draws and what they say; computed once.

        Returns
        -------
        DiagnosticsReport
            PASS, REVIEW or FAIL, with findings and advice: convergence, divergences, prior against
            posterior, baseline, residuals, returns, influential rows, predictive coverage.
        """
        if self._report is None:
            from mmm_bayes.analysis.diagnosis import diagnose

            self._report = diagnose(self._fitted)
        return self._report

    @named_arguments
    def summary(self, ci_prob: float = 0.9, ci_kind: CiKind = "eti") -> SummaryTable:
        """Summarise the spend, the contribution and the returns of each channel.

        Parameters
        ----------
        ci_prob
            Probability of the intervals.
        ci_kind
            ``"eti"`` for equal tails, or ``"hdi"`` for the shortest interval.

        Returns
        -------
        SummaryTable
            A DataFrame with the columns of :func:`mmm_bayes.analysis.summary.channel_summary`, one
            row per channel; it prints spend, contribution and ROAS with intervals.
        """
        return summary.channel_summary(self._fitted, ci_prob, ci_kind)

    @named_arguments
    def parameter_summary(self, ci_prob: float = 0.9, ci_kind: CiKind = "eti") -> pd.DataFrame:
        """Summarise the posterior of every parameter with ArviZ, in the units of the table.

        Returns
        -------
        pandas.DataFrame
            One row per scalar parameter: mean, sd, interval, effective draws, R-hat, their errors.
        """
        return summary.parameter_summary(self._fitted, ci_prob, ci_kind)

    @spelled_out(ContributionSettings)
    def contributions(self, by: By = (), **settings: Unpack[ContributionSettings]) -> xr.DataArray:
        """Compute contributions of the baseline, controls and channels; they sum to the mean.

        Parameters
        ----------
        by
            What not to sum over: ``"geo"``, and one of ``"date"``, ``"year"``, ``"quarter"``,
            ``"month"``.
        group, method, unit, max_draws, data
            As in :func:`mmm_bayes.analysis.contributions.contributions`.

        Returns
        -------
        xarray.DataArray
            ``(chain, draw, component, *by)``, in units of the target (``unit="revenue"``: money).
        """
        return contributions.contributions(self._fitted, by, **settings)

    @spelled_out(MeanSettings)
    def fitted_mean(
        self, by: By = ("geo", "date"), **settings: Unpack[MeanSettings]
    ) -> xr.DataArray:
        """Return the expected target ``(chain, draw, *by)``; see :meth:`contributions`."""
        return contributions.fitted_mean(self._fitted, by, **settings)

    @spelled_out(DrawSettings)
    def roas(self, by: By = (), **settings: Unpack[DrawSettings]) -> xr.DataArray:
        """Revenue a channel brought per unit of money spent; ``by`` as in :meth:`contributions`.

        Returns
        -------
        xarray.DataArray
            ``(chain, draw, channel, *by)``; NaN where nothing was spent.
        """
        return contributions.roas(self._fitted, by, **settings)

    @spelled_out(DrawSettings)
    def marginal_roas(
        self, by: By = (), *, increase: float = 0.01, **settings: Unpack[DrawSettings]
    ) -> xr.DataArray:
        """Extra revenue per unit of extra money, were a channel's spend raised by ``increase``.

        Returns
        -------
        xarray.DataArray
            ``(chain, draw, channel, *by)``; NaN where nothing was spent.
        """
        return contributions.marginal_roas(self._fitted, by, increase=increase, **settings)

    @spelled_out(DrawSettings)
    def contribution_share(self, by: By = (), **settings: Unpack[DrawSettings]) -> xr.DataArray:
        """Contributions of the channels as shares of the target ``(chain, draw, channel, *by)``."""
        return contributions.contribution_share(self._fitted, by, **settings)

    @spelled_out(ResponseSettings)
    def response_curves(
        self, channels: Sequence[str] | str | None = None, **settings: Unpack[ResponseSettings]
    ) -> xr.DataArray:
        """Total contribution of a channel over its total spend, all else as it was.

        Parameters
        ----------
        channels
            Which; all by default.
        multipliers, unit, group, max_draws
            As in :func:`mmm_bayes.analysis.response.response_curves`: multipliers of the spend
            (by default 0 to 2), ``"revenue"`` or ``"target"``, and up to 500 draws.

        Returns
        -------
        xarray.DataArray
            ``(chain, draw, channel, multiplier)`` with the coordinate ``spend`` in currency.
        """
        return response.response_curves(self._fitted, channels, **settings)

    @named_arguments
    def adstock_curves(
        self, *, group: str = "posterior", max_draws: int | None = None
    ) -> xr.DataArray:
        """Share of an exposure's effect felt ``lag`` periods later.

        Returns
        -------
        xarray.DataArray
            ``(chain, draw, channel, lag)``.
        """
        return response.adstock_curves(self._fitted, group=group, max_draws=max_draws)

    @renamed(points="num_points")
    @spelled_out(DrawSettings)
    def saturation_curves(
        self, num_points: int = 61, **settings: Unpack[DrawSettings]
    ) -> xr.DataArray:
        """Saturation over a steady exposure ``(chain, draw, channel, point)``, before coefficients.

        The coordinate ``exposure (channel, point)`` is in media units a period (per head where geos
        have a population).
        """
        return response.saturation_curves(self._fitted, num_points, **settings)

    @rng_key_first(position=1, optional=True)
    @named_arguments
    def predict(
        self,
        rng_key: RngKey | None,
        new_data: MMMData | pd.DataFrame | None = None,
        *,
        max_draws: int | None = None,
    ) -> xr.Dataset:
        """Predict the target from spends and controls, carry-over of the training window counted.

        Parameters
        ----------
        rng_key
            Random key of replicated targets, or an integer seed; ``None`` gives the mean alone.
        new_data
            Rows with the columns of the training table (the target may be absent), whose dates
            continue the training window or start within it; ``None`` is the training window.
        max_draws
            Thin evenly to so many draws.

        Returns
        -------
        xarray.Dataset
            ``mean`` and ``target``, each ``(chain, draw, geo, date)``, in units of the table.
        """
        from mmm_bayes.analysis.prediction import predict

        return predict(rng_key, self._fitted, new_data, max_draws=max_draws)

    @spelled_out(ForecastSettings)
    def forecast(
        self,
        rng_key: RngKey,
        horizon: int | pd.DataFrame | MMMData,
        **settings: Unpack[ForecastSettings],
    ) -> Forecast:
        """Forecast the dates that follow the table, spends planned and controls projected.

        Parameters
        ----------
        rng_key
            Random key of noise and projections, or an integer seed.
        horizon
            Number of periods, or a table of future dates with what is known of them.
        spend, controls, errors, max_draws
            As in :func:`mmm_bayes.analysis.forecast.forecast`: spend as ``"last_year"``,
            ``"last_window"``, multipliers or money; controls as values or a rule.

        Returns
        -------
        Forecast
            Draws, ``summary()``, ``contributions()``, ``roas()``, and what was projected and how.
        """
        from mmm_bayes.analysis.forecast import forecast

        return forecast(rng_key, self._fitted, horizon, **settings)

    @renamed(starts="num_starts")
    @spelled_out(BudgetSettings)
    def optimize_budget(
        self, total: float | None = None, **settings: Unpack[BudgetSettings]
    ) -> BudgetPlan:
        r"""Find the plan of spend that is best under the posterior, and say why.

        Parameters
        ----------
        total
            Money over the window; by default today's.
        periods, start, reference, cost, controls, unit, after, max_draws, ci_prob, goal, \
target_value, spend, objective, level, risk_aversion, by, bounds, change, limits, num_starts
            ``bounds`` and ``change`` of channels, ``limits``, ``by`` (``"channel"``, ``"date"``,
            ``"geo"``), ``periods``, ``objective`` (``"mean"``, ``"quantile"``, ``"cvar"``,
            ``"mean_sd"``, ``"sharpe"``), ``goal`` with ``target_value``, ``cost`` and others: see
            :func:`mmm_bayes.budget.optimize.optimize_budget`.

        Returns
        -------
        BudgetPlan
            Plan, table, gain with interval, limits that bind, explanation and warnings.
        """
        from mmm_bayes.budget import optimize_budget

        return optimize_budget(self._fitted, total, **settings)

    @spelled_out(WindowSettings)
    def compare_plans(
        self, plans: Mapping[str, Any], **settings: Unpack[WindowSettings]
    ) -> PlanComparison:
        """Set plans made by hand side by side; see :func:`mmm_bayes.budget.compare.compare_plans`.

        A plan is money by channel (``{"tv": 1e5, "search": "x1.2"}``), a table by date, or a
        :class:`BudgetPlan`.
        """
        from mmm_bayes.budget import compare_plans

        return compare_plans(self._fitted, plans, **settings)

    @spelled_out(ReportSettings)
    def report(
        self,
        path: str | os.PathLike[str] = "report.html",
        **settings: Unpack[ReportSettings],
    ) -> Path:
        """Write one HTML file about the fit that opens anywhere, without a network.

        Parameters
        ----------
        path
            Where to write.
        graph, budget, tests, title, ci_prob, date
            ``graph`` (a ``CausalGraph`` to draw), ``budget`` (a ``BudgetPlan``, ``"auto"`` or
            ``None``), ``tests``, ``title``, ``ci_prob``: see
            :func:`mmm_bayes.present.report.write_report`.

        Returns
        -------
        pathlib.Path
            The file.
        """
        from mmm_bayes.present.report import write_report

        return write_report(self._fitted, path, diagnostics=self.diagnose(), **settings)

    @named_arguments
    def predict_lift(self, test: LiftTest, *, max_draws: int | None = 1000) -> NDArray:
        """Draws (draw,) of what a lift test measures, by this fit.

        See :func:`mmm_bayes.analysis.lift.predicted_lift`.
        """
        from mmm_bayes.analysis.lift import lift_of

        return lift_of(self._fitted, test, max_draws)

    @renamed(level="ci_prob")
    def compare_lift_tests(
        self, tests: Sequence[LiftTest] | None = None, ci_prob: float = 0.9
    ) -> LiftComparison:
        """Compare experiments with this fit; by default those that it was calibrated with."""
        from mmm_bayes.analysis.lift import compare_lift_tests_of

        return compare_lift_tests_of(self._fitted, tests, ci_prob)

    @named_arguments
    def calibration_effect(self, before: FitResult, ci_prob: float = 0.9) -> CalibrationEffect:
        """Compare tests and channels before and after the lift tests of this fit.

        ``before`` is a fit of the same table and model without them.
        """
        from mmm_bayes.analysis.calibration_effect import calibration_effect

        return calibration_effect(before.fitted, self._fitted, ci_prob=ci_prob)

    @renamed(results="num_results", points="num_points")
    @spelled_out(RankingSettings)
    def rank_experiments(
        self,
        rng_key: RngKey,
        candidates: Sequence[LiftTest] | None = None,
        **settings: Unpack[RankingSettings],
    ) -> ExperimentRanking:
        """Rank experiments by what their result is worth to the next budget.

        Candidates are by default each channel off, and doubled, over the last four periods in half
        of the geos. Settings are those of
        :func:`mmm_bayes.analysis.next_experiment.rank_experiments`: ``change`` (share by which the
        budget may move a channel), ``max_draws``, ``num_results``.
        """
        from mmm_bayes.analysis.next_experiment import rank_experiments

        return rank_experiments(rng_key, self._fitted, candidates, **settings)

    @named_arguments
    def posterior_predictive_check(self, ci_prob: float = 0.9) -> pd.DataFrame:
        """Compare statistics of the target and of its replications, one row per statistic."""
        return predictive.posterior_predictive_check(self._fitted, ci_prob)

    def residuals(self) -> xr.DataArray:
        """Target less its posterior mean ``(geo, date)``; see ``analysis.predictive.residuals``."""
        return predictive.residuals(self._fitted)

    def loo(self) -> Any:
        """Leave-one-out predictive density (``arviz.ELPDData``), to compare models."""
        return predictive.loo(self._fitted)

    @named_arguments
    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write one NetCDF file with draws, table and specification, atomically."""
        return store.save(self._fitted, path)


@named_arguments
def load_fit(path: str | os.PathLike[str]) -> FitResult:
    """Read a fit written by :meth:`FitResult.save`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    FitFileError
        If the file is cut short, is not a fit, or is from a newer version.
    """
    return FitResult(store.load(path))
