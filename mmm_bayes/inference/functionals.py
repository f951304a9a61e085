r"""Noisy observations of linear functionals of group coefficients, joined to a linear block.

In addition to the observations of a :class:`~mmm_bayes.inference.marginal.GroupedBlock`, there are
``m`` of the form

.. math:: f_k = o_k + \sum_g a_{kg}'u_g + \varepsilon_k, \quad \varepsilon_k \sim N(0, 1),

with ``u_g`` the last ``q`` coefficients of group ``g``: a result that spans groups, such as the
lift of an experiment. Given the block's data, in units where coefficients are standard normal,

.. math:: \epsilon_g = F_g^{-T}(w_g - W_g b + \zeta_g), \quad b \sim N(P^{-1}h, P^{-1})

(``F`` the factor of a group's precision, ``w`` and ``W`` its whitened moment and cross products).
With :math:`v_{kg} = F_g^{-1} a_{kg}` and :math:`c_k = -\sum_g W_g'v_{kg}` the functionals are
Gaussian with

.. math:: E f_k = o_k + \sum_g v_{kg}'w_g + c_k'P^{-1}h, \qquad
          \mathrm{Cov}(f_k, f_l) = \sum_g v_{kg}'v_{lg} + c_k'P^{-1}c_l + \delta_{kl}.

So :math:`\log p(r, f) = \log p(r) + \log p(f \mid r)` costs one more Cholesky factor, of order
``m``. A draw given ``r`` becomes a draw given both by a correction with the residual of its own
simulated ``f``.

References
----------
Doucet (2010), A note on efficient conditional simulation of Gaussian distributions.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_solve, solve_triangular

from mmm_bayes.inference.grouped_posterior import Solved, solve_lower

Array = jax.Array

_LOG_2PI = 1.8378770664093453


class Functionals(NamedTuple):
    """Observed functionals, over their standard errors.

    ``rows`` (m, G, q) act on the last group coefficients, ``offset`` (m,) is the expected rest,
    ``observed`` (m,) holds the observations.
    """

    rows: Any
    offset: Any
    observed: Any


class _Conditional(NamedTuple):
    whitened: Array
    shared: Array
    solved_shared: Array
    mean: Array
    factor: Array


def _condition(solved: Solved, group_scale: Array, given: Functionals) -> _Conditional:
    """Mean and factored covariance of the functionals given the block's data."""
    p, q = group_scale.shape[0], given.rows.shape[-1]
    scaled = given.rows * group_scale[p - q :]
    rows = jnp.pad(scaled, ((0, 0), (0, 0), (p - q, 0)))
    whitened = solve_lower(solved.group_factor, jnp.transpose(rows, (1, 2, 0)))  # (G, p, m)
    shared = -jnp.einsum("gpk,gpm->mk", solved.whitened_cross, whitened)
    back = cho_solve((solved.factor, True), shared.T)  # (K, m)
    mean = given.offset + jnp.einsum("gpm,gp->m", whitened, solved.whitened_moment)
    mean = mean + solved.moment @ back
    covariance = jnp.einsum("gpm,gpn->mn", whitened, whitened) + shared @ back
    covariance = covariance + jnp.eye(len(mean), dtype=mean.dtype)
    return _Conditional(whitened, shared, back, mean, jnp.linalg.cholesky(covariance))


def functionals_log_density(solved: Solved, group_scale: Array, given: Functionals) -> Array:
    """Log density of the observed functionals given the block's data."""
    found = _condition(solved, group_scale, given)
    half = solve_triangular(found.factor, given.observed - found.mean, lower=True)
    log_det = jnp.sum(jnp.log(jnp.diagonal(found.factor)))
    return -0.5 * jnp.sum(half * half) - log_det - 0.5 * half.size * _LOG_2PI


def conditioned_draw(
    rng_key: Array,
    solved: Solved,
    group_scale: Array,
    given: Functionals,
    standard: Array,
    effects: Array,
) -> tuple[Array, Array]:
    """Move a draw of ``b`` (K,), ``u`` (G, p), standardised, to one that knows the functionals."""
    found = _condition(solved, group_scale, given)
    q = given.rows.shape[-1]
    scaled = given.rows * group_scale[group_scale.shape[0] - q :]
    simulated = given.offset + jnp.einsum("mgq,gq->m", scaled, effects[:, effects.shape[1] - q :])
    simulated = simulated + jax.random.normal(rng_key, simulated.shape, simulated.dtype)
    weight = cho_solve((found.factor, True), given.observed - simulated)
    shift = found.solved_shared @ weight
    inner = jnp.einsum("gpm,m->gp", found.whitened, weight)
    inner = inner - jnp.einsum("gpk,k->gp", solved.whitened_cross, shift)
    if solved.group_factor.shape[-1] == 1:
        moved = inner / solved.group_factor[..., 0]
    else:
        moved = solve_triangular(solved.group_factor, inner[..., None], lower=True, trans=1)[..., 0]
    return standard + shift, effects + moved
