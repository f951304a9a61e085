r"""The causal relational encoder: from a shop's series to logits of its edges (section 3.1).

.. math::

    h_j^1 &= f_{\mathrm{emb}}(x_j), &
    h_{ij}^1 &= f_{\mathrm{edge}}^1(h_i^1, h_j^1), \\
    h_j^2 &= f_{\mathrm{vertex}}\bigl(\textstyle\sum_{i \ne j} h_{ij}^1\bigr), &
    h_{ij}^2 &= f_{\mathrm{edge}}^2(h_i^2, h_j^2, h_{ij}^1).

Choices where the paper is silent, or where this encoder differs:

* Series may have any length: :math:`f_{\mathrm{emb}}` is a perceptron over windows of the series
  (the paper has one window), and its outputs are averaged over windows.
* Without evidence, the first edge network sees both series of a pair in each window, before the
  average: an average of each series' own embedding would not show which of the two moves first.
* The sum over sources is a mean, so that one network serves any number of nodes.
* The second edge network also sees the output of the first (skip connection), as in neural
  relational inference (Kipf et al. 2018), whose architecture the paper follows.
* Optionally, the first edge network sees the evidence of a regression about the pair
  (:mod:`mmm_bayes.causal_mmm.networks.evidence`), and the logit starts as a linear function of the
  Wald statistic.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

Array = jax.Array


class Encoder(eqx.Module):
    """Network from the series of one shop to its edge logits.

    Parameters
    ----------
    rng_key
        Key of the initial weights.
    window
        Length of the windows of the node embeddings.
    hidden
        Width of all layers.
    n_evidence
        Number of inputs per pair in addition to the embeddings; zero for the paper's encoder.
    """

    embed: eqx.nn.MLP
    edge_first: eqx.nn.MLP
    vertex: eqx.nn.MLP
    edge_second: eqx.nn.MLP
    slope: Array
    offset: Array
    window: int = eqx.field(static=True)
    n_evidence: int = eqx.field(static=True)

    def __init__(self, rng_key: Array, window: int, hidden: int, n_evidence: int) -> None:
        keys = jax.random.split(rng_key, 4)

        def network(key: Array, inputs: int, outputs: int) -> eqx.nn.MLP:
            return eqx.nn.MLP(inputs, outputs, hidden, 1, jax.nn.elu, key=key)

        self.embed = network(keys[0], window, hidden)
        self.edge_first = network(keys[1], 2 * hidden + n_evidence, hidden)
        self.vertex = network(keys[2], hidden, hidden)
        second = network(keys[3], 3 * hidden, 2)
        # Start small, so that the linear function of the Wald statistic dominates at first.
        last: Any = lambda tree: tree.layers[-1].weight  # noqa: E731
        self.edge_second = eqx.tree_at(last, second, 0.1 * last(second))
        self.slope, self.offset = jnp.array(1.5), jnp.array(1.5)
        self.window, self.n_evidence = window, n_evidence

    def __call__(self, values: Array, observed: Array, evidence: Array) -> Array:
        """Compute logits (source, target, 2) of no edge and edge.

        Parameters
        ----------
        values, observed
            Standardised series (time, node), zero where missing, and which values are observed.
        evidence
            Inputs of each pair (source, target, n_evidence).
        """
        length, nodes = values.shape
        at = jnp.arange(max(length - self.window, 0) + 1)[:, None] + jnp.arange(self.window)
        at = jnp.minimum(at, length - 1)
        windows = jnp.swapaxes(values[at], 1, 2)  # (window, node, time in it)
        there = jnp.mean(observed[at], axis=1)
        own = jax.vmap(jax.vmap(self.embed))(windows)
        if self.n_evidence:
            weight = there / jnp.maximum(jnp.sum(there, axis=0), 1e-6)
            first = jnp.sum(weight[..., None] * own, axis=0)  # (node, hidden)
            pair_first = _over_pairs(self.edge_first, first, evidence)
        else:
            pair_first = _over_windows(self.edge_first, own, there)
        others = 1.0 - jnp.eye(nodes, dtype=own.dtype)
        gathered = jnp.einsum("ij,ijh->jh", others, pair_first) / max(nodes - 1, 1)
        second = jax.vmap(self.vertex)(gathered)
        logits = _over_pairs(self.edge_second, second, pair_first)
        if self.n_evidence:
            line = self.slope * evidence[..., 0] - self.offset
            logits = logits.at[..., 1].add(line)
        return logits


def _over_pairs(network: eqx.nn.MLP, nodes: Array, pairs: Array) -> Array:
    """Apply a network to all pairs: embeddings of source and target, and inputs of the pair."""
    n = nodes.shape[0]
    inputs = [
        jnp.broadcast_to(nodes[:, None], (n, n, nodes.shape[1])),
        jnp.broadcast_to(nodes[None, :], (n, n, nodes.shape[1])),
        pairs,
    ]
    return jax.vmap(jax.vmap(network))(jnp.concatenate(inputs, axis=-1))


def _over_windows(network: eqx.nn.MLP, own: Array, there: Array) -> Array:
    """Average a network over the windows of each pair (source, target, hidden).

    The last layer is linear, and therefore applied to the average.

    Parameters
    ----------
    network
        Network with one hidden layer, over the embeddings of source and target.
    own, there
        Embeddings (window, node, hidden), and the share observed (window, node).
    """
    first, last = network.layers
    source, target = jnp.split(first.weight, 2, axis=1)
    assert first.bias is not None
    assert last.bias is not None
    sent, received = own @ source.T, own @ target.T + first.bias
    inside = network.activation(sent[:, :, None] + received[:, None])
    both = there[:, :, None] * there[:, None]
    weight = both / jnp.maximum(jnp.sum(both, axis=0), 1e-6)
    return jnp.einsum("wij,wijh->ijh", weight, inside) @ last.weight.T + last.bias
