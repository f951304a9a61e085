"""Tests of conditional independence, by name."""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np

from mmm_bayes.causal.check.contingency import chi_squared
from mmm_bayes.causal.check.generalised_covariance import (
    generalised_covariance,
    partial_correlation,
)
from mmm_bayes.causal.check.independence_result import IndependenceResult
from mmm_bayes.causal.check.kernel_independence import kernel_test
from mmm_bayes.causal.check.variables import NodeTable

NDArray = np.ndarray[Any, Any]

__all__ = ["TESTS", "IndependenceResult", "IndependenceTest", "independence", "independence_test"]


class IndependenceTest(Protocol):
    """A test of columns ``x`` (row, k) and ``y`` (row, l) given ``z`` (row, m), m from 0.

    ``dates`` and ``geos`` are those of the rows, rows of a geo in order of their dates.
    """

    def __call__(
        self, x: NDArray, y: NDArray, z: NDArray, *, dates: Any = None, geos: Any = None
    ) -> IndependenceResult:
        """Test ``x`` and ``y`` given ``z``."""
        ...


TESTS: MappingProxyType[str, IndependenceTest] = MappingProxyType(
    {
        "gcm": generalised_covariance,
        "partial_correlation": partial_correlation,
        "chi_squared": chi_squared,
        "kernel": kernel_test,
    }
)
"""Tests by name; use ``"gcm"`` unless there is a reason for another."""


def independence_test(test: str | IndependenceTest) -> IndependenceTest:
    """Return a test by its name, or the callable as it is.

    Raises
    ------
    ValueError
        If there is no test of this name.
    """
    if callable(test):
        return test
    if test not in TESTS:
        raise ValueError(f"test should be one of {', '.join(TESTS)} or a callable; got {test!r}.")
    return TESTS[test]


def independence(
    table: NodeTable,
    x: str,
    y: str,
    given: Iterable[str] = (),
    *,
    test: str | IndependenceTest = "gcm",
    **settings: Any,
) -> IndependenceResult:
    """Test whether two nodes of a table are independent given others.

    Parameters
    ----------
    table : NodeTable
        Of :func:`mmm_bayes.causal.check.variables.node_table`.
    x, y : str
        Nodes.
    given : iterable of str
        Nodes that are given.
    test : str or callable
        A name in :data:`TESTS`, or a test.
    **settings
        Further arguments of the test, such as ``lags``.

    Examples
    --------
    >>> import pandas as pd
    >>> from mmm_bayes.causal.check.variables import node_table
    >>> rng = np.random.default_rng(0)
    >>> tv = rng.normal(size=300)
    >>> search = tv + rng.normal(size=300)
    >>> sales = search + rng.normal(size=300)
    >>> frame = pd.DataFrame({"tv": tv, "search": search, "sales": sales})
    >>> table = node_table(frame, list(frame))
    >>> independence(table, "tv", "sales").p_value < 0.001
    True
    >>> independence(table, "tv", "sales", ["search"]).p_value > 0.05
    True
    """
    run = independence_test(test)
    return run(
        table.columns[x],
        table.columns[y],
        table.matrix(given),
        dates=table.dates,
        geos=table.geos,
        **settings,
    )
