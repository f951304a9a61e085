r"""Relaxed edges: the Gumbel-softmax over two types of edge (section 3.1.3).

.. math:: z_{ij} = \mathrm{softmax}\bigl((h_{ij} + g) / \tau\bigr), \quad g \sim
          \mathrm{Gumbel}(0, 1)

(The paper's bracket divides the noise alone by the temperature, which is no softmax of a relaxed
sample.) The difference of two Gumbel variables is logistic, so that the second of the two entries,
the edge, needs one draw.

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
    """Relaxed edges in [0, 1] from two logits each.

    Parameters
    ----------
    logits
        Of no edge and edge (..., 2).
    temperature
        Below one, draws are nearly zero or one.
    straight_through
        Whether draws are zero or one, with the gradient of the relaxed ones.

    Notes
    -----
    ``log_prob`` is zero: the divergence from the prior is that of the discrete edges, which is
    known in closed form (:func:`mmm_bayes.causal_mmm.networks.prior.divergence`).
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
        """Zero: see the notes of the class."""
        return jnp.zeros(jnp.shape(value), jnp.result_type(value))
