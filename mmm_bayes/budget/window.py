"""The window of a plan: its dates, the exposure around it, today's plan and its prices."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import jax
import numpy as np
import pandas as pd

from mmm_bayes.analysis import decomposition as parts
from mmm_bayes.analysis.decomposition import Units
from mmm_bayes.budget import outcome
from mmm_bayes.budget.cost import CostCurve
from mmm_bayes.budget.outcome import Prices, Response
from mmm_bayes.data.schema import MMMData
from mmm_bayes.data.spend_change import units_per_money
from mmm_bayes.model import baseline, media
from mmm_bayes.model.fitted import Fitted
from mmm_bayes.model.predictor import linear_coefficients
from mmm_bayes.model.structure import ModelArrays

NDArray = np.ndarray[Any, Any]
After = Literal["today", "zero"]
Unit = Literal["revenue", "target"]


@dataclass(frozen=True, eq=False)
class PlanWindow:
    """Dates of a plan, and the later dates on which it still has an effect.

    Attributes
    ----------
    dates, later
        The window, and the ``max_lag - 1`` periods after it.
    start
        Position of the first date on the training grid (its length for a future window).
    reference
        Money of today's plan (channel, geo, date).
    units
        Media units of today's plan (channel, geo, date); channels without spend keep theirs.
    paid
        Channels with spend (channel,).
    """

    data: MMMData
    dates: pd.DatetimeIndex
    later: pd.DatetimeIndex
    start: int
    reference: NDArray
    units: NDArray
    paid: NDArray

    @property
    def shape(self) -> tuple[int, int, int]:
        """Numbers of channels, geos and dates."""
        channels, geos, dates = self.reference.shape
        return channels, geos, dates

    @property
    def is_future(self) -> bool:
        """Whether the window begins after the training table."""
        return self.start >= self.data.num_dates


def periods_of_quarter(data: MMMData) -> int:
    """Return the number of periods in a quarter, at least 1 and at most those of the table."""
    return int(min(max(1, round(data.time_step.per_year / 4)), data.num_dates))


def window_at(fitted: Fitted, start: int, periods: int, reference: NDArray | None) -> PlanWindow:
    """Place a window of ``periods`` dates at a position of the training grid, or after it.

    Today's plan is the spend observed in the window or, for future dates, in the last ``periods``
    observed; ``reference`` (channel, geo, date) replaces it.
    """
    data = fitted.data
    carry = fitted.structure.media.max_lag - 1
    beyond = max(0, start + periods + carry - data.num_dates)
    grid = data.dates if not beyond else data.dates.append(data.future_dates(beyond))
    rows = np.arange(start, start + periods)
    # Future dates repeat the last `periods` observed ones.
    rows = np.where(rows < data.num_dates, rows, data.num_dates - periods + (rows - start))
    spend = _channel_first(data.ds["spend"].values)[..., rows]
    units = _channel_first(data.ds["exposure"].values)[..., rows]
    paid = data.ds["paid"].values & (data.ds["spend"].values.sum((0, 1)) > 0)
    if reference is not None:
        spend = reference
    return PlanWindow(
        data=data,
        dates=pd.DatetimeIndex(grid[start : start + periods]),
        later=pd.DatetimeIndex(grid[start + periods : start + periods + carry]),
        start=start,
        reference=np.ascontiguousarray(np.where(paid[:, None, None], spend, 0.0)),
        units=units,
        paid=np.asarray(paid, bool),
    )


def last_year(data: MMMData) -> slice:
    """Return the positions of the last observed year."""
    return slice(max(0, data.num_dates - round(data.time_step.per_year)), data.num_dates)


def prices_of(
    fitted: Fitted, window: PlanWindow, cost: Mapping[str, CostCurve | float] | None
) -> Prices:
    """Return prices: each geo's average over the last observed year, or those of past dates."""
    data = fitted.data
    spend = _channel_first(data.ds["spend"].values)
    exposure = _channel_first(data.ds["exposure"].values)
    year = last_year(data)
    channels, geos, periods = window.shape
    rate = np.empty(window.shape)
    anchor = np.empty(window.shape)
    elasticity = np.zeros(channels)
    for c, name in enumerate(data.channels):
        curve = (cost or {}).get(name, CostCurve())
        if not isinstance(curve, CostCurve):
            curve = CostCurve(price=float(curve))
        per_money = _average(exposure[c, :, year], spend[c, :, year])
        if per_money is None:
            per_money = _average(exposure[c], spend[c])
        rate[c] = np.ones((geos, 1)) if per_money is None else per_money[:, None]
        seen = np.arange(window.start, min(window.start + periods, data.num_dates))
        if seen.size and window.paid[c]:
            observed = units_per_money(exposure[c], spend[c])[:, seen]
            rate[c][:, : seen.size] = observed
        if curve.price is not None:
            rate[c] = 1.0 / curve.price
        anchor[c] = _usual(spend[c, :, year], spend[c], window.reference)[:, None]
        if curve.spend is not None:
            anchor[c] = curve.spend
        elasticity[c] = curve.elasticity
    scaled = fitted.data.ds["population"].values[None, :, None] * _media_scale(fitted)
    return Prices(rate / scaled, elasticity, anchor)


def response_of(
    fitted: Fitted,
    window: PlanWindow,
    prices: Prices,
    params: Mapping[str, NDArray],
    *,
    unit: Unit,
    after: After,
    controls: Mapping[str, NDArray] | None,
) -> Response:
    """Compute the arrays of :mod:`mmm_bayes.budget.outcome` for draws, in double precision."""
    structure, scaling = fitted.structure, fitted.scaling
    params = {name: np.asarray(value, float) for name, value in params.items()}
    geos = fitted.data.num_geos
    heads = fitted.data.ds["population"].values
    count = len(next(iter(params.values())))
    revenue = (
        _revenue(fitted.data, window) if unit == "revenue" else np.ones((geos, _length(window)))
    )
    sites = [p.site for p in structure.media.parameters if p.site in params]
    with jax.enable_x64(True):
        kernels = _kernels(structure.media)({site: params[site] for site in sites})
        own = params.get("coefficient__geo")
        values = params["beta"][:, :, None] if own is None else own
        effect = np.broadcast_to(values, (count, len(structure.channels), geos))
        is_log = parts.is_log(structure)
        weight = revenue if is_log else revenue * heads[:, None]
        base = np.zeros((count, geos, 0))
        if is_log:
            base = _log_base(fitted, window, params, controls)
        response = Response(
            params={site: params[site] for site in sites},
            kernels=kernels,
            effect=scaling.target_scale * effect,
            weight=weight,
            base=base,
            fixed=_surroundings(fitted, window, prices, after),
            prices=prices,
            nothing=np.zeros((count, 1)),
        )
        found = outcome.compiled(structure.media, outcome.with_nothing)(response)
    return jax.tree.map(np.asarray, found)


@functools.lru_cache(maxsize=32)
def _kernels(structure: media.MediaStructure) -> Any:
    return jax.jit(jax.vmap(lambda params: media.kernel_weights(structure, params)))


def _surroundings(fitted: Fitted, window: PlanWindow, prices: Prices, after: After) -> NDArray:
    """Return scaled exposure around the window, and of channels without spend within it."""
    data, carry = fitted.data, len(window.later)
    scaled = data.ds["population"].values[None, :, None] * _media_scale(fitted)
    seen = _channel_first(data.ds["exposure"].values) / scaled
    channels, geos, periods = window.shape
    fixed = np.zeros((channels, geos, 2 * carry + periods))
    known = min(carry, window.start)
    fixed[..., carry - known : carry] = seen[..., window.start - known : window.start]
    unpaid = ~window.paid
    fixed[unpaid, :, carry : carry + periods] = (window.units / scaled)[unpaid]
    with jax.enable_x64(True):
        today = np.asarray(outcome.exposure(prices, jax.numpy.asarray(window.reference)))
    today = np.where(unpaid[:, None, None], window.units / scaled, today)
    for k in range(carry):
        at = window.start + periods + k
        value = seen[..., at] if at < data.num_dates else today[..., k % periods]
        if after == "zero":
            value = np.where(unpaid[:, None], value, 0.0)
        fixed[..., carry + periods + k] = value
    return fixed


def _log_base(
    fitted: Fitted,
    window: PlanWindow,
    params: Mapping[str, NDArray],
    controls: Mapping[str, NDArray] | None,
) -> NDArray:
    """Return the logarithm of the mean without media (draw, geo, time)."""
    structure, scaling, data = fitted.structure, fitted.scaling, fitted.data
    heads = data.ds["population"].values
    dates = pd.DatetimeIndex(window.dates.append(window.later))
    values = scaling.controls(projected_controls(data, window, controls))
    design = baseline.design_columns(structure.spec, fitted.frame, dates, values)
    offset = np.zeros((data.num_geos, len(dates)))
    if scaling.link == "count":
        offset = offset + np.log(heads)[:, None] + fitted.log_rate
    arrays = ModelArrays(None, design, None, offset, None, None)  # type: ignore[arg-type]
    units = Units(scaling.target_center, scaling.target_scale, heads, 1.0)

    def base(own: dict[str, Any]) -> Any:
        eta = jax.numpy.einsum("gtk,gk->gt", design, linear_coefficients(structure, own))
        return parts.log_mean(structure, own, eta, arrays, units)

    return np.asarray(jax.jit(jax.vmap(base))(dict(params)))


def projected_controls(
    data: MMMData, window: PlanWindow, given: Mapping[str, NDArray] | None = None
) -> NDArray:
    """Return controls (geo, time, control) of the window and the dates after it.

    They are the observed ones; for future dates those of one year earlier, or their mean if the
    table is shorter. ``given`` replaces values of the window: (date,) or (geo, date), by name.
    """
    seen = data.ds["controls"].values
    year = round(data.time_step.per_year)
    rows = []
    for at in range(window.start, window.start + _length(window)):
        while at >= data.num_dates:
            at -= year
        rows.append(seen[:, at] if at >= 0 else seen.mean(1))
    result = np.stack(rows, 1) if rows else np.zeros((data.num_geos, 0, seen.shape[-1]))
    for name, values in (given or {}).items():
        result[:, : len(window.dates), data.controls.index(name)] = values
    return result


def _revenue(data: MMMData, window: PlanWindow) -> NDArray:
    """Return revenue per unit of target (geo, time): observed, then the last year's average."""
    seen, target = data.ds["revenue_per_target"].values, data.ds["target"].values
    year = last_year(data)
    weight = np.maximum(target[:, year], 0.0)
    total = weight.sum(1, keepdims=True)
    mean = np.where(
        total > 0,
        (seen[:, year] * weight).sum(1, keepdims=True) / np.where(total > 0, total, 1.0),
        seen[:, year].mean(1, keepdims=True),
    )
    positions = np.arange(window.start, window.start + _length(window))
    observed = positions < data.num_dates
    result = np.repeat(mean, len(positions), 1)
    result[:, observed] = seen[:, positions[observed]]
    return result


def _length(window: PlanWindow) -> int:
    return len(window.dates) + len(window.later)


def _media_scale(fitted: Fitted) -> NDArray:
    return np.asarray(fitted.scaling.media_scale)[:, None, None]


def _channel_first(values: NDArray) -> NDArray:
    return np.moveaxis(values, 2, 0)


def _average(exposure: NDArray, spend: NDArray) -> NDArray | None:
    """Return media units per unit of money (geo,); None if no geo has spend.

    A geo without spend takes the average of all geos.
    """
    if spend.sum() <= 0:
        return None
    total = spend.sum(1)
    overall = exposure.sum() / spend.sum()
    return np.divide(exposure.sum(1), total, out=np.full(len(total), overall), where=total > 0)


def _usual(recent: NDArray, ever: NDArray, reference: NDArray) -> NDArray:
    """Return mean spend (geo,) over periods with spend: last year's, else all, else the plan's."""
    for values in (recent, ever):
        positive = values > 0
        if positive.any():
            overall = values[positive].mean()
            found = np.full(len(values), overall)
            some = positive.any(1)
            found[some] = values[some].sum(1) / positive[some].sum(1)
            return found
    positive = reference[reference > 0]
    return np.full(len(ever), positive.mean() if positive.size else 1.0)
