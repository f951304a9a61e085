"""The variables of the optimiser: money of a channel, of its periods or geos, or of cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

NDArray = np.ndarray[Any, Any]
BY = ("channel", "geo", "date")


@dataclass(frozen=True, eq=False)
class Variables:
    """Groups of cells (channel, geo, date) whose money moves together.

    Attributes
    ----------
    by
        Dimensions along which variables differ.
    index
        Variable of every cell; ``size`` for cells that do not move (channels without spend).
    share
        Share of a variable's money that goes to each cell: as in today's plan, or evenly by
        population if today's plan has no money there.
    today
        Money of every variable in today's plan.
    reference
        Today's plan.
    owner
        Channel, geo and date (positions, -1 where it spans all) of every variable.
    """

    by: tuple[str, ...]
    index: NDArray
    share: NDArray
    today: NDArray
    reference: NDArray
    owner: NDArray

    @property
    def size(self) -> int:
        """Number of variables."""
        return len(self.today)

    def spend(self, z: NDArray) -> NDArray:
        """Return the plan of some values; it equals today's bit for bit where values do."""
        padded = np.append(z, 0.0)[self.index] * self.share
        same = np.append(z == self.today, True)[self.index]
        return np.where(same, self.reference, padded)

    def values(self, spend: NDArray) -> NDArray:
        """Return the money of every variable in a plan."""
        return np.bincount(self.index.ravel(), spend.ravel(), self.size + 1)[: self.size]

    def row(self, cells: NDArray) -> NDArray:
        """Return coefficients (size,) whose sum over variables is the money of some cells."""
        weights = np.where(cells, self.share, 0.0)
        return np.bincount(self.index.ravel(), weights.ravel(), self.size + 1)[: self.size]


def variables_of(reference: NDArray, paid: NDArray, heads: NDArray, by: Sequence[str]) -> Variables:
    """Group the cells of a plan into variables.

    Parameters
    ----------
    reference
        Today's plan (channel, geo, date).
    paid
        Channels that move (channel,).
    heads
        Population (geo,).
    by
        ``"channel"`` and any of ``"geo"`` and ``"date"``.
    """
    axes = [name in by for name in BY]
    cells = np.indices(reference.shape)
    code = np.zeros(reference.shape, int)
    for own, size, kept in zip(cells, reference.shape, axes, strict=True):
        code = code * size + own if kept else code
    moves = np.broadcast_to(paid[:, None, None], reference.shape)
    found, inverse = np.unique(code[moves], return_inverse=True)
    size = len(found)
    index = np.full(reference.shape, size)
    index[moves] = inverse
    sums = np.bincount(index.ravel(), reference.ravel(), size + 1)
    even = np.broadcast_to((heads / heads.sum())[None, :, None], reference.shape)
    evens = np.bincount(index.ravel(), even.ravel(), size + 1)
    some = sums[index] > 0
    share = np.where(some, reference / np.where(some, sums[index], 1.0), even / evens[index])
    share = np.where(moves, share, 0.0)
    first = np.unique(index[moves], return_index=True)[1]
    owner = cells[:, moves][:, first]
    owner = np.where(np.array(axes)[:, None], owner, -1)
    return Variables(
        by=tuple(name for name, kept in zip(BY, axes, strict=True) if kept),
        index=index,
        share=share,
        today=sums[:size],
        reference=reference,
        owner=owner,
    )
