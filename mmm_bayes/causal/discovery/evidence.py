"""The evidence of a table on one edge, given the other causes of its effect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.polynomial import legendre

from mmm_bayes.causal.check.variables import NodeTable
from mmm_bayes.causal.discovery.score import fitted_set

NDArray = np.ndarray[Any, Any]

_DEGREE = 4


@final
@dataclass(frozen=True)
class Evidence:
    """Evidence on one cause of a node, given the others.

    Attributes
    ----------
    log_evidence : float
        Increase of the node's log score when the cause is added (natural logarithm of a Bayes
        factor).
    strength : float
        Share of the node's variance that is explained only if the cause is included.
    p_value : float
        p-value of the test that the cause has no effect given the other causes.
    """

    log_evidence: float
    strength: float
    p_value: float


def evidence_of(
    table: NodeTable, cause: str, effect: str, others: Sequence[str], sample_ratio: float
) -> Evidence:
    """Measure the evidence for one cause of a node, given its other causes.

    The F test compares regressions with and without polynomials of the cause (polynomials of
    its ranks up to degree 4, and the values themselves). It counts ``sample_ratio`` times the
    number of rows, because rows close in time are correlated.

    Parameters
    ----------
    table : NodeTable
        The table, in which ``effect`` must have a single column.
    cause, effect : str
        The two nodes of the edge.
    others : sequence of str
        Other causes of the effect.
    sample_ratio : float
        Effective sample ratio: effective over actual number of rows.
    """
    others = [name for name in others if name != cause]
    with_it, residual = fitted_set(table, effect, [*others, cause])
    without, before = fitted_set(table, effect, others)
    spread = float(np.var(table.columns[effect]))
    total = float(np.var(before) - np.var(residual)) if spread > 0 else 0.0
    return Evidence(
        sample_ratio * (with_it - without),
        max(total, 0.0),
        _f_test(table, cause, effect, others, sample_ratio),
    )


def _f_test(
    table: NodeTable, cause: str, effect: str, others: Sequence[str], sample_ratio: float
) -> float:
    from scipy.stats import f

    wanted = table.vector(effect)
    base = np.column_stack([np.ones((len(wanted), 1)), *(_basis(table, v) for v in others)])
    full = np.column_stack([base, _basis(table, cause)])
    least, less = _squares(base, wanted), _squares(full, wanted)
    rank, more = np.linalg.matrix_rank(base), np.linalg.matrix_rank(full)
    spare = sample_ratio * len(wanted) - more
    if more == rank or spare < 1.0:
        return 1.0
    ratio = (least - less) / (more - rank) / max(less / spare, 1e-12)
    return float(f.sf(ratio, more - rank, spare))


def _basis(table: NodeTable, node: str) -> NDArray:
    columns = table.columns[node]
    if columns.shape[1] > 1:
        return columns
    order = np.argsort(np.argsort(columns[:, 0], kind="stable"), kind="stable")
    ranks = (2.0 * order + 1.0) / len(order) - 1.0
    spread = columns.std(0)
    values = (columns - columns.mean(0)) / np.where(spread > 0, spread, 1.0)
    return np.column_stack([legendre.legvander(ranks, _DEGREE)[:, 1:], values])


def _squares(design: NDArray, wanted: NDArray) -> float:
    fitted = design @ np.linalg.lstsq(design, wanted, rcond=None)[0]
    return float(((wanted - fitted) ** 2).sum())
