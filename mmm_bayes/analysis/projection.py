r"""Naive projections of a series, with the errors that the same rule made in the past.

There are three rules: ``"seasonal"`` repeats the last season,
:math:`\hat y_{T+h} = y_{T+h-kp}`; ``"last"`` repeats the last value; ``"mean"`` repeats the mean so
far. Each rule is applied at every past origin. Its errors there, one path over the horizon per
origin, are the predictive errors of its projection (a bootstrap of whole paths, which keeps their
dependence over time).
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from mmm_bayes.data.time_step import TimeStep

NDArray = np.ndarray[Any, Any]
Rule = Literal["seasonal", "last", "mean"]

RULES: tuple[Rule, ...] = get_args(Rule)
_MIN_ORIGINS = 4  # with fewer, past errors are not informative


class Projection(NamedTuple):
    """A projected series.

    Attributes
    ----------
    rule
        The rule used.
    point
        Values (geo, horizon).
    paths
        Past errors (origin, geo, horizon) of the rule; no origins if the past is too short.
    """

    rule: Rule
    point: NDArray
    paths: NDArray


def season_length(step: TimeStep, num_dates: int) -> int:
    """Return the number of rows of a season: a year, a week for short daily tables, else 1.

    A daily season has 364 rows, so that weekdays match weekdays.
    """
    yearly = 364 if step.unit == "day" and step.n == 1 else round(step.per_year)
    if yearly > 1 and num_dates >= yearly + max(2, yearly // 4):
        return yearly
    return 7 if yearly == 364 and num_dates >= 14 else 1


def point(values: NDArray, rule: Rule, horizon: int, period: int) -> NDArray:
    """Project series (..., time) over ``horizon`` steps by a rule."""
    if rule == "mean":
        return np.repeat(values.mean(-1, keepdims=True), horizon, -1)
    back = period if rule == "seasonal" else 1
    last = values[..., -back:]
    return last[..., np.arange(horizon) % back]


def error_paths(values: NDArray, rule: Rule, horizon: int, period: int) -> NDArray:
    """Compute the errors (origin, ..., horizon) of a rule at every past origin.

    The first origin has one season (or a third of the series) before it. If less than twice the
    horizon is left after it, paths are shorter, and their last error is repeated to the horizon.
    """
    length = values.shape[-1]
    start = max(period if rule == "seasonal" else 1, length // 3)
    reach = max(1, min(horizon, (length - start) // 2))
    origins = range(start, length - reach + 1)
    paths = np.array(
        [values[..., t : t + reach] - point(values[..., :t], rule, reach, period) for t in origins]
    ).reshape(len(origins), *values.shape[:-1], reach)
    return paths[..., np.minimum(np.arange(horizon), reach - 1)]


def choose(values: NDArray, horizon: int, period: int) -> Rule:
    """Choose the rule with the smallest mean absolute error in the past.

    Parameters
    ----------
    values
        Series (geo, time).
    horizon
        Steps ahead.
    period
        Season in rows; 1 for none.

    Returns
    -------
    str
        With too few origins to compare, ``"seasonal"`` if there is a season, else ``"last"``.
    """
    rules: list[Rule] = ["last", "mean"] if period == 1 else ["last", "seasonal", "mean"]
    errors = {rule: error_paths(values, rule, horizon, period) for rule in rules}
    count = min(len(paths) for paths in errors.values())
    if count < _MIN_ORIGINS:
        return "last" if period == 1 or values.shape[-1] < period else "seasonal"
    # Compare all rules at the same, most recent origins.
    return min(rules, key=lambda rule: float(np.abs(errors[rule][-count:]).mean()))


def project(values: NDArray, horizon: int, period: int, rule: Rule | None = None) -> Projection:
    """Project series (geo, time) by the given rule, or by the best one in the past."""
    chosen = choose(values, horizon, period) if rule is None else rule
    paths = error_paths(values, chosen, horizon, period)
    if len(paths) < _MIN_ORIGINS:
        paths = paths[:0]
    return Projection(chosen, point(values, chosen, horizon, period), paths)


def draw(projection: Projection, values: NDArray, where: NDArray) -> NDArray:
    """Draw series (draw, geo, horizon): the point projection plus a past path of errors.

    Parameters
    ----------
    projection
        Result of :func:`project`.
    values
        Series (geo, time) that was projected: draws of a binary series are binary, and those of a
        series that was never negative are not negative.
    where
        Position in [0, 1) among the past origins (draw,). Several series drawn with the same
        positions keep their dependence.
    """
    point, paths = projection.point, projection.paths
    if not len(paths):
        return np.broadcast_to(point, (len(where), *point.shape)).copy()
    chosen = paths[np.floor(where * len(paths)).astype(int)]
    if projection.rule != "mean" and np.isin(values, (0.0, 1.0)).all():
        return np.abs(point - np.abs(chosen))  # an error of 1 swaps 0 and 1
    drawn = point + chosen
    return np.maximum(drawn, 0.0) if (values >= 0).all() else drawn
