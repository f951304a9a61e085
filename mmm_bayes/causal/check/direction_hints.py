"""Hints about edge directions that no independence determines, each with its own assumption."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmm_bayes.causal.check.generalised_covariance import standardised
from mmm_bayes.causal.check.independence_result import IndependenceResult
from mmm_bayes.causal.check.kernel_independence import kernel_test
from mmm_bayes.causal.check.smooth import normal_scores, smoother
from mmm_bayes.causal.check.variables import NodeTable

NDArray = np.ndarray[Any, Any]

# A hint requires that one direction fits (p > _FITS) and the other clearly fails (p < _FAILS).
_FITS, _FAILS = 0.05, 0.01


def additive_noise_hint(
    table: NodeTable, cause: str, effect: str, given: tuple[str, ...] = ()
) -> str:
    r"""Find a hint from additive noise: the noise of an effect is independent of its cause.

    Let :math:`y = f(x, z) + e` with noise independent of :math:`x`. Unless everything is linear and
    Gaussian, a regression in the opposite direction usually has residuals that depend on :math:`y`
    (Hoyer et al. 2009). The hint assumes additive noise, no hidden common cause, and independent
    rows.

    Parameters
    ----------
    table : NodeTable
        Table of the nodes, with one column per node.
    cause, effect : str
        The edge.
    given : tuple of str
        Other causes of the effect.

    Returns
    -------
    str
        The hint, or an empty string if both directions fit, or neither.

    References
    ----------
    P. O. Hoyer, D. Janzing, J. M. Mooij, J. Peters and B. Scholkopf (2009), Nonlinear causal
    discovery with additive noise models. NeurIPS 21.
    """
    ends = [standardised(table.columns[name]) for name in (cause, effect)]
    if any(own.shape[1] != 1 for own in ends):
        return ""
    others = standardised(table.matrix(given))
    forward = _noise_is_free(ends[1], ends[0], others)
    backward = _noise_is_free(ends[0], ends[1], others)
    for name, one, other in (
        (f"{cause} -> {effect}", forward, backward),
        (f"{effect} -> {cause}", backward, forward),
    ):
        if one > _FITS and other < _FAILS:
            return (
                f"if noise is additive, the data support {name} (p = {one:.2g} for noise "
                f"independent of the cause; p = {other:.2g} in the reverse direction)"
            )
    return ""


def time_order_hint(result: IndependenceResult, cause: str, effect: str, x: str) -> str:
    """Find a hint from time order: the past of a cause predicts its effect, but not vice versa.

    Parameters
    ----------
    result : IndependenceResult
        Test of the edge on dated rows.
    cause, effect : str
        The edge.
    x : str
        The node that is x in the test.
    """
    parts = {part.name: part.p_value for part in result.parts}
    ahead, behind = parts.get("past of x and y"), parts.get("past of y and x")
    if ahead is None or behind is None:
        return ""
    if x != cause:
        ahead, behind = behind, ahead
    for first, second, one, other in (
        (cause, effect, ahead, behind),
        (effect, cause, behind, ahead),
    ):
        if one < _FAILS and other > _FITS:
            return f"the past of {first} predicts {second}, but not vice versa"
    return ""


def _noise_is_free(effect: NDArray, cause: NDArray, others: NDArray) -> float:
    """Return the p-value of independence between the effect's residuals and the cause."""
    columns = np.concatenate([cause, others], axis=1)
    linear = np.concatenate([np.ones_like(cause), columns, normal_scores(columns)], axis=1)
    left, _ = smoother(linear, columns).residuals(effect)
    return kernel_test(left, cause, cause[:, :0], lags=0).p_value
