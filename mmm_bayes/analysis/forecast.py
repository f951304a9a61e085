"""Forecasts of the dates after the table, with contributions and ROAS of the plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack, final

import numpy as np
import pandas as pd
import xarray as xr

from mmm_bayes._typing import RngKey
from mmm_bayes.analysis import contributions as parts
from mmm_bayes.analysis import projection
from mmm_bayes.analysis.decomposition import Method
from mmm_bayes.analysis.forecast_errors import Errors, future_noise, resolve_errors
from mmm_bayes.analysis.forecast_table import (
    Controls,
    FutureTable,
    SpendPlan,
    future_table,
)
from mmm_bayes.analysis.prediction import replicate
from mmm_bayes.data.schema import MMMData
from mmm_bayes.model.fitted import Fitted
from mmm_bayes.runtime.deprecation import named_arguments, rng_key_first, spelled_out
from mmm_bayes.runtime.findings import Finding
from mmm_bayes.runtime.numbers import compact
from mmm_bayes.runtime.report import Report, table_as_html, text_as_html
from mmm_bayes.runtime.streams import streams

NDArray = np.ndarray[Any, Any]
By = Sequence[str] | str

_DRAWS = ("chain", "draw")


class ForecastContributionSettings(TypedDict, total=False):
    """Of :func:`mmm_bayes.analysis.contributions.contributions`, over a forecast's dates."""

    method: Method
    unit: parts.Unit
    max_draws: int | None


@final
@dataclass(frozen=True, eq=False, repr=False)
class Forecast(Report):
    """Draws of the future target, with the table and the assumptions behind them.

    Attributes
    ----------
    data
        The future table: planned spend, given or projected controls, and an unknown target.
    draws
        ``mean (chain, draw, geo, date)``, the expected target with controls as projected, and
        ``target``, which adds the noise of the likelihood and the errors of the projections; both
        in units of the table.
    projected
        One row per column that was planned or projected: ``what``, ``name``, ``how``, and
        ``uncertain``, whether the intervals include the error of its projection.
    errors
        Noise of the future dates: ``"independent"`` or ``"ar1"``.
    """

    fitted: Fitted
    data: MMMData
    draws: xr.Dataset
    projected: pd.DataFrame
    errors: Errors

    def summary(self, by: By = ("date",), ci_prob: float = 0.9) -> pd.DataFrame:
        """Summarise the forecast with intervals.

        Parameters
        ----------
        by
            Dimensions to keep: ``"date"``, ``"geo"``, both, or neither for the total.
        ci_prob
            Mass of the intervals.

        Returns
        -------
        pandas.DataFrame
            One row per cell: ``median``, ``mean``, ``lower`` and ``upper`` of the target that will
            be observed, and ``expected_lower``, ``expected_upper``, the interval of its
            expectation.
        """
        _check_level(ci_prob)
        keep = (by,) if isinstance(by, str) else tuple(by)
        unknown = [name for name in keep if name not in ("geo", "date")]
        if unknown:
            raise ValueError(f"by accepts 'geo' and 'date', but got {unknown}.")
        away = [dim for dim in ("geo", "date") if dim not in keep]
        tail = 0.5 * (1.0 - ci_prob)
        totals = self.draws.sum(away)
        found = totals.quantile([tail, 0.5, 1.0 - tail], _DRAWS)
        columns = {
            "median": found["target"].sel(quantile=0.5),
            "mean": totals["target"].mean(_DRAWS),
            "lower": found["target"].isel(quantile=0),
            "upper": found["target"].isel(quantile=-1),
            "expected_lower": found["mean"].isel(quantile=0),
            "expected_upper": found["mean"].isel(quantile=-1),
        }
        if not keep:
            row = {name: float(value) for name, value in columns.items()}
            return pd.DataFrame([row], index=pd.Index(["total"], name="period"))
        table = xr.Dataset(
            {n: x.drop_vars("quantile", errors="ignore") for n, x in columns.items()}
        )
        return table.transpose(*keep).to_dataframe(dim_order=list(keep))[list(columns)]

    @spelled_out(ForecastContributionSettings)
    def contributions(
        self, by: By = (), **settings: Unpack[ForecastContributionSettings]
    ) -> xr.DataArray:
        """Compute the contributions of every component over the forecast's dates.

        Controls are at their projected values, and the components sum to ``draws["mean"]``. A
        channel's contribution includes carry-over from its spend before the first date.

        Returns
        -------
        xarray.DataArray
            ``(chain, draw, component, *by)``; see :func:`.contributions.contributions` for ``by``
            and the settings ``method``, ``unit`` and ``max_draws``.
        """
        return parts.contributions(self.fitted, by, data=self.data, **settings)

    def roas(self, by: By = (), *, max_draws: int | None = None) -> xr.DataArray:
        """Return on ad spend of each channel's plan within the horizon.

        The revenue is the expected revenue minus the expected revenue with the channel off from
        the first date of the forecast on. It excludes carry-over from earlier spend, and all
        effects after the last date.

        Returns
        -------
        xarray.DataArray
            ``(chain, draw, channel, *by)``; NaN where nothing is planned.
        """
        fitted, data = self.fitted, self.data

        def revenue(table: MMMData) -> xr.DataArray:
            return parts.fitted_mean(fitted, by, unit="revenue", max_draws=max_draws, data=table)

        full = revenue(data)
        found = [full - revenue(data.with_spend(name, scale=0.0)) for name in data.channels]
        gained = xr.concat(found, pd.Index(data.channels, name="channel"))
        result = (gained / parts.spend(data, by)).rename("roas")
        return result.transpose("chain", "draw", "channel", ...)

    def to_frame(self, ci_prob: float = 0.9) -> pd.DataFrame:
        """Return one row per date (and geo) with the forecast and the planned spend."""
        keep = ("date",) if self.data.is_national else ("geo", "date")
        found = self.summary(keep, ci_prob).reset_index()
        spend = self.data.ds["spend"].transpose("geo", "date", "channel").values
        for c, channel in enumerate(self.data.channels):
            found[f"spend_{channel}"] = spend[..., c].ravel()
        return found

    def _lines(self, ci_prob: float = 0.9) -> list[str]:
        dates, target = self.data.dates, self.data.target_name
        row = self.summary((), ci_prob).iloc[0]
        lines = [
            f"Forecast of {target}: {len(dates)} dates, {dates[0]:%Y-%m-%d} to "
            f"{dates[-1]:%Y-%m-%d}",
            f"  total {compact(row['median'], 4)}, {ci_prob:.0%} interval "
            f"{compact(row['lower'], 4)} to {compact(row['upper'], 4)}",
            f"  noise of future dates: {self.errors}",
        ]
        return lines + [f"  {r.what} {r.name_}: {r.how}" for r in _rows(self.projected)]

    def __str__(self) -> str:
        return "\n".join(self._lines())

    @property
    def findings(self) -> tuple[Finding, ...]:
        """A note for every column that nobody gave, and how it was projected."""
        return tuple(
            Finding("projected", "note", f"{row.what} {row.name_}: {row.how}.", where=row.name_)
            for row in _rows(self.projected)
        )

    def _repr_html_(self) -> str:
        return text_as_html(str(self)) + table_as_html(self.summary())


def _rows(notes: pd.DataFrame) -> list[Any]:
    return list(notes.rename(columns={"name": "name_"}).itertuples(index=False))


def _check_level(ci_prob: float) -> None:
    if not 0.0 < ci_prob < 1.0:
        raise ValueError(f"ci_prob should be between 0 and 1, such as 0.9; got {ci_prob}.")


@rng_key_first(position=1)
@named_arguments
def forecast(
    rng_key: RngKey,
    fitted: Fitted,
    horizon: int | pd.DataFrame | MMMData,
    *,
    spend: SpendPlan = None,
    controls: Controls = None,
    errors: Errors = "auto",
    max_draws: int | None = None,
) -> Forecast:
    """Forecast the dates that follow the training table.

    Parameters
    ----------
    rng_key
        Random key of noise and projections, or an integer seed.
    fitted
        A fit.
    horizon
        Number of periods; or a data frame of future dates with those columns of the training table
        that are known (media, spend, controls), the others being planned or projected; or a
        complete table.
    spend
        Spend of the channels that ``horizon`` does not give: ``"last_year"`` or ``"last_window"``
        repeat the observed spend (default: last year, if the table is long enough); a number, or
        numbers by channel, multiply it; a data frame (dates by channels) or an array
        ``(channel, [geo,] date)`` is in currency. Spend buys exposure at last year's price.
    controls
        Values by name or as a data frame, or by name one of the rules ``"seasonal"``, ``"last"``
        and ``"mean"``. A control that is not given is projected by the rule with the smallest
        errors in the table's own past, and the draws of ``target`` include these errors.
    errors
        ``"independent"`` noise, as in the likelihood; ``"ar1"``, autocorrelated noise that
        continues from the last residuals (:mod:`.forecast_errors`); ``"auto"``: ``"ar1"`` except
        for counts.
    max_draws
        Thin the draws evenly to at most this many.

    Returns
    -------
    Forecast

    Raises
    ------
    DataError
        Listing every problem with the table, the plan and the controls.

    Notes
    -----
    The trend continues as in the model: a linear trend keeps its slope, and a trend with knots
    stays at its last level. The intervals include the uncertainty of the trend's parameters only.
    """
    errors = resolve_errors(fitted.spec, errors)
    table = future_table(fitted.data, horizon, spend, controls)
    rngs = streams(rng_key, ("noise", "controls"))
    mean = parts.fitted_mean(fitted, data=table.data, max_draws=max_draws)
    shift = control_shift(rngs["controls"], fitted, table, mean)
    target = draw_targets(rngs["noise"], fitted, mean, shift, errors)
    draws = mean.to_dataset(name="mean").assign(target=target)
    return Forecast(fitted, table.data, draws, table.notes, errors)


def control_shift(
    rng: np.random.Generator, fitted: Fitted, table: FutureTable, mean: xr.DataArray
) -> NDArray | None:
    """Draw the errors of projected controls, as shifts of the target (chain, draw, geo, date).

    Shifts are per head with an identity link, else in logarithms; ``None`` if all controls are
    given.
    """
    uncertain = {n: p for n, p in table.projected.items() if len(p.paths)}
    if not uncertain:
        return None
    posterior = fitted.tree["posterior"].to_dataset().sel(draw=mean["draw"])
    lead = (mean.sizes["chain"], mean.sizes["draw"])
    where = rng.random(lead[0] * lead[1])  # shared, so that controls keep their dependence
    shift = np.zeros((*lead, mean.sizes["geo"], mean.sizes["date"]))
    for name, found in uncertain.items():
        k = fitted.data.controls.index(name)
        past = fitted.data.ds["controls"].values[..., k]
        moved = projection.draw(found, past, where) - found.point
        slope = posterior["control_coef"].sel(control=name).values[..., None]
        if "control_geo" in posterior:
            slope = slope + posterior["control_geo"].sel(control=name).transpose(
                "chain", "draw", "geo"
            ).values  # fmt: skip
        shift += slope[..., None] * moved.reshape(*lead, *moved.shape[1:])
    return shift


def draw_targets(
    rng: np.random.Generator,
    fitted: Fitted,
    mean: xr.DataArray,
    shift: NDArray | None,
    errors: Errors,
) -> xr.DataArray:
    """Draw targets (chain, draw, geo, date) around a mean, shifted by the errors of controls."""
    link, family = fitted.spec.likelihood.link, fitted.spec.likelihood.family
    heads = fitted.data.ds["population"].values[:, None]
    centre = mean.values
    if shift is not None:
        centre = centre + heads * shift if link == "identity" else centre * np.exp(shift)
    posterior = fitted.tree["posterior"].to_dataset().sel(draw=mean["draw"])
    if errors == "ar1":
        noise = future_noise(rng, fitted, mean)
        if link == "identity":
            return mean.copy(data=centre + heads * noise)
        sigma = posterior["sigma"].values[..., None, None]
        return mean.copy(data=centre * np.exp(noise - 0.5 * sigma**2))
    scales = {
        str(name): posterior[name].values[..., None, None]
        for name in ("sigma", "nu", "dispersion")
        if name in posterior
    }
    return mean.copy(data=replicate(rng, family, centre, scales, heads).astype(mean.dtype))
