"""Scores of probabilistic forecasts: draws against observations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

NDArray = np.ndarray[Any, Any]

LEVELS = (0.5, 0.9)


def crps(draws: NDArray, observed: NDArray) -> NDArray:
    r"""Compute the continuous ranked probability score from draws, in units of the target.

    This is the fair form, whose expectation does not depend on the number of draws ``m``,

    .. math:: \frac{1}{m} \sum_i |x_i - y| - \frac{1}{2 m (m - 1)} \sum_{i, j} |x_i - x_j|.

    Parameters
    ----------
    draws
        Draws (draw, ...), at least two.
    observed
        Observations (...).

    Returns
    -------
    numpy.ndarray
        Scores (...); smaller is better. For a point forecast it is the absolute error.

    References
    ----------
    Gneiting and Raftery (2007), Strictly proper scoring rules, JASA 102, eq. 21; Ferro (2014), Fair
    scores for ensemble forecasts, QJRMS 140.

    Examples
    --------
    >>> float(crps(np.array([0.0, 2.0]), np.array(1.0)))
    0.0
    """
    ordered = np.sort(np.asarray(draws, float), axis=0)
    m = len(ordered)
    # The sum over pairs of a sorted sample: sum_i (2 i - m - 1) x_i, counted from 1.
    weight = 2.0 * np.arange(1, m + 1) - m - 1.0
    spread = np.tensordot(weight, ordered, axes=1) / (m * (m - 1.0))
    return np.abs(ordered - observed).mean(0) - spread


def probability_integral(draws: NDArray, observed: NDArray) -> NDArray:
    """Compute the share of draws (draw, ...) below the observations (...), ties counted half."""
    return (draws < observed).mean(0) + 0.5 * (draws == observed).mean(0)


def score_table(
    draws: NDArray, naive: NDArray, observed: NDArray, scale: NDArray, index: pd.DataFrame
) -> pd.DataFrame:
    """Score every forecast of a fold, one row each.

    Parameters
    ----------
    draws, naive
        Draws (draw, geo, step) of the model and of the seasonal naive forecast.
    observed
        Observations (geo, step).
    scale
        Mean absolute error (geo,) of the seasonal naive within the training rows.
    index
        Labels of the rows, in the order of ``observed.ravel()``.
    """
    median, mean = np.median(draws, 0), draws.mean(0)
    pit = probability_integral(draws, observed)
    columns = {
        "observed": observed,
        "median": median,
        "mean": mean,
        "crps": crps(draws, observed),
        "crps_naive": crps(naive, observed),
        "naive": np.median(naive, 0),
        "pit": pit,
        "scaled_error": np.abs(observed - median) / scale[:, None],
    }
    for level in LEVELS:
        tail = 0.5 * (1.0 - level)
        low, high = np.quantile(draws, [tail, 1.0 - tail], axis=0)
        name = f"{100 * level:.0f}"
        columns |= {f"lower_{name}": low, f"upper_{name}": high}
        columns[f"within_{name}"] = (observed >= low) & (observed <= high)
    return index.assign(**{name: values.ravel() for name, values in columns.items()})


def summarise(table: pd.DataFrame, by: list[str] | None = None) -> pd.DataFrame:
    """Average the scores over all rows, or by columns.

    Returns
    -------
    pandas.DataFrame
        ``n``, the number of forecasts; ``mape`` (without observed zeros); ``wape``, absolute errors
        of the medians relative to the observed total; ``rmse`` of the means; ``mase``, errors
        relative to those of the seasonal naive within the training rows; ``crps`` and
        ``crps_naive`` in units of the target, ``skill = 1 - crps / crps_naive``; ``coverage_50``
        and ``coverage_90``; ``width_90`` relative to the mean observed target.
    """
    if not by:
        return pd.DataFrame([_averages(table)], index=pd.Index(["all"], name="forecasts"))
    keys, rows = zip(
        *((k, _averages(own)) for k, own in table.groupby(by, sort=False)), strict=True
    )
    labels = pd.DataFrame(list(keys), columns=by)
    return pd.DataFrame(list(rows), index=pd.MultiIndex.from_frame(labels)).pipe(_flat)


def _flat(found: pd.DataFrame) -> pd.DataFrame:
    """Turn a one-level ``MultiIndex`` into a plain index."""
    if found.index.nlevels > 1:
        return found
    return found.set_axis(found.index.get_level_values(0), axis=0)


def _averages(table: pd.DataFrame) -> dict[str, float]:
    observed = table["observed"].to_numpy()
    error = np.abs(observed - table["median"].to_numpy())
    nonzero = observed != 0
    size = max(float(np.abs(observed).mean()), np.finfo(float).tiny)
    model, naive = float(table["crps"].mean()), float(table["crps_naive"].mean())
    relative = error[nonzero] / np.abs(observed[nonzero])
    squared = (observed - table["mean"].to_numpy()) ** 2
    width = (table["upper_90"] - table["lower_90"]).mean()
    return {
        "n": len(table),
        "mape": float(relative.mean()) if nonzero.any() else np.nan,
        "wape": float(error.mean()) / size,
        "rmse": float(np.sqrt(squared.mean())),
        "mase": float(table["scaled_error"].mean()),
        "crps": model,
        "crps_naive": naive,
        "skill": 1.0 - model / naive if naive > 0 else np.nan,
        "coverage_50": float(table["within_50"].mean()),
        "coverage_90": float(table["within_90"].mean()),
        "width_90": float(width) / size,
    }
