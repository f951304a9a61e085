"""Generalised vector autoregression by self-explaining networks (Marcinkevičs and Vogt 2021)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, final

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from studies.granger.compiled import compiled
from studies.granger.lagged import (
    LaggedRows,
    by_parts,
    lag_checked,
    shop_keys,
    without_diagonal,
)
from studies.granger.settings import above, at_least, raise_settings

NDArray = np.ndarray[Any, Any]


@final
@dataclass(frozen=True)
class GVARSettings:
    """How a generalised vector autoregression is fitted.

    Attributes
    ----------
    lags : int
        Lags, each with a network of its own.
    hidden : int
        Hidden units of each network, one layer.
    sparsity, smoothness : float
        Factors of the penalties of coefficients and of their changes from row to row.
    mixing : float
        Share of the absolute value in the elastic net; the square has the rest.
    iterations : int
        Steps of Adam, each on all rows.
    learning_rate : float
        Its first rate, which falls to zero by half a cosine.
    """

    lags: int = 7
    hidden: int = 16
    sparsity: float = 0.1
    smoothness: float = 3.0
    mixing: float = 0.5
    iterations: int = 200
    learning_rate: float = 0.01

    def __post_init__(self) -> None:
        found = [
            *at_least("lags", self.lags, 1),
            *at_least("hidden", self.hidden, 1),
            *at_least("iterations", self.iterations, 1),
            *above("sparsity", self.sparsity, 0),
            *above("smoothness", self.smoothness, 0),
            *above("mixing", self.mixing, 0, 1),
            *above("learning_rate", self.learning_rate, 1e-9),
        ]
        raise_settings(found, "the generalised vector autoregression")


@final
@dataclass(frozen=True, eq=False)
class GVARFit:
    """Strengths of effects, and the graph on which both directions of time agree most.

    Attributes
    ----------
    scores : numpy.ndarray
        Strength forward in time (shop, source, target), 0 on the diagonal.
    signs : numpy.ndarray
        Sign of the median coefficient at the strongest lag (shop, source, target).
    backward : numpy.ndarray or None
        Strength in the reversed series (shop, source, target); None without time reversal.
    edges : numpy.ndarray or None
        :func:`stable_graph` of both (shop, source, target).
    """

    scores: NDArray
    signs: NDArray
    backward: NDArray | None
    edges: NDArray | None


def _start(rng_key: Array, lags: int, nodes: int, hidden: int) -> dict[str, Array]:
    key_in, key_out = jax.random.split(rng_key)
    # Coefficients start small: a sum over all lags and nodes of variance 1 has about variance 1.
    scale = 1 / np.sqrt(lags * nodes * hidden)
    return {
        "input": jax.random.normal(key_in, (lags, nodes, hidden)) / np.sqrt(nodes),
        "inner": jnp.zeros((lags, hidden)),
        "output": jax.random.normal(key_out, (lags, hidden, nodes * nodes)) * scale,
        "level": jnp.zeros((lags, nodes * nodes)),
    }


def coefficients(parameters: dict[str, Array], past: Array) -> Array:
    """Return matrices of coefficients (row, lag, source, target) at the past of each row."""
    inner = jnp.einsum("rkn,knh->rkh", past, parameters["input"]) + parameters["inner"]
    flat = jnp.einsum("rkh,khm->rkm", jnp.tanh(inner), parameters["output"]) + parameters["level"]
    return flat.reshape(*past.shape, past.shape[-1])


def _fit_one(
    rng_key: Array, past: Array, present: Array, whole: Array, settings: GVARSettings
) -> tuple[Array, Array]:
    _, lags, nodes = past.shape
    count = jnp.maximum(whole.sum(), 1)
    consecutive = whole[1:] * whole[:-1]

    def loss(parameters: dict[str, Array]) -> Array:
        psi = coefficients(parameters, past)
        error = ((jnp.einsum("rki,rkij->rj", past, psi) - present) ** 2).sum(-1)
        size = settings.mixing * jnp.abs(psi) + (1 - settings.mixing) * psi**2
        change = ((psi[1:] - psi[:-1]) ** 2).sum((1, 2, 3))
        value = (whole * (error + settings.sparsity * size.sum((1, 2, 3)))).sum() / count
        steps = jnp.maximum(consecutive.sum(), 1)
        return value + settings.smoothness * (consecutive * change).sum() / steps

    rate = optax.cosine_decay_schedule(settings.learning_rate, settings.iterations)
    adam = optax.adam(rate)
    start = _start(rng_key, lags, nodes, settings.hidden)

    def step(_: int, state: tuple[Any, Any]) -> tuple[Any, Any]:
        parameters, moments = state
        change, moments = adam.update(jax.grad(loss)(parameters), moments, parameters)
        return optax.apply_updates(parameters, change), moments

    parameters, _ = jax.lax.fori_loop(0, settings.iterations, step, (start, adam.init(start)))
    psi = jnp.where(whole[:, None, None, None] > 0, coefficients(parameters, past), jnp.nan)
    strength = jnp.nanmedian(jnp.abs(psi), axis=0)
    at = strength.argmax(0)[None]
    sign = jnp.sign(jnp.take_along_axis(jnp.nanmedian(psi, axis=0), at, axis=0))[0]
    return strength.max(0), sign


@compiled
def _fit(
    keys: Array, past: Array, present: Array, whole: Array, settings: GVARSettings
) -> tuple[Array, Array]:
    fit = partial(_fit_one, settings=settings)
    return jax.vmap(fit)(keys, past, present, whole)


def gvar(
    rng_key: Array,
    series: NDArray,
    settings: GVARSettings | None = None,
    *,
    time_reversal: bool = True,
) -> GVARFit:
    r"""Fit autoregressions whose coefficients depend on the past, and score edges by their size.

    .. math:: x_t = \sum_{k=1}^K \Psi_k(x_{t-k}) \, x_{t-k} + e_t

    with a network for each lag that gives the matrix of coefficients. What is minimised is the mean
    squared error, plus ``sparsity`` times the elastic net of all coefficients, plus ``smoothness``
    times the squared change of the coefficients from row to row. The strength of an edge is the
    median over time of the coefficient's absolute value, at the lag where that is largest.

    With time reversal the same is done to the series run backwards, in which effects point the
    other way; scores are those forward in time, and both decide the graph. Written from
    Marcinkevičs and Vogt (2021), ICLR; steps on all rows and the start's scale are ours.

    Parameters
    ----------
    rng_key : jax.Array
        Key of the weights' start.
    series : numpy.ndarray
        (shop, time, node), NaN where missing; rows with missing lags are left out.
    settings : GVARSettings, optional
        All settings.
    time_reversal : bool
        Whether to fit the reversed series too, which the graph needs and the scores do not.

    Raises
    ------
    DataError
        If the series are no (shop, time, node), or a shop has fewer than 8 whole rows.
    """
    settings = settings or GVARSettings()
    key_forward, key_backward = jax.random.split(rng_key)
    forward, signs = _strengths(key_forward, lag_checked(series, settings.lags), settings)
    if not time_reversal:
        return GVARFit(forward, signs, None, None)
    reversed_series = lag_checked(np.asarray(series)[:, ::-1], settings.lags)
    backward, _ = _strengths(key_backward, reversed_series, settings)
    return GVARFit(forward, signs, backward, stable_graph(forward, backward))


def _strengths(
    rng_key: Array, lagged: LaggedRows, settings: GVARSettings
) -> tuple[NDArray, NDArray]:
    keys = shop_keys(rng_key, len(lagged.past))
    past, present, whole = (value.astype(np.float32) for value in lagged)
    # About 16 MB of coefficients a part.
    size = max(1, 4_000_000 // (past[0].size * past.shape[-1]))
    strength, sign = by_parts(partial(_fit, settings=settings), size, keys, past, present, whole)
    return without_diagonal(strength), without_diagonal(sign)


def stable_graph(forward: NDArray, backward: NDArray, n_quantiles: int = 20) -> NDArray:
    r"""Return the graph at the quantile of strengths where both directions of time agree most.

    For each of ``n_quantiles`` levels, the strengths of a shop at or above their quantile are edges
    of one graph, and so for the reversed series, whose graph is transposed. Agreement is the
    balanced accuracy of either for the other, averaged; graphs that hold no pair or all pairs do
    not count. Quantiles are over pairs without the diagonal.

    Parameters
    ----------
    forward, backward : numpy.ndarray
        Strengths (shop, source, target) in the series and in the reversed series.
    n_quantiles : int
        Number of levels, evenly spaced between 0 and 1.

    Returns
    -------
    numpy.ndarray
        Edges (shop, source, target), boolean; none where no level counts.
    """
    nodes = forward.shape[-1]
    keep = ~np.eye(nodes, dtype=bool)
    ahead, behind = forward[:, keep], np.swapaxes(backward, 1, 2)[:, keep]
    levels = np.arange(1, n_quantiles + 1) / (n_quantiles + 1)
    best = np.zeros(len(forward))
    chosen = np.zeros_like(ahead, bool)
    for level in levels:
        one = ahead >= np.quantile(ahead, level, axis=1, keepdims=True)
        other = behind >= np.quantile(behind, level, axis=1, keepdims=True)
        agreement = (_balanced_accuracy(one, other) + _balanced_accuracy(other, one)) / 2
        better = agreement > best
        best = np.where(better, agreement, best)
        chosen = np.where(better[:, None], one, chosen)
    edges = np.zeros(forward.shape, bool)
    edges[:, keep] = chosen
    return edges


def _balanced_accuracy(truth: NDArray, decided: NDArray) -> NDArray:
    """Return the mean of sensitivity and specificity (shop,); 0 where one is not defined."""
    positive, negative = truth.sum(1), (~truth).sum(1)
    right = (truth & decided).sum(1) / np.maximum(positive, 1)
    rejected = (~truth & ~decided).sum(1) / np.maximum(negative, 1)
    return np.where((positive > 0) & (negative > 0), (right + rejected) / 2, 0.0)
