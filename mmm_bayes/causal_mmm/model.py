"""CausalMMM: a Granger graph of each shop of a panel, with forecasts and effects along it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, final

import numpy as np
import xarray as xr

from mmm_bayes._typing import RngKey
from mmm_bayes.causal_mmm import files, results
from mmm_bayes.causal_mmm.checks import horizon_first, panel_arrays
from mmm_bayes.causal_mmm.diagnosis import TrainingReport, diagnose_training, edge_summary
from mmm_bayes.causal_mmm.inputs import Fitted
from mmm_bayes.causal_mmm.networks.arrays import Prepared
from mmm_bayes.causal_mmm.spec import CausalMMMSettings, CausalMMMSpec, Edge
from mmm_bayes.causal_mmm.training import train_panel, warn_of_interruption
from mmm_bayes.data.panel import ShopPanel
from mmm_bayes.inference.sharding import Devices
from mmm_bayes.runtime.deprecation import named_arguments, rng_key_first, spelled_out
from mmm_bayes.runtime.progress import Progress
from mmm_bayes.runtime.visible import shown_safely

if TYPE_CHECKING:
    import pandas as pd

    from mmm_bayes.causal.causal_graph import CausalGraph

NDArray = np.ndarray[Any, Any]

_FORECAST_DRAWS = 200


@final
class CausalMMM:
    r"""Granger graphs of shops by a graph variational autoencoder (Gong et al. 2024).

    An encoder maps the series of a shop to the probability of every edge, and a decoder predicts
    the next values of every node along the edges. Both are shared by all shops and trained together
    (:mod:`mmm_bayes.causal_mmm.networks.model`), so that new shops need no training.

    Parameters
    ----------
    decoder : {"additive", "recurrent"}
        ``"recurrent"`` is the decoder of the paper: messages along edges, one gated recurrent unit
        per node, Hill for the target (:mod:`mmm_bayes.causal_mmm.networks.recurrent`).
        ``"additive"`` has lag profiles shared by shops, with shop-specific deviations integrated
        out (:mod:`mmm_bayes.causal_mmm.networks.additive`); edge probabilities then come from Gibbs
        sampling that starts from the encoder's.
    encoder : {"evidence", "series"}
        ``"series"`` is the encoder of the paper; ``"evidence"`` also sees, for every pair, a
        regression of each node on the pasts of all nodes.
    ablation : {"full", "markov", "rw"}, optional
        The ablations of the paper: all edges present, no memory, no saturation (of target or
        sources).
    lags : int
        Number of lags of the additive decoder and of the regression.
    basis : "auto" or tuple of {"linear", "square", "saturating"}
        Functions of lagged values in the additive decoder. ``"saturating"`` is one curve per
        source with a learned steepness, from almost linear to saturated; ``"square"`` (bounded)
        represents effects that are not monotone (:mod:`mmm_bayes.causal_mmm.networks.lagged`). The
        default is ``("saturating",)``. If the response of some target to a source is more curved
        than chance explains (:mod:`mmm_bayes.causal_mmm.networks.curvature`),
        ``("saturating", "square")`` is trained too, which takes three to four times as long, and
        the lower loss decides; ``history.attrs["basis"]`` holds the result.
    hidden, embedding : int
        Width of the networks, and length of the recurrent decoder's node embeddings.
    centred : bool
        Whether a source at its mean sends nothing, in the recurrent decoder.
    components : int
        Number of latent graphs that the prior learns in addition to the sparse one.
    edge_probability : float
        Probability of every edge in the sparse prior.
    edge_prior : sequence of (source, target, probability)
        Experts' probabilities of single edges.
    required, forbidden : sequence of (source, target)
        Edges that every shop has, and that no shop has.
    penalty : float
        Factor :math:`\lambda` of the divergence from the prior; 1 is the evidence lower bound.
    noise : float, optional
        Fixed standard deviation of the recurrent decoder on standardised series; else learned.
    given_every : int
        M-step training of the recurrent decoder: it is given the observed values at every
        ``given_every``-th step, and its own predictions in between.
    straight_through : bool
        Whether edges are zero or one in training, with the gradient of relaxed edges.
    normalise : {"auto", "series", "node"}
        One location and scale per series, or per node (mechanisms are then the same for all shops
        in the units of the table). The default is ``"node"``, unless shops differ in size
        (:func:`~mmm_bayes.causal_mmm.networks.arrays.on_one_scale`) or logarithms are taken.
    logarithm : bool or sequence of str
        Nodes that are transformed by ``log1p`` of their value over their mean: all, none, or those
        named, where values range over orders of magnitude. The target then is not replaced by its
        normal scores; if all nodes are transformed, effects are elasticities, without saturation.
    scores : bool
        Whether the additive decoder sees the normal scores of the target, which undo any saturation
        of a shop's response as a whole.
    weekly : "auto" or bool
        Whether days of the week are part of the context; by default if dates are daily.
    epochs, batch_size, learning_rate, temperature, patience
        Settings of training (:class:`~mmm_bayes.causal_mmm.networks.training.TrainingSpec`).
    rounds : "auto" or int
        Number of rounds of Monte Carlo EM after the epochs, for the additive decoder: edges are
        drawn from their posterior, and everything is learned given the drawn edges
        (:mod:`mmm_bayes.causal_mmm.networks.monte_carlo_em`), in about as much time as all epochs.
        The default is 20 if the regression of a shop has more columns (nodes times lags) than rows,
        and otherwise none, which finds the graphs of new shops slightly better.
    sweeps : (int, int)
        Number of Gibbs sweeps discarded and kept.

    References
    ----------
    C. Gong et al. (2024), CausalMMM: learning causal structure for marketing mix modeling. WSDM.

    Examples
    --------
    >>> import jax
    >>> from mmm_bayes import simulate
    >>> panel = simulate.shops(jax.random.key(0), num_shops=6, num_channels=3, num_dates=60)
    >>> cm = CausalMMM(epochs=2, rounds=0, lags=3).fit(jax.random.key(1), panel)
    >>> dict(cm.edge_probabilities().sizes)
    {'shop': 6, 'source': 4, 'target': 4}
    """

    @spelled_out(CausalMMMSettings)
    def __init__(self, **settings: Unpack[CausalMMMSettings]) -> None:
        self.spec = CausalMMMSpec.of(settings)
        self._fitted: Fitted | None = None

    @classmethod
    @named_arguments
    def from_spec(cls, spec: CausalMMMSpec) -> CausalMMM:
        """Return an untrained model with these settings."""
        (cm := cls()).spec = spec
        return cm

    @shown_safely
    def __repr__(self) -> str:
        return results.in_one_line(self.spec, self._fitted)

    # --- Training --------------------------------------------------------------------------------

    @named_arguments
    def fit(
        self,
        rng_key: RngKey,
        panel: ShopPanel,
        *,
        validation: ShopPanel | None = None,
        progress: bool | Progress | None = None,
        on_epoch: Callable[[int, int, float], None] = lambda epoch, epochs, loss: None,
        devices: Devices = None,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: int = 10,
    ) -> CausalMMM:
        """Train on a panel.

        Ctrl-C ends training early: the model trained so far is kept, with a warning, and
        ``history.attrs["interrupted"]`` says so.

        Parameters
        ----------
        rng_key
            Random key of initial weights, batches and relaxed edges.
        panel
            Shops to learn from.
        validation
            Other shops, for early stopping (``patience``).
        progress
            ``True``, ``False``, or a reporter (:mod:`mmm_bayes.runtime.progress`); by default a bar
            where somebody watches.
        on_epoch
            Called after each epoch with its number, the total number, and the loss per shop. Rounds
            are numbered after the epochs.
        devices : "all", int or sequence of jax.Device, optional
            Devices over which the shops of each step are distributed, preferably a number that
            divides ``batch_size``; by default one. Results are those of one device up to rounding.
            Rounds run on one device. With ``jax.distributed`` every process must make this call
            with the same arguments.
        checkpoint
            Folder for the state of training, created if needed. The same call then continues where
            the last one stopped, however it ended, and yields the same model bit for bit; after the
            last epoch it returns the model at once. A folder serves one training, and is refused
            for another panel, key, setting or version. If two bases are trained, the state of the
            second is in the subfolder ``squares``.
        checkpoint_every
            Number of epochs, or rounds, between saved states.

        Returns
        -------
        CausalMMM
            The trained model, ``self``.

        Warns
        -----
        TrainingWarning
            If training was interrupted, or continues with another number of devices.

        Raises
        ------
        DataError
            Listing every problem: duplicate shops in the panel or in validation, a panel that is
            too short, or settings with unknown nodes.
        FloatingPointError
            If the loss is not finite.
        KeyboardInterrupt
            If the user interrupts before the first epoch is complete, or one of several processes.
        RunFolderError
            If the folder holds another training, is in use by another process, or is damaged.
        ValueError
            If there are no such devices, or ``checkpoint_every`` is not positive.
        WriteError
            If the folder cannot be written to (disk full, read-only); its content is kept.
        """
        self._fitted = train_panel(
            rng_key,
            self.spec,
            panel,
            validation,
            on_epoch,
            progress=progress,
            devices=devices,
            checkpoint=checkpoint,
            checkpoint_every=checkpoint_every,
        )
        if self._fitted.interrupted:
            warn_of_interruption(self._fitted)
        return self

    @property
    def history(self) -> xr.Dataset:
        """Loss per shop by epoch, of training and validation shops (NaN without), and by round.

        The attribute ``best_epoch`` is the epoch of the parameters, and ``basis`` the functions of
        lagged values that were trained. If training was interrupted, ``interrupted`` says what is
        missing.
        """
        return results.history_of(self._trained())

    def diagnose(self) -> TrainingReport:
        """Judge the training: whether it came to an end, and whether the loss came to rest.

        Returns
        -------
        TrainingReport
            PASS, REVIEW or FAIL, with findings, and the losses.
        """
        return diagnose_training(self.history)

    @named_arguments
    def summary(self, *, threshold: float = 0.5, refine: bool = True) -> pd.DataFrame:
        """Summarise the edges over the shops, the most common first.

        Parameters
        ----------
        threshold
            Probability above which a shop has an edge.
        refine
            As in :meth:`edge_probabilities`.

        Returns
        -------
        pandas.DataFrame
            One row per pair of nodes: ``source``, ``target``, ``shops`` with the edge,
            ``share`` of all shops, and the mean, least and greatest ``probability``.
        """
        return edge_summary(self.edge_probabilities(refine=refine), threshold)

    def _trained(self) -> Fitted:
        if self._fitted is None:
            raise RuntimeError("This CausalMMM is not trained yet: call fit(rng_key, panel) first.")
        return self._fitted

    def _arrays(self, panel: ShopPanel | None) -> tuple[ShopPanel, Prepared]:
        return panel_arrays(self._trained(), panel)

    # --- Graphs ----------------------------------------------------------------------------------

    @named_arguments
    def edge_probabilities(
        self, panel: ShopPanel | None = None, *, refine: bool = True
    ) -> xr.DataArray:
        """Compute the probability of every edge of every shop.

        Parameters
        ----------
        panel
            Shops, which may be new to the model; by default the training panel.
        refine
            Whether to refine the encoder's probabilities by the posterior under the additive
            decoder; without, the result is immediate.

        Returns
        -------
        xarray.DataArray
            (shop, source, target), zero on the diagonal.
        """
        return results.edge_probabilities_of(self._trained(), *self._arrays(panel), refine)

    def lag_profiles(self) -> xr.DataArray:
        """Return the shared effect of every source on every target by lag (source, target, lag).

        Effects are in standard deviations of the target per standard deviation of the source,
        through the first function of ``basis`` (for a saturating source, near its mean). The
        diagonal holds each node's own past. Profiles of edges that hardly any shop has are noise:
        read them together with :meth:`edge_probabilities`.

        Raises
        ------
        TypeError
            For the recurrent decoder, which has no lag profiles.
        """
        return results.lag_profiles_of(self._trained())

    @named_arguments
    def graph(
        self, shop: str, panel: ShopPanel | None = None, *, threshold: float = 0.5
    ) -> tuple[CausalGraph, dict[Edge, float]]:
        """Build an acyclic graph of a shop, with the probability of each edge.

        Edges above the threshold are added from the most probable down, except those that would
        close a cycle (Granger graphs may have cycles over time, causal graphs may not).

        Raises
        ------
        DataError
            If there is no such shop.
        """
        panel, prepared = self._arrays(panel)
        return results.graph_of(self._trained(), panel, prepared, shop, threshold)

    # --- Forecasts -------------------------------------------------------------------------------

    @rng_key_first(optional=True, is_old=horizon_first)
    @named_arguments
    def forecast(
        self,
        rng_key: RngKey | None,
        horizon: int,
        panel: ShopPanel | None = None,
        *,
        context: NDArray | None = None,
        num_draws: int = _FORECAST_DRAWS,
        ci_prob: float = 0.9,
    ) -> xr.Dataset:
        """Forecast every node of every shop.

        Parameters
        ----------
        rng_key
            Random key of the paths, or an integer seed; ``None`` takes one that follows from the
            key of :meth:`fit`.
        horizon
            Number of times after the last of the panel.
        panel
            History to continue; by default the training panel.
        context
            Context of the future times (shop, horizon, variable); by default its last value.
        num_draws
            Number of paths, each with its own edges, coefficients and noise.
        ci_prob
            Probability of the intervals (equal tails).

        Returns
        -------
        xarray.Dataset
            ``mean``, ``median``, ``low`` and ``high`` (shop, step, node), in the units of the
            panel.
        """
        labels, blocks = results.labelled_paths(
            rng_key, self._trained(), *self._arrays(panel), horizon, context, num_draws
        )
        return results.forecast_intervals(labels, blocks, ci_prob)

    @rng_key_first(optional=True, is_old=horizon_first)
    @named_arguments
    def forecast_draws(
        self,
        rng_key: RngKey | None,
        horizon: int,
        panel: ShopPanel | None = None,
        *,
        context: NDArray | None = None,
        num_draws: int = _FORECAST_DRAWS,
    ) -> xr.DataArray:
        """Return the paths (draw, shop, step, node) that :meth:`forecast` summarises."""
        labels, blocks = results.labelled_paths(
            rng_key, self._trained(), *self._arrays(panel), horizon, context, num_draws
        )
        return results.forecast_paths_of(labels, blocks, num_draws)

    # --- Effects ---------------------------------------------------------------------------------

    @named_arguments
    def contributions(self, shop: str, *, ci_prob: float = 0.9) -> xr.Dataset:
        """Compute each channel's contribution to a shop's target: observed minus do(channel = 0).

        Effects through other channels are included
        (:mod:`mmm_bayes.causal_mmm.networks.effects`). Intervals include the uncertainty of edges
        and coefficients, but not that the response may have another form far from observed values.
        On simulated platforms with saturation, 90% intervals covered the truth of 61% of acting
        nodes with logarithms, and of 70% without, where they are twice as wide
        (``benchmarks/causalmmm_contributions.py``).

        Returns
        -------
        xarray.Dataset
            ``mean``, ``low`` and ``high`` (channel,), sums over all times in units of the target.
        """
        draws = results.contribution_draws_of(self._trained(), shop)
        return results.effect_intervals(draws, ci_prob)

    @named_arguments
    def response_curves(
        self,
        shop: str,
        *,
        multipliers: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5),
        ci_prob: float = 0.9,
    ) -> xr.Dataset:
        """Compute a shop's total target over the panel with all values of a channel multiplied.

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
        draws = results.response_draws_of(self._trained(), shop, multipliers)
        return results.effect_intervals(draws, ci_prob)

    # --- Files -----------------------------------------------------------------------------------

    @named_arguments
    def save(self, path: Path | str) -> None:
        """Write the trained model to a file (a zip of arrays and JSON, without any code).

        The file is written under a temporary name and renamed, so that an earlier file is replaced
        only when the new one is complete.
        """
        files.write(path, self.spec, self._trained())
