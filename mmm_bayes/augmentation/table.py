"""Tables of augmentation: columns encoded as arrays of numbers, and rows decoded again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
import pandas as pd

from mmm_bayes.augmentation import kernels
from mmm_bayes.augmentation.table_checks import (
    Bandwidth,
    check_combination,
    check_table,
    unknown_choice,
)
from mmm_bayes.causal.causal_graph import CausalGraph
from mmm_bayes.data.frames import as_frame
from mmm_bayes.runtime.deprecation import named_arguments, old_name
from mmm_bayes.runtime.findings import DataError
from mmm_bayes.runtime.visible import shown_safely
from mmm_bayes.runtime.warn import warn_user

NDArray = np.ndarray[Any, Any]


class AugmentationWarning(UserWarning):
    """An augmentation is usable, but has a property that should be checked."""


@final
@dataclass(frozen=True)
class EncodedTable:
    """Columns of a table as numbers, in the order in which variables are drawn.

    Attributes
    ----------
    frame
        The table.
    nodes, columns
        Names of the variables in order, and of their columns. A variable has one column, or several
        that are copied together (a block).
    values
        Columns as numbers (column, row); categories are coded by their order of appearance.
    kernel
        Name of each column's kernel.
    bandwidth
        Bandwidth of each column at each row (column, row).
    levels
        Number of different values of each column.
    members
        Positions of each variable's columns.
    pillows
        Positions of the variables in each variable's Markov pillow.
    """

    frame: pd.DataFrame
    nodes: tuple[str, ...]
    columns: tuple[str, ...]
    values: NDArray
    kernel: tuple[str, ...]
    bandwidth: NDArray
    levels: NDArray
    members: tuple[tuple[int, ...], ...]
    pillows: tuple[tuple[int, ...], ...]

    @property
    def num_rows(self) -> int:
        """Number of rows of the table."""
        return len(self.frame)

    @property
    def node_of(self) -> NDArray:
        """Position of each column's variable."""
        result = np.zeros(len(self.columns), np.int32)
        for node, own in enumerate(self.members):
            result[list(own)] = node
        return result

    def pillow_columns(self, node: int) -> tuple[int, ...]:
        """Return the positions of the columns in a variable's Markov pillow."""
        return tuple(c for member in self.pillows[node] for c in self.members[member])

    def is_continuous(self, column: int) -> bool:
        """Tell whether a column holds real numbers."""
        return self.kernel[column] in kernels.CONTINUOUS

    def decode(self, row_index: NDArray, values: Mapping[int, NDArray] | None = None) -> Any:
        """Assemble rows from the training rows of their values (row, variable).

        ``values`` holds columns that are not copies of training values, by position.
        """
        result: dict[str, Any] = {}
        node_of = self.node_of
        for name in self.frame.columns:
            column = self.columns.index(str(name))
            own = (values or {}).get(column)
            series = self.frame[name]
            if own is not None:
                result[str(name)] = np.asarray(own, float)
            else:
                result[str(name)] = series.take(row_index[:, node_of[column]]).array
        return pd.DataFrame(result, columns=self.frame.columns)


@final
@dataclass(frozen=True)
class AugmentedData:
    """Weighted rows that follow a graph, made from a table.

    Attributes
    ----------
    frame
        The rows, in the columns of the table.
    row_index
        Position of the training row behind each value (row, variable): the row that it copies, is
        smoothed around, or has the residual of; -1 for a value drawn from an estimated density.
    weights
        Weight of each row; they sum to ``mass``.
    nodes
        Variables, in the order of the columns of ``row_index``.
    num_observed
        Number of rows of the training table.
    mass
        Total weight: one for methods that sample, less if enumeration drops rows with small
        weights.
    ess
        Kish's effective number of rows, ``sum(w)**2 / sum(w**2)``.
    method, settings
        Method and settings of the augmentation.
    """

    frame: pd.DataFrame
    row_index: NDArray
    weights: NDArray
    nodes: tuple[str, ...]
    num_observed: int
    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    n_observed = old_name("num_observed")

    @property
    def mass(self) -> float:
        """Total weight of the rows."""
        return float(self.weights.sum())

    @property
    def ess(self) -> float:
        """Kish's effective number of rows."""
        squares = float(np.sum(self.weights**2))
        return self.mass**2 / squares if squares > 0 else 0.0

    def __len__(self) -> int:
        return len(self.frame)

    @shown_safely
    def __repr__(self) -> str:
        return (
            f"AugmentedData({self.method}: {len(self)} rows from {self.num_observed} observed, "
            f"mass {self.mass:.3g}, ESS {self.ess:.1f}, {100 * self.share_observed:.0f}% of the "
            "weight on observed rows)"
        )

    @property
    def share_observed(self) -> float:
        """Share of the weight on rows whose values all come from one training row."""
        if not len(self):
            return 0.0
        same = (self.row_index == self.row_index[:, :1]).all(1) & (self.row_index[:, 0] >= 0)
        return float(self.weights[same].sum() / self.weights.sum())

    @named_arguments
    def combined(
        self, observed: pd.DataFrame, mixture: float = 0.5
    ) -> tuple[pd.DataFrame, NDArray]:
        r"""Combine observed and augmented rows, with weights that sum to the number of observed.

        An observed row has the weight :math:`1 - \mu`, an augmented one
        :math:`\mu\, n\, w_i / \sum w`, so that any weighted fit counts ``n`` rows in total.

        Parameters
        ----------
        observed
            The training table.
        mixture
            Share :math:`\mu` of the weight given to augmented rows. Without augmented rows,
            observed rows have weight one.

        Returns
        -------
        tuple
            The rows, observed first, and their weights.

        Raises
        ------
        DataError
            If the mixture is not between 0 and 1, or the columns differ.
        """
        observed = observed.rename(columns=str)
        findings = check_combination(self.frame, observed, mixture)
        if findings:
            raise DataError(findings, "the rows to combine")
        if not len(self) or mixture == 0.0:
            return observed.reset_index(drop=True), np.ones(len(observed))
        frame = pd.concat([observed, self.frame], ignore_index=True)
        own = np.full(len(observed), 1.0 - mixture)
        extra = mixture * len(observed) * self.weights / self.weights.sum()
        return frame, np.concatenate([own, extra])

    @named_arguments
    def training_set(
        self, observed: pd.DataFrame, target: str, mixture: float = 0.5
    ) -> tuple[pd.DataFrame, pd.Series[Any], NDArray]:
        """Return predictors, target and weights of :meth:`combined`, for any weighted regression.

        Rows of weight zero are left out.

        Examples
        --------
        Use ``model.fit(X, y, sample_weight=w)`` with XGBoost and scikit-learn, and
        ``sm.WLS(y, sm.add_constant(X), weights=w).fit()`` with statsmodels.
        """
        observed = observed.rename(columns=str)
        if target not in observed.columns:
            unknown = unknown_choice("column", target, list(map(str, observed.columns)))
            findings = check_combination(self.frame, observed, mixture)
            raise DataError([unknown, *findings], "the rows to combine")
        frame, weights = self.combined(observed, mixture)
        kept = weights > 0
        frame, weights = frame[kept], weights[kept]
        return frame.drop(columns=target), frame[target], weights


def encode(
    frame: pd.DataFrame,
    graph: CausalGraph,
    *,
    kernel: str | Mapping[str, str],
    bandwidth: Bandwidth,
    bandwidth_scale: float,
    order: Sequence[str] | None,
    blocks: Mapping[str, Sequence[str]] | None,
) -> EncodedTable:
    """Check a table against a graph and encode it as arrays.

    Raises
    ------
    DataError
        Listing every column, setting and cell that cannot be used.
    """
    frame = as_frame(frame).rename(columns=str)
    grouped = {name: tuple(columns) for name, columns in (blocks or {}).items()}
    visiting = graph.topological_order() if order is None else graph.check_order(tuple(order))
    findings = check_table(frame, graph, grouped, kernel, bandwidth, bandwidth_scale)
    if findings:
        raise DataError(findings, "the table to augment")
    members: list[tuple[int, ...]] = []
    columns: list[str] = []
    for node in visiting:
        own = grouped.get(node, (node,))
        members.append(tuple(range(len(columns), len(columns) + len(own))))
        columns += own
    values = np.stack([_numbers(frame[name]) for name in columns])
    chosen = [_kernel_of(frame[name], name, kernel) for name in columns]
    levels = np.array([len(np.unique(x)) for x in values], float)
    widths = np.stack(
        [
            np.minimum(
                _bandwidth_of(x, name, own, bandwidth) * bandwidth_scale,
                kernels.largest_bandwidth(own, count),
            )
            for x, name, own, count in zip(values, columns, chosen, levels, strict=True)
        ]
    )
    pillows = tuple(
        tuple(visiting.index(u) for u in pillow)
        for _, pillow in graph.topological_factorization(visiting)
    )
    return EncodedTable(
        frame, visiting, tuple(columns), values, tuple(chosen), widths, levels,
        tuple(members), pillows,
    )  # fmt: skip


def is_discrete(series: pd.Series[Any]) -> bool:
    """Tell whether values of a column have to match exactly: integers, booleans, categories."""
    kind = series.dtype
    return not pd.api.types.is_float_dtype(kind)


def warn_of_lost_mass(mass: float, threshold: float) -> None:
    """Warn if enumeration dropped more than half of the probability."""
    if mass < 0.5:
        warn_user(
            f"Enumeration kept {100 * mass:.1f}% of the probability at threshold={threshold:g}: "
            "the rows no longer represent the graph's distribution. Use method='sample' (no "
            "threshold) or method='resample' (probability one in expectation), or lower the "
            "threshold; each variable without parents divides all weights by the number of rows.",
            AugmentationWarning,
        )


def _numbers(series: pd.Series[Any]) -> NDArray:
    if pd.api.types.is_numeric_dtype(series.dtype):
        return series.to_numpy(dtype=float)
    return pd.factorize(series)[0].astype(float)


def _kernel_of(series: pd.Series[Any], name: str, kernel: str | Mapping[str, str]) -> str:
    asked = kernel.get(name) if isinstance(kernel, Mapping) else None
    if asked is not None:
        return asked
    if is_discrete(series):
        return "indicator"
    return kernel if isinstance(kernel, str) else "gaussian"


def _bandwidth_of(x: NDArray, name: str, kernel: str, bandwidth: Bandwidth) -> NDArray:
    if isinstance(bandwidth, Mapping):
        if name in bandwidth:
            return np.full(len(x), float(bandwidth[name]))
        return kernels.bandwidth_of(x, kernel, "normal_reference")
    if isinstance(bandwidth, str):
        return kernels.bandwidth_of(x, kernel, bandwidth)
    own = kernel in kernels.CONTINUOUS
    return np.full(len(x), float(bandwidth)) if own else kernels.bandwidth_of(x, kernel, "")
