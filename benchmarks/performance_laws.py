"""Cost as a power of a size: exponents with errors, and estimates that carry them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

NORMAL = 1.959963984540054
FEWEST = 3
"""Points of a fit: two leave nothing to judge the error by."""


@dataclass(frozen=True)
class Estimate:
    """A positive number known up to a factor: ``spread`` is the standard error of its log."""

    value: float
    spread: float = 0.0

    def __mul__(self, other: Estimate | float) -> Estimate:
        """Multiply; errors are taken as independent."""
        if not isinstance(other, Estimate):
            return Estimate(self.value * other, self.spread)
        return Estimate(self.value * other.value, math.hypot(self.spread, other.spread))

    __rmul__ = __mul__

    def __add__(self, other: Estimate) -> Estimate:
        """Sum, the errors as if of one cause: never too narrow."""
        value = self.value + other.value
        return Estimate(value, (self.value * self.spread + other.value * other.spread) / value)

    def at_most(self, limit: float) -> Estimate:
        """Cut the estimate at a limit."""
        return Estimate(min(self.value, limit), self.spread)

    @property
    def bounds(self) -> tuple[float, float]:
        """The 95% range."""
        factor = math.exp(min(NORMAL * self.spread, 700.0))
        return self.value / factor, self.value * factor

    def __contains__(self, value: float) -> bool:
        low, high = self.bounds
        return low <= value <= high


@dataclass(frozen=True)
class PowerLaw:
    r"""Least squares of log cost on log size: :math:`\log y = a + b (\log x - \overline{\log x})`.

    Attributes
    ----------
    exponent, error
        The slope ``b`` and its standard error.
    level, centre
        ``a``, and the mean of the logs of the sizes.
    residual
        Standard deviation of the residuals, ``points - 2`` degrees of freedom.
    points
        How many sizes were measured.
    """

    exponent: float
    error: float
    level: float
    centre: float
    residual: float
    points: int

    @property
    def widening(self) -> float:
        """Student's quantile over the normal one: spreads count as normal afterwards."""
        from scipy.stats import t

        return float(t.ppf(0.975, self.points - 2)) / NORMAL

    def at(self, size: float) -> Estimate:
        """Return the cost the line gives at a size, with the error of the line there."""
        x = math.log(size) - self.centre
        spread = math.hypot(self.residual / math.sqrt(self.points), x * self.error)
        return Estimate(math.exp(self.level + self.exponent * x), spread * self.widening)

    def growth(self, start: float, end: float) -> Estimate:
        """Return the factor by which cost grows between two sizes."""
        x = math.log(end / start)
        return Estimate(math.exp(self.exponent * x), abs(x) * self.error * self.widening)

    def __str__(self) -> str:
        return f"{self.exponent:.2f} ± {self.error:.2f}"


def fit_power_law(sizes: Sequence[float], costs: Sequence[float]) -> PowerLaw:
    """Fit a line to logs.

    Raises
    ------
    ValueError
        If there are fewer than three different sizes, or anything is not positive and finite.
    """
    x, y = np.asarray(sizes, float), np.asarray(costs, float)
    if x.shape != y.shape or x.ndim != 1:
        raise ValueError(f"One cost a size is expected; got {x.shape} and {y.shape}.")
    if len(np.unique(x)) < FEWEST:
        raise ValueError(f"An exponent with its error takes {FEWEST} sizes; got {list(sizes)}.")
    if not (np.isfinite(x) & np.isfinite(y) & (x > 0) & (y > 0)).all():
        raise ValueError(f"Positive sizes and costs are expected; got {list(costs)}.")
    x, y = np.log(x), np.log(y)
    centre, level = x.mean(), y.mean()
    square = ((x - centre) ** 2).sum()
    slope = ((x - centre) * y).sum() / square
    rest = y - level - slope * (x - centre)
    residual = math.sqrt((rest**2).sum() / (len(x) - 2))
    return PowerLaw(
        exponent=float(slope),
        error=residual / math.sqrt(square),
        level=float(level),
        centre=float(centre),
        residual=residual,
        points=len(x),
    )


def fit_upper_half(sizes: Sequence[float], costs: Sequence[float]) -> PowerLaw:
    """Fit the larger half of the sizes, three at least.

    What a call costs whatever its size flattens the line at small sizes; further out the slope of
    the larger ones holds.
    """
    order = np.argsort(sizes)
    kept = order[-max(FEWEST, (len(order) + 1) // 2) :]
    return fit_power_law([sizes[k] for k in kept], [costs[k] for k in kept])
