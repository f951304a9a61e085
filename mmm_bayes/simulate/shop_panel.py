"""Panels of shops drawn from a few latent graphs, each shop with its own noise."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from mmm_bayes.data.panel import ShopPanel
from mmm_bayes.runtime.deprecation import renamed
from mmm_bayes.simulate.shops_draw import (
    Difficulty,
    Sharing,
    ShopSettings,
    SimulatedShops,
    simulate_shops_with_truth,
)

NDArray = np.ndarray[Any, Any]


@renamed(
    shops="num_shops",
    length="num_dates",
    structures="num_structures",
    channels="num_channels",
    lags="num_lags",
)
def shops(
    rng_key: Any,
    *,
    simulation: Literal[1, 2] = 1,
    num_shops: int = 50,
    num_channels: int = 10,
    num_dates: int = 120,
    num_structures: int = 5,
    num_lags: int = 7,
    noise_sd: float = 0.1,
    edge_probability: float = 0.5,
    root_share: float = 0.5,
    burn_in: int = 200,
    mechanisms: Sharing = "shared",
    difficulty: tuple[Difficulty, ...] = (),
    mechanism_key: Any = None,
    graphs: NDArray | None = None,
) -> ShopPanel:
    r"""Simulate shops whose channels cause each other and a target, each shop by one of few graphs.

    These are the data of CausalMMM (Gong et al. 2024, A.2.1), with the time indices of its
    autoregression corrected. Nodes are ``x0``, ``x1``, .. and ``y``. With independent noise
    :math:`e \sim N(0, \mathtt{noise\_sd}^2)` for every shop, node and time, and :math:`K` lags, a
    channel without causes is

    .. math:: x_t = a x_{t-1} + b x_{t-1} \sum_{k=1}^K x_{t-k} + g e_{t-K} e_{t-1} + e_t

    with :math:`a, b, g \sim N(0, 0.1)` (variance 0.1) once per node, redrawn until
    :math:`|a| < 0.9` and :math:`8 \, \mathtt{noise\_sd} \, K |b| < 1 - |a|`: beyond this limit many
    such series diverge. A shop in which one still diverges draws its noise again. Every other
    channel, and the response of the target, is

    .. math:: x_{j,t} = \sum_{i \to j} \sum_{k=1}^K w_{ijk} \tanh x_{i,t-k} + e_{j,t},
              \qquad w_{ijk} \sim U(-1, 1).

    Parameters
    ----------
    rng_key : jax.Array
        Key; the same key gives the same panel. Graphs, mechanisms and each shop have separate
        streams, so an additional shop does not change the others.
    simulation : {1, 2}
        In 1 the target y is the response u. In 2 it is the S-curve
        :math:`v^\alpha / (v^\alpha + \gamma)` of the positive :math:`v = \log(1 + e^{u / s}) /
        \log 2`, without further noise, where s is `ShopSettings.response_scale`, and
        :math:`\alpha = 1 + 2 \sigma(p \cdot c)` and :math:`\gamma = \exp(q \cdot c)` follow from
        the shop's context c; :math:`|p| = 1`, :math:`|q| = 0.7`.
    num_shops, num_channels, num_dates : int
        Size of the panel. Every shop has two context variables, standard normal and constant over
        time; they have no effect in simulation 1.
    num_structures : int
        Number of latent graphs; each shop has one of them, with equal probability.
    num_lags : int
        Number of lags K.
    noise_sd : float
        Standard deviation of the noise, above 0.
    edge_probability : float
        Probability that each earlier channel in the order of the graph is a cause of a channel that
        is not a root, or of the target. Such channels have at least one cause, the target two. With
        the defaults 20% of all ordered pairs of nodes are edges.
    root_share : float
        Share of channels without causes.
    burn_in : int
        Number of steps from rest that are discarded.
    mechanisms : {"shared", "shop"}
        Whether all shops share a, b, g and w, or each shop has its own.
    difficulty : tuple of str
        Any of ``"nonlinear"`` (an edge passes tanh, a step, a parabola, or a product with another
        cause of the same node, one kind per pair), ``"spends"`` (roots are spend: positive,
        autocorrelated, 40% zeros, on a log-normal scale over shops and channels), ``"confounded"``
        (hidden drivers of 2 or 3 channels each, without edges) and ``"short"`` (30 dates).
    mechanism_key : jax.Array, optional
        Key of the mechanisms; by default ``rng_key``. Panels with the same mechanism key and
        different ``rng_key`` have the same mechanisms with different graphs and noise.
    graphs : numpy.ndarray, optional
        Boolean (structure, source, target), the target last, in place of random graphs.

    Returns
    -------
    ShopPanel
        With ``adjacency`` and ``structure``.

    Raises
    ------
    DataError
        Listing every setting that is out of range.
    TypeError
        If a key is no JAX key.

    References
    ----------
    C. Gong et al. (2024), CausalMMM: learning causal structure for marketing mix modeling. WSDM.

    Examples
    --------
    >>> import jax
    >>> from mmm_bayes import simulate
    >>> panel = simulate.shops(jax.random.key(0), num_shops=4, num_channels=3, num_dates=50)
    >>> panel.series.shape, panel.nodes
    ((4, 50, 4), ('x0', 'x1', 'x2', 'y'))
    """
    settings = ShopSettings(
        simulation=simulation,
        num_shops=num_shops,
        num_channels=num_channels,
        num_dates=num_dates,
        num_structures=num_structures,
        num_lags=num_lags,
        noise_sd=noise_sd,
        edge_probability=edge_probability,
        root_share=root_share,
        burn_in=burn_in,
        mechanisms=mechanisms,
        difficulty=difficulty,
    )
    return simulate_shops_with_truth(
        rng_key, settings, mechanism_key=mechanism_key, graphs=graphs
    ).panel


def duplicated_shops(
    panel: ShopPanel, other: ShopPanel | None = None, *, tolerance: float = 0.01
) -> list[tuple[str, str]]:
    """Return the pairs of shops whose series are the same, up to location and scale of each node.

    Series are compared from the first time on as far as both go, where both are observed.

    Parameters
    ----------
    panel : ShopPanel
    other : ShopPanel, optional
        Compare shops of ``panel`` with those of this one; by default with one another.
    tolerance : float
        Largest root mean square of differences between standardised series that still counts as
        the same. Independent shops differ by about 1.4.

    Returns
    -------
    list of (str, str)
        Pairs of labels, of ``panel`` and of ``other``.

    Examples
    --------
    >>> import jax
    >>> from mmm_bayes import simulate
    >>> panel = simulate.shops(jax.random.key(0), num_shops=4, num_channels=3, num_dates=50)
    >>> duplicated_shops(panel.select([0, 1]), panel.select([1, 2]))
    [('shop1', 'shop1')]
    """
    one = panel if other is None else other
    length = min(panel.length, one.length)
    if panel.num_nodes != one.num_nodes:
        return []
    size = (panel.num_shops, one.num_shops)
    apart, common = np.zeros(size), np.zeros(size)
    for node in range(panel.num_nodes):
        more, times = _differences(panel.series[:, :length, node], one.series[:, :length, node])
        apart += more
        common += times
    # Only times that both observe are evidence: they should be at least half of either series.
    seen = [part.observed[:, :length].sum((1, 2)) for part in (panel, one)]
    enough = (common > 0) & (common >= 0.5 * np.maximum(seen[0][:, None], seen[1]))
    same = enough & (apart <= tolerance**2 * common)
    if other is None:
        same &= np.triu(np.ones_like(same), 1)
    return [(panel.shops[i], one.shops[j]) for i, j in np.argwhere(same)]


def _differences(x: NDArray, z: NDArray) -> tuple[NDArray, NDArray]:
    """Sum squared differences of all pairs of rows, and count the times both are observed.

    Both rows are standardised over these times, so a sum is ``2 n (1 - r)`` with their correlation
    r; a constant row is 0 all along.
    """
    (x, at_x), (z, at_z) = _filled(x), _filled(z)
    n = at_x @ at_z.T
    count = np.maximum(n, 1)
    sum_x, sum_z = x @ at_z.T, at_x @ z.T
    var_x = x**2 @ at_z.T / count - (sum_x / count) ** 2
    var_z = at_x @ (z**2).T / count - (sum_z / count) ** 2
    covariance = x @ z.T / count - sum_x * sum_z / count**2
    # Rows have about unit variance, so anything below this is rounding.
    moves_x, moves_z = var_x > 1e-10, var_z > 1e-10
    both = moves_x & moves_z
    r = covariance / np.sqrt(np.where(both, var_x * var_z, 1.0))
    return n * np.where(both, 2 * (1 - r), 1.0 * (moves_x | moves_z)), n


def _filled(x: NDArray) -> tuple[NDArray, NDArray]:
    """Return standardised rows with 0 where not observed, and an indicator of observed values."""
    seen = np.isfinite(x)
    count = np.maximum(seen.sum(1, keepdims=True), 1)
    filled = np.where(seen, x, 0.0)
    filled = np.where(seen, filled - filled.sum(1, keepdims=True) / count, 0.0)
    sd = np.sqrt((filled**2).sum(1, keepdims=True) / count)
    largest = np.max(np.abs(np.where(seen, x, 0.0)), axis=1, keepdims=True, initial=0.0)
    is_constant = sd <= 1e-12 * largest
    return np.where(is_constant, 0.0, filled / np.where(is_constant, 1.0, sd)), seen.astype(float)


__all__ = [
    "ShopSettings",
    "SimulatedShops",
    "duplicated_shops",
    "shops",
    "simulate_shops_with_truth",
]
