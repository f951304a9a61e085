"""CausalMMM: the Granger graph of each shop of a panel, and forecasts and effects along it."""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from pydantic import Field
from threadpoolctl import threadpool_limits

from mmm_bayes._typing import LAG, NODE, SHOP, RngKey
from mmm_bayes._version import __version__
from mmm_bayes.data.findings import DataError, Finding, listing, nearest
from mmm_bayes.data.panel import ShopPanel
from mmm_bayes.data.shops import duplicated_shops
from mmm_bayes.inference.settings import Frozen

if TYPE_CHECKING:
    from mmm_bayes.causal.graph import CausalGraph
    from mmm_bayes.graph_learning.arrays import Prepared
    from mmm_bayes.graph_learning.model import Networks, Objective
    from mmm_bayes.graph_learning.training import History, TrainingSpec

NDArray = np.ndarray[Any, Any]
Edge = tuple[str, str]

_FORECAST_DRAWS = 200
_WEEK = 7
_FORMAT = 1


@final
class CausalMMMSpec(Frozen):
    """Settings of :class:`CausalMMM`, checked when made; see there."""

    decoder: Literal["additive", "recurrent"] = "additive"
    encoder: Literal["evidence", "series"] = "evidence"
    ablation: Literal["full", "markov", "rw"] | None = None
    lags: int = Field(7, ge=1, le=60)
    basis: tuple[Literal["linear", "square", "tanh"], ...] = ("linear",)
    hidden: int = Field(32, ge=1)
    embedding: int = Field(8, ge=0)
    components: int = Field(5, ge=0)
    edge_probability: float = Field(0.2, gt=0.0, lt=1.0)
    edge_prior: tuple[tuple[str, str, float], ...] = ()
    required: tuple[Edge, ...] = ()
    forbidden: tuple[Edge, ...] = ()
    penalty: float = Field(1.0, ge=0.0)
    noise: float | None = Field(None, gt=0.0)
    given_every: int = Field(1, ge=1)
    straight_through: bool = False
    normalise: Literal["auto", "series", "node"] = "auto"
    logarithm: bool | tuple[str, ...] = False
    scores: bool = True
    weekly: Literal["auto"] | bool = "auto"
    epochs: int = Field(60, ge=1)
    batch_size: int = Field(16, ge=1)
    learning_rate: float = Field(0.02, gt=0.0, le=1.0)
    temperature: tuple[float, float] = (1.0, 0.3)
    patience: int = Field(0, ge=0)
    sweeps: tuple[int, int] = (4, 16)

    def training(self) -> TrainingSpec:
        """Part that training reads."""
        from mmm_bayes.graph_learning.training import TrainingSpec

        return TrainingSpec(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            temperature=self.temperature,
            patience=self.patience,
        )


@dataclass(frozen=True, eq=False)
class _Fitted:
    """What training leaves: networks, the panel they were trained on, and how it went."""

    networks: Networks
    panel: ShopPanel
    prepared: Prepared
    history: History
    best_epoch: int
    key: Any


@final
class CausalMMM:
    r"""Granger graphs of shops by a graph variational autoencoder (Gong et al. 2024).

    An encoder maps the series of a shop to the probability of every edge; a decoder predicts the
    next values of every node along the edges. Both are shared by all shops and trained together
    (:mod:`mmm_bayes.graph_learning.model`), so that a new shop is scored without training.

    Parameters
    ----------
    decoder : {"additive", "recurrent"}
        ``"recurrent"`` is the paper's: messages over a gated recurrent unit a node and a Hill curve
        for the target (:mod:`mmm_bayes.graph_learning.recurrent`). ``"additive"`` has lag profiles
        that shops share, what shops do differently integrated out
        (:mod:`mmm_bayes.graph_learning.additive`); edge probabilities then come from Gibbs sampling
        that starts at the encoder's.
    encoder : {"evidence", "series"}
        ``"series"`` is the paper's; ``"evidence"`` also sees a regression of each node on the pasts
        of all, for every pair.
    ablation : {"full", "markov", "rw"}, optional
        The paper's: all edges present, no memory, no saturation.
    lags : int
        Number of lags of the additive decoder and of the regression.
    basis : tuple of {"linear", "square", "tanh"}
        Functions of lagged values in the additive decoder.
    hidden, embedding : int
        Width of the networks, and length of the recurrent decoder's node embeddings.
    components : int
        Latent graphs that the prior learns beside the sparse one
        (:mod:`mmm_bayes.graph_learning.prior`).
    edge_probability : float
        Of every edge in the sparse prior.
    edge_prior : sequence of (source, target, probability)
        What experts think of single edges.
    required, forbidden : sequence of (source, target)
        Edges that every shop has, and that none has.
    penalty : float
        :math:`\lambda` of the divergence from the prior; 1 is the evidence lower bound.
    noise : float, optional
        Fixed standard deviation of the recurrent decoder's likelihood, on standardised series;
        learned by default.
    given_every : int
        The recurrent decoder is trained on its own predictions between every so many observed
        values: M-step training.
    straight_through : bool
        Whether edges are zero or one in training, with the gradient of relaxed ones.
    normalise : {"auto", "series", "node"}
        One location and scale a series, or a node where shops are on one scale.
    logarithm : bool or sequence of str
        Nodes that are transformed by ``log1p`` of their value over their mean; all, or none.
    scores : bool
        Whether the additive decoder sees the normal scores of the target, which undoes any
        saturation of a shop's response as a whole.
    weekly : "auto" or bool
        Whether days of the week are context; by default where dates are daily.
    epochs, batch_size, learning_rate, temperature, patience
        Of training (:class:`~mmm_bayes.graph_learning.training.TrainingSpec`).
    sweeps : (int, int)
        Gibbs sweeps thrown away and kept.

    References
    ----------
    C. Gong et al. (2024), CausalMMM: learning causal structure for marketing mix modeling. WSDM.

    Examples
    --------
    >>> import jax
    >>> from mmm_bayes.data.shops import simulate_shops
    >>> panel = simulate_shops(jax.random.key(0), shops=6, channels=3, length=60)
    >>> cm = CausalMMM(epochs=2, lags=3).fit(jax.random.key(1), panel)
    >>> dict(cm.edge_probabilities().sizes)
    {'shop': 6, 'source': 4, 'target': 4}
    """

    def __init__(self, **settings: Any) -> None:
        self.spec = CausalMMMSpec(**settings)
        self._fitted: _Fitted | None = None

    def __repr__(self) -> str:
        given = self.spec.model_dump(exclude_defaults=True)
        inside = ", ".join(f"{name}={value!r}" for name, value in given.items())
        state = "not trained"
        if self._fitted is not None:
            panel = self._fitted.panel
            state = f"trained on {panel.n_shops} shops, {panel.n_nodes} nodes"
        return f"CausalMMM({inside}) <{state}>"

    # --- Training --------------------------------------------------------------------------------

    def fit(
        self,
        rng_key: RngKey,
        panel: ShopPanel,
        *,
        validation: ShopPanel | None = None,
        on_epoch: Callable[[int, int, float], None] = lambda epoch, epochs, loss: None,
    ) -> CausalMMM:
        """Train on a panel.

        Parameters
        ----------
        rng_key
            Key of initial weights, batches and relaxed edges.
        panel
            Shops to learn from.
        validation
            Other shops to stop by (``patience``).
        on_epoch
            Told the epoch, how many there are, and the loss a shop.

        Returns
        -------
        CausalMMM
            Itself.

        Raises
        ------
        DataError
            If shops occur twice, in the panel or in validation, if it is too short, or settings
            name nodes that it does not have.
        FloatingPointError
            If the loss is not finite.
        """
        from mmm_bayes.graph_learning.model import Steps
        from mmm_bayes.graph_learning.training import train

        if findings := self._findings(panel, validation):
            raise DataError(findings, "the panel of shops")
        key_init, key_train, key_later = jax.random.split(rng_key, 3)
        prepared = self._prepare(panel, None)
        networks = self._networks(key_init, panel, prepared)
        others = None
        if validation is not None:
            others = self._prepare(validation, prepared).shops
        steps = Steps(
            self.spec.given_every, self.spec.straight_through, self.spec.ablation == "full"
        )
        with _one_blas_thread():
            trained = train(
                key_train,
                networks,
                self._objective(panel.nodes),
                steps,
                self.spec.training(),
                prepared.shops,
                others,
                on_epoch,
            )
        self._fitted = _Fitted(
            trained.networks, panel, prepared, trained.history, trained.best_epoch, key_later
        )
        return self

    @property
    def history(self) -> xr.Dataset:
        """Loss a shop by epoch, of training and of validation shops (NaN without)."""
        fitted = self._trained()
        return xr.Dataset(
            {
                "loss": ("epoch", fitted.history.loss),
                "validation": ("epoch", fitted.history.validation),
            },
            {"epoch": np.arange(1, len(fitted.history.loss) + 1)},
            {"best_epoch": fitted.best_epoch + 1},
        )

    def _findings(self, panel: ShopPanel, validation: ShopPanel | None) -> list[Finding]:
        spec, found = self.spec, []

        def report(check: str, message: str, remedy: str, column: str | None = None) -> None:
            found.append(Finding(check, "error", message, remedy, column))

        least = spec.lags + 4
        if panel.length < least:
            message = f"The panel has {panel.length} times; {spec.lags} lags need {least}."
            report("too_short", message, "Use fewer lags.", "lags")
        empty = [shop for shop, x in zip(panel.shops, panel.series, strict=True) if _rows(x) < 4]
        if empty:
            message = f"{listing(empty)} have fewer than 4 times at which every node is observed."
            report("too_few_rows", message, "Leave them out: panel.select([...]).", "series")
        for one, other in duplicated_shops(panel)[:5]:
            message = f"{one!r} and {other!r} are the same series."
            report("duplicate", message, "Every shop should come once.", "series")
        if validation is not None:
            if validation.nodes != panel.nodes or validation.context_names != panel.context_names:
                message = "Validation shops have other nodes or context than the panel."
                report("validation", message, "Split one panel: panel.select([...]).")
            else:
                for one, other in duplicated_shops(validation, panel)[:5]:
                    message = f"Validation shop {one!r} repeats {other!r}, which is trained on."
                    report("duplicate", message, "Validate on shops that are not trained on.")
        named = [("logarithm", name) for name in _names(spec.logarithm)]
        for setting in ("required", "forbidden", "edge_prior"):
            named += [(setting, name) for edge in getattr(spec, setting) for name in edge[:2]]
        for setting, name in named:
            if name not in panel.nodes:
                message = f"{setting} names {name!r}, which is no node of the panel."
                hint = f"Known: {listing(panel.nodes, 20)}.{nearest(name, panel.nodes)}"
                report("unknown_node", message, hint, setting)
        both = set(spec.required) & set(spec.forbidden)
        if both:
            message = f"{listing(sorted(both))} are required and forbidden."
            report("contradiction", message, "Take them out of one of the two.", "required")
        for _, _, probability in spec.edge_prior:
            if not 0.0 < probability < 1.0:
                message = f"A probability in edge_prior should be in (0, 1), but is {probability}."
                report("edge_prior", message, "Use required= or forbidden= for certain edges.")
        return found

    # --- What networks are given -----------------------------------------------------------------

    def _layout(self, panel: ShopPanel) -> Any:
        from mmm_bayes.graph_learning.lagged import Layout

        lags = 1 if self.spec.ablation == "markov" else self.spec.lags
        return Layout(panel.n_nodes, lags, self.spec.basis, self._context(panel).shape[-1])

    def _context(self, panel: ShopPanel, ahead: NDArray | None = None) -> NDArray:
        """Context with the calendar; of the times after the panel if theirs is given."""
        context = panel.context if ahead is None else ahead
        if not self._is_weekly(panel):
            return context
        first = 0 if ahead is None else panel.length
        day = first + np.arange(context.shape[1])
        if panel.dates is not None:
            day = day + int(panel.dates[0].dayofweek)
        waves = [f(2 * np.pi * k * day / _WEEK) for k in (1, 2, 3) for f in (np.sin, np.cos)]
        repeated = np.broadcast_to(np.stack(waves, -1), (len(context), len(day), 6))
        return np.concatenate([context, repeated], axis=-1)

    def _is_weekly(self, panel: ShopPanel) -> bool:
        if self.spec.weekly != "auto":
            return bool(self.spec.weekly)
        if panel.dates is None or len(panel.dates) < 2:
            return False
        return bool((panel.dates[1] - panel.dates[0]).days == 1)

    def _prepare(self, panel: ShopPanel, like: Prepared | None) -> Prepared:
        from mmm_bayes.graph_learning.arrays import on_one_scale, prepare

        spec = self.spec
        which = spec.logarithm
        logarithm = np.array(
            [which if isinstance(which, bool) else n in which for n in panel.nodes]
        )
        by = spec.normalise
        if by == "auto":
            series = panel.series if self._fitted is None else self._fitted.panel.series
            by = "node" if on_one_scale(series) and not logarithm.any() else "series"
        with _one_blas_thread():
            return prepare(
                panel.series,
                self._context(panel),
                self._layout(panel),
                logarithm,
                by=by,
                scores=spec.scores and spec.decoder == "additive" and spec.ablation != "rw",
                norm=None if like is None else like.norm,
                with_evidence=spec.encoder == "evidence",
            )

    def _objective(self, nodes: Sequence[str]) -> Objective:
        from mmm_bayes.graph_learning.model import Objective

        spec, n = self.spec, len(nodes)
        place = {name: k for k, name in enumerate(nodes)}
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

    def _networks(self, rng_key: Any, panel: ShopPanel, prepared: Prepared) -> Networks:
        from mmm_bayes.graph_learning.additive import AdditiveDecoder
        from mmm_bayes.graph_learning.encoder import Encoder
        from mmm_bayes.graph_learning.model import Networks
        from mmm_bayes.graph_learning.recurrent import RecurrentDecoder

        spec, n = self.spec, panel.n_nodes
        key_encoder, key_decoder, key_components = jax.random.split(rng_key, 3)
        shops = prepared.shops
        decoder: AdditiveDecoder | RecurrentDecoder
        if spec.decoder == "additive":
            decoder = AdditiveDecoder(self._layout(panel))
        else:
            decoder = RecurrentDecoder(
                key_decoder,
                n,
                shops.context.shape[-1],
                spec.hidden,
                spec.embedding,
                spec.ablation != "rw",
                spec.ablation == "markov",
            )
        window = min(2 * spec.lags, panel.length)
        encoder = Encoder(key_encoder, window, spec.hidden, shops.evidence.shape[-1])
        start = self._objective(panel.nodes).sparse
        jitter = 0.5 * jax.random.normal(key_components, (spec.components, n, n))
        return Networks(encoder, decoder, start + jitter, jnp.zeros(1 + spec.components))

    def _trained(self) -> _Fitted:
        if self._fitted is None:
            raise RuntimeError("This CausalMMM is not trained yet: call fit(rng_key, panel) first.")
        return self._fitted

    def _arrays(self, panel: ShopPanel | None) -> tuple[ShopPanel, Prepared]:
        """A panel (by default that of training) and what the networks see of it."""
        fitted = self._trained()
        if panel is None or panel is fitted.panel:
            return fitted.panel, fitted.prepared
        found = []
        for name in ("nodes", "context_names"):
            ours, theirs = getattr(fitted.panel, name), getattr(panel, name)
            if ours != theirs:
                message = f"{name} should be {listing(ours, 20)}, but are {listing(theirs, 20)}."
                found.append(Finding(name, "error", message, "Order counts.", name))
        if panel.length < self.spec.lags + 4:
            message = f"The panel has {panel.length} times; the model needs {self.spec.lags + 4}."
            found.append(Finding("too_short", "error", message, "Give more history.", "series"))
        if found:
            raise DataError(found, "the panel of shops")
        return panel, self._prepare(panel, fitted.prepared)

    # --- Graphs ----------------------------------------------------------------------------------

    def _edges(self, prepared: Prepared, refine: bool, key: Any) -> tuple[NDArray, NDArray]:
        """Edge probabilities (shop, D, D) and draws of edges (draw, shop, D, D)."""
        from mmm_bayes.graph_learning.additive import AdditiveDecoder
        from mmm_bayes.graph_learning.gibbs import sample_edges
        from mmm_bayes.graph_learning.model import edge_probabilities, graph_prior

        networks, panel = self._trained().networks, self._trained().panel
        objective = self._objective(panel.nodes)
        if self.spec.ablation == "full":
            full = np.broadcast_to(1.0 - np.eye(panel.n_nodes), prepared.shops.evidence.shape[:3])
            return full, full[None]
        first = edge_probabilities(networks.encoder, objective, prepared.shops)
        draws = self.spec.sweeps[1]
        if not refine or not isinstance(networks.decoder, AdditiveDecoder):
            uniform = jax.random.uniform(key, (draws, *first.shape))
            return np.asarray(first), np.asarray((uniform < first).astype(first.dtype))
        prior = graph_prior(objective, networks.components, networks.weights)
        with _one_blas_thread():
            found = sample_edges(
                key, networks.decoder, prior, prepared.shops.sums, first, *self.spec.sweeps
            )
            return np.asarray(found.probability), np.asarray(found.edges)

    def edge_probabilities(
        self, panel: ShopPanel | None = None, *, refine: bool = True
    ) -> xr.DataArray:
        """Probability of every edge of every shop.

        Parameters
        ----------
        panel
            Shops, which need not have been trained on; by default those that were.
        refine
            Whether the additive decoder's posterior corrects the encoder's probabilities; without,
            they are the encoder's at once.

        Returns
        -------
        xarray.DataArray
            (shop, source, target), zero on the diagonal.
        """
        panel, prepared = self._arrays(panel)
        key = jax.random.fold_in(self._trained().key, 0)
        probability, _ = self._edges(prepared, refine, key)
        labels = {SHOP: list(panel.shops), "source": list(panel.nodes), "target": list(panel.nodes)}
        return xr.DataArray(
            probability, labels, (SHOP, "source", "target"), "edge_probability",
            {"long_name": "probability of a Granger edge"},
        )  # fmt: skip

    def lag_profiles(self) -> xr.DataArray:
        """Shared effect of every source on every target by lag (source, target, lag).

        In standard deviations of the target a standard deviation of the source, through the first
        function of ``basis``; the diagonal holds each node's own past. Of edges that no shop of the
        training panel has, it is near zero.

        Raises
        ------
        TypeError
            For the recurrent decoder, whose memory is no profile.
        """
        from mmm_bayes.graph_learning.additive import AdditiveDecoder

        fitted = self._trained()
        decoder = fitted.networks.decoder
        if not isinstance(decoder, AdditiveDecoder):
            raise TypeError("The recurrent decoder has no lag profiles; use decoder='additive'.")
        lags, nodes = decoder.layout.lags, list(fitted.panel.nodes)
        values = np.moveaxis(np.asarray(decoder.mean)[:, :lags], 1, 2)
        labels = {"source": nodes, "target": nodes, LAG: np.arange(1, lags + 1)}
        return xr.DataArray(values, labels, ("source", "target", LAG), "lag_profile")

    def graph(
        self, shop: str, panel: ShopPanel | None = None, *, threshold: float = 0.5
    ) -> tuple[CausalGraph, dict[Edge, float]]:
        """Acyclic graph of a shop, and the probability of each of its edges.

        Edges above the threshold enter from the most probable down; one that would close a cycle
        is left out (Granger graphs may have cycles over time, a causal graph has none).

        Raises
        ------
        DataError
            If there is no such shop.
        """
        from mmm_bayes.causal.graph import CausalGraph

        panel, _ = self._arrays(panel)
        _position(panel, shop)
        found = self.edge_probabilities(panel).sel({SHOP: shop}).values
        order = sorted(np.argwhere(found > threshold).tolist(), key=lambda at: -found[tuple(at)])
        kept: dict[Edge, float] = {}
        reach = np.eye(panel.n_nodes, dtype=bool)
        for i, j in order:
            if not reach[j, i]:
                kept[panel.nodes[i], panel.nodes[j]] = float(found[i, j])
                reach |= np.outer(reach[:, i], reach[j])
        return CausalGraph(panel.nodes, list(kept)), kept

    # --- Forecasts -------------------------------------------------------------------------------

    def forecast(
        self,
        horizon: int,
        panel: ShopPanel | None = None,
        *,
        context: NDArray | None = None,
        num_draws: int = _FORECAST_DRAWS,
        ci_prob: float = 0.9,
        rng_key: RngKey | None = None,
    ) -> xr.Dataset:
        """Forecast every node of every shop.

        Parameters
        ----------
        horizon
            Number of times after the last of the panel.
        panel
            History to go on from; by default the panel of training.
        context
            Context of the times to come (shop, horizon, variable); by default its last value.
        num_draws
            Paths drawn: of edges, coefficients and noise.
        ci_prob
            Probability of the intervals (equal tails).
        rng_key
            Key of the paths; by default one that follows from the key of :meth:`fit`.

        Returns
        -------
        xarray.Dataset
            ``mean``, ``median``, ``low`` and ``high`` (shop, step, node), in the units of the
            panel.
        """
        draws = self.forecast_draws(
            horizon, panel, context=context, num_draws=num_draws, rng_key=rng_key
        )
        tail = (1.0 - ci_prob) / 2.0
        low, median, high = np.quantile(draws.values, [tail, 0.5, 1.0 - tail], axis=0)
        dims = (SHOP, "step", NODE)
        values = {"mean": draws.values.mean(0), "median": median, "low": low, "high": high}
        coords = {name: draws.coords[name] for name in dims}
        found = xr.Dataset({name: (dims, value) for name, value in values.items()}, coords)
        return found.assign_attrs(ci_prob=ci_prob, ci_kind="eti")

    def forecast_draws(
        self,
        horizon: int,
        panel: ShopPanel | None = None,
        *,
        context: NDArray | None = None,
        num_draws: int = _FORECAST_DRAWS,
        rng_key: RngKey | None = None,
    ) -> xr.DataArray:
        """Paths (draw, shop, step, node) that :meth:`forecast` summarises."""
        from mmm_bayes.graph_learning.additive import AdditiveDecoder
        from mmm_bayes.graph_learning.arrays import from_scores
        from mmm_bayes.graph_learning.forecast import additive_paths, recurrent_paths
        from mmm_bayes.graph_learning.normalise import restore

        if horizon < 1 or num_draws < 1:
            raise ValueError(
                f"horizon and num_draws should be 1 or more; got {horizon}, {num_draws}."
            )
        fitted, (panel, prepared) = self._trained(), self._arrays(panel)
        key = jax.random.fold_in(fitted.key, 1) if rng_key is None else rng_key
        key_edges, key_which, key_paths = jax.random.split(key, 3)
        ahead = np.repeat(panel.context[:, -1:], horizon, axis=1) if context is None else context
        wanted = (panel.n_shops, horizon, len(panel.context_names))
        if np.shape(ahead) != wanted:
            message = f"context should have the shape {wanted}, but has {np.shape(ahead)}."
            found = Finding("context", "error", message, "(shop, horizon, variable).", "context")
            raise DataError([found], "the forecast")
        norm = prepared.norm
        around = (self._context(panel, ahead) - norm.context_location) / norm.context_scale
        future = jnp.asarray(around, jnp.float32)
        _, edges = self._edges(prepared, True, key_edges)
        which = np.asarray(jax.random.randint(key_which, (num_draws,), 0, len(edges)))
        drawn, shops = jnp.asarray(edges[which], jnp.float32), prepared.shops
        decoder = fitted.networks.decoder
        if isinstance(decoder, AdditiveDecoder):
            past = shops.values[:, -decoder.layout.lags :]
            with _one_blas_thread():
                paths = additive_paths(key_paths, decoder, shops.sums, drawn, past, future)
                paths.block_until_ready()
        else:
            noise = jnp.exp(decoder.log_noise)
            if self.spec.noise is not None:
                noise = jnp.full_like(noise, self.spec.noise)
            paths = recurrent_paths(
                key_paths, decoder, noise, drawn,
                shops.values, shops.observed, shops.context, future,
            )  # fmt: skip
        values = np.asarray(paths, np.float64)
        if prepared.ranked is not None:
            values[..., -1] = from_scores(values[..., -1], prepared.ranked)
        labels = {
            SHOP: list(panel.shops),
            "step": np.arange(1, horizon + 1),
            NODE: list(panel.nodes),
        }
        return xr.DataArray(restore(values, norm), labels, ("draw", SHOP, "step", NODE), "forecast")

    # --- Effects ---------------------------------------------------------------------------------

    def contributions(self, shop: str, *, ci_prob: float = 0.9) -> xr.Dataset:
        """What each channel brought to a shop's target over the panel: observed minus do(channel=0).

        The effect through other channels is in it (:mod:`mmm_bayes.graph_learning.effects`).

        Returns
        -------
        xarray.Dataset
            ``mean``, ``low`` and ``high`` (channel,), sums over all times in units of the target.
        """
        panel, _ = self._arrays(None)
        found = self.response_curves(shop, multipliers=(0.0, 1.0), ci_prob=ci_prob, _draws=True)
        draws = found.sel(multiplier=1.0) - found.sel(multiplier=0.0)
        return _summary(draws, ci_prob)

    def response_curves(
        self,
        shop: str,
        *,
        multipliers: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5),
        ci_prob: float = 0.9,
        _draws: bool = False,
    ) -> Any:
        """Sum of a shop's target over the panel, were all values of a channel multiplied.

        Returns
        -------
        xarray.Dataset
            ``mean``, ``low`` and ``high`` (channel, multiplier), in units of the target.

        Raises
        ------
        DataError
            If there is no such shop.
        TypeError
            For the recurrent decoder.
        """
        from mmm_bayes.graph_learning.additive import AdditiveDecoder
        from mmm_bayes.graph_learning.arrays import from_scores
        from mmm_bayes.graph_learning.effects import counterfactual_targets
        from mmm_bayes.graph_learning.normalise import transform
        from mmm_bayes.graph_learning.training import take

        fitted, (panel, prepared) = self._trained(), self._arrays(None)
        decoder = fitted.networks.decoder
        if not isinstance(decoder, AdditiveDecoder):
            raise TypeError("Effects are of the additive decoder; use decoder='additive'.")
        at = _position(panel, shop)
        own, norm = take(prepared.shops, at), prepared.norm
        _, edges = self._edges(
            prepared._replace(shops=take(prepared.shops, np.array([at]))),
            True, jax.random.fold_in(fitted.key, 2),
        )  # fmt: skip
        channels = np.arange(panel.n_nodes - 1)
        raw = np.nan_to_num(panel.series[at])
        paths = []
        for channel in channels:
            for factor in multipliers:
                scaled = factor * raw[None, :, :]
                shaped = transform(scaled, norm.unit[at][None], norm.logarithm)[0, :, channel]
                paths.append((shaped - norm.location[at, channel]) / norm.scale[at, channel])
        set_nodes = jnp.asarray(np.repeat(channels, len(multipliers)))
        set_paths = jnp.asarray(np.stack(paths), jnp.float32)
        with _one_blas_thread():
            targets = counterfactual_targets(
                jax.random.fold_in(fitted.key, 3), decoder, own.sums, jnp.asarray(edges[:, 0]),
                own.values, own.context, set_nodes, set_paths,
            )  # fmt: skip
            values = np.asarray(targets, np.float64)
        if prepared.ranked is not None:
            values = from_scores(values[..., None, :], prepared.ranked[[at]])[..., 0, :]
        values = values * norm.scale[at, -1] + norm.location[at, -1]
        if norm.logarithm[-1]:
            values = np.expm1(values) * norm.unit[at, -1]
        total = values.sum(-1).reshape(len(values), len(channels), len(multipliers))
        labels = {"channel": list(panel.nodes[:-1]), "multiplier": list(multipliers)}
        draws = xr.DataArray(total, labels, ("draw", "channel", "multiplier"), panel.target)
        return draws if _draws else _summary(draws, ci_prob)

    # --- Files -----------------------------------------------------------------------------------

    def save(self, path: Path | str) -> None:
        """Write the trained model to a file (zip of arrays and JSON; nothing in it is code).

        The file is written beside its place and renamed, so that an earlier one is never half
        overwritten.
        """
        fitted = self._trained()
        leaves, _ = jax.tree.flatten(eqx.filter(fitted.networks, eqx.is_array))
        panel = fitted.panel
        arrays = {f"weight_{k:03d}": np.asarray(leaf) for k, leaf in enumerate(leaves)}
        arrays |= {"series": panel.series, "context": panel.context}
        arrays |= {"loss": fitted.history.loss, "validation": fitted.history.validation}
        arrays["key"] = np.asarray(jax.random.key_data(fitted.key))
        if panel.adjacency is not None:
            arrays["adjacency"] = panel.adjacency
        if panel.structure is not None:
            arrays["structure"] = panel.structure
        about = {
            "format": _FORMAT,
            "version": __version__,
            "spec": self.spec.model_dump(mode="json"),
            "nodes": panel.nodes,
            "shops": panel.shops,
            "context_names": panel.context_names,
            "groups": panel.groups,
            "dates": None if panel.dates is None else [str(d.date()) for d in panel.dates],
            "best_epoch": fitted.best_epoch,
        }
        path = Path(path)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                about_bytes = np.frombuffer(json.dumps(about).encode(), np.uint8)
                np.savez_compressed(file, about=about_bytes, **arrays)  # type: ignore[arg-type]
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def load_causal_mmm(path: Path | str) -> CausalMMM:
    """Read a model that :meth:`CausalMMM.save` has written.

    Raises
    ------
    ValueError
        If the file is no such model, damaged, or of a later format.
    """
    import pandas as pd

    from mmm_bayes.graph_learning.training import History

    try:
        with np.load(Path(path), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        about = json.loads(arrays.pop("about").tobytes())
        settings, format_ = about["spec"], about["format"]
    except (ValueError, KeyError, OSError, zipfile.BadZipFile, EOFError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        message = f"{path} is not a CausalMMM, or it is damaged ({error})."
        raise ValueError(f"{message} Files are made by CausalMMM.save.") from error
    if format_ > _FORMAT:
        raise ValueError(
            f"{path} was written by mmm_bayes {about['version']}, a later version: upgrade to read "
            "it."
        )
    cm = CausalMMM(**settings)
    dates, groups = about["dates"], about["groups"]
    panel = ShopPanel(
        arrays["series"],
        tuple(about["nodes"]),
        tuple(about["shops"]),
        arrays["context"],
        tuple(about["context_names"]),
        None if dates is None else pd.DatetimeIndex(dates),
        None if groups is None else tuple(groups),
        arrays.get("adjacency"),
        arrays.get("structure"),
    )
    prepared = cm._prepare(panel, None)
    blank = cm._networks(jax.random.key(0), panel, prepared)
    dynamic, static = eqx.partition(blank, eqx.is_array)
    leaves, tree = jax.tree.flatten(dynamic)
    stored = [arrays[f"weight_{k:03d}"] for k in range(len(leaves))]
    if any(a.shape != b.shape for a, b in zip(leaves, stored, strict=True)):
        raise ValueError(f"{path} is damaged: its weights do not fit its settings.")
    networks = eqx.combine(jax.tree.unflatten(tree, [jnp.asarray(x) for x in stored]), static)
    history = History(arrays["loss"], arrays["validation"])
    key = jax.random.wrap_key_data(jnp.asarray(arrays["key"]))
    cm._fitted = _Fitted(networks, panel, prepared, history, about["best_epoch"], key)
    return cm


def _one_blas_thread() -> Any:
    """Matrices of a hundred columns: threads of BLAS would wait for one another, fifty-fold."""
    return threadpool_limits(1, user_api="blas")


def _rows(series: NDArray) -> int:
    return int(np.isfinite(series).all(1).sum())


def _names(which: bool | Iterable[str]) -> tuple[str, ...]:
    return () if isinstance(which, bool) else tuple(which)


def _position(panel: ShopPanel, shop: str) -> int:
    if shop not in panel.shops:
        message = f"There is no shop {shop!r}.{nearest(shop, panel.shops)}"
        known = f"Known: {listing(panel.shops, 10)}."
        raise DataError([Finding("shop", "error", message, known, SHOP)], "the panel of shops")
    return panel.shops.index(shop)


def _summary(draws: xr.DataArray, ci_prob: float) -> xr.Dataset:
    tail = (1.0 - ci_prob) / 2.0
    return xr.Dataset(
        {
            "mean": draws.mean("draw"),
            "low": draws.quantile(tail, "draw").drop_vars("quantile"),
            "high": draws.quantile(1.0 - tail, "draw").drop_vars("quantile"),
        },
        attrs={"ci_prob": ci_prob, "ci_kind": "eti"},
    )
