"""The unconstrained vector that samplers move in: its sites, their supports and their priors."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr
from numpyro.distributions import biject_to, constraints
from scipy import special

from mmm_bayes.model.priors import PriorSpec

Array = jax.Array
NDArray = np.ndarray[Any, Any]
Params = dict[str, Array]


class Site(NamedTuple):
    """A sampled site: its position in the flat vector, its support and its independent priors."""

    name: str
    start: int
    shape: tuple[int, ...]
    support: Any
    priors: tuple[PriorSpec, ...]

    @property
    def stop(self) -> int:
        """First position past the site."""
        return self.start + int(np.prod(self.shape, dtype=int))

    @property
    def is_half_normal(self) -> bool:
        """Whether all priors are half-normal: mapped by :func:`half_normal_bijector`."""
        return all(prior.dist == "half_normal" for prior in self.priors)

    def quantile(self, u: NDArray) -> NDArray:
        """Return prior quantiles at probabilities ``u`` (..., size), flat."""
        if len(self.priors) == 1:
            return self.priors[0].quantile(u)
        columns = [prior.quantile(u[..., i]) for i, prior in enumerate(self.priors)]
        return np.stack(columns, -1)


class Layout(NamedTuple):
    """Sites of the unconstrained vector."""

    sites: tuple[Site, ...]

    @property
    def dim(self) -> int:
        """Number of unconstrained parameters."""
        return self.sites[-1].stop if self.sites else 0

    def unravel(self, position: Array) -> Params:
        """Split a flat vector into unconstrained sites."""
        return {
            site.name: position[site.start : site.stop].reshape(site.shape) for site in self.sites
        }

    def constrain(self, position: Array) -> Params:
        """Split a flat vector into sites on their supports."""
        return self.constrain_with_volume(position)[0]

    def constrain_with_volume(self, position: Array) -> tuple[Params, Array]:
        """Return the sites on their supports, and the log determinant of the map's Jacobian."""
        result: Params = {}
        volume = jnp.zeros((), position.dtype)
        for site, z in zip(self.sites, self.unravel(position).values(), strict=True):
            if site.is_half_normal:
                scales = [prior.parameters[0] for prior in site.priors]
                scale = jnp.asarray(scales if len(scales) > 1 else scales[0], z.dtype)
                result[site.name] = scale * half_normal_bijector(z)
                volume += jnp.sum(jnp.log(scale * ndtr(z)))
            else:
                transform = biject_to(site.support)
                result[site.name] = transform(z)
                if site.support is not constraints.real:
                    volume += jnp.sum(transform.log_abs_det_jacobian(z, result[site.name]))
        return result, volume

    def names(self) -> list[str]:
        """Name each coordinate of the vector, for messages."""
        return [
            site.name if not site.shape else f"{site.name}[{index}]"
            for site in self.sites
            for index in range(site.stop - site.start)
        ]

    def prior_draws(self, rng: np.random.Generator, draws: int) -> dict[str, NDArray]:
        """Draw every site independently from its prior."""
        tiny = np.finfo(float).eps
        result = {}
        for site in self.sites:
            u = np.clip(rng.random((draws, site.stop - site.start)), tiny, 1.0 - tiny)
            result[site.name] = site.quantile(u).reshape(draws, *site.shape)
        return result

    def start(self, rng: np.random.Generator, spread: float) -> NDArray:
        """Draw an unconstrained start within the 5% to 95% range of the priors (``spread`` 1)."""
        parts = []
        for site in self.sites:
            u = 0.5 + 0.45 * spread * rng.uniform(-1.0, 1.0, site.stop - site.start)
            x = site.quantile(u)
            if site.is_half_normal:
                scales = np.array([prior.parameters[0] for prior in site.priors])
                parts.append(half_normal_bijector_inverse(x / scales))
            else:
                parts.append(_unconstrain(site.support, x))
        return np.concatenate(parts)


def half_normal_bijector(z: Array) -> Array:
    r"""Map reals to positives by :math:`z \Phi(z) + \phi(z)`, the integral of the normal cdf.

    The map is linear on the right and has a Gaussian tail on the left, so a quantity with a
    half-normal prior is nearly normal in ``z``. Under the usual exponential map its density falls
    off only as ``exp(z)`` towards zero, and chains wander there, which makes the half-normal scales
    of a hierarchy the slowest parameters of a model.
    """
    return z * ndtr(z) + jnp.exp(-0.5 * z * z) * float(1.0 / np.sqrt(2.0 * np.pi))


def half_normal_bijector_inverse(x: NDArray) -> NDArray:
    """Invert :func:`half_normal_bijector` by Newton's method, from the right where it is convex."""
    z = np.maximum(x, 1.0)
    for _ in range(60):
        value = z * special.ndtr(z) + np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)
        z = np.maximum(z - (value - x) / special.ndtr(z), -6.0)
    return z


def _unconstrain(support: Any, x: NDArray) -> NDArray:
    """Invert ``biject_to`` in NumPy: eager JAX would compile a kernel for each operation."""
    if support is constraints.real:
        return x
    if support in (constraints.positive, constraints.nonnegative):
        return np.log(np.maximum(x, 1e-6))
    low, high = getattr(support, "lower_bound", None), getattr(support, "upper_bound", None)
    if support is constraints.unit_interval:
        low, high = 0.0, 1.0
    if low is not None and high is not None:
        share = np.clip(
            (x - np.asarray(low)) / (np.asarray(high) - np.asarray(low)), 1e-6, 1 - 1e-6
        )
        return np.log(share / (1.0 - share))
    return np.asarray(biject_to(support).inv(x))
