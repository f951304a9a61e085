"""Parts of the simulator: media plans, other drivers of sales, and the expected target."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

Likelihood = Literal["normal", "lognormal", "negative_binomial"]


class Media(NamedTuple):
    """Spend and exposure (geo, date, channel); ``scaled`` is exposure per head over ``scale``."""

    spend: np.ndarray
    exposure: np.ndarray
    scale: np.ndarray
    scaled: np.ndarray


class Rest(NamedTuple):
    """Drivers of the target other than media, as shares of its mean level."""

    controls: np.ndarray
    names: tuple[str, ...]
    effects: np.ndarray
    trend: np.ndarray
    seasonality: np.ndarray
    demand: np.ndarray

    def total(self) -> np.ndarray:
        """Return the sum of all drivers (geo, date), with controls centred."""
        centred = self.controls - self.controls.mean((0, 1))
        return self.trend + self.seasonality + centred @ self.effects


class Mean(NamedTuple):
    """The expected target, its parts, and the parameters behind them."""

    beta: np.ndarray
    beta_geo: np.ndarray
    intercept: np.ndarray
    mu: np.ndarray
    baseline: np.ndarray
    contribution: np.ndarray
    more: np.ndarray
    sigma: float
    unit: float


def ar1(rng: np.random.Generator, rho: float, shape: tuple[int, ...]) -> np.ndarray:
    """Return a stationary AR(1) with unit variance; time is the first axis."""
    steps = rng.standard_normal(shape)
    out = np.empty(shape)
    out[0] = steps[0]
    for t in range(1, shape[0]):
        out[t] = rho * out[t - 1] + np.sqrt(1 - rho**2) * steps[t]
    return out


def draw_media(
    rng: dict[str, np.random.Generator],
    years: np.ndarray,
    demand: np.ndarray,
    population: np.ndarray,
    num_channels: int,
    impressions: bool,
    correlation: float = 0.0,
) -> Media:
    """Draw spend for each geo, date and channel, and the exposure it buys."""
    num_dates, num_geos = len(years), len(population)
    draw, common = rng["spend"], rng["common"]

    def mixed(own: np.ndarray, shared: np.ndarray) -> np.ndarray:
        """Mix in a series that all channels (last axis) share."""
        return np.sqrt(1 - correlation) * own + np.sqrt(correlation) * shared[..., None]

    heads = population if num_geos > 1 else np.full(1, 1e6)
    level = 0.04 * np.exp(0.5 * draw.standard_normal(num_channels))
    phase = draw.uniform(0, 1, num_channels)
    if correlation > 0:
        phase = np.full(num_channels, phase[0])
    log_spend = 0.25 * np.cos(2 * np.pi * (years[:, None] - phase))
    own = ar1(draw, 0.6, (num_dates, num_channels))
    log_spend = log_spend + 0.4 * mixed(own, ar1(common, 0.6, (num_dates,)))
    searched = np.arange(num_channels) % 5 == 2
    log_spend = log_spend + 0.6 * demand[:, None] * searched
    local: np.ndarray | float = 0.0
    if num_geos > 1:
        own = ar1(draw, 0.5, (num_dates, num_geos, num_channels))
        local = 0.25 * mixed(own, ar1(common, 0.5, (num_dates, num_geos)))
    own = draw.standard_normal((num_geos, num_channels))
    tilt = 0.25 * mixed(own, common.standard_normal(num_geos)) * (num_geos > 1)
    spend = heads[:, None, None] * np.exp(
        np.log(level) + np.moveaxis(log_spend[:, None] + tilt + local, 0, 1)
    )
    # The first two of every five channels (television, radio) run in flights.
    flighted = np.arange(num_channels) % 5 < 2
    flights = _flights(draw, (num_dates, num_channels))
    spend = np.round(spend * np.where(flighted & (correlation == 0), flights, 1.0), 2)
    exposure = spend
    if impressions:
        per_thousand = rng["prices"].uniform(4, 20, num_channels) * np.exp(
            0.1 * rng["prices"].standard_normal((num_geos, num_dates, num_channels))
        )
        exposure = np.round(1000 * spend / per_thousand)
    per_head = exposure / population[:, None, None]
    scale = per_head.sum((0, 1)) / (per_head > 0).sum((0, 1))
    return Media(spend, exposure, scale, per_head / scale)


def _flights(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Return 1 in flights (6 steps on average) and 0 between them (3 on average)."""
    leave, enter = 1 / 6, 1 / 3
    on = np.empty(shape)
    on[0] = 1.0
    u = rng.uniform(size=shape)
    for t in range(1, shape[0]):
        on[t] = np.where(on[t - 1] > 0, u[t] > leave, u[t] < enter)
    return on


def draw_rest(
    rng: np.random.Generator,
    years: np.ndarray,
    num_geos: int,
    num_controls: int,
    *,
    demand: np.ndarray,
    confounding: float,
    trend: float,
    seasonality: float,
) -> Rest:
    """Draw the controls and their effects, the trend and the yearly seasonality."""
    num_dates = len(years)
    shape = (num_dates, num_geos)
    columns: list[tuple[str, np.ndarray, float]] = []
    # One generator per control, so that an additional control does not change the others.
    for k, part in enumerate(rng.spawn(num_controls)):
        if k == 0:
            cycle = ar1(part, 0.8, (num_dates, 1)) + 0.3 * ar1(part, 0.5, shape)
            columns.append(("price", np.round(10 + 0.5 * cycle, 2), -0.08))
        elif k == 1:
            promoted = part.uniform(size=(num_dates, 1)) < 0.15
            columns.append(("promo", promoted * np.ones(shape), 0.10))
        else:
            effect = 0.02 * float(part.standard_normal())
            columns.append((f"control_{k + 1}", np.round(ar1(part, 0.6, shape), 4), effect))
    if confounding > 0:
        everywhere = np.repeat(demand[:, None], num_geos, axis=1)
        columns.append(("category_demand", everywhere, 0.08 * confounding))
    angle = 2 * np.pi * years
    return Rest(
        controls=np.stack([c.T for _, c, _ in columns], -1)
        if columns
        else np.zeros((*shape[::-1], 0)),
        names=tuple(name for name, _, _ in columns),
        effects=np.array([effect for _, _, effect in columns]),
        trend=trend * (years / years[-1] - 0.5),
        seasonality=seasonality * (np.sin(angle - 1.0) + 0.35 * np.cos(2 * angle)),
        demand=demand,
    )


def solve_mean(
    likelihood: Likelihood,
    *,
    wanted: np.ndarray,
    media_share: float,
    noise: float,
    population: np.ndarray,
    factors: np.ndarray,
    rest: np.ndarray,
    saturated: np.ndarray,
    more: np.ndarray,
) -> Mean:
    """Find the effects that give the wanted contributions, and the intercept for the rest."""
    heads = population[:, None, None]
    geo_effect = factors[:, None, :-1]
    rows = population.sum() * rest.shape[1]
    level = wanted.sum() / media_share / rows
    reach = (heads * geo_effect * saturated).sum((0, 1))
    base = level * (1 - media_share)
    if likelihood == "normal":
        beta = wanted / reach
        shift = (population[:, None] * level * rest).sum() / rows
        scale = (population * factors[:, -1]).sum() / population.sum()
        intercept = (base - shift) / scale * factors[:, -1]
        effect = beta * geo_effect * saturated
        eta = intercept[:, None] + level * rest + effect.sum(-1)
        return Mean(
            beta=beta,
            beta_geo=beta * factors[:, :-1],
            intercept=intercept,
            mu=population[:, None] * eta,
            baseline=population[:, None] * (intercept[:, None] + level * rest),
            contribution=heads * effect,
            more=heads * beta * geo_effect * (more - saturated),
            sigma=_within_sd(eta, noise),
            unit=level,
        )
    beta = wanted / reach / level
    # Effects are small on the log scale, so each step shrinks the error by about the media share.
    for _ in range(200):
        intercept = np.log(base * factors[:, -1])
        effect = beta * geo_effect * saturated
        plain = intercept[:, None] + rest
        sigma = _within_sd(plain + effect.sum(-1), noise)
        # The mean of a log-normal lies above its median.
        lift = np.exp(sigma**2 / 2) if likelihood == "lognormal" else 1.0
        mu = lift * population[:, None] * np.exp(plain + effect.sum(-1))
        contribution = mu[..., None] * -np.expm1(-effect)
        found = contribution.sum((0, 1))
        if np.allclose(found, wanted, rtol=1e-12, atol=0):
            break
        beta = beta * wanted / found
        base = base * level * rows / mu.sum()
    return Mean(
        beta=beta,
        beta_geo=beta * factors[:, :-1],
        intercept=intercept,
        mu=mu,
        baseline=lift * population[:, None] * np.exp(plain),
        contribution=contribution,
        more=mu[..., None] * np.expm1(beta * geo_effect * (more - saturated)),
        sigma=sigma,
        unit=1.0,
    )


def _within_sd(eta: np.ndarray, noise: float) -> float:
    return float(noise * (eta - eta.mean(1, keepdims=True)).std())
