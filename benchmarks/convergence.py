"""Compare our convergence statistics with those of arviz-stats: time, and agreement.

R-hat, bulk and tail effective draws of all quantities of a posterior. ArviZ loops over quantities
and, in the effective sizes, over lags; chains that mix slowly need many lags.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import record

SIZES = ((64, 4, 1000), (300, 4, 1000), (64, 4, 250))
MIXING = {"independent": 0.0, "slow (0.95)": 0.95}


def draws(size: tuple[int, int, int], coefficient: float) -> np.ndarray:
    """Simulate first-order autoregressions (quantity, chain, draw) of unit variance."""
    x = np.random.default_rng(1).normal(size=size)
    for t in range(1, size[-1]):
        x[..., t] = coefficient * x[..., t - 1] + np.sqrt(1 - coefficient**2) * x[..., t]
    return x


def by_arviz(x: np.ndarray) -> tuple[Any, Any, Any]:
    """Compute the three statistics with arviz-stats."""
    from arviz_stats.base.array import array_stats

    return (
        array_stats.rhat(x),
        array_stats.ess(x),
        array_stats.ess(x, method="tail", prob=(0.05, 0.95)),
    )


def cpu(run: Callable[[], Any], repeats: int) -> tuple[Any, float]:
    """Return the result and the least CPU milliseconds of a few repeats."""
    least, result = np.inf, None
    for _ in range(repeats):
        before = time.process_time()
        result = run()
        least = min(least, time.process_time() - before)
    return result, 1e3 * least


def main() -> None:
    """Print the table."""
    from mmm_bayes.inference.convergence import convergence

    options = record.parser("Convergence statistics: ours and those of arviz-stats.")
    options.add_argument("--repeats", type=int, default=3, help="of which the quickest counts")
    given = options.parse_args()
    rows = []
    for size in SIZES:
        for name, coefficient in MIXING.items():
            x = draws(size, coefficient)
            ours, own = cpu(lambda x=x: convergence(x), given.repeats)
            theirs, peer = cpu(lambda x=x: by_arviz(x), given.repeats)
            gap = max(float(np.abs(a / b - 1).max()) for a, b in zip(ours, theirs, strict=True))
            label = f"{size[0]} quantities, {size[1]} x {size[2]} draws, {name}"
            rows.append([label, own, peer, peer / own, gap])
    header = ["", "ours, CPU ms", "arviz-stats, CPU ms", "ratio", "largest relative difference"]
    record.publish(
        "convergence",
        "Convergence statistics",
        [
            "R-hat, bulk and tail effective draws of autoregressions; the least of "
            f"{given.repeats} repeats.",
            record.table(header, rows),
        ],
        given.write,
    )


if __name__ == "__main__":
    main()
