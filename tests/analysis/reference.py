"""The mean of the model in independent NumPy loops, from parameters in the units of the table."""

from __future__ import annotations

import numpy as np
import xarray as xr

from mmm_bayes import FitResult

EPOCH = np.datetime64("1970-01-05")


def _value(draw: xr.Dataset, site: str, channel: str) -> float:
    values = draw[site]
    return float(values.sel({values.dims[0]: channel}))


def kernel(draw: xr.Dataset, adstock: str, channel: str, max_lag: int) -> np.ndarray:
    """Adstock weights, one lag at a time."""
    weights = np.zeros(max_lag)
    for lag in range(max_lag):
        if adstock == "none":
            weights[lag] = lag == 0
        elif adstock == "geometric":
            weights[lag] = _value(draw, "alpha", channel) ** lag
        elif adstock == "delayed":
            delay = lag - _value(draw, "theta", channel)
            weights[lag] = _value(draw, "alpha", channel) ** (delay**2)
        elif adstock == "weibull_pdf":
            k, scale = _value(draw, "shape", channel), _value(draw, "scale", channel)
            z = (lag + 1) / scale
            weights[lag] = k / scale * z ** (k - 1) * np.exp(-(z**k))
    return weights / weights.sum()


def saturated(draw: xr.Dataset, saturation: str, channel: str, x: float, unit: float) -> float:
    """Saturation of exposure per head ``x``; ``unit`` is the channel's mean positive exposure."""
    if saturation == "hill":
        slope, ec = _value(draw, "slope", channel), _value(draw, "ec", channel)
        return x**slope / (x**slope + ec**slope) if x > 0 else 0.0
    if saturation == "michaelis_menten":
        return x / (x + _value(draw, "ec", channel))
    if saturation == "logistic":
        decay = np.exp(-_value(draw, "lam", channel) * x)
        return float((1 - decay) / (1 + decay))
    return float((x / unit) ** _value(draw, "exponent", channel))


def effect(
    fit: FitResult, draw: xr.Dataset, channel: str, factor: float = 1.0, before: int = 0
) -> np.ndarray:
    """Effect of a channel (geo, time) on the predictor, with its exposure times ``factor``."""
    spec, data = fit.spec, fit.data
    adstock, saturation, _ = spec.channel_transforms(channel)
    people = data.ds["population"].values
    x = data.ds["exposure"].sel(channel=channel).values / people[:, None]
    unit = x[x > 0].mean()
    weights = kernel(draw, adstock, channel, spec.media.max_lag)
    curve = np.zeros(x.shape)
    for g in range(x.shape[0]):
        for t in range(x.shape[1]):
            lags = range(min(len(weights), t + 1))
            if spec.media.order == "adstock_first":
                carried = sum(weights[lag] * factor * x[g, t - lag] for lag in lags)
                curve[g, t] = saturated(draw, saturation, channel, carried, unit)
            else:
                curve[g, t] = sum(
                    weights[lag]
                    * saturated(draw, saturation, channel, factor * x[g, t - lag], unit)
                    for lag in lags
                )
    if "beta_geo" in draw:
        return draw["beta_geo"].sel(channel=channel).values[:, None] * curve
    return _value(draw, "beta", channel) * curve


def baseline(fit: FitResult, draw: xr.Dataset) -> dict[str, np.ndarray]:
    """Baseline parts (geo, time) on the predictor's scale, in the units of the table."""
    spec, data = fit.spec, fit.data
    dates = data.dates.to_numpy()
    clock = (dates - dates[0]) / (dates[-1] - dates[0])
    flat = np.zeros((data.num_geos, data.num_dates))
    intercept = flat + float(draw["intercept"])
    if "intercept_geo" in draw:
        intercept = intercept + draw["intercept_geo"].values[:, None]
    parts = {"intercept": intercept}
    if spec.trend.kind == "linear":
        parts["trend"] = flat + float(draw["trend_coef"][0]) * (clock - 0.5)
    elif spec.trend.kind == "knots":
        steps = np.concatenate([[0.0], np.cumsum(draw["trend_coef"].values)])
        walk = np.interp(clock, np.linspace(0, 1, spec.trend.n_knots), steps)
        parts["trend"] = flat + walk - walk.mean()
    elif spec.trend.kind == "hsgp":
        parts["trend"] = flat + sum(
            float(c) * np.sin(0.5 * np.pi * j * (clock - 0.5 + 1.0))
            for j, c in enumerate(draw["trend_coef"].values, 1)
        )
    if spec.seasonality:
        middle = (dates - EPOCH) / np.timedelta64(1, "D") + 3.5
        columns = []
        for season in spec.seasonality:
            for k in range(1, season.order + 1):
                angle = 2 * np.pi * k * middle / season.days
                columns += [np.sin(angle), np.cos(angle)]
        coefficients = draw["seasonality_coef"].values
        parts["seasonality"] = flat + sum(
            float(c) * column for c, column in zip(coefficients, columns, strict=True)
        )
    if spec.events:
        events = flat.copy()
        for c, event in zip(draw["event_coef"].values, spec.events, strict=True):
            day = np.datetime64(event.dates[0])
            hit = (dates <= day) & (day < dates + np.timedelta64(7, "D"))
            events += float(c) * hit
        parts["events"] = events
    for k, name in enumerate(data.controls):
        values = data.ds["controls"].values[..., k]
        centre = 0.0 if np.isin(values, (0, 1)).all() else values.mean()
        slope = np.full(data.num_geos, float(draw["control_coef"][k]))
        if "control_geo" in draw:
            slope = slope + draw["control_geo"].sel(control=name).values
        parts[name] = slope[:, None] * (values - centre)
    return parts


def mean(fit: FitResult, draw: xr.Dataset, predictor: np.ndarray) -> np.ndarray:
    """Expected target (geo, time) of a linear predictor."""
    people = fit.data.ds["population"].values[:, None]
    family = fit.spec.likelihood.family
    if family in ("normal", "student_t"):
        return people * predictor
    lift = 0.5 * float(draw["sigma"]) ** 2 if family == "log_normal" else 0.0
    return people * np.exp(predictor + lift)


def shares_of_path(
    fit: FitResult, draw: xr.Dataset, start: np.ndarray, parts: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Aumann-Shapley shares of the increase from ``start``, by quadrature along the path."""
    nodes, weights = np.polynomial.legendre.leggauss(24)
    rise = sum(parts.values())
    result = {name: np.zeros_like(start) for name in parts}
    for node, weight in zip(0.5 * (nodes + 1), 0.5 * weights, strict=True):
        level = mean(fit, draw, start + node * rise)
        for name, part in parts.items():
            result[name] += weight * part * level
    return result
