"""Outcomes of plans over held-out draws: those on which no plan was chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np
import xarray as xr

from mmm_bayes.budget import outcome
from mmm_bayes.budget.outcome import Response
from mmm_bayes.budget.problem import thinned
from mmm_bayes.model.fitted import Fitted
from mmm_bayes.model.media import MediaStructure

NDArray = np.ndarray[Any, Any]

_ELEMENTS = 8_000_000  # of an intermediate array: 64 MB


class Summary(NamedTuple):
    """Median, mean, and central interval of draws."""

    median: float
    mean: float
    lower: float
    upper: float


class DrawSplit(NamedTuple):
    """Positions of the draws to optimise on and of the held-out draws.

    ``is_split`` is False if there are too few draws to hold any out, and both are the same.
    """

    chosen: NDArray
    held_out: NDArray
    is_split: bool


def summary(draws: NDArray, ci_prob: float) -> Summary:
    """Summarise draws (draw,)."""
    tail = 0.5 * (1.0 - ci_prob)
    low, median, high = np.quantile(draws, [tail, 0.5, 1.0 - tail])
    return Summary(float(median), float(np.mean(draws)), float(low), float(high))


def split_draws(chains: int, draws: int, optimised: int, judged: int) -> DrawSplit:
    """Split draws by chain: half of the chains choose a plan, the other half evaluate it.

    A plan looks better than it is on the draws that chose it (the optimiser's curse). With a single
    chain, the second half of it is held out. Fewer than 20 draws are not split.
    """
    place = np.arange(chains * draws).reshape(chains, draws)
    if chains * draws < 20:
        every = place.ravel()
        return DrawSplit(every, every, False)
    if chains > 1:
        first, second = place[::2].ravel(), place[1::2].ravel()
    else:
        first, second = place[0, : draws // 2], place[0, draws // 2 :]
    return DrawSplit(_even(first, optimised), _even(second, judged), True)


def _even(values: NDArray, most: int) -> NDArray:
    if len(values) <= most:
        return values
    return values[np.linspace(0, len(values) - 1, most).round().astype(int)]


def all_draws(fitted: Fitted) -> tuple[dict[str, NDArray], int, int]:
    """Return the scaled parameters, and the numbers of chains and draws."""
    params, chains, draws = fitted.scaled()
    return params, len(chains), len(draws)


@dataclass(frozen=True, eq=False)
class Evaluator:
    """Evaluates plans over the draws of a response, one batch of draws at a time."""

    structure: MediaStructure
    response: Response

    def outcomes(self, spend: NDArray) -> NDArray:
        """Return the outcome (draw,) of a plan (channel, geo, date)."""
        return self._over(outcome.outcome, spend)

    def channel_outcomes(self, spend: NDArray) -> NDArray:
        """Return the outcome (draw, channel) of every channel."""
        return self._over(outcome.channel_outcomes, spend)

    def marginal(self, spend: NDArray, reference: NDArray) -> NDArray:
        """Return the outcome (draw, channel) of the next unit of money of each channel.

        It is spread over geos and dates like the channel's money in the plan, or in ``reference``
        if the plan gives it none; NaN if it has none in either.
        """
        own = spend.sum((1, 2), keepdims=True)
        today = reference.sum((1, 2), keepdims=True)
        along = np.where(own > 0, spend, reference) / np.where(
            own > 0, own, np.where(today > 0, today, 1.0)
        )
        found = self._over(outcome.channel_slopes, spend, along)
        return np.where(((own > 0) | (today > 0))[:, 0, 0], found, np.nan)

    def _over(self, function: Any, *plans: NDArray) -> NDArray:
        draws, channels, geos = np.shape(self.response.effect)
        each = channels * geos * np.shape(self.response.weight)[1]
        size = int(np.clip(_ELEMENTS // max(each, 1), 1, draws))
        program = outcome.compiled(self.structure, function)
        parts = []
        with jax.enable_x64(True):
            for start in range(0, draws, size):
                # The last batch is padded with repeats, so that one compiled program serves all.
                index = np.arange(start, start + size)
                own = thinned(self.response, np.minimum(index, draws - 1))
                parts.append(np.asarray(program(own, *plans))[: draws - start])
        return np.concatenate(parts)


def labelled(
    spend: NDArray, channels: list[str], geos: list[str], dates: Any, name: str
) -> xr.DataArray:
    """Label the axes of a plan."""
    coords = {"channel": channels, "geo": geos, "date": dates}
    return xr.DataArray(spend, coords, ("channel", "geo", "date"), name)
