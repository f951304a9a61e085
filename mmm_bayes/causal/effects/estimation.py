"""Value, influence function and bootstrap draws of one design."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmm_bayes.causal.check.long_run import mean_error
from mmm_bayes.causal.effects.dowhy_effects import DoWhyEffect
from mmm_bayes.causal.effects.estimate import EffectEstimate, EffectSettings
from mmm_bayes.causal.effects.estimators import ESTIMATORS, Design, Fitted
from mmm_bayes.causal.effects.regression import block_length, block_rows, wild_multipliers

NDArray = np.ndarray[Any, Any]


def estimate_design(design: Design, settings: EffectSettings) -> tuple[float, NDArray, Fitted]:
    """Return the value, its influence function (row,) and the fit of a design, without draws."""
    fitted = ESTIMATORS[settings.estimator](design)
    slope = _gradient(fitted, design, settings)
    value = float(_change(fitted, fitted.parameters, design, settings))
    if settings.estimator.startswith("backdoor."):
        model = DoWhyEffect(design, settings.estimator)
        one, other = _doses(design, settings)
        value = model.mean_change(one, other) * design.num_rows / _units(design, settings)
    return value, fitted.influence @ slope, fitted


def value_of(estimate: EffectEstimate, parameters: NDArray) -> float:
    """Return the value of an estimate at the given parameters (p,) of its fit, on its own rows."""
    if estimate.fitted is None or estimate.design is None:
        raise ValueError("The estimate was made without its arrays.")
    return float(_change(estimate.fitted, parameters, estimate.design, estimate.settings))


def robust_error(influence: NDArray, design: Design, dof: float) -> tuple[float, float]:
    """Return the standard error and its degrees of freedom from the influence function (row,)."""
    count = design.num_rows
    found = mean_error(count * influence, design.dates, spent=count - dof)
    return found.error, found.dof


def bootstrap_draws(
    rng: np.random.Generator,
    design: Design,
    fitted: Fitted,
    influence: NDArray,
    error: float,
    dof: float,
    settings: EffectSettings,
) -> tuple[NDArray, NDArray]:
    """Return bootstrap draws of the parameters (draw, p) and of the value (draw,).

    ``influence`` (row,), ``error`` and ``dof`` are the influence function, standard error and
    degrees of freedom of the value.
    """
    if settings.bootstrap == "blocks":
        steps = _block_steps(rng, design, fitted, settings.num_draws)
    else:
        steps = _wild_steps(rng, design, fitted, settings.num_draws, influence, error)
        if dof > 2:
            steps *= np.sqrt(dof / rng.chisquare(dof, settings.num_draws))[:, None]
    parameters = fitted.parameters + steps
    return parameters, _change(fitted, parameters, design, settings)


def _block_steps(rng: np.random.Generator, design: Design, fitted: Fitted, count: int) -> NDArray:
    """Return the deviations (draw, p) of refits to resampled blocks of dates."""
    from scipy.stats import norm, t

    num_dates = int(design.dates.max()) + 1
    length = block_length(num_dates)
    refits = [
        fitted.refit(design.select(block_rows(rng, design.dates, length))) for _ in range(count)
    ]
    # With few blocks, the variance is too small by the factor (blocks - 1) / blocks, and its own
    # uncertainty calls for quantiles of Student's t.
    blocks = max(num_dates / length, 2.0)
    wide = np.sqrt(blocks / (blocks - 1.0)) * t.ppf(0.95, blocks - 1.0) / norm.ppf(0.95)
    return wide * (np.stack(refits) - fitted.parameters)


def _wild_steps(
    rng: np.random.Generator,
    design: Design,
    fitted: Fitted,
    count: int,
    influence: NDArray,
    error: float,
) -> NDArray:
    """Return wild-bootstrap deviations (draw, p), scaled to the robust standard error."""
    num_dates = int(design.dates.max()) + 1
    length = block_length(num_dates)
    multipliers = wild_multipliers(rng, count, num_dates, length)[:, design.dates]
    # Exact standard deviation of the value under the covariance of the multipliers.
    window = np.maximum(0.0, 1.0 - np.arange(num_dates) / length)
    series = np.bincount(design.dates, weights=influence)
    own = np.correlate(series, series, "full")[num_dates - 1 :]
    spread = np.sqrt(max(own[0] + 2.0 * window[1:] @ own[1:], 1e-300))
    return (error / spread) * (multipliers @ fitted.influence)


def _doses(design: Design, settings: EffectSettings) -> tuple[NDArray, NDArray]:
    if settings.contrast == "per_unit":
        return design.dose, design.more
    return design.off, design.dose


def _units(design: Design, settings: EffectSettings) -> float:
    return float(design.extra.sum()) if settings.contrast == "per_unit" else 1.0


def _change(
    fitted: Fitted, parameters: NDArray, design: Design, settings: EffectSettings
) -> NDArray:
    one, other = _doses(design, settings)
    return fitted.change(parameters, one, other, design).sum(-1) / _units(design, settings)


def _gradient(fitted: Fitted, design: Design, settings: EffectSettings) -> NDArray:
    """Return the derivative (p,) of the value with respect to the parameters."""
    count = len(fitted.parameters)
    if fitted.linear:
        return _change(fitted, np.eye(count), design, settings)
    size = np.abs(fitted.influence).sum(0)
    steps = 1e-4 * np.diag(np.where(size > 0, size, 1e-8))
    up = _change(fitted, fitted.parameters + steps, design, settings)
    down = _change(fitted, fitted.parameters - steps, design, settings)
    return (up - down) / (2.0 * np.diag(steps))
