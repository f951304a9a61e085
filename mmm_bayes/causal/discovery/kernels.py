"""Gaussian-process evidence of nodes given causes, and the density of the residuals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

NDArray = np.ndarray[Any, Any]

# Length scales for standardised causes, from wiggly to nearly linear functions.
_LENGTHS = (0.8, 1.5, 3.0, 8.0)
# Proportion of noise in the variance of a node.
_NOISE_SHARES = np.array([0.01, 0.03, 0.08, 0.2, 0.4, 0.65, 0.9])
_INDUCING = 60
# Standardised causes are clipped to this value, so that a single spike has little leverage.
_CLIP = 4.0
_GRID = np.linspace(-6.0, 6.0, 241)
# 0.7 times the normal reference rule, because non-normal residuals have narrower features.
_BANDWIDTH = 0.7 * 1.06


class Kernels:
    """Covariances of all rows with the inducing rows, for each node and length scale."""

    def __init__(self, columns: Sequence[NDArray]) -> None:
        self.n = len(columns[0]) if columns else 0
        # Evenly spaced rows cover every season of a series, and make the choice deterministic.
        self.chosen = np.unique(np.linspace(0, self.n - 1, min(_INDUCING, self.n)).astype(int))
        self.factors = {}
        for j, column in enumerate(columns):
            z = np.clip(column, -_CLIP, _CLIP)
            gap = ((z[:, None, :] - z[self.chosen][None, :, :]) ** 2).mean(2)
            for length in _LENGTHS:
                self.factors[j, length] = 0.5 * (1.0 + np.exp(-0.5 * gap / length**2))

    def evidence(self, causes: tuple[int, ...], wanted: NDArray) -> tuple[NDArray, NDArray]:
        """Compute the log evidence (target,) of targets (row, target), and their residuals.

        The evidence is averaged over length scales and noise shares; the residuals (row, target)
        are those of the combination with the greatest evidence.
        """
        n = len(wanted)
        if not causes:
            variance = np.maximum((wanted**2).mean(0), 1e-12)
            return -0.5 * n * (np.log(2.0 * np.pi * variance) + 1.0), wanted
        logs, fits = [], []
        shares, total = _NOISE_SHARES[:, None], (wanted**2).sum(0)
        for length in _LENGTHS:
            features = self._features(causes, length)
            spectrum, basis = np.linalg.eigh(features.T @ features)
            loads = basis.T @ (features.T @ wanted)
            # (r I + (1 - r) F F')^-1 and its determinant by Woodbury's identity, (share, target).
            inner = (1.0 - shares) * np.maximum(spectrum, 0.0) + shares
            quadratic = (total - ((1.0 - shares) / inner) @ loads**2) / shares
            determinant = np.log(inner).sum(1) + (n - len(spectrum)) * np.log(_NOISE_SHARES)
            variance = np.maximum(quadratic / n, 1e-12)
            logs.append(
                -0.5 * n * (np.log(2.0 * np.pi * variance) + 1.0) - 0.5 * determinant[:, None]
            )
            fits.append((features, basis, loads, (1.0 - shares) / inner))
        evidence = np.concatenate(logs)
        residuals = np.empty_like(wanted)
        for k, best in enumerate(evidence.argmax(0)):
            features, basis, loads, shrunk = fits[best // len(shares)]
            fitted = features @ (basis @ (shrunk[best % len(shares)] * loads[:, k]))
            residuals[:, k] = wanted[:, k] - fitted
        return np.logaddexp.reduce(evidence, axis=0) - np.log(len(evidence)), residuals

    def _features(self, causes: tuple[int, ...], length: float) -> NDArray:
        """Return centred features whose inner products are the covariance, with mean variance 1."""
        cross = np.prod([self.factors[j, length] for j in causes], axis=0)
        among = cross[self.chosen]
        among = among + 1e-5 * np.eye(len(among))
        features = cross @ np.linalg.inv(np.linalg.cholesky(among)).T
        features = features - features.mean(0)
        return features * np.sqrt(len(features) / max((features**2).sum(), 1e-12))


def density_gain(residuals: NDArray, counts: NDArray | None) -> NDArray:
    """Return the gain in log density of residuals over a normal distribution, (target,).

    The density is a leave-one-out kernel estimate. ``counts`` says how often each row occurs.
    """
    u = residuals - residuals.mean(0)
    u = u / np.maximum(u.std(0), 1e-9)
    n = len(u)
    own = np.ones((n, 1)) if counts is None else counts[:, None]
    width = _BANDWIDTH * n**-0.2
    step = _GRID[1] - _GRID[0]
    kernel = np.exp(-0.5 * ((_GRID[:, None] - _GRID) / width) ** 2)
    # Linear binning: each residual is split between its two neighbours on the grid.
    place = (np.clip(u, _GRID[0], _GRID[-1] - 1e-9) - _GRID[0]) / step
    low = place.astype(int) + len(_GRID) * np.arange(u.shape[1])
    part = place - place.astype(int)
    size = len(_GRID) * u.shape[1]
    mass = np.bincount(low.ravel(), (1.0 - part).ravel(), size)
    mass += np.bincount(low.ravel() + 1, part.ravel(), size)
    smooth = (mass.reshape(u.shape[1], -1) @ kernel).ravel()
    at = smooth[low] * (1.0 - part) + smooth[low + 1] * part
    itself = part**2 + (1.0 - part) ** 2 + 2.0 * part * (1.0 - part) * kernel[0, 1]
    density = (at - own * itself) / ((n - own) * width * np.sqrt(2.0 * np.pi))
    normal = -0.5 * np.log(2.0 * np.pi) - 0.5 * u**2
    return np.asarray((np.log(np.maximum(density, 1e-4)) - normal).sum(0))
