"""Inputs of the networks of CausalMMM, from settings and a panel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from threadpoolctl import threadpool_limits

from mmm_bayes.causal_mmm.networks.additive import AdditiveDecoder
from mmm_bayes.causal_mmm.networks.arrays import Prepared, on_one_scale, prepare
from mmm_bayes.causal_mmm.networks.curvature import curvature
from mmm_bayes.causal_mmm.networks.encoder import Encoder
from mmm_bayes.causal_mmm.networks.lagged import SATURATING, Layout
from mmm_bayes.causal_mmm.networks.model import Networks, Objective
from mmm_bayes.causal_mmm.networks.normalise import By
from mmm_bayes.causal_mmm.networks.recurrent import RecurrentDecoder
from mmm_bayes.causal_mmm.networks.training import History
from mmm_bayes.causal_mmm.spec import Basis, CausalMMMSpec
from mmm_bayes.data.panel import ShopPanel

NDArray = np.ndarray[Any, Any]

_WEEK = 7
_ROUNDS = 20
_PLAIN: Basis = ("saturating",)
_WITH_SQUARES: Basis = ("saturating", "square")
_CURVED = 10.0  # standard deviations; chance and saturation reached six at most in simulations


@dataclass(frozen=True, eq=False)
class Fitted:
    """A trained model: networks, the panel they were trained on, and the history of training.

    ``spec`` has the settings, including the basis if it was chosen in training. ``key`` is the
    random key of all later draws, and ``kept`` caches the refined edges of the panel. If the user
    ended training, ``interrupted`` says what is missing.
    """

    spec: CausalMMMSpec
    networks: Networks
    panel: ShopPanel
    prepared: Prepared
    history: History
    best_epoch: int
    key: Any
    interrupted: str = ""
    kept: dict[str, Any] = field(default_factory=dict)


def one_blas_thread() -> Any:
    """Limit BLAS to one thread, which is fastest for matrices of a hundred columns."""
    return threadpool_limits(1, user_api="blas")


def layout_of(spec: CausalMMMSpec, panel: ShopPanel) -> Layout:
    """Choose the columns of the lagged regression."""
    lags = 1 if spec.ablation == "markov" else spec.lags
    basis = _PLAIN if spec.basis == "auto" else spec.basis
    if spec.ablation == "rw" or logarithmic(spec, panel.nodes).all():
        basis = tuple(dict.fromkeys("linear" if f == SATURATING else f for f in basis))
    return Layout(panel.num_nodes, lags, basis, context_of(spec, panel).shape[-1])


def context_of(spec: CausalMMMSpec, panel: ShopPanel, ahead: NDArray | None = None) -> NDArray:
    """Build the context with days of the week; of later times if their context is given."""
    context = panel.context if ahead is None else ahead
    if not is_weekly(spec, panel):
        return context
    first = 0 if ahead is None else panel.length
    day = first + np.arange(context.shape[1])
    if panel.dates is not None:
        day = day + int(panel.dates[0].day_of_week)
    waves = [f(2 * np.pi * k * day / _WEEK) for k in (1, 2, 3) for f in (np.sin, np.cos)]
    repeated = np.broadcast_to(np.stack(waves, -1), (len(context), len(day), 6))
    return np.concatenate([context, repeated], axis=-1)


def is_weekly(spec: CausalMMMSpec, panel: ShopPanel) -> bool:
    """Tell whether days of the week are part of the context."""
    if spec.weekly != "auto":
        return bool(spec.weekly)
    if panel.dates is None or len(panel.dates) < 2:
        return False
    return bool((panel.dates[1] - panel.dates[0]).days == 1)


def logarithmic(spec: CausalMMMSpec, nodes: Sequence[str]) -> NDArray:
    """Mark the nodes that are transformed by a logarithm (node,)."""
    which = spec.logarithm
    return np.array([which if isinstance(which, bool) else name in which for name in nodes])


def normalisation_of(spec: CausalMMMSpec, panel: ShopPanel) -> By:
    """Choose whether series or nodes are standardised, by the settings or else by the panel."""
    if spec.normalise != "auto":
        return spec.normalise
    logarithms = logarithmic(spec, panel.nodes).any()
    return "node" if on_one_scale(panel.series) and not logarithms else "series"


def _takes_scores(spec: CausalMMMSpec, panel: ShopPanel) -> bool:
    """Tell whether the target is replaced by its normal scores; not if it is a logarithm."""
    if spec.decoder != "additive" or spec.ablation == "rw":
        return False
    return spec.scores and not logarithmic(spec, panel.nodes)[-1]


def prepare_panel(
    spec: CausalMMMSpec,
    panel: ShopPanel,
    trained: Prepared | None = None,
    by: By | None = None,
) -> Prepared:
    """Prepare a panel for the networks; for a new panel, with the training normalisation.

    ``by`` is given for a model that is read from a file.
    """
    if by is None:
        by = normalisation_of(spec, panel) if trained is None else trained.by
    with one_blas_thread():
        return prepare(
            panel.series,
            context_of(spec, panel),
            layout_of(spec, panel),
            logarithmic(spec, panel.nodes),
            by=by,
            scores=_takes_scores(spec, panel),
            norm=None if trained is None else trained.norm,
            with_evidence=spec.encoder == "evidence",
        )


def bases_of(spec: CausalMMMSpec, panel: ShopPanel, prepared: Prepared) -> tuple[Basis, ...]:
    """Choose the bases to train with, by the settings or else by the panel.

    Squares are tried if the response of some target to a source is more curved than chance explains
    (:mod:`mmm_bayes.causal_mmm.networks.curvature`), unless all nodes are transformed by
    logarithms.
    """
    if spec.basis != "auto":
        return (spec.basis,)
    straight = spec.ablation == "rw" or logarithmic(spec, panel.nodes).all()
    if spec.decoder != "additive" or straight:
        return (_PLAIN,)
    shops, layout = prepared.shops, layout_of(spec, panel)
    with one_blas_thread():
        found = np.array(curvature(shops.values, shops.observed, shops.context, layout))
    np.fill_diagonal(found, 0.0)
    return (_PLAIN, _WITH_SQUARES) if found.max() > _CURVED else (_PLAIN,)


def rounds_of(spec: CausalMMMSpec, panel: ShopPanel, prepared: Prepared) -> int:
    """Choose the number of rounds of Monte Carlo EM, by the settings or else by the panel.

    Only the additive decoder uses rounds. By default it does if the regression of a shop has more
    columns than rows: its own series alone do not identify its edges then, and what is learned
    about mechanisms and graphs from other shops is decisive.
    """
    if spec.decoder != "additive" or spec.ablation == "full":
        return 0
    if spec.rounds != "auto":
        return spec.rounds
    rows = float(np.mean(np.asarray(prepared.shops.sums.count)))
    return _ROUNDS if layout_of(spec, panel).width > rows else 0


def objective_of(spec: CausalMMMSpec, nodes: Sequence[str]) -> Objective:
    """Build the sparse prior and the fixed edges for the nodes of a panel."""
    n, place = len(nodes), {name: k for k, name in enumerate(nodes)}
    probability = np.full((n, n), spec.edge_probability)
    for source, target, p in spec.edge_prior:
        probability[place[source], place[target]] = p
    fixed = np.full((n, n), np.nan)
    np.fill_diagonal(fixed, 0.0)
    for edges, value in ((spec.required, 1.0), (spec.forbidden, 0.0)):
        for source, target in edges:
            fixed[place[source], place[target]] = value
    noise = np.nan if spec.noise is None else spec.noise
    logits = np.log(probability) - np.log1p(-probability)
    sparse, fixed_edges = jnp.asarray(logits, jnp.float32), jnp.asarray(fixed, jnp.float32)
    return Objective(sparse, fixed_edges, jnp.float32(spec.penalty), jnp.float32(noise))


def initial_networks(
    rng_key: Any, spec: CausalMMMSpec, panel: ShopPanel, prepared: Prepared
) -> Networks:
    """Initialise the networks."""
    n, shops = panel.num_nodes, prepared.shops
    key_encoder, key_decoder, key_components = jax.random.split(rng_key, 3)
    decoder: AdditiveDecoder | RecurrentDecoder
    if spec.decoder == "additive":
        decoder = AdditiveDecoder(layout_of(spec, panel))
    else:
        decoder = RecurrentDecoder(
            key_decoder,
            n,
            shops.context.shape[-1],
            spec.hidden,
            spec.embedding,
            spec.ablation != "rw",
            spec.ablation == "markov",
            spec.centred,
        )
    window = min(2 * spec.lags, panel.length)
    encoder = Encoder(key_encoder, window, spec.hidden, shops.evidence.shape[-1])
    start = objective_of(spec, panel.nodes).sparse
    jitter = 0.5 * jax.random.normal(key_components, (spec.components, n, n))
    return Networks(encoder, decoder, start + jitter, jnp.zeros(1 + spec.components))
