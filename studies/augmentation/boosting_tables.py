"""Tables that boosted trees are fitted to: weighted rows, and folds of the observed ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, final

import numpy as np
import pandas as pd

NDArray = np.ndarray[Any, Any]


class WeightedTable(Protocol):
    """Augmented rows: columns by name, and a weight per row of any sum."""

    @property
    def frame(self) -> pd.DataFrame:
        """The rows."""
        ...

    @property
    def weights(self) -> NDArray:
        """(rows,) not negative."""
        ...


@final
@dataclass(frozen=True)
class AugmentedFold:
    """One fold of the observed rows.

    Attributes
    ----------
    held_out : numpy.ndarray
        Positions of the rows to predict.
    augmented : WeightedTable
        Augmentation of all *other* observed rows, and of them only.
    """

    held_out: NDArray
    augmented: WeightedTable
