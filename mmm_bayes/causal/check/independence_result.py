"""What a test of a conditional independence finds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple, final

import numpy as np

NDArray = np.ndarray[Any, Any]


class Part(NamedTuple):
    """One of the things that a test looks at.

    Attributes
    ----------
    name : str
        What it is, such as ``"x and y"`` or ``"past of x and y"``.
    p_value, correlation : float
        What it says, and the partial correlation behind it.
    """

    name: str
    p_value: float
    correlation: float


@final
@dataclass(frozen=True)
class IndependenceResult:
    """A test of :math:`X` and :math:`Y` being independent given :math:`Z`.

    Attributes
    ----------
    test : str
        Name of the test.
    statistic, p_value : float
        The smaller the p-value, the louder the objection to independence.
    effect : float
        How strongly they hang together: the partial correlation from -1 to 1, for
        ``"chi_squared"`` Cramer's V from 0 to 1, for ``"kernel"`` the share of the residual
        features' covariance from 0 to 1.
    interval : (float, float)
        95% interval of the partial correlation; not numbers for the other tests.
    n : int
        Rows that were used.
    n_effective : float
        Independent rows that would say as much.
    parts : tuple of Part
        What the test looked at, one a name.
    notes : tuple of str
        What to keep in mind.
    """

    test: str
    statistic: float
    p_value: float
    effect: float
    n: int
    n_effective: float
    interval: tuple[float, float] = (float("nan"), float("nan"))
    parts: tuple[Part, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def loudest(self) -> str:
        """What of the parts speaks most against independence."""
        return min(self.parts, key=lambda part: part.p_value).name if self.parts else ""

    def __str__(self) -> str:
        low, high = self.interval
        span = f" ({low:.2f} to {high:.2f})" if np.isfinite(low) else ""
        text = f"{self.test}: effect {self.effect:.2f}{span}, p = {self.p_value:.3g}, n = {self.n}"
        return "\n".join([text, *self.notes])


def nothing_left(test: str, n: int, which: str) -> IndependenceResult:
    """Result where a variable has no variation of its own, so that nothing can object."""
    note = f"{which} has no variation left given the others: the data cannot object."
    return IndependenceResult(test, 0.0, 1.0, 0.0, n, 0.0, (-1.0, 1.0), (), (note,))
