"""Tests of conditional independence, by name."""

from __future__ import annotations

import inspect
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
from mmm_bayes.runtime.deprecation import renamed
from mmm_bayes.runtime.findings import listing

NDArray = np.ndarray[Any, Any]

__all__ = ["TESTS", "IndependenceResult", "IndependenceTest", "independence", "independence_test"]


class IndependenceTest(Protocol):
    """A test of columns ``x`` (row, k) and ``y`` (row, l) given ``z`` (row, m), with m >= 0.

    ``dates`` and ``geos`` give the date and geo of each row; rows of a geo are in order of dates.
    """

    def __call__(
        self, x: NDArray, y: NDArray, z: NDArray, *, dates: Any = None, geos: Any = None
    ) -> IndependenceResult:
        """Test whether ``x`` and ``y`` are independent given ``z``."""
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
    """Return the test with the given name; return a callable unchanged.

    Raises
    ------
    ValueError
        If no test has this name.
    """
    if callable(test):
        return test
    if test not in TESTS:
        raise ValueError(f"test should be one of {', '.join(TESTS)} or a callable; got {test!r}.")
    return TESTS[test]


def settings_for(run: IndependenceTest, **given: Any) -> dict[str, Any]:
    """Return the settings given for a test, without those that are None.

    Raises
    ------
    ValueError
        If a given setting is not an argument of the test.
    """
    settings = {name: value for name, value in given.items() if value is not None}
    known = inspect.signature(run).parameters
    if any(one.kind is one.VAR_KEYWORD for one in known.values()):
        return settings
    if unknown := [name for name in settings if name not in known]:
        named = getattr(run, "__name__", "this test")
        own = [name for name in given if name in known]
        raise ValueError(
            f"{named} has no setting {listing(unknown)}. Of these settings, it has "
            f"{listing(own) or 'none'}."
        )
    return settings


@renamed(features="num_features", permutations="num_permutations", seed="rng_key")
def independence(
    table: NodeTable,
    x: str,
    y: str,
    given: Iterable[str] = (),
    *,
    test: str | IndependenceTest = "gcm",
    lags: int | str | None = None,
    bins: int | None = None,
    most_strata: int | None = None,
    num_features: int | None = None,
    num_permutations: int | None = None,
    rng_key: Any = None,
) -> IndependenceResult:
    """Test whether two nodes of a table are independent given other nodes.

    Parameters
    ----------
    table : NodeTable
        Table returned by :func:`mmm_bayes.causal.check.variables.node_table`.
    x, y : str
        Nodes to test.
    given : iterable of str
        Nodes to condition on.
    test : str or callable
        Name in :data:`TESTS`, or a test function.
    lags, bins, most_strata, num_features, num_permutations, rng_key
        Arguments of the test. Default: the defaults of the test.

    Raises
    ------
    ValueError
        If the test is unknown, or does not have a given argument.

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
    settings = settings_for(
        run,
        lags=lags,
        bins=bins,
        most_strata=most_strata,
        num_features=num_features,
        num_permutations=num_permutations,
        rng_key=rng_key,
    )
    return run(
        table.columns[x],
        table.columns[y],
        table.matrix(given),
        dates=table.dates,
        geos=table.geos,
        **settings,
    )
