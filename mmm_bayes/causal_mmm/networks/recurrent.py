r"""The marketing response decoder of the paper: messages along edges, a gated unit a node, Hill.

.. math::

    m_j^t &= \textstyle\sum_{i \ne j} z_{ij} \, f_{\mathrm{edge}}(x_i^t, x_j^t, h_j^t, i, j), \\
    h_j^{t+1} &= \mathrm{GRU}\bigl((m_j^t, x_j^t), h_j^t\bigr), \\
    \mu_j^{t+1} &= f_{\mathrm{pre}}(h_j^{t+1}, x_j^t), \\
    \mu_{\mathrm{target}}^{t+1} &= a + b \, \frac{u^{\alpha(c)}}{u^{\alpha(c)} + \gamma(c)}, \quad
    u = \mathrm{softplus}(f_{\mathrm{pre}}), \quad \alpha, \gamma > 0.

Readings of what the paper leaves open (section 3.2):

* Messages see the *current* values, as equation (1) writes, and the receiver's hidden state. The
  sender's hidden state would bring in what reached the sender along other edges, and prediction
  ``j`` would depend on ``i`` through it where :math:`z_{ij} = 0`: Claim 1 would be false.
* The paper's edge network is any; ours (``centred``) says nothing of a source at its mean, which is
  zero in standardised series: :math:`f_{\mathrm{edge}}(x_i, \dots) = g(x_i, \dots) - g(0, \dots)`.
  What it says of the receiver alone would otherwise be switched by the edge: noise that hides the
  sources while edges are drawn at random, and later a code for what the encoder knows of a shop.
* One edge network serves all pairs; node embeddings (a setting) tell it which pair it looks at.
* The Hill curve lies in (0, 1) and series are standardised: a line, learned, lies in between.
* With a missing value the model goes on with its own prediction.

The last layer of the edge network is linear, so that it is applied after the sum over sources and
not to every pair: the same function, at a cost per step of D^2 H + D H^2 in place of D^2 H^2.
"""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

Array = jax.Array


class RecurrentDecoder(eqx.Module):
    """Networks of the decoder; the target is the last node.

    Parameters
    ----------
    rng_key
        Key of the initial weights.
    nodes, context, hidden
        Numbers of nodes and context variables, and width of all layers.
    embedding
        Length of the node embeddings; zero for one mechanism for all pairs.
    saturation
        Whether the target has a Hill curve (otherwise CM-rw).
    markov
        Whether hidden states are forgotten at every step (CM-markov).
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
        """Hidden states before the first step (node, hidden)."""
        return jnp.zeros((self.names.shape[0], self.unit.hidden_size))

    def step(self, edges: Array, context: Array, hidden: Array, values: Array) -> Step:
        """One step: from values (node,) and hidden states (node, H) to the next.

        ``edges`` (source, target) has zeros on its diagonal.
        """
        hidden = hidden * (0.0 if self.markov else 1.0)
        named = jnp.concatenate([values[:, None], self.names], axis=1)
        received = jax.vmap(self.receiver)(jnp.concatenate([named, hidden], axis=1))
        pairs = self._pairs(named, received)
        message = jnp.einsum("ij,ijh->jh", edges, pairs) @ self.spread.weight.T
        if not self.centred:  # in the difference the bias cancels
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
        """First layer of the edge network (source, target, H)."""
        send = jax.vmap(self.sender)
        pairs = jnp.tanh(send(named)[:, None] + received)
        if not self.centred:
            return pairs
        return pairs - jnp.tanh(send(named.at[:, 0].set(0.0))[:, None] + received)

    def hill(self, effect: Array, context: Array) -> Array:
        """Saturated effect on the target, in standard deviations."""
        alpha = jax.nn.softplus(self.alpha(context)[0]) + 0.1
        log_gamma = jnp.log(jax.nn.softplus(self.gamma(context)[0]) + 1e-2)
        # u^a / (u^a + g) as a logistic curve of log u: no power overflows.
        log_effect = jnp.log(jax.nn.softplus(effect) + 1e-6)
        return self.line[0] + self.line[1] * jax.nn.sigmoid(alpha * log_effect - log_gamma)

    def predictions(
        self, values: Array, observed: Array, context: Array, edges: Array, given_every: int = 1
    ) -> Array:
        """Means of the next values (time - 1, node).

        Parameters
        ----------
        values, observed, context
            Of one shop: (time, node), (time, node) and (time, variable).
        edges
            (source, target).
        given_every
            Observed values are given at every ``given_every``-th step, and the model's own
            predictions in between: 1 is teacher forcing.
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
