"""Marketing-mix data drawn from a stated model, with the truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final, get_args

import numpy as np
import pandas as pd
import xarray as xr

from mmm_bayes.data.dates import read_date
from mmm_bayes.data.roles import Roles
from mmm_bayes.data.schema import MMMData
from mmm_bayes.data.time_step import infer_step
from mmm_bayes.runtime.deprecation import renamed
from mmm_bayes.runtime.findings import DataError
from mmm_bayes.runtime.streams import streams
from mmm_bayes.simulate.media_mix_parts import (
    Likelihood,
    Mean,
    Media,
    Rest,
    ar1,
    draw_media,
    draw_rest,
    solve_mean,
)
from mmm_bayes.simulate.response import (
    ADSTOCKS,
    SATURATIONS,
    Adstock,
    Saturation,
    apply_adstock,
    apply_saturation,
    draw_parameters,
)
from mmm_bayes.simulate.setting_checks import (
    interval_findings,
    name_findings,
    share_findings,
    size_findings,
)

_CHANNELS = ("tv", "radio", "search", "social", "display", "print", "video", "outdoor", "email")
_REVENUE_PER_SALE = 25.0
# One random stream per part, so that an additional control does not change the spend.
_STREAMS = (
    "population", "demand", "controls", "spend", "prices", "parameters", "geos", "noise", "common",
)  # fmt: skip


@final
@dataclass(frozen=True)
class SimulatedMMM:
    """Simulated data and the truth they were drawn from.

    Attributes
    ----------
    data : MMMData
        The data that an analyst would have.
    truth : xarray.Dataset
        By channel: the parameters of kernel and curve (``alpha``, ``ec``, ``slope``; ``ec`` in
        units of ``media_scale``), ``beta`` (target per head at full saturation; on the log scale
        for log-linear likelihoods), ``media_scale`` (media units per head), ``roas``,
        ``marginal_roas``. By geo: ``beta_geo``, ``intercept``. Over time: ``contribution (geo,
        date, channel)``, ``baseline`` and ``mu (geo, date)``, ``adstock`` and ``saturation (geo,
        date, channel)``, ``trend``, ``seasonality``, ``demand (date)``, ``control_effect
        (control)``; and ``noise_scale``.
    """

    data: MMMData
    truth: xr.Dataset


@renamed(
    n_dates="num_dates", n_geos="num_geos", n_channels="num_channels", n_controls="num_controls"
)
def mmm(
    rng_key: Any,
    *,
    num_dates: int = 156,
    num_geos: int = 1,
    num_channels: int = 5,
    num_controls: int = 2,
    adstock: Adstock = "geometric",
    saturation: Saturation = "hill",
    max_lag: int = 13,
    likelihood: Likelihood = "normal",
    media_share: float = 0.25,
    noise: float = 0.3,
    trend: float = 0.1,
    seasonality: float = 0.1,
    confounding: float = 0.0,
    correlation: float = 0.0,
    geo_spread: float = 0.2,
    impressions: bool = False,
    start: str = "2022-01-03",
    freq: str = "W-MON",
    parameters: Mapping[str, Any] | None = None,
) -> SimulatedMMM:
    r"""Draw national or geo data from a stated model.

    The model of ``likelihood="normal"`` is

    .. math:: \eta_{gt} = b_g + \mathrm{trend}_t + \mathrm{season}_t + \gamma' z_{gt}
              + \sum_c \beta_{cg}\, s_c\bigl(a_c * x_{gtc} / (n_g m_c)\bigr), \qquad
              y_{gt} = n_g (\eta_{gt} + \sigma \varepsilon_{gt})

    with :math:`n_g` the population (1 nationally), :math:`m_c` the mean positive exposure per
    head, :math:`a_c` a normalised causal kernel over ``max_lag`` steps with no media before the
    first date, and :math:`s_c` the saturation. ``"lognormal"`` is
    :math:`\log y = \log n_g + \eta + \sigma\varepsilon`, ``"negative_binomial"`` is
    :math:`y \sim \mathrm{NB}(n_g e^\eta, \phi)` with variance :math:`\mu + \mu^2 / \phi`.

    Spend is a log-normal AR(1) around a seasonal level; some channels run in flights with empty
    weeks between. Money is rounded to cents. ``alpha`` comes from Beta(3, 3) cut to 0.1-0.85,
    ``ec`` lies in 0.5-2 mean exposures, ``slope`` in 0.7-2, ROAS is log-normal with median 1.6
    cut to 0.5-5, and ``beta`` follows from it. Intercepts and effects differ between geos by
    log-normal factors.

    Parameters
    ----------
    rng_key : jax.Array
        Key; the same key gives the same data.
    num_dates, num_geos, num_channels, num_controls : int
        Sizes. Controls are a price, a promotion flag, then autocorrelated series.
    adstock : {"geometric", "delayed"}
        Kernel.
    saturation : {"hill", "logistic", "michaelis_menten", "tanh", "exponential"}
        Curve.
    max_lag : int
        Length of the kernel in steps.
    likelihood : {"normal", "lognormal", "negative_binomial"}
        A count is worth 25 units of money (``revenue_per_target``).
    media_share : float
        Share of media in the expected target.
    noise : float
        Standard deviation of the noise over that of :math:`\eta` within geos: the variance
        explained is ``1 / (1 + noise**2)``. For counts, :math:`\phi^{-1/2}` takes its place.
    trend, seasonality : float
        Rise over the window and amplitude over the year, as shares of the mean target.
    confounding : float
        From 0 to 1: strength of a category demand that raises both the target and the spend on
        every fifth channel from the third (search) on. Above 0 it is one more control,
        ``category_demand``.
    correlation : float
        From 0 to below 1: share of the variance of log spend, over time and over geos, that all
        channels have in common. Above 0 they share their season, and none runs in flights.
    geo_spread : float
        Standard deviation over geos of log intercepts and log effects.
    impressions : bool
        Whether exposure is impressions, bought at prices that vary, instead of spend.
    start, freq : str
        First date and pandas frequency.
    parameters : dict, optional
        Numbers by channel in place of draws: parameters of kernel and curve, and ``roas``.

    Returns
    -------
    SimulatedMMM
        Contributions are counterfactual (one channel off at all dates), in expected target; with
        ``"normal"`` they and the baseline add up to ``mu``. ``roas`` is contribution times
        revenue per target over spend, and ``marginal_roas`` the same for the last 1% added to
        the spend of all dates.

    Raises
    ------
    DataError
        Listing every setting that is out of range or unknown.
    ValueError
        For unknown names or wrong shapes in ``parameters``.

    Examples
    --------
    >>> import jax
    >>> from mmm_bayes import simulate
    >>> simulated = simulate.mmm(jax.random.key(0), num_channels=2, parameters={"roas": [1.5, 2.5]})
    >>> simulated.data.channels
    ['tv', 'radio']
    >>> simulated.truth["roas"].values.round(6)
    array([1.5, 2.5])
    """
    _check(
        num_dates=num_dates,
        num_geos=num_geos,
        num_channels=num_channels,
        num_controls=num_controls,
        max_lag=max_lag,
        media_share=media_share,
        noise=noise,
        confounding=confounding,
        correlation=correlation,
        adstock=adstock,
        saturation=saturation,
        likelihood=likelihood,
    )
    rng = streams(rng_key, _STREAMS)
    dates = pd.date_range(read_date(start, "start"), periods=num_dates, freq=freq)
    years = np.asarray((dates - dates[0]).days) / 365.25
    population = np.ones(1)
    if num_geos > 1:
        population = np.round(4e5 * np.exp(0.7 * rng["population"].standard_normal(num_geos)))
    demand = np.round(ar1(rng["demand"], 0.8, (num_dates,)), 4)
    media = draw_media(
        rng, years, confounding * demand, population, num_channels, impressions, correlation
    )
    rest = draw_rest(
        rng["controls"],
        years,
        num_geos,
        num_controls,
        demand=demand,
        confounding=confounding,
        trend=trend,
        seasonality=seasonality,
    )
    drawn = draw_parameters(rng["parameters"], adstock, saturation, num_channels, parameters)
    carried = apply_adstock(adstock, media.scaled, drawn, max_lag)
    saturated = apply_saturation(saturation, carried, drawn)
    z = rng["geos"].standard_normal((num_geos, num_channels + 1))
    factors = np.exp(geo_spread * (z - z.mean(0)))
    revenue = _REVENUE_PER_SALE if likelihood == "negative_binomial" else 1.0
    mean = solve_mean(
        likelihood,
        wanted=drawn["roas"] * media.spend.sum((0, 1)) / revenue,
        media_share=media_share,
        noise=noise,
        population=population,
        factors=factors,
        rest=rest.total(),
        saturated=saturated,
        # The kernel is linear, so 1% more spend is 1% more of the carried-over media.
        more=apply_saturation(saturation, 1.01 * carried, drawn),
    )
    target = _observe(rng["noise"], likelihood, mean, population)
    names = [
        _CHANNELS[c] if c < len(_CHANNELS) else f"channel_{c + 1}" for c in range(num_channels)
    ]
    data = _as_data(dates, target, media, rest, population, names, impressions, likelihood)
    truth = _as_truth(data, media, rest, mean, drawn, carried, saturated, revenue)
    return SimulatedMMM(
        data,
        truth.assign_attrs(
            adstock=adstock, saturation=saturation, max_lag=max_lag, likelihood=likelihood
        ),
    )


def _check(**given: Any) -> None:
    sizes = {
        "num_dates": 8, "num_geos": 1, "num_channels": 1, "num_controls": 0, "max_lag": 1,
    }  # fmt: skip
    findings = size_findings({name: (given[name], least) for name, least in sizes.items()})
    findings += share_findings({name: given[name] for name in ("noise", "confounding")})
    ranges = {"media_share": "(0, 0.8)", "correlation": "[0, 1)"}
    findings += interval_findings({name: (given[name], own) for name, own in ranges.items()})
    known = {
        "adstock": tuple(ADSTOCKS),
        "saturation": tuple(SATURATIONS),
        "likelihood": get_args(Likelihood),
    }
    findings += name_findings({name: (given[name], names) for name, names in known.items()})
    if findings:
        raise DataError(findings, "the settings of simulate.mmm")


def _observe(
    rng: np.random.Generator, likelihood: Likelihood, mean: Mean, population: np.ndarray
) -> np.ndarray:
    if likelihood == "negative_binomial":
        if mean.sigma == 0:
            return rng.poisson(mean.mu).astype("float64")
        phi = mean.sigma**-2
        return rng.negative_binomial(phi, phi / (phi + mean.mu)).astype("float64")
    eps = mean.sigma * rng.standard_normal(mean.mu.shape)
    if likelihood == "normal":
        return np.round(mean.mu + population[:, None] * eps, 2)
    return np.round(mean.mu * np.exp(eps - mean.sigma**2 / 2), 2)


def _as_data(
    dates: pd.DatetimeIndex,
    target: np.ndarray,
    media: Media,
    rest: Rest,
    population: np.ndarray,
    channels: list[str],
    impressions: bool,
    likelihood: Likelihood,
) -> MMMData:
    panel = len(population) > 1
    revenue = _REVENUE_PER_SALE if likelihood == "negative_binomial" else None
    unit = "impressions" if impressions else "spend"
    return MMMData.from_arrays(
        dates=dates,
        target=target,
        spend=media.spend,
        exposure=media.exposure,
        channels=channels,
        controls=rest.controls,
        control_names=rest.names,
        geos=[f"geo_{g + 1}" for g in range(len(population))] if panel else None,
        population=population if panel else None,
        revenue_per_target=revenue,
        step=infer_step(dates),
        roles=Roles(
            date="date",
            target="sales",
            exposure={c: f"{c}_{unit}" for c in channels},
            spend={c: f"{c}_spend" for c in channels},
            controls={c: c for c in rest.names},
            geo="geo" if panel else None,
            population="population" if panel else None,
            revenue_per_target=revenue,
        ),
    )


def _as_truth(
    data: MMMData,
    media: Media,
    rest: Rest,
    mean: Mean,
    drawn: Mapping[str, np.ndarray],
    carried: np.ndarray,
    saturated: np.ndarray,
    revenue: float,
) -> xr.Dataset:
    panel, by_time = ("geo", "date"), ("geo", "date", "channel")
    total = media.spend.sum((0, 1))
    variables: dict[str, Any] = {
        name: ("channel", value) for name, value in drawn.items() if name != "roas"
    }
    variables |= {
        "beta": ("channel", mean.beta),
        "media_scale": ("channel", media.scale),
        "roas": ("channel", revenue * mean.contribution.sum((0, 1)) / total),
        "marginal_roas": ("channel", revenue * mean.more.sum((0, 1)) / (0.01 * total)),
        "beta_geo": (("geo", "channel"), mean.beta_geo),
        "intercept": ("geo", mean.intercept),
        "contribution": (by_time, mean.contribution),
        "baseline": (panel, mean.baseline),
        "mu": (panel, mean.mu),
        "adstock": (by_time, carried),
        "saturation": (by_time, saturated),
        "trend": ("date", mean.unit * rest.trend),
        "seasonality": ("date", mean.unit * rest.seasonality),
        "demand": ("date", rest.demand),
        "control_effect": ("control", mean.unit * rest.effects),
        "noise_scale": ((), mean.sigma),
    }
    return xr.Dataset(variables, coords=data.ds.coords)
