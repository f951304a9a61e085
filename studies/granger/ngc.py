"""Neural Granger causality: networks with sparse inputs, one per target (Tank et al. 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, final, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from studies.granger.compiled import compiled
from studies.granger.lagged import (
    by_parts,
    lag_checked,
    last_rows,
    shop_keys,
    without_diagonal,
)
from studies.granger.ngc_networks import lstm, mlp
from studies.granger.proximal import Parameters, descend, soft_threshold
from studies.granger.settings import (
    above,
    at_least,
    decreasing,
    known,
    raise_settings,
)

NDArray = np.ndarray[Any, Any]
Network = Literal["mlp", "lstm"]
Penalty = Literal["group", "hierarchical"]


@final
@dataclass(frozen=True)
class NGCSettings:
    """How neural Granger causality is fitted.

    Attributes
    ----------
    network : {"mlp", "lstm"}
        cMLP, with one hidden layer of ``tanh`` over all lags, or cLSTM, a recurrent network.
    penalty : {"group", "hierarchical"}
        Group lasso over all input weights of a source, or nested groups that drop long lags first
        (cMLP only).
    lags : int
        Lags of the cMLP. The cLSTM reads windows of twice as many steps and predicts their second
        half, so that it looks back at least as far.
    hidden : int
        Hidden units.
    lambdas : tuple of float
        Decreasing penalty factors; each fit starts from the one before, or anew where that has no
        source at all.
    ridge : float
        Factor of the squared weights behind the inputs, without which these grow while the input
        weights shrink, and the penalty is void.
    iterations : int
        Proximal gradient steps per penalty factor.
    held_out : float
        Share of each shop's last rows by which a penalty factor is chosen for every target; the
        path is then fitted again to all rows.
    """

    network: Network = "mlp"
    penalty: Penalty = "group"
    lags: int = 7
    hidden: int = 10
    lambdas: tuple[float, ...] = (0.6, 0.4, 0.3, 0.2, 0.15, 0.1, 0.05)
    ridge: float = 0.1
    iterations: int = 100
    held_out: float = 0.2

    def __post_init__(self) -> None:
        found = [
            *known("network", self.network, get_args(Network)),
            *known("penalty", self.penalty, get_args(Penalty)),
            *at_least("lags", self.lags, 1),
            *at_least("hidden", self.hidden, 1),
            *at_least("iterations", self.iterations, 1),
            *above("ridge", self.ridge, 0),
            *above("held_out", self.held_out, 0.01, 0.9),
            *decreasing("lambdas", self.lambdas),
        ]
        if self.penalty == "hierarchical" and self.network == "lstm":
            found.append("penalty = 'hierarchical' needs lags: use network = 'mlp'.")
        raise_settings(found, "neural Granger causality")

    @classmethod
    def hierarchical(cls) -> NGCSettings:
        """Return the cMLP with nested groups, whose penalty is the larger for the same factor."""
        lambdas = (0.2, 0.15, 0.1, 0.07, 0.05, 0.03, 0.02)
        return cls(penalty="hierarchical", lambdas=lambdas)

    @classmethod
    def lstm(cls) -> NGCSettings:
        """Return the cLSTM, with fewer and smaller factors, for it takes longer and fits less."""
        return cls(network="lstm", lambdas=(0.15, 0.1, 0.07, 0.05), ridge=0.01)


@final
@dataclass(frozen=True, eq=False)
class NGCFit:
    """Input weights along the path.

    Attributes
    ----------
    scores : numpy.ndarray
        Norm of each source's input weights at the target's penalty factor (shop, source, target), 0
        on the diagonal. Sources out of that network follow by their mean norm over the path, times
        1e-6.
    edges : numpy.ndarray
        Which sources the chosen network holds (shop, source, target).
    norms : numpy.ndarray
        (shop, lambda, source, target), the diagonal too.
    errors : numpy.ndarray
        Mean squared error of the held-out rows (shop, lambda, target).
    """

    scores: NDArray
    edges: NDArray
    norms: NDArray
    errors: NDArray


def _norms(weights: Array, hierarchical: bool) -> Array:
    """Return the penalty of each source's weights (shop, target, lag, source, ...), unscaled."""
    squares = (weights**2).sum(tuple(range(4, weights.ndim)))
    if hierarchical:
        tails = jnp.cumsum(squares[:, :, ::-1], axis=2)
        return jnp.sqrt(jnp.maximum(tails, 1e-30)).sum(2)
    return jnp.sqrt(squares.sum(2))


def _shrink(weights: Array, limit: Array, hierarchical: bool) -> Array:
    """Apply the proximal map of the penalty, shrinking nested groups smallest first."""
    limit = limit.reshape(limit.shape + (1,) * (weights.ndim - limit.ndim))
    axes = (2, *range(4, weights.ndim))
    if not hierarchical:
        return soft_threshold(weights, limit, axes)
    for first in reversed(range(weights.shape[2])):
        tail = soft_threshold(weights[:, :, first:], limit, axes)
        weights = weights.at[:, :, first:].set(tail)
    return weights


def _where(chosen: Array, one: Array, other: Array) -> Array:
    return jnp.where(chosen.reshape(chosen.shape + (1,) * (one.ndim - chosen.ndim)), one, other)


@compiled
def _path(
    keys: Array, past: Array, present: Array, fitted: Array, held: Array, settings: NGCSettings
) -> tuple[Array, Array]:
    """Return norms (shop, lambda, source, target) and held-out errors (shop, lambda, target)."""
    _, _, lags, nodes = past.shape
    net = mlp(lags, nodes, settings.hidden)
    if settings.network == "lstm":
        net = lstm(settings.lags, nodes, settings.hidden)
    hierarchical = settings.penalty == "hierarchical"
    start = jax.vmap(lambda key: jax.vmap(net.start)(jax.random.split(key, nodes)))(keys)
    predict = jax.vmap(jax.vmap(net.predict, (0, None)), (0, 0))
    target = present.swapaxes(1, 2)

    def error(parameters: Parameters, rows: Array) -> Array:
        squares = (predict(parameters, past) - target) ** 2 * rows[:, None]
        return squares.sum(-1) / jnp.maximum(rows.sum(-1), 1)[:, None]

    def loss(parameters: Parameters) -> Array:
        leaves = jax.tree.leaves((parameters["state"], parameters["output"]))
        size = sum((leaf**2).sum(tuple(range(2, leaf.ndim))) for leaf in leaves)
        return (error(parameters, fitted) + settings.ridge * size) / 2

    # No larger than this is the curvature in the inputs, with outputs of length one at most.
    flat = (past * fitted[..., None, None]).reshape(*past.shape[:2], -1)
    curvature = jnp.linalg.norm(flat.mT @ flat, axis=(1, 2)) / jnp.maximum(fitted.sum(1), 1)
    step = jnp.broadcast_to(1 / jnp.maximum(curvature, 1e-3)[:, None], (past.shape[0], nodes))

    def fit(carry: tuple[Parameters, Array], factor: Array) -> Any:
        def shrink(parameters: Parameters, length: Array) -> Parameters:
            return {
                **parameters,
                "input": _shrink(parameters["input"], factor * length, hierarchical),
            }

        state = descend(
            loss,
            lambda parameters: factor * _norms(parameters["input"], hierarchical).sum(-1),
            shrink,
            *carry,
            settings.iterations,
        )
        norms = _norms(state.current["input"], hierarchical=False).mT
        # Without any source the ridge takes the output weights too, and nothing could enter again.
        alive = norms.sum(1) > 0
        ahead = jax.tree.map(partial(_where, alive), state.current, start)
        ahead_step = jnp.where(alive, state.step, step)
        return (ahead, ahead_step), (norms, error(state.current, held))

    _, (norms, errors) = jax.lax.scan(fit, (start, step), jnp.asarray(settings.lambdas))
    return norms.swapaxes(0, 1), errors.swapaxes(0, 1)


def neural_granger(rng_key: Array, series: NDArray, settings: NGCSettings | None = None) -> NGCFit:
    r"""Fit one sparse network per target and shop; scores are the norms of its input weights.

    For target ``j`` a network of its own predicts the standardised series one step ahead from the
    past of all nodes (cMLP: from lags 1 to K, by one hidden layer; cLSTM: by a recurrent one) and

    .. math:: \frac{1}{2n} \sum_t (x_{tj} - f_j(x_{<t}))^2 + \frac{\rho}{2} \lVert V \rVert^2
        + \lambda \sum_i \lVert W_{:i} \rVert

    is minimised by accelerated proximal gradient descent, so that the input weights ``W`` of most
    sources are exactly zero. The hierarchical penalty is
    :math:`\lambda \sum_i \sum_k \lVert W_{ik}, \dots, W_{iK} \rVert`. Tank, Covert, Foti, Shojaie
    and Fox (2022), IEEE TPAMI 44; the path of decreasing ``lambda``, the choice among them for each
    target by its last rows, and the control of the step are ours. All targets and shops are fitted
    together.

    Parameters
    ----------
    rng_key : jax.Array
        Key of the weights' start.
    series : numpy.ndarray
        (shop, time, node), NaN where missing; rows with missing lags are left out, and the
        recurrent network sees zeros, the means, in their place.
    settings : NGCSettings, optional
        All settings.

    Raises
    ------
    DataError
        If the series are no (shop, time, node), or a shop has fewer than 8 whole rows.
    """
    settings = settings or NGCSettings()
    lagged = lag_checked(series, settings.lags if settings.network == "mlp" else 1)
    keys = shop_keys(rng_key, len(series))
    past, present, whole = (value.astype(np.float32) for value in lagged)
    # About 16 MB of hidden values a part stay near the processor.
    units = settings.hidden * (1 if settings.network == "mlp" else 8)
    size = max(1, 4_000_000 // (past.shape[1] * past.shape[3] * units))
    run = partial(by_parts, partial(_path, settings=settings), size)
    held = last_rows(lagged.whole, settings.held_out).astype(np.float32)
    _, errors = run(keys, past, present, whole - held, held)
    norms, _ = run(keys, past, present, whole, held)
    best = np.where(np.isfinite(errors), errors, np.inf).argmin(1)
    chosen = np.take_along_axis(norms, best[:, None, None], axis=1)[:, 0]
    scores = without_diagonal(chosen + 1e-6 * norms.mean(1))
    return NGCFit(scores, without_diagonal(chosen) > 0, norms, errors)
