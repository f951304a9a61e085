"""The protocol of forecasters, the forecasts they return, and checks of settings and requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, final

import numpy as np
from jaxtyping import Float

from mmm_bayes._typing import RngKey
from mmm_bayes.data.panel import ShopPanel
from mmm_bayes.runtime.deprecation import renamed
from mmm_bayes.runtime.findings import DataError, Finding, listing

NDArray = np.ndarray[Any, Any]

LEVELS: tuple[float, ...] = tuple(round(0.05 * step, 2) for step in range(1, 20))
"""Probabilities of the quantiles of a forecast: 5% to 95% by 5%."""


@final
@dataclass(frozen=True, eq=False)
class Forecast:
    """Forecast of the target of each shop, in its units.

    Attributes
    ----------
    mean : numpy.ndarray
        Expected target (shop, horizon); the first column is the day after the history.
    quantiles : numpy.ndarray
        Quantiles (shop, horizon, level) at ``levels``, rising in the last axis.
    levels : tuple of float
        Their probabilities; :func:`backtest` needs 0.05 and 0.95 among them.
    """

    mean: Float[NDArray, "shop horizon"]
    quantiles: Float[NDArray, "shop horizon level"]
    levels: tuple[float, ...] = LEVELS

    def __post_init__(self) -> None:
        expected = (*np.shape(self.mean), len(self.levels))
        if np.ndim(self.mean) != 2 or np.shape(self.quantiles) != expected:
            message = (
                f"mean should be (shop, horizon) and quantiles (shop, horizon, level), but they "
                f"have the shapes {np.shape(self.mean)} and {np.shape(self.quantiles)} at "
                f"{len(self.levels)} levels."
            )
            refuse([_finding("quantiles", message, "Give one quantile per level.")], "the forecast")

    @classmethod
    def from_draws(cls, draws: Float[NDArray, "draw shop horizon"]) -> Forecast:
        """Summarise equally likely draws, in the units of the target.

        Quantiles interpolate between the k-th smallest of n at :math:`(k - 1/2) / n` (Hazen).
        """
        quantiles = np.quantile(draws, LEVELS, axis=0, method="hazen")
        return cls(np.mean(draws, axis=0), np.moveaxis(quantiles, 0, -1))

    @renamed(level="ci_prob")
    def interval(self, ci_prob: float = 0.9) -> tuple[NDArray, NDArray]:
        """Return both bounds (shop, horizon) of the central interval of probability ``ci_prob``.

        Raises
        ------
        ValueError
            If the forecast has no such quantiles.
        """
        at = {round(own, 6): place for place, own in enumerate(self.levels)}
        tails = [round((1.0 - ci_prob) / 2.0, 6), round((1.0 + ci_prob) / 2.0, 6)]
        if missing := [tail for tail in tails if tail not in at]:
            raise ValueError(
                f"An interval of {ci_prob:g} needs quantiles at {listing(missing)}; the forecast "
                f"has them at {listing(self.levels, 20)}."
            )
        lower, upper = (self.quantiles[..., at[tail]] for tail in tails)
        return lower, upper


class FittedForecaster(Protocol):
    """A forecaster that has learned from a training panel. Forecasting does not change it."""

    def forecast(
        self,
        rng_key: RngKey,
        panel_history: ShopPanel,
        horizon: int,
        context_future: NDArray | None,
    ) -> Forecast:
        """Forecast the target of the ``horizon`` days after ``panel_history``.

        Parameters
        ----------
        panel_history : ShopPanel
            All days up to the origin, from the first day of the training panel on; the shops,
            nodes and context variables are those of the training panel.
        horizon : int
            Number of days.
        context_future : numpy.ndarray, optional
            Context (shop, horizon, variable) of these days; needed where the panel has context.
        rng_key : key
            Key of the simulated paths, where the method simulates.
        """
        ...


class Forecaster(Protocol):
    """Settings of a forecasting method, which :meth:`fit` trains."""

    def fit(self, rng_key: RngKey, panel: ShopPanel) -> FittedForecaster:
        """Learn from all days of a panel."""
        ...


def refuse(findings: list[Finding], source: str) -> None:
    """Raise :class:`DataError` if there are findings."""
    if findings:
        raise DataError(findings, source)


def check_settings(settings: object, bounds: Mapping[str, tuple[float, float]]) -> None:
    """Raise with every setting that is not within its bounds, both included.

    Raises
    ------
    DataError
        With one finding per setting.
    """
    found = []
    for name, (low, high) in bounds.items():
        value = getattr(settings, name)
        if not low <= value <= high:
            message = f"{name} should be from {low:g} to {high:g}, but is {value!r}."
            found.append(_finding(name, message, "Change it."))
    refuse(found, f"the settings of {type(settings).__name__}")


def check_training(panel: ShopPanel, least: int = 8) -> None:
    """Raise with every reason why a panel is not enough to learn from.

    Raises
    ------
    DataError
        For a panel shorter than ``least`` days, or shops whose target is never observed.
    """
    found = []
    if panel.length < least:
        message = (
            f"a forecaster needs at least {least} days to learn from; there are {panel.length}."
        )
        found.append(_finding("series", message, "Give a longer panel, or a later first origin."))
    silent = ~panel.observed[:, :, -1].any(1)
    if silent.any():
        names = listing(repr(panel.shops[i]) for i in np.flatnonzero(silent))
        message = f"the target {panel.target!r} is never observed in the shops {names}."
        found.append(_finding(panel.target, message, "Leave these shops out with panel.select."))
    refuse(found, "the training panel")


def check_request(
    trained: ShopPanel, history: ShopPanel, horizon: int, context_future: NDArray | None
) -> None:
    """Raise with every reason why a forecast cannot be made.

    ``trained`` is the training panel, of which only labels are compared.

    Raises
    ------
    DataError
        For other shops, nodes or context than trained on, no day to forecast, or future context
        that is missing, of a wrong shape or not finite.
    """
    found = []
    for name in ("shops", "nodes", "context_names"):
        wanted, found_labels = getattr(trained, name), getattr(history, name)
        if wanted != found_labels:
            message = (
                f"{name} should be those of the training panel, {listing(wanted)}, but are "
                f"{listing(found_labels)}."
            )
            found.append(_finding(name, message, "Fit again, or put them into that order."))
    if horizon < 1:
        message = f"horizon should be 1 day or more, but is {horizon}."
        found.append(_finding("horizon", message, "Ask for at least one day."))
    expected = (history.num_shops, horizon, len(history.context_names))
    if context_future is None:
        if history.context_names:
            message = f"context_future should have the shape {expected}, but is not given."
            found.append(_finding("context_future", message, "Give the context of these days."))
    elif np.shape(context_future) != expected:
        message = f"context_future should be {expected}, but is {np.shape(context_future)}."
        found.append(_finding("context_future", message, "It is (shop, horizon, variable)."))
    elif not np.isfinite(context_future).all():
        missing = int((~np.isfinite(context_future)).sum())
        message = f"context_future has {missing} missing values."
        found.append(
            _finding("context_future", message, "Fill them, for example with the previous value.")
        )
    refuse(found, "the request for a forecast")


def _finding(name: str, message: str, remedy: str) -> Finding:
    return Finding("forecast", "error", message, remedy, where=name)
