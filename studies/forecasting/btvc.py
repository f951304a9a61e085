"""Bayesian time-varying coefficients: channels whose effects drift, over trend and seasons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, final

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from jaxtyping import Float
from numpyro import distributions as dist

from mmm_bayes._typing import RngKey
from mmm_bayes.data.panel import ShopPanel
from mmm_bayes.runtime.streams import generator
from mmm_bayes.validation.panel.forecast import (
    Forecast,
    check_settings,
    check_training,
)
from mmm_bayes.validation.panel.inputs import (
    Inputs,
    PanelScale,
    Transform,
    check_transform,
    dates_ahead,
    requested,
)
from studies.forecasting.local_level import (
    LevelDesign,
    last_level,
    level_design,
    log_likelihood,
)
from studies.forecasting.mean_field import mean_field_draws

NDArray = np.ndarray[Any, Any]

_YEAR = 365.25
_LEVEL_WEEKS = 26  # past of which the level on the last day is worked out
_POSITIVE = ("pool", "shop", "knot", "sigma", "omega")
_LEAST_OMEGA = 0.01  # keeps the precision of the level's steps within single precision


@final
@dataclass(frozen=True)
class BTVC:
    r"""Bayesian time-varying coefficient model (Ng, Wang & Dai 2021), one for all shops.

    For the scaled target (logarithms, where it is nowhere negative: effects are then
    multiplicative, as in the paper) of shop :math:`s`,

    .. math:: y_{st} = l_{st} + f_t'\theta_s + c_{st}'\delta_s + \sum_i \beta_{sit} x_{sit}
              + \varepsilon_{st}, \qquad
              \beta_{sit} = \sum_j \frac{\kappa(t, t_j)}{\sum_k \kappa(t, t_k)} b_{sij},

    with the Gaussian kernel :math:`\kappa(t, t_j) = \exp(-(t - t_j)^2 / 2\rho^2)`, :math:`\rho` the
    distance of knots. Coefficients of channels are positive at every knot:
    :math:`\mu_i \sim N^+(0, 0.3^2)`, :math:`\mu_{si} \sim N^+(\mu_i, 0.2^2)`,
    :math:`b_{sij} \sim N^+(\mu_{si}, 0.1^2)`. Fourier terms :math:`f_t` are weekly and, from a year
    of training on, yearly; their coefficients and those of the context are drawn together over
    shops. The level :math:`l` is a random walk on knots, as in :mod:`local_level`, integrated out.

    Departures from the paper: normal instead of Laplace steps of the level, seasons whose
    coefficients stay, a normal approximation (independent in unconstrained space) fitted by
    stochastic variational inference, and no adstock or saturation beyond the logarithm.

    Forecasts are simulated: the level on the last day of the *history* given draws of everything
    else, and its random walk from there; coefficients as the kernel extrapolates them, from the
    last knots; noise. Future channels repeat weeks: each draw takes, for every week ahead, all
    channels of one of the last ``channel_weeks`` weeks of the shop.

    Attributes
    ----------
    level_days : int
        Distance of the knots of the level.
    coefficient_days : int
        Distance of the knots of the coefficients.
    yearly_order : int
        Yearly sines and cosines; 0 for none.
    channel_weeks : int
        Weeks out of which future channels are drawn.
    steps : int
        Steps of Adam.
    learning_rate : float
        Of the first step; it falls to a hundredth.
    draws : int
        Simulated paths.
    transform : {"auto", "standard", "log1p"}
        Scale of the series.
    """

    level_days: int = 7
    coefficient_days: int = 90
    yearly_order: int = 2
    channel_weeks: int = 8
    steps: int = 1000
    learning_rate: float = 0.05
    draws: int = 200
    transform: Transform = "auto"

    def __post_init__(self) -> None:
        whole = ("level_days", "coefficient_days", "channel_weeks", "steps", "draws")
        check_settings(
            self,
            dict.fromkeys(whole, (1, 1_000_000))
            | {"yearly_order": (0, 50), "learning_rate": (1e-6, 1.0)},
        )
        check_transform(self.transform)

    def fit(self, rng_key: RngKey, panel: ShopPanel) -> FittedBTVC:
        """Fit the approximation."""
        check_training(panel)
        scale = PanelScale.of(panel, self.transform)
        arrays = model_arrays(panel, scale, self)
        draws = mean_field_draws(
            rng_key,
            btvc_model,
            arrays,
            positive=_POSITIVE,
            steps=self.steps,
            learning_rate=self.learning_rate,
            draws=self.draws,
        )
        return FittedBTVC(
            panel.window(0, 1),
            scale,
            self,
            _yearly_order(panel, self),
            _knots(panel.length, self.coefficient_days),
            draws,
        )


class Arrays(NamedTuple):
    """What the model reads of a training panel, scaled."""

    target: Any  # (shop, time), 0 where missing
    channels: Any  # (shop, time, channel)
    context: Any  # (shop, time, variable)
    season: Any  # (time, term)
    kernel: Any  # (time, knot)
    level: LevelDesign


def model_arrays(panel: ShopPanel, scale: PanelScale, settings: BTVC) -> Arrays:
    """Return arrays of a training panel, in single precision."""
    inputs = scale.inputs(panel)
    days = settings.coefficient_days
    arrays = Arrays(
        inputs.values[..., -1],
        inputs.values[..., :-1],
        inputs.context,
        fourier(_days(panel, 0), _yearly_order(panel, settings)),
        coefficient_kernel(np.arange(panel.length), _knots(panel.length, days), days),
        level_design(inputs.observed[..., -1], settings.level_days),
    )
    single: Arrays = jax.tree.map(lambda part: jnp.asarray(part, jnp.float32), arrays)
    return single


def btvc_model(arrays: Arrays) -> None:
    """Define the NumPyro model, with the level integrated out."""
    shops, _, channels = arrays.channels.shape
    knots = arrays.kernel.shape[1]
    design = jnp.concatenate(
        [jnp.broadcast_to(arrays.season, (shops, *arrays.season.shape)), arrays.context], -1
    )
    terms = design.shape[-1]
    common = numpyro.sample("common", dist.Normal(jnp.zeros(terms), 0.5).to_event(1))
    own = numpyro.sample(
        "own", dist.Normal(jnp.broadcast_to(common, (shops, terms)), 0.3).to_event(2)
    )
    mean = jnp.einsum("stk,sk->st", design, own)
    if channels:
        pool = numpyro.sample("pool", dist.HalfNormal(jnp.full(channels, 0.3)).to_event(1))
        shop = numpyro.sample("shop", _positive(pool, 0.2, (shops, channels)))
        knot = numpyro.sample("knot", _positive(shop[:, None], 0.1, (shops, knots, channels)))
        coefficient = jnp.einsum("tj,sjc->stc", arrays.kernel, knot)
        mean = mean + jnp.sum(coefficient * arrays.channels, -1)
    sigma = numpyro.sample("sigma", dist.HalfNormal(jnp.ones(shops)).to_event(1))
    omega = numpyro.sample("omega", dist.HalfNormal(jnp.full(shops, 0.2)).to_event(1))
    density = log_likelihood(arrays.level, arrays.target - mean, sigma, omega + _LEAST_OMEGA)
    numpyro.factor("likelihood", density.sum())


def _positive(location: Any, scale: float, shape: tuple[int, ...]) -> Any:
    """Return a normal distribution truncated at zero."""
    location = jnp.broadcast_to(location, shape)
    return dist.TruncatedNormal(location, scale, low=0.0).to_event(len(shape))


@final
@dataclass(frozen=True, eq=False)
class FittedBTVC:
    """Draws of the parameters with the scale of the training panel."""

    labels: ShopPanel
    scale: PanelScale
    settings: BTVC
    yearly_order: int
    knots: NDArray
    parameters: dict[str, NDArray]

    def forecast(
        self,
        rng_key: RngKey,
        panel_history: ShopPanel,
        horizon: int,
        context_future: NDArray | None,
    ) -> Forecast:
        """Forecast as :meth:`FittedForecaster.forecast` says."""
        inputs = requested(self.labels, self.scale, panel_history, horizon, context_future)
        random = generator(rng_key)
        season = fourier(_days(panel_history, horizon), self.yearly_order)
        span = min(inputs.length, 7 * _LEVEL_WEEKS)
        past = slice(inputs.length - span, inputs.length)
        ahead = slice(inputs.length, inputs.length + horizon)

        recent = inputs.values[None, :, past, :-1]
        fitted = self._mean(inputs.context, season, recent, past)
        residual = inputs.values[:, past, -1] - fitted
        level = self._level(inputs.observed[:, past, -1], residual, horizon, random)
        channels = _future_channels(
            inputs, horizon, self.settings.channel_weeks, self.settings.draws, random
        )
        mean = self._mean(inputs.context, season, channels, ahead)
        sigma = self.parameters["sigma"][..., None]
        noise = sigma * random.standard_normal(mean.shape)
        return Forecast.from_draws(self.scale.target(mean + level + noise))

    def _mean(
        self, context: NDArray, season: NDArray, channels: NDArray, days: slice
    ) -> Float[NDArray, "draw shop day"]:
        """Return the mean from seasons, context and channels on some days."""
        own = self.parameters["own"]
        terms = season.shape[-1]
        mean = own[..., :terms] @ season[days].T
        mean += np.einsum("stk,dsk->dst", context[:, days], own[..., terms:])
        if channels.shape[-1]:
            day = np.arange(days.start, days.stop)
            kernel = coefficient_kernel(day, self.knots, self.settings.coefficient_days)
            coefficient = kernel @ self.parameters["knot"]
            mean += np.sum(coefficient * channels, -1)
        return mean

    def _level(
        self, there: NDArray, residual: NDArray, horizon: int, random: np.random.Generator
    ) -> Float[NDArray, "draw shop horizon"]:
        """Draw paths of the level from the last day's posterior on, knot by knot."""
        days = self.settings.level_days
        omega = self.parameters["omega"] + _LEAST_OMEGA
        design = level_design(there, days)
        center, sd = last_level(design, residual, self.parameters["sigma"], omega)
        steps = random.standard_normal((*omega.shape, -(-horizon // days) + 1))
        steps *= np.concatenate(
            [sd[..., None], np.repeat(omega[..., None], steps.shape[-1] - 1, -1)], -1
        )
        knots = center[..., None] + np.cumsum(steps, -1)
        place, part = np.divmod(np.arange(1, horizon + 1), days)
        after = np.minimum(place + 1, knots.shape[-1] - 1)
        share = part / days
        path: NDArray = (1.0 - share) * knots[..., place] + share * knots[..., after]
        return path


def coefficient_kernel(day: NDArray, knots: NDArray, days: int) -> Float[NDArray, "day knot"]:
    """Return a Gaussian kernel of days and knots, rows normalised (far days: nearest knot)."""
    log_weight = -0.5 * ((day[:, None] - knots) / days) ** 2
    weight = np.exp(log_weight - log_weight.max(1, keepdims=True))
    normalised: NDArray = weight / weight.sum(1, keepdims=True)
    return normalised


def fourier(day: NDArray, yearly_order: int) -> Float[NDArray, "day term"]:
    """Return the weekly sines and cosines of orders 1 to 3, and yearly ones."""
    cycles = [order / 7.0 for order in (1, 2, 3)]
    cycles += [order / _YEAR for order in range(1, yearly_order + 1)]
    angle = 2.0 * np.pi * day[:, None] * np.asarray(cycles)
    return np.concatenate([np.sin(angle), np.cos(angle)], 1)


def _days(panel: ShopPanel, ahead: int) -> NDArray:
    """Count days from the first on, by the calendar if there are dates."""
    if panel.dates is None:
        return np.arange(panel.length + ahead, dtype=float)
    dates = dates_ahead(panel.dates, ahead)
    return np.asarray((dates - dates[0]).days, dtype=float)


def _yearly_order(panel: ShopPanel, settings: BTVC) -> int:
    """Order of the yearly season: none until a year has been seen."""
    return settings.yearly_order if _days(panel, 0).max() >= _YEAR else 0


def _knots(length: int, days: int) -> NDArray:
    """Return knots from the first day to the last one, ``days`` apart or a little more."""
    return np.linspace(0.0, length - 1.0, max(1, (length - 1) // days) + 1)


def _future_channels(
    inputs: Inputs, horizon: int, weeks: int, draws: int, random: np.random.Generator
) -> Float[NDArray, "draw shop horizon channel"]:
    """Draw weeks ahead from the last ones, the same week for all channels of a shop."""
    shops, length, _ = inputs.values.shape
    known = max(1, min(weeks, length // 7))
    ahead = -(-horizon // 7)
    chosen = random.integers(1, known + 1, (draws, shops, ahead))
    step = np.arange(horizon)
    day = np.maximum(length - 7 * chosen[..., step // 7] + step % 7, 0)
    return inputs.values[np.arange(shops)[:, None], day, :-1]
