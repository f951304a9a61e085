"""Carry-over kernels and saturation curves of the simulators, in NumPy.

They are implemented independently of `mmm_bayes.transforms` on purpose: the simulated truth then
cannot share a mistake with the model that should recover it, and is always float64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np

from mmm_bayes.runtime.findings import listing, nearest

Adstock = Literal["geometric", "delayed"]
Saturation = Literal["hill", "logistic", "michaelis_menten", "tanh", "exponential"]
Parameters = Mapping[str, np.ndarray]
Draw = Callable[[np.random.Generator, int], np.ndarray]


class Family(NamedTuple):
    """A function of an array and its parameters, with a random draw for each parameter."""

    function: Callable[..., np.ndarray]
    draws: dict[str, Draw]


def _alpha(rng: np.random.Generator, n: int) -> np.ndarray:
    return np.clip(rng.beta(3, 3, n), 0.1, 0.85)


def _log_normal(median: float, sd: float, low: float, high: float) -> Draw:
    def draw(rng: np.random.Generator, n: int) -> np.ndarray:
        return np.clip(median * np.exp(sd * rng.standard_normal(n)), low, high)

    return draw


def _uniform(low: float, high: float) -> Draw:
    return lambda rng, n: rng.uniform(low, high, n)


def _hill(x: np.ndarray, ec: np.ndarray, slope: np.ndarray) -> np.ndarray:
    return x**slope / (x**slope + ec**slope)


def _logistic(x: np.ndarray, lam: np.ndarray) -> np.ndarray:
    return (1 - np.exp(-lam * x)) / (1 + np.exp(-lam * x))


# Lags run along the last axis; parameters have shape (channel, 1). x is in multiples of the mean
# positive exposure, so that one set of draws suits every channel.
ADSTOCKS: dict[str, Family] = {
    "geometric": Family(lambda lag, alpha: alpha**lag, {"alpha": _alpha}),
    "delayed": Family(
        lambda lag, alpha, theta: alpha ** ((lag - theta) ** 2),
        {"alpha": _alpha, "theta": _uniform(0, 3)},
    ),
}
SATURATIONS: dict[str, Family] = {
    "hill": Family(
        _hill,
        {"ec": _log_normal(1.0, 0.35, 0.5, 2.0), "slope": _log_normal(1.15, 0.25, 0.7, 2.0)},
    ),
    "logistic": Family(_logistic, {"lam": _log_normal(1.2, 0.35, 0.5, 3.0)}),
    "michaelis_menten": Family(
        lambda x, ec: x / (x + ec), {"ec": _log_normal(1.0, 0.35, 0.5, 2.0)}
    ),
    "tanh": Family(lambda x, scale: np.tanh(x / scale), {"scale": _log_normal(1.5, 0.3, 0.7, 3.0)}),
    "exponential": Family(
        lambda x, rate: 1 - np.exp(-rate * x), {"rate": _log_normal(0.8, 0.35, 0.3, 2.0)}
    ),
}
_ROAS = _log_normal(1.6, 0.5, 0.5, 5.0)


def draw_parameters(
    rng: np.random.Generator,
    adstock: str,
    saturation: str,
    num_channels: int,
    given: Mapping[str, Any] | None,
) -> dict[str, np.ndarray]:
    """Draw one value per channel for each parameter of the two families, and for ``roas``.

    ``given`` replaces draws, by name, with arrays of shape (channel,) or one number for all.
    """
    draws = ADSTOCKS[adstock].draws | SATURATIONS[saturation].draws | {"roas": _ROAS}
    given = dict(given or {})
    unknown = [name for name in given if name not in draws]
    if unknown:
        raise ValueError(
            f"parameters names {unknown[0]!r}, which adstock {adstock!r} and saturation "
            f"{saturation!r} do not have.{nearest(unknown[0], draws)} They have "
            f"{listing(draws, 9)}."
        )
    values = {}
    for name, draw in draws.items():
        value = draw(rng, num_channels)
        if name in given:
            chosen = np.asarray(given[name], "float64")
            if chosen.shape not in ((), (num_channels,)):
                raise ValueError(
                    f"parameters[{name!r}] should have one number for each of {num_channels} "
                    f"channels, but has shape {chosen.shape}."
                )
            value = np.broadcast_to(chosen, (num_channels,)).copy()
        values[name] = value
    return values


def apply_adstock(name: str, x: np.ndarray, parameters: Parameters, max_lag: int) -> np.ndarray:
    r"""Return :math:`\sum_l w_{cl} x_{g,t-l,c}` with weights summing to one.

    Parameters
    ----------
    x : array of shape (geo, date, channel)
        Media; taken as 0 before the first date.
    """
    function, draws = ADSTOCKS[name]
    weights = function(np.arange(max_lag), *(parameters[p][:, None] for p in draws))
    weights = weights / weights.sum(-1, keepdims=True)
    out = np.zeros_like(x)
    for lag in range(min(max_lag, x.shape[1])):
        out[:, lag:] += weights[:, lag] * x[:, : x.shape[1] - lag]
    return out


def apply_saturation(name: str, x: np.ndarray, parameters: Parameters) -> np.ndarray:
    """Return the saturation of ``x`` (geo, date, channel), in [0, 1)."""
    function, draws = SATURATIONS[name]
    return function(x, *(parameters[p] for p in draws))
