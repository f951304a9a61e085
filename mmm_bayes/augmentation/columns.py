"""Columns of a variable or of its Markov pillow as arrays, with their kernels and bandwidths."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mmm_bayes.augmentation import kernels

NDArray = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Columns:
    """Columns of a pillow, or of a variable: values (column, row), kernels and bandwidths."""

    values: NDArray
    kernel: tuple[str, ...]
    bandwidth: NDArray
    levels: NDArray

    @property
    def is_continuous(self) -> NDArray:
        """Whether each column holds real numbers (column,)."""
        return np.array([name in kernels.CONTINUOUS for name in self.kernel], bool)

    def rows(self, index: NDArray) -> Columns:
        """Select rows."""
        return replace(self, values=self.values[:, index], bandwidth=self.bandwidth[:, index])

    def scaled(self, factor: float) -> Columns:
        """Multiply the bandwidths of continuous columns."""
        wide = np.where(self.is_continuous[:, None], factor * self.bandwidth, self.bandwidth)
        return replace(self, bandwidth=wide)
