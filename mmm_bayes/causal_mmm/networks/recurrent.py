r"""The marketing response decoder of the paper: messages, one gated unit per node, Hill curve.

.. math::

    m_j^t &= \textstyle\sum_{i \ne j} z_{ij} \, f_{\mathrm{edge}}(x_i^t, x_j^t, h_j^t, i, j), \\
    h_j^{t+1} &= \mathrm{GRU}\bigl((m_j^t, x_j^t), h_j^t\bigr), \\
    \mu_j^{t+1} &= f_{\mathrm{pre}}(h_j^{t+1}, x_j^t), \\
    \mu_{\mathrm{target}}^{t+1} &= a + b \, \frac{u^{\alpha(c)}}{u^{\alpha(c)} + \gamma(c)}, \quad
    u = \mathrm{softplus}(f_{\mathrm{pre}}), \quad \alpha, \gamma > 0.

These are equation (1) and the Hill curve of section 3.2, with a gated recurrent unit as
:math:`f_{\mathrm{seq}}`. Choices where the paper is silent:

* Messages see the *current* values, as in equation (1), and the hidden state of the receiver. The
  hidden state of the sender would carry information that reached it along other edges, so that
  prediction ``j`` could depend on ``i`` although :math:`z_{ij} = 0`, and Claim 1 would be false.
* With ``centred``, a source at its mean (zero in standardised series) sends nothing:
  :math:`f_{\mathrm{edge}}(x_i, \dots) = g(x_i, \dots) - g(0, \dots)`. Otherwise the edge would
  switch on a function of the receiver alone: noise that hides the sources while edges are drawn at
  random, and later a code by which the encoder passes on information about the shop.
* One edge network serves all pairs; node embeddings (a setting) tell the pairs apart.
* The Hill curve has values in (0, 1), while series are standardised: a learned line, with
  :math:`a` and :math:`b`, maps the former to the latter.
* A missing value is replaced by the model's own prediction.

The last layer of the edge network is linear, and is therefore applied once after the sum over
sources rather than to every pair. The function is the same, at a cost per step of D^2 H + D H^2
rather than D^2 H^2.
"""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

Array = jax.Array


class RecurrentDecoder(eqx.Module):
    """Networks of the recurrent decoder; the target is the last node.

    Parameters
    ----------
    rng_key
        Key of the initial weights.
    nodes, context, hidden
        Numbers of nodes and context variables, and width of all layers.
    embedding
        Length of the node embeddings; with zero, all pairs share one mechanism.
    saturation
        Whether the target has a Hill curve; the paper's ablation CM-rw has none.
    markov
        Whether hidden states are reset at every step, as in the paper's ablation CM-markov.
    centred
        Whether a source at its mean sends nothing.
    """

    names: Array
    sender: eqx.nn.Linear
    receiver: eqx.nn.Linear
    spread: eqx.nn.Linear
    unit: eqx.nn.GRUCell
    predict: eqx.nn.MLP
    alpha: eqx.nn.MLP
    gamma: eqx.nn.MLP
    line: Array
    log_noise: Array
    saturation: bool = eqx.field(static=True)
    markov: bool = eqx.field(static=True)
    centred: bool = eqx.field(static=True)

    def __init__(
        self,
        rng_key: Array,
        nodes: int,
        context: int,
        hidden: int,
        embedding: int,
        saturation: bool = True,
        markov: bool = False,
        centred: bool = True,
    ) -> None:
        keys = jax.random.split(rng_key, 8)
        self.names = 0.3 * jax.random.normal(keys[0], (nodes, embedding))
        self.sender = eqx.nn.Linear(1 + embedding, hidden, use_bias=False, key=keys[1])
        self.receiver = eqx.nn.Linear(1 + embedding + hidden, hidden, key=keys[2])
        self.spread = eqx.nn.Linear(hidden, hidden, key=keys[3])
        self.unit = eqx.nn.GRUCell(hidden + 1 + embedding, hidden, key=keys[4])
        self.predict = eqx.nn.MLP(hidden + 1 + embedding, 1, hidden, 1, jax.nn.elu, key=keys[5])
        self.alpha = eqx.nn.MLP(context, 1, hidden, 1, jax.nn.elu, key=keys[6])
        self.gamma = eqx.nn.MLP(context, 1, hidden, 1, jax.nn.elu, key=keys[7])
        self.line = jnp.array([-2.0, 4.0])
        self.log_noise = jnp.full(nodes, jnp.log(0.5))
        self.saturation, self.markov, self.centred = saturation, markov, centred

    def start(self) -> Array:
        """Return the hidden states before the first step (node, hidden)."""
        return jnp.zeros((self.names.shape[0], self.unit.hidden_size))

    def step(self, edges: Array, context: Array, hidden: Array, values: Array) -> Step:
        """Advance one step, from values (node,) and hidden states (node, H) to the next.

        ``edges`` (source, target) has zeros on its diagonal.
        """
        hidden = hidden * (0.0 if self.markov else 1.0)
        named = jnp.concatenate([values[:, None], self.names], axis=1)
        received = jax.vmap(self.receiver)(jnp.concatenate([named, hidden], axis=1))
        pairs = self._pairs(named, received)
        message = jnp.einsum("ij,ijh->jh", edges, pairs) @ self.spread.weight.T
        if not self.centred:  # with centring the bias cancels
            bias = self.spread.bias
            assert bias is not None
            message = message + jnp.sum(edges, 0)[:, None] * bias
        inputs = jnp.concatenate([message, named], axis=1)
        hidden = jax.vmap(self.unit)(inputs, hidden)
        mean = jax.vmap(self.predict)(jnp.concatenate([hidden, named], axis=1))[:, 0]
        if self.saturation:
            mean = mean.at[-1].set(self.hill(mean[-1], context))
        return Step(hidden, mean)

    def _pairs(self, named: Array, received: Array) -> Array:
        """Apply the first layer of the edge network (source, target, H)."""
        send = jax.vmap(self.sender)
        pairs = jnp.tanh(send(named)[:, None] + received)
        if not self.centred:
            return pairs
        return pairs - jnp.tanh(send(named.at[:, 0].set(0.0))[:, None] + received)

    def hill(self, effect: Array, context: Array) -> Array:
        """Saturate the effect on the target, in standard deviations."""
        alpha = jax.nn.softplus(self.alpha(context)[0]) + 0.1
        log_gamma = jnp.log(jax.nn.softplus(self.gamma(context)[0]) + 1e-2)
        # u^a / (u^a + g) is a logistic function of log u, in which no power overflows.
        log_effect = jnp.log(jax.nn.softplus(effect) + 1e-6)
        return self.line[0] + self.line[1] * jax.nn.sigmoid(alpha * log_effect - log_gamma)

    def predictions(
        self, values: Array, observed: Array, context: Array, edges: Array, given_every: int = 1
    ) -> Array:
        """Predict the means of the next values (time - 1, node).

        Parameters
        ----------
        values, observed, context
            Series of one shop (time, node), which values are observed (time, node), and context
            (time, variable).
        edges
            Edges (source, target).
        given_every
            Feed observed values at every ``given_every``-th step, and the model's own predictions
            in between; 1 is teacher forcing.
        """
        length = values.shape[0]

        def step(state: Step, t: Array) -> tuple[Step, Array]:
            given = (t % given_every == 0) & (observed[t] > 0)
            own = jnp.where(given, values[t], state.mean)
            state = self.step(edges, context[t + 1], state.hidden, own)
            return state, state.mean

        start = Step(self.start(), jnp.zeros(values.shape[1]))
        return jax.lax.scan(step, start, jnp.arange(length - 1))[1]


class Step(NamedTuple):
    """Hidden states (node, H) and the mean of the next values (node,)."""

    hidden: Array
    mean: Array
