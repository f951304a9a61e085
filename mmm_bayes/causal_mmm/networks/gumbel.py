r"""Relaxed edges: the Gumbel-softmax over "no edge" and "edge" (section 3.1.3).

.. math:: z_{ij} = \mathrm{softmax}\bigl((h_{ij} + g) / \tau\bigr), \quad g \sim
          \mathrm{Gumbel}(0, 1)

with logits :math:`h_{ij}` of both types and temperature :math:`\tau`. As printed in the paper,
:math:`h_{ij} + g / \tau`, the bracket divides only the noise by the temperature, which would not be
a relaxed sample; the formula above is that of the references.

The second of the two entries is the edge. Since the difference of two Gumbel variables is logistic,
one draw is enough:

.. math:: z_{ij} = \mathrm{sigmoid}\bigl((h_{ij, 1} - h_{ij, 0} + l) / \tau\bigr), \quad l \sim
          \mathrm{Logistic}(0, 1).

References
----------
Jang, Gu and Poole (2017), Categorical reparameterization with Gumbel-softmax. ICLR.
Maddison, Mnih and Teh (2017), The concrete distribution. ICLR.
"""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from numpyro.distributions import constraints

Array = jax.Array


class GumbelSoftmaxEdges(dist.Distribution):
    """Distribution of relaxed edges in [0, 1].

    Parameters
    ----------
    logits
        Logits of no edge and edge (..., 2).
    temperature
        Temperature; well below one, draws are nearly zero or one.
    straight_through
        Whether draws are exactly zero or one, with the gradient of the relaxed draws.

    Notes
    -----
    ``log_prob`` is zero: the loss uses the divergence of the discrete edges from the prior, which
    has a closed form (:func:`mmm_bayes.causal_mmm.networks.prior.divergence`).
    """

    arg_constraints: ClassVar[dict[str, Any]] = {
        "logits": constraints.real_vector,
        "temperature": constraints.positive,
    }
    support = constraints.unit_interval
    reparametrized_params: ClassVar[list[str]] = ["logits", "temperature"]

    def __init__(
        self,
        logits: Array,
        temperature: Array,
        straight_through: bool = False,
        *,
        validate_args: bool | None = None,
    ) -> None:
        self.logits, self.temperature = logits, temperature
        self.straight_through = straight_through
        super().__init__(jnp.shape(logits)[:-1], (), validate_args=validate_args)

    def sample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draw edges (sample_shape, ...)."""
        shape = sample_shape + self.batch_shape
        noise = jax.random.logistic(key, shape, self.logits.dtype)
        difference = self.logits[..., 1] - self.logits[..., 0]
        relaxed = jax.nn.sigmoid((difference + noise) / self.temperature)
        if not self.straight_through:
            return relaxed
        hard = (relaxed > 0.5).astype(relaxed.dtype)
        return relaxed + jax.lax.stop_gradient(hard - relaxed)

    def rsample(self, key: Array, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draw edges with gradients."""
        return self.sample(key, sample_shape)

    def log_prob(self, value: Array) -> Array:
        """Return zero; see the notes of the class."""
        return jnp.zeros(jnp.shape(value), jnp.result_type(value))
