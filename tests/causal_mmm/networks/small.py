"""Small shops and networks with random parameters, of few shapes: little is compiled."""

from __future__ import annotations

from functools import cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from mmm_bayes.causal_mmm.networks.additive import AdditiveDecoder
from mmm_bayes.causal_mmm.networks.arrays import Prepared, prepare
from mmm_bayes.causal_mmm.networks.encoder import Encoder
from mmm_bayes.causal_mmm.networks.lagged import Layout
from mmm_bayes.causal_mmm.networks.model import Networks, Objective
from mmm_bayes.causal_mmm.networks.recurrent import RecurrentDecoder

NDArray = np.ndarray[Any, Any]

NODES, LAGS, SHOPS, LENGTH, HIDDEN = 3, 2, 4, 30, 4
LAYOUT = Layout(NODES, LAGS, ("linear",), 1)
# Source 0 reaches the target 2 through 1, and not otherwise.
CHAIN = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])


def series(seed: int = 0, shops: int = SHOPS, length: int = LENGTH, nodes: int = NODES) -> NDArray:
    """Stable autoregressions (shop, time, node) in which every node acts on the next one."""
    random = np.random.default_rng(seed)
    found = random.normal(size=(shops, length, nodes))
    for t in range(1, length):
        found[:, t] += 0.5 * found[:, t - 1]
        found[:, t, 1:] += 0.4 * found[:, t - 1, :-1]
    return found


def prepared(values: NDArray, layout: Layout = LAYOUT, seed: int = 1) -> Prepared:
    context = np.random.default_rng(seed).normal(size=(*values.shape[:2], layout.context))
    logarithm = np.zeros(values.shape[2], bool)
    return prepare(values, context, layout, logarithm, by="series", scores=False)


def random_parameters(module: Any, seed: int = 2, sd: float = 0.5) -> Any:
    """Module whose arrays have normal noise added: zeros at the start would hide mistakes."""
    random = np.random.default_rng(seed)
    dynamic, static = eqx.partition(module, eqx.is_inexact_array)
    moved = jax.tree.map(
        lambda x: x + sd * jnp.asarray(random.normal(size=x.shape), x.dtype), dynamic
    )
    return eqx.combine(moved, static)


@cache
def additive(layout: Layout = LAYOUT) -> AdditiveDecoder:
    decoder = random_parameters(AdditiveDecoder(layout))
    return eqx.tree_at(lambda d: d.unknown, decoder, jnp.abs(decoder.unknown))


@cache
def recurrent(nodes: int = NODES, context: int = 1, **settings: Any) -> RecurrentDecoder:
    made = RecurrentDecoder(jax.random.key(3), nodes, context, HIDDEN, 2, **settings)
    return random_parameters(made, sd=0.3)


def networks(decoder: Any, n_evidence: int, components: int = 2) -> Networks:
    random = np.random.default_rng(4)
    return Networks(
        Encoder(jax.random.key(5), 4, HIDDEN, n_evidence),
        decoder,
        jnp.asarray(random.normal(size=(components, NODES, NODES)), jnp.float32),
        jnp.asarray(random.normal(size=1 + components), jnp.float32),
    )


def objective(
    required: tuple[tuple[int, int], ...] = (),
    forbidden: tuple[tuple[int, int], ...] = (),
    penalty: float = 1.0,
    noise: float = np.nan,
) -> Objective:
    fixed = np.full((NODES, NODES), np.nan)
    np.fill_diagonal(fixed, 0.0)
    for edge in required:
        fixed[edge] = 1.0
    for edge in forbidden:
        fixed[edge] = 0.0
    sparse = np.full((NODES, NODES), np.log(0.2 / 0.8))
    return Objective(*(jnp.asarray(x, jnp.float32) for x in (sparse, fixed, penalty, noise)))


def graphs(fixed: NDArray) -> NDArray:
    """All graphs (graph, D, D) that have the required and not the forbidden edges."""
    free = np.argwhere(np.isnan(fixed))
    found = np.tile(np.nan_to_num(fixed), (2 ** len(free), 1, 1))
    for k, (i, j) in enumerate(free):
        found[:, i, j] = (np.arange(len(found)) >> k) & 1
    return found
