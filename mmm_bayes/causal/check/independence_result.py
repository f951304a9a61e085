"""The result of a test of conditional independence."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple, final

import numpy as np

from mmm_bayes.runtime.deprecation import old_name
from mmm_bayes.runtime.visible import shown_safely

NDArray = np.ndarray[Any, Any]


class Part(NamedTuple):
    """One part of a test.

    Attributes
    ----------
    name : str
        Name of the part, such as ``"x and y"`` or ``"past of x and y"``.
    p_value, correlation : float
        P-value of the part, and the partial correlation that it tests.
    """

    name: str
    p_value: float
    correlation: float


@final
@dataclass(frozen=True)
class IndependenceResult:
    """The result of a test that :math:`X` and :math:`Y` are independent given :math:`Z`.

    Attributes
    ----------
    test : str
        Name of the test.
    statistic, p_value : float
        Test statistic and p-value. A small p-value is evidence against independence.
    effect : float
        Strength of the dependence: the partial correlation from -1 to 1; for ``"chi_squared"``
        Cramer's V from 0 to 1; for ``"kernel"`` the root mean square correlation of the residual
        features from 0 to 1.
    interval : (float, float)
        95% interval of the partial correlation; NaN for the other tests.
    n : int
        Number of rows used.
    effective_sample_size : float
        Number of independent rows with the same information.
    parts : tuple of Part
        Parts of the test, one per name.
    notes : tuple of str
        Caveats of the result.
    """

    test: str
    statistic: float
    p_value: float
    effect: float
    n: int
    effective_sample_size: float
    interval: tuple[float, float] = (float("nan"), float("nan"))
    parts: tuple[Part, ...] = ()
    notes: tuple[str, ...] = field(default=())

    n_effective = old_name("effective_sample_size")

    @property
    def loudest(self) -> str:
        """Name of the part with the strongest evidence against independence."""
        return min(self.parts, key=lambda part: part.p_value).name if self.parts else ""

    @shown_safely
    def __str__(self) -> str:
        low, high = self.interval
        span = f" ({low:.2f} to {high:.2f})" if np.isfinite(low) else ""
        text = f"{self.test}: effect {self.effect:.2f}{span}, p = {self.p_value:.3g}, n = {self.n}"
        return "\n".join([text, *self.notes])


def nothing_left(test: str, n: int, which: str) -> IndependenceResult:
    """Return the result for a variable without variation of its own, which gives no evidence."""
    note = (
        f"{which} has no variation left given the others, so there is no evidence against "
        "independence."
    )
    return IndependenceResult(test, 0.0, 1.0, 0.0, n, 0.0, (-1.0, 1.0), (), (note,))
