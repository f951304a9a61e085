"""The similarity measures of Poinsot & Leite (2023), kept to compare with their tables."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.distance import cdist
from scipy.special import logsumexp
from scipy.stats import entropy, wasserstein_distance

from mmm_bayes.augmentation.samples import checked_samples

NDArray = np.ndarray[Any, Any]


class PublishedSimilarity(NamedTuple):
    """Both published measures, from the same densities."""

    kl: float
    wasserstein: float


def published_similarity(
    x: ArrayLike,
    y: ArrayLike,
    x_weights: ArrayLike | None = None,
    y_weights: ArrayLike | None = None,
) -> PublishedSimilarity:
    r"""Compute both published measures from one estimate of the densities.

    Densities are Gaussian kernel estimates of bandwidth :math:`h = (n (d + 2) / 4)^{-1/(d+4)}` in
    every column, whatever its scale, as scikit-learn's ``KernelDensity(bandwidth="silverman")``
    has them; they are evaluated at the rows :math:`z` of ``x`` and then ``y``. See
    :func:`published_kl` and :func:`published_wasserstein` for what is made of them.

    Parameters
    ----------
    x, y, x_weights, y_weights
        As in :func:`~mmm_bayes.augmentation.similarity.kl_divergence`.

    Returns
    -------
    PublishedSimilarity

    Raises
    ------
    DataError
        For samples that do not fit together.
    """
    x, y, a, b = checked_samples(x, y, x_weights, y_weights)
    both = np.concatenate([x, y])
    p, q = (_log_density(both, *sample) for sample in ((x, a), (y, b)))
    return PublishedSimilarity(float(entropy(p, q)), float(wasserstein_distance(p, q)))


def published_kl(
    x: ArrayLike,
    y: ArrayLike,
    x_weights: ArrayLike | None = None,
    y_weights: ArrayLike | None = None,
) -> float:
    r"""Compute the "KL divergence" of Poinsot & Leite (2023), only to compare with their tables.

    .. math:: \sum_i \bar p_i \log(\bar p_i / \bar q_i), \qquad
              \bar p_i = \log \hat p(z_i) \Big/ \sum_k \log \hat p(z_k)

    with the densities of :func:`published_similarity`. It is no divergence of the samples:
    *log*-densities are normalised as if they were probabilities, each row's own kernel is counted,
    and weights enter the densities but not the sum. Use
    :func:`~mmm_bayes.augmentation.similarity.kl_divergence`.

    Parameters
    ----------
    x, y, x_weights, y_weights
        As in :func:`~mmm_bayes.augmentation.similarity.kl_divergence`.

    Returns
    -------
    float
        Infinite where log-densities differ in sign.

    Raises
    ------
    DataError
        For samples that do not fit together.
    """
    return published_similarity(x, y, x_weights, y_weights).kl


def published_wasserstein(
    x: ArrayLike,
    y: ArrayLike,
    x_weights: ArrayLike | None = None,
    y_weights: ArrayLike | None = None,
) -> float:
    r"""Compute the "Wasserstein distance" of Poinsot & Leite (2023), only to compare.

    The distance between the *values* of two log-densities, :math:`W_1(\{\log \hat p(z_i)\},
    \{\log \hat q(z_i)\})`, over the rows :math:`z` of both samples; densities as in
    :func:`published_kl`. It is in nats and no distance of the samples: where they lie is lost, and
    samples far apart can have it at zero. Use
    :func:`~mmm_bayes.augmentation.similarity.wasserstein`.

    Parameters
    ----------
    x, y, x_weights, y_weights
        As in :func:`~mmm_bayes.augmentation.similarity.kl_divergence`.

    Returns
    -------
    float

    Raises
    ------
    DataError
        For samples that do not fit together.
    """
    return published_similarity(x, y, x_weights, y_weights).wasserstein


def _log_density(at: NDArray, rows: NDArray, weights: NDArray) -> NDArray:
    rows, weights = rows[weights > 0], weights[weights > 0]
    count, d = rows.shape
    bandwidth = (count * (d + 2) / 4.0) ** (-1.0 / (d + 4))
    constant = 0.5 * d * np.log(2.0 * np.pi) + d * np.log(bandwidth)
    # In blocks of rows: all pairs of a large augmentation do not fit into memory.
    step = max(1, 4_000_000 // count)
    blocks = [
        logsumexp(
            -0.5 * cdist(at[k : k + step], rows, "sqeuclidean") / bandwidth**2, axis=1, b=weights
        )
        for k in range(0, len(at), step)
    ]
    return np.concatenate(blocks) - constant
