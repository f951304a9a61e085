r"""Equations of nodes of a causal graph that share hidden causes, as one NumPyro program.

Every node that is not a root has an equation of the form in :mod:`mmm_bayes.model.generative`: its
media parents are adstocked and saturated, its other parents enter linearly. Without bidirected
edges the equations share neither parameters nor errors, so the posterior of the whole system is the
product of the posteriors of its equations, each of them a media-mix model. A district of several
nodes joined by bidirected edges is sampled as one. With equations ``j`` and edges ``k``,

.. math:: y_{jt} = \eta_{jt} + e_{jt}, \qquad
          e_{jt} = \sigma_j \Big( u_{jt} + \sum_{k \ni j} \lambda_{jk} h_{kt} \Big),

where every ``u`` and ``h`` is standard normal and ``h`` is the hidden cause that an edge stands
for. With these integrated out, the errors are normal with covariance
:math:`\mathrm{diag}(\sigma)(I + \Lambda\Lambda')\mathrm{diag}(\sigma)`, which is zero for nodes
without an edge. One loading of every edge is positive, since only the product of the two is
identified. Linear coefficients are integrated out jointly
(:mod:`mmm_bayes.inference.joint_marginal`).

References
----------
Richardson and Spirtes (2002), Ancestral graph Markov models. Annals of Statistics 30(4).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from mmm_bayes.inference import joint_marginal as joint
from mmm_bayes.model.generative import resolved_coefficients, sample_parameters
from mmm_bayes.model.layout import Params as Draws
from mmm_bayes.model.linear_block import linear_residual, named_coefficients
from mmm_bayes.model.media import Params
from mmm_bayes.model.priors import PriorSpec
from mmm_bayes.model.program import Program, site_priors
from mmm_bayes.model.structure import ModelArrays, Structure

Array = jax.Array
NDArray = np.ndarray[Any, Any]

_FIRST, _SECOND = "loading_first", "loading_second"
LOADING_PRIORS = {
    _FIRST: PriorSpec(dist="half_normal", scale=1.0),
    _SECOND: PriorSpec(dist="normal", loc=0.0, scale=1.0),
}
"""Priors of a bidirected edge's loadings on its first node (positive) and its second node."""


@dataclass(frozen=True)
class District:
    """Equations whose errors are correlated; hashable.

    Attributes
    ----------
    nodes
        Names of the equations.
    structures
        Structures of their models, which are national and Gaussian.
    pairs
        Bidirected edges, as pairs of positions.
    """

    nodes: tuple[str, ...]
    structures: tuple[Structure, ...]
    pairs: tuple[tuple[int, int], ...]


class DistrictArrays(NamedTuple):
    """Arrays of every equation, and their joint linear block."""

    equations: tuple[ModelArrays, ...]
    block: joint.JointBlock

    @property
    def target(self) -> Any:
        """The first equation's target, from which programs read the floating type."""
        return self.equations[0].target


def join_arrays(district: District, equations: Sequence[ModelArrays]) -> DistrictArrays:
    """Join the arrays of the equations; a joint block replaces their own blocks."""
    designs = [
        np.asarray(own.design, float)[0][:, structure.columns(normal=True)]
        for structure, own in zip(district.structures, equations, strict=True)
    ]
    dtype = equations[0].target.dtype
    block = jax.tree.map(lambda x: np.asarray(x, dtype), joint.join(designs))
    return DistrictArrays(tuple(own._replace(block=None) for own in equations), block)


def covariance_of(district: District, sigma: Array, params: Params) -> Array:
    """Return the covariance (node, node) of the errors, in the scaled units of each target."""
    loadings = jnp.zeros((len(district.nodes), len(district.pairs)), sigma.dtype)
    for k, (first, second) in enumerate(district.pairs):
        loadings = loadings.at[first, k].set(params[_FIRST][k])
        loadings = loadings.at[second, k].set(params[_SECOND][k])
    inner = jnp.eye(len(district.nodes), dtype=sigma.dtype) + loadings @ loadings.T
    return sigma[:, None] * inner * sigma[None, :]


def generative(district: District, arrays: DistrictArrays) -> None:
    """State the NumPyro model with linear coefficients integrated out; sites are ``node/site``."""
    residuals, scales, sigmas = [], [], []
    for node, structure, own in zip(
        district.nodes, district.structures, arrays.equations, strict=True
    ):
        with numpyro.handlers.scope(prefix=node, divider="/"):
            params = sample_parameters(structure, own, True)
            resolved_coefficients(structure, params, own, True)
        residual, scale = linear_residual(structure, params, own)
        residuals.append(residual)
        scales.append(scale)
        sigmas.append(params["sigma"])
    with numpyro.plate("bidirected", len(district.pairs)):
        loadings = {
            _FIRST: numpyro.sample(_FIRST, dist.HalfNormal(1.0)),
            _SECOND: numpyro.sample(_SECOND, dist.Normal(0.0, 1.0)),
        }
    covariance = covariance_of(district, jnp.stack(sigmas), loadings)
    log_density = joint.joint_log_density(arrays.block, jnp.stack(residuals), covariance, scales)
    numpyro.factor("targets", log_density)


class DistrictProgram(Program):
    """Compiled programs of a district, as for a single equation but with sites by node."""

    def __init__(self, district: District) -> None:
        super().__init__(district.structures[0], marginal=True)
        self.district = district

    def model(self, arrays: Any) -> None:
        """State the NumPyro model that is sampled."""
        generative(self.district, arrays)

    def batch_size(self, arrays: Any) -> int:
        """Return the number of draws evaluated together, as for the largest equation."""
        return min(super(DistrictProgram, self).batch_size(own) for own in arrays.equations)

    def priors(self) -> dict[str, Sequence[PriorSpec]]:
        """Return the priors of all sites by ``node/site``."""
        found: dict[str, Sequence[PriorSpec]] = {
            name: [prior] for name, prior in LOADING_PRIORS.items()
        }
        for node, structure in zip(self.district.nodes, self.district.structures, strict=True):
            for name, priors in site_priors(structure).items():
                found[f"{node}/{name}"] = priors
        return found

    def from_position(self, rng_key: Array, position: Array, arrays: Any) -> Draws:
        """Return all parameters of one draw, with linear coefficients drawn back.

        ``sigma`` becomes the standard deviation of an equation's total error, and
        ``error_correlation`` (node, node) is added.
        """
        district = self.district
        params = self.resolve(self.layout(arrays).constrain(position), arrays)
        own = [_of_node(params, node) for node in district.nodes]
        found = [
            linear_residual(*given)
            for given in zip(district.structures, own, arrays.equations, strict=True)
        ]
        residuals = jnp.stack([residual for residual, _ in found])
        sigma = jnp.stack([each["sigma"] for each in own])
        covariance = covariance_of(district, sigma, params)
        scales = [scale for _, scale in found]
        drawn = joint.joint_draw(rng_key, arrays.block, residuals, covariance, scales)
        whole = jnp.sqrt(jnp.diagonal(covariance))
        result: Draws = {"error_correlation": covariance / whole[:, None] / whole[None, :]}
        for j, (node, structure) in enumerate(
            zip(district.nodes, district.structures, strict=True)
        ):
            named = own[j] | named_coefficients(structure, drawn[j]) | {"sigma": whole[j]}
            result |= {f"{node}/{name}": value for name, value in named.items()}
        return result

    def by_node(self, params: dict[str, NDArray]) -> dict[str, dict[str, NDArray]]:
        """Split the result of :meth:`parameters` by equation."""
        return {node: _of_node(params, node) for node in self.district.nodes}


def _of_node(params: dict[str, Any], node: str) -> dict[str, Any]:
    split = ((name.rpartition("/"), value) for name, value in params.items())
    return {site: value for (owner, _, site), value in split if owner == node}


@functools.lru_cache(maxsize=16)
def district_program(district: District, precision: str) -> DistrictProgram:
    """Return the program of a district, cached between fits (one per precision)."""
    return DistrictProgram(district)
