"""The training objective, term by term; NumPyro's checks; export to other platforms."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import optax
import pytest
from jax import export
from numpyro import handlers
from numpyro.infer import SVI, Trace_ELBO
from numpyro.util import check_model_guide_match
from scipy.special import expit
from scipy.stats import norm

from mmm_bayes.causal_mmm.networks.model import (
    Networks,
    Objective,
    Shops,
    Steps,
    edge_probabilities,
    graph_prior,
    log_likelihood,
    parameters_of,
    program,
)
from mmm_bayes.causal_mmm.networks.prior import divergence, impose
from mmm_bayes.causal_mmm.networks.training import train_epoch

from .small import LENGTH, NODES, SHOPS, additive, networks, objective, prepared, recurrent, series

NDArray = np.ndarray[Any, Any]


STEPS = Steps(1, False, False)
TEMPERATURE, SHARE = 0.7, 0.25
REQUIRED, FORBIDDEN = ((0, 1), (2, 0)), ((1, 2),)
DECODERS = {"additive": additive, "recurrent": recurrent}


@pytest.fixture(scope="module")
def shops() -> Shops:
    values = series(seed=50)
    values[1, 10:13, 0] = np.nan
    values[2, 25:] = np.nan
    return prepared(values).shops


def networks_of(name: str, shops: Shops) -> Networks:
    return networks(DECODERS[name](), shops.evidence.shape[-1])


class Loss:
    """Loss of a key, a penalty and a share, and the edges that the guide draws for the key."""

    def __init__(self, nets: Networks, given: Objective, shops: Shops, steps: Steps = STEPS):
        self.nets, self.shops, self.given = nets, shops, given

        def evaluated(key: Any, penalty: Any, share: Any) -> Any:
            model, guide = program(nets, given._replace(penalty=penalty), steps)
            arguments = (shops, jnp.float32(TEMPERATURE), share)
            svi = SVI(model, guide, optax.sgd(0.0), Trace_ELBO())
            parameters = svi.get_params(svi.init(jax.random.key(0), *arguments))
            loss = Trace_ELBO().loss(key, parameters, model, guide, *arguments)
            _, key_guide = jax.random.split(key)
            seeded = handlers.seed(handlers.substitute(guide, parameters), key_guide)
            return loss, handlers.trace(seeded).get_trace(*arguments)["z"]["value"]

        self.evaluated = jax.jit(evaluated)

    def __call__(
        self, seed: int = 0, penalty: float = 1.0, share: float = SHARE
    ) -> tuple[float, NDArray]:
        loss, edges = self.evaluated(jax.random.key(seed), penalty, share)
        return float(loss), np.asarray(edges)


@pytest.fixture(scope="module", params=DECODERS)
def loss(request: pytest.FixtureRequest, shops: Shops) -> Loss:
    return Loss(networks_of(request.param, shops), objective(REQUIRED, FORBIDDEN), shops)


def _divergence(nets: Networks, given: Objective, shops: Shops) -> float:
    chances = edge_probabilities(nets.encoder, given, shops)
    prior = graph_prior(given, nets.components, nets.weights)
    return float(jax.jit(divergence)(prior, chances).sum())


def _fit(decoder: Any, given: Objective, shops: Shops, edges: Any) -> Any:
    return jax.jit(lambda z: log_likelihood(decoder, given, shops, z).sum())(edges)


def test_loss_is_the_negative_bound_term_by_term(loss: Loss) -> None:
    nets, shops, given = loss.nets, loss.shops, loss.given
    kl = _divergence(nets, given, shops)
    assert kl > 0.1
    for seed in range(2):
        total, drawn = loss(seed)
        edges = impose(given.fixed, jnp.asarray(drawn))
        fit = float(_fit(nets.decoder, given, shops, edges))
        # Priors of what shops share: normal mechanisms of sd 0.5, and beta densities that count
        # eight edges around the sparse prior, each by the batch's share.
        shared = 0.0
        if hasattr(nets.decoder, "mean"):
            shared += float(np.sum(np.asarray(nets.decoder.mean, float) ** 2)) / (2 * 0.5**2)
        chance = expit(np.asarray(nets.components, float))
        beta = 8 * (0.2 * np.log(chance) + 0.8 * np.log1p(-chance))
        shared -= float(beta[:, np.isnan(np.asarray(given.fixed))].sum())
        np.testing.assert_allclose(total, -fit + kl + SHARE * shared, rtol=1e-5)


def test_the_penalty_weighs_the_divergence_and_nothing_else(loss: Loss) -> None:
    nets, given = loss.nets, loss.given
    kl = _divergence(nets, given, loss.shops)
    once, twice, ten = (loss(0, penalty)[0] for penalty in (1.0, 2.0, 11.0))
    # Losses are of order 1e2 in single precision.
    np.testing.assert_allclose(twice - once, kl, atol=1e-3)
    np.testing.assert_allclose(ten - once, 10 * kl, atol=1e-2)


def test_fixed_edges_are_imposed(shops: Shops) -> None:
    nets, given = networks_of("additive", shops), objective(REQUIRED, FORBIDDEN)
    found = np.asarray(edge_probabilities(nets.encoder, given, shops))
    fixed = np.asarray(given.fixed)
    known = ~np.isnan(fixed)
    assert (found[:, known] == fixed[known]).all()
    assert ((found[:, ~known] > 0) & (found[:, ~known] < 1)).all()


@pytest.mark.parametrize("full", [False, True])
def test_the_loss_of_fixed_graphs_has_no_noise(full: bool, shops: Shops) -> None:
    pairs = [(i, j) for i in range(NODES) for j in range(NODES) if i != j]
    given = objective() if full else objective(tuple(pairs[:3]), tuple(pairs[3:]))
    loss = Loss(networks_of("additive", shops), given, shops, Steps(1, False, full))
    (one, edges), (two, others) = loss(0), loss(1)
    assert one == two
    assert (edges != others).any()


def test_numpyro_finds_model_and_guide_to_match(shops: Shops) -> None:
    model, guide = program(networks_of("additive", shops), objective(), STEPS)
    arguments = (shops, jnp.float32(1.0), 1.0)

    def look() -> None:
        of_guide = handlers.trace(handlers.seed(guide, jax.random.key(0))).get_trace(*arguments)
        replayed = handlers.replay(handlers.seed(model, jax.random.key(1)), of_guide)
        of_model = handlers.trace(replayed).get_trace(*arguments)
        check_model_guide_match(of_model, of_guide)
        for traced in (of_model, of_guide):
            site = traced["z"]
            assert site["fn"].batch_shape == (SHOPS,)
            assert site["fn"].event_shape == (NODES, NODES)
            assert site["value"].shape == (SHOPS, NODES, NODES)
            assert [frame.name for frame in site["cond_indep_stack"]] == ["shop"]
        for site, traced in (("series", of_model), ("structure", of_guide)):
            assert traced[site]["fn"].log_prob(traced[site]["value"]).shape == (SHOPS,)

    with numpyro.validation_enabled():
        jax.eval_shape(look)


@pytest.mark.parametrize("noise", [np.nan, 0.4])
def test_series_of_the_recurrent_decoder_are_normal_where_observed(
    noise: float, shops: Shops
) -> None:
    decoder, edges = recurrent(), jnp.full((SHOPS, NODES, NODES), 0.5) * (1 - jnp.eye(NODES))
    found = eqx.filter_jit(log_likelihood)(decoder, objective(noise=noise), shops, edges)
    predict = jax.jit(jax.vmap(decoder.predictions, in_axes=(0, 0, 0, 0)))
    means = np.asarray(predict(shops.values, shops.observed, shops.context, edges), float)
    sd = np.exp(np.asarray(decoder.log_noise)) if np.isnan(noise) else noise
    each = norm(means, sd).logpdf(np.asarray(shops.values)[:, 1:])
    each = np.where(np.asarray(shops.observed)[:, 1:] > 0, each, 0.0)
    assert each.shape == (SHOPS, LENGTH - 1, NODES)
    np.testing.assert_allclose(found, each.sum(1), rtol=1e-4)


@pytest.mark.parametrize("name", DECODERS)
def test_a_training_step_lowers_for_machines_that_are_not_here(name: str, shops: Shops) -> None:
    nets = networks_of(name, shops)
    svi = SVI(*program(nets, objective(), STEPS), optax.adam(0.01), Trace_ELBO())
    start = jax.jit(svi.init)(jax.random.key(0), shops, jnp.float32(1.0), 1.0)
    for one, two in zip(
        jax.tree.leaves(parameters_of(nets, svi.get_params(start))),
        jax.tree.leaves(nets),
        strict=True,
    ):
        if hasattr(one, "shape"):
            np.testing.assert_array_equal(one, two)

    def leaves_only(shops: Shops, batches: Any, temperature: Any) -> Any:
        state, loss = train_epoch(svi, shops, start, batches, temperature)
        return svi.get_params(state)["components"], loss

    batches = jnp.arange(SHOPS).reshape(2, -1)
    lowered = export.export(jax.jit(leaves_only), platforms=("cpu", "cuda", "tpu"))(
        jax.tree.map(jnp.asarray, shops), batches, jnp.float32(1.0)
    )
    assert lowered.platforms == ("cpu", "cuda", "tpu")
