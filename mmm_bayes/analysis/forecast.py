"""Forecasts of the dates that follow the table, and what each part of the model brings there."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import jax
import numpy as np
import pandas as pd
import xarray as xr

from mmm_bayes.analysis import contributions as parts
from mmm_bayes.analysis import projection
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
from mmm_bayes.runtime.numbers import compact
from mmm_bayes.runtime.streams import streams

NDArray = np.ndarray[Any, Any]
By = Sequence[str] | str

_DRAWS = ("chain", "draw")


@final
@dataclass(frozen=True, eq=False)
class Forecast:
    """A forecast: draws of the target, and everything that stands behind them.

    Attributes
    ----------
    data
        The future table: planned spends, given or projected controls, a target that is not known.
    draws
        ``mean (chain, draw, geo, date)``, the expected target with controls as projected, and
        ``target``, which adds the noise of the likelihood and what the projections may miss by; in
        units of the table.
    projected
        A row a column that nobody gave: ``what``, ``name``, ``how``, and whether its error is part
        of the intervals (``uncertain``).
    errors
        How the noise of the future is drawn: ``"independent"`` or ``"ar1"``.
    """

    fitted: Fitted
    data: MMMData
    draws: xr.Dataset
    projected: pd.DataFrame
    errors: Errors

    def summary(self, by: By = ("date",), ci_prob: float = 0.9) -> pd.DataFrame:
        """Forecasts with intervals.

        Parameters
        ----------
        by
            What not to sum over: ``"date"``, ``"geo"``, both, or neither for the total.
        ci_prob
            Mass of the intervals.

        Returns
        -------
        pandas.DataFrame
            A row a cell: ``median``, ``mean``, ``lower`` and ``upper`` of the target (what will be
            observed), and ``expected_lower``, ``expected_upper``, the interval of its expectation.
        """
        _check_level(ci_prob)
        keep = (by,) if isinstance(by, str) else tuple(by)
        unknown = [name for name in keep if name not in ("geo", "date")]
        if unknown:
            raise ValueError(f"by takes 'geo' and 'date', but got {unknown}.")
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

    def contributions(self, by: By = (), **options: Any) -> xr.DataArray:
        """What every part of the model brings over the forecast's dates.

        With controls at their projected values; sums to ``draws["mean"]``. A channel's part counts
        what carries over from its spend before the first date.

        Returns
        -------
        xarray.DataArray
            ``(chain, draw, component, *by)``; see :func:`.contributions.contributions` for ``by``
            and the options ``method``, ``unit`` and ``max_draws``.
        """
        return parts.contributions(self.fitted, by, data=self.data, **options)

    def roas(self, by: By = (), *, max_draws: int | None = None) -> xr.DataArray:
        """Revenue that each channel's planned spend brings within the horizon, over that spend.

        The expected revenue less that with the channel off from the first date of the forecast on:
        what carries over from earlier spend is not the plan's, and what comes after the last date
        is not counted.

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
        brought = xr.concat(found, pd.Index(data.channels, name="channel"))
        result = (brought / parts.spend(data, by)).rename("roas")
        return result.transpose("chain", "draw", "channel", ...)

    def to_frame(self, ci_prob: float = 0.9) -> pd.DataFrame:
        """Future table with the forecast beside it: a row a date (and geo)."""
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
            f"  noise of the future: {self.errors}",
        ]
        return lines + [f"  {r.what} {r.name_}: {r.how}" for r in _rows(self.projected)]

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        head = "<br>".join(html.escape(line) for line in self._lines())
        return f"<p>{head}</p>{self.summary().to_html()}"


def _rows(notes: pd.DataFrame) -> list[Any]:
    return list(notes.rename(columns={"name": "name_"}).itertuples(index=False))


def _check_level(ci_prob: float) -> None:
    if not 0.0 < ci_prob < 1.0:
        raise ValueError(f"ci_prob should be between 0 and 1, such as 0.9; got {ci_prob}.")


def forecast(
    fitted: Fitted,
    rng_key: jax.Array,
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
    fitted
        A fit.
    rng_key
        Random key of noise and projections.
    horizon
        Number of periods; or a table of future dates with as many of the training table's columns
        as are known (media, spends, controls), the others being planned and projected; or a whole
        table.
    spend
        Spends of the channels the table does not give: ``"last_year"`` or ``"last_window"`` repeat
        what was observed (by default last year where there is one), a number or numbers by channel
        multiply it, a data frame (dates by channels) or an array ``(channel, [geo,] date)`` is in
        money. Money buys exposure at the last year's price.
    controls
        Values by name or as a data frame; or the name of a rule, ``"seasonal"``, ``"last"`` or
        ``"mean"``. A control that is not given is projected by the rule whose errors over the
        table's own past were the least, and the draws of ``target`` hold these errors.
    errors
        ``"independent"`` noise, as the likelihood has it; ``"ar1"``, noise that carries on from the
        last residuals with their autocorrelation (:mod:`.forecast_errors`); ``"auto"``: the latter
        for all but counts.
    max_draws
        Thin evenly to so many draws.

    Returns
    -------
    Forecast

    Raises
    ------
    DataError
        With everything about table, plan and controls that does not fit.

    Notes
    -----
    The trend goes on as the model has it: a linear one rises further, knots stay at their last
    level. Uncertainty about that beyond the parameters' is not part of the intervals.
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
    """What projected controls may move the linear predictor by (chain, draw, geo, date).

    Per head with an identity link, in logarithms otherwise; ``None`` where all controls are given.
    """
    uncertain = {n: p for n, p in table.projected.items() if len(p.paths)}
    if not uncertain:
        return None
    posterior = fitted.tree["posterior"].to_dataset().sel(draw=mean["draw"])
    lead = (mean.sizes["chain"], mean.sizes["draw"])
    where = rng.random(lead[0] * lead[1])  # shared: controls keep their dependence
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
    """Draw targets about a mean (chain, draw, geo, date), the shift of the controls included."""
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
