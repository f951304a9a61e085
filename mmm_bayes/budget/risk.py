r"""Objectives over draws of the outcome: mean, quantile, CVaR, mean less deviation, Sharpe ratio.

The quantile and CVaR of draws are not differentiable where draws change order, so both are smoothed
by a logistic kernel of width ``h``. CVaR uses the form of Rockafellar and Uryasev,

.. math:: \max_a\; a - \frac{1}{q D} \sum_d h \log\bigl(1 + e^{(a - f_d) / h}\bigr),

where the auxiliary variable ``a`` is maximised exactly in every evaluation (the derivative in the
plan is then taken at the best ``a``). The quantile is the root of
:math:`\frac1D \sum_d \sigma((a - f_d) / h) = q`. As ``h`` goes to zero both become exact.

References
----------
Rockafellar and Uryasev (2000), Optimization of conditional value-at-risk, Journal of Risk 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from mmm_bayes.runtime.visible import shown_safely

Array = jax.Array
NDArray = np.ndarray[Any, Any]
Kind = Literal["mean", "quantile", "cvar", "mean_sd", "sharpe"]


@dataclass(frozen=True)
class Objective:
    """The objective over the draws of a plan's outcome.

    Attributes
    ----------
    kind
        ``"mean"``; ``"quantile"``; ``"cvar"``, the mean of the worst outcomes; ``"mean_sd"``, mean
        less ``risk_aversion`` standard deviations; ``"sharpe"``, mean over standard deviation.
    level
        Probability of the quantile, or share of worst outcomes in ``"cvar"``.
    risk_aversion
        Weight of the standard deviation in ``"mean_sd"``.
    """

    kind: Kind = "mean"
    level: float = 0.1
    risk_aversion: float = 1.0

    @property
    def is_smoothed(self) -> bool:
        """Whether the solver sees a smooth approximation."""
        return self.kind in ("quantile", "cvar")

    @shown_safely
    def __str__(self) -> str:
        names = {
            "mean": "the mean",
            "quantile": f"the {self.level:.0%} quantile",
            "cvar": f"the mean of the worst {self.level:.0%}",
            "mean_sd": f"the mean less {self.risk_aversion:g} standard deviations",
            "sharpe": "mean over standard deviation",
        }
        return names[self.kind]


def exact(objective: Objective, outcomes: NDArray) -> float:
    """Return the objective of outcomes (draw,), without smoothing."""
    f = np.asarray(outcomes, float)
    if objective.kind == "quantile":
        return float(np.quantile(f, objective.level))
    if objective.kind == "cvar":
        # Rockafellar and Uryasev's maximum is at a draw, and the next draw counts in part.
        worst = np.sort(f)
        share = objective.level * f.size
        whole = min(int(np.floor(share)), f.size - 1)
        return float((worst[:whole].sum() + (share - whole) * worst[whole]) / share)
    if objective.kind == "mean_sd":
        return float(f.mean() - objective.risk_aversion * f.std())
    if objective.kind == "sharpe":
        return float(f.mean() / max(f.std(), 1e-12 * max(abs(f.mean()), 1e-300)))
    return float(f.mean())


def smooth(objective: Objective, outcomes: Array, width: Array) -> Array:
    """Return the objective of outcomes (draw,), smoothed over ``width`` standard deviations."""
    f = outcomes
    if objective.kind == "mean":
        return f.mean()
    # The floor keeps the ratio finite where all draws agree.
    sd = jnp.sqrt(f.var() + 1e-24 * jnp.square(f.mean()) + 1e-300)
    if objective.kind == "mean_sd":
        return f.mean() - objective.risk_aversion * sd
    if objective.kind == "sharpe":
        return f.mean() / sd
    h = jax.lax.stop_gradient(width * sd)
    still = jax.lax.stop_gradient(f)
    a = _smoothed_quantile(still, h, objective.level)
    if objective.kind == "cvar":
        return a - h * jnp.mean(jax.nn.softplus((a - f) / h)) / objective.level
    near = jax.nn.sigmoid((a - still) / h)
    near = near * (1.0 - near)
    weight = near / jnp.maximum(near.sum(), 1e-300)
    # Implicit derivative of the root: each draw is weighted by its kernel there.
    return a + jnp.sum(weight * (f - still))


def _smoothed_quantile(f: Array, h: Array, level: float) -> Array:
    """Find the smoothed quantile by bisection."""
    reach = 40.0 * h
    start = (f.min() - reach, f.max() + reach)

    def halve(_: Any, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = 0.5 * (low + high)
        below = jnp.mean(jax.nn.sigmoid((middle - f) / h)) < level
        return jnp.where(below, middle, low), jnp.where(below, high, middle)

    low, high = jax.lax.fori_loop(0, 50, halve, start)
    return 0.5 * (low + high)
