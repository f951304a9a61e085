"""What plans bring over the draws that no plan was chosen on."""

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
    """Of draws: median, mean, and the ends of the central interval."""

    median: float
    mean: float
    lower: float
    upper: float


class DrawSplit(NamedTuple):
    """Positions of draws to optimise on and to judge on, and whether they are different ones."""

    chosen: NDArray
    held_out: NDArray
    is_split: bool


def summary(draws: NDArray, ci_prob: float) -> Summary:
    """Summarise draws (draw,)."""
    tail = 0.5 * (1.0 - ci_prob)
    low, median, high = np.quantile(draws, [tail, 0.5, 1.0 - tail])
    return Summary(float(median), float(np.mean(draws)), float(low), float(high))


def split_draws(chains: int, draws: int, optimised: int, judged: int) -> DrawSplit:
    """Half of the chains to choose a plan on, the others to judge it on.

    A plan looks better on the draws that it was chosen on than it is (the optimiser's curse). With
    one chain its second half is held out. Fewer than 20 draws are not divided.
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
    """Parameters as the model sees them, and the numbers of chains and draws."""
    params, chains, draws = fitted.scaled()
    return params, len(chains), len(draws)


@dataclass(frozen=True, eq=False)
class Evaluator:
    """A response over draws, evaluated a batch of draws at a time."""

    structure: MediaStructure
    response: Response

    def outcomes(self, spend: NDArray) -> NDArray:
        """Outcome (draw,) of a plan (channel, geo, date)."""
        return self._over(outcome.outcome, spend)

    def channel_outcomes(self, spend: NDArray) -> NDArray:
        """Outcome (draw, channel) of every channel."""
        return self._over(outcome.channel_outcomes, spend)

    def marginal(self, spend: NDArray, reference: NDArray) -> NDArray:
        """Outcome of the next unit of money (draw, channel), spread like the plan's own money.

        A channel without money in the plan would spread it like ``reference``, or evenly; NaN for
        one that has no money in either.
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
                # The last batch is filled up, so that one program serves all.
                index = np.arange(start, start + size)
                own = thinned(self.response, np.minimum(index, draws - 1))
                parts.append(np.asarray(program(own, *plans))[: draws - start])
        return np.concatenate(parts)


def labelled(
    spend: NDArray, channels: list[str], geos: list[str], dates: Any, name: str
) -> xr.DataArray:
    """Name the axes of a plan."""
    coords = {"channel": channels, "geo": geos, "date": dates}
    return xr.DataArray(spend, coords, ("channel", "geo", "date"), name)
