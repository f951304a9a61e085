"""Statistics of every scalar quantity of a posterior, computed in one pass over its draws.

A quantity is one element of a variable, such as ``alpha[tv]``. Variables are read in blocks, so
memory use does not grow with the size of the posterior.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from mmm_bayes.inference.convergence import convergence

SAMPLE_DIMS = ("chain", "draw")
_BLOCK = 64  # quantities read at once: 64 x 4000 draws of float64 are 2 MB, which stay in cache
_BINS = 10  # prior deciles, in which prior and posterior are compared
_NORMAL_95 = 1.6448536269514722  # 95% quantile of the standard normal
MIN_PRIOR_DRAWS = 100  # fewer leave the prior's tails unknown
MIN_ESS_FOR_OVERLAP = 100.0  # with fewer effective draws any two histograms look alike


@dataclass(frozen=True, eq=False)
class Quantities:
    """Statistics per quantity (first axis) and, where noted, per chain (second axis)."""

    names: tuple[str, ...]
    variables: tuple[str, ...]
    channels: tuple[str | None, ...]
    nonfinite: np.ndarray  # count of draws
    constant: np.ndarray
    rhat: np.ndarray
    ess_bulk: np.ndarray
    ess_tail: np.ndarray
    chain_mean: np.ndarray  # (quantity, chain)
    chain_sd: np.ndarray  # (quantity, chain)
    divergent_rank: np.ndarray  # chance that a divergent draw lies above another one
    divergent_median: np.ndarray
    other_median: np.ndarray
    energy_corr: np.ndarray
    median: np.ndarray
    prior_low: np.ndarray  # 5% and 95% quantiles
    prior_high: np.ndarray
    prior_distance: np.ndarray  # posterior median from the prior's, in normal standard deviations
    prior_tail: np.ndarray  # share of prior draws at or beyond the posterior median
    overlap: np.ndarray

    @property
    def usable(self) -> np.ndarray:
        """Return which quantities are finite and change from draw to draw."""
        return (self.nonfinite == 0) & ~self.constant


def element_labels(values: xr.DataArray) -> tuple[list[str], list[str | None]]:
    """Return names such as ``alpha[tv]`` of a variable's elements, and their channels (or None)."""
    dims = [dim for dim in values.dims if dim not in SAMPLE_DIMS]
    shape = tuple(values.sizes[dim] for dim in dims)
    axes = [_axis_labels(values, dim) for dim in dims]
    names: list[str] = []
    channels: list[str | None] = []
    at_channel = dims.index("channel") if "channel" in dims else None
    for index in np.ndindex(shape):
        labels = [axis[i] for axis, i in zip(axes, index, strict=True)]
        names.append(f"{values.name}[{', '.join(labels)}]" if labels else str(values.name))
        channels.append(None if at_channel is None else labels[at_channel])
    return names, channels


def _axis_labels(values: xr.DataArray, dim: object) -> list[str]:
    if dim not in values.coords:
        return [str(i) for i in range(values.sizes[dim])]
    labels = values.coords[dim].values
    if np.issubdtype(labels.dtype, np.datetime64):
        return [str(day) for day in labels.astype("datetime64[D]")]
    return [str(label) for label in labels]


def _blocks(values: xr.DataArray) -> Iterator[np.ndarray]:
    """Yield arrays (quantity, chain, draw) in float64."""
    array = values.transpose(*SAMPLE_DIMS, ...).values
    array = array.reshape(*array.shape[:2], -1)
    for start in range(0, array.shape[-1], _BLOCK):
        block = array[..., start : start + _BLOCK]
        yield np.ascontiguousarray(np.moveaxis(block, -1, 0), dtype=np.float64)


def _divergent_figures(draws: np.ndarray, divergent: np.ndarray) -> dict[str, np.ndarray]:
    """Compute the Mann-Whitney statistic of divergent against other draws, and both medians."""
    flat, mask = draws.reshape(len(draws), -1), divergent.reshape(-1)
    order = np.argsort(flat, axis=-1)
    ranks = np.empty(flat.shape)
    np.put_along_axis(ranks, order, np.arange(1.0, flat.shape[-1] + 1)[None], axis=-1)
    count = mask.sum()
    above = ranks[:, mask].sum(axis=-1) - count * (count + 1) / 2
    return {
        "divergent_rank": above / (count * (mask.size - count)),
        "divergent_median": np.median(flat[:, mask], axis=-1),
        "other_median": np.median(flat[:, ~mask], axis=-1),
    }


def _energy_figures(draws: np.ndarray, energy: np.ndarray) -> dict[str, np.ndarray]:
    """Compute the correlation with the energy, within chains."""
    x = draws - draws.mean(axis=-1, keepdims=True)
    e = energy - energy.mean(axis=-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        corr = (x * e).sum((-2, -1)) / np.sqrt((x**2).sum((-2, -1)) * (e**2).sum())
    return {"energy_corr": corr}


def _prior_figures(
    draws: np.ndarray, prior: np.ndarray, ess: np.ndarray, median: np.ndarray
) -> dict[str, np.ndarray]:
    """Compare posterior draws (quantity, chain, draw) with prior draws (quantity, draw)."""
    low, centre, high = np.quantile(prior, [0.05, 0.5, 0.95], axis=-1)
    up = median >= centre
    unit = np.where(up, high - centre, centre - low) / _NORMAL_95
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = (median - centre) / unit
    beyond = np.where(up[:, None], prior >= median[:, None], prior <= median[:, None])
    # Overlap of the two histograms over the prior's deciles. Equal distributions differ by sampling
    # noise alone: E|p - q| = sqrt(2 / pi) sd per bin, subtracted in quadrature.
    inner = np.quantile(prior, np.arange(1, _BINS) / _BINS, axis=-1)
    flat = draws.reshape(len(draws), -1)
    steps = np.stack([(flat <= edge[:, None]).mean(axis=-1) for edge in inner], axis=-1)
    prior_steps = np.stack([(prior <= edge[:, None]).mean(axis=-1) for edge in inner], axis=-1)
    shares = np.diff(steps, axis=-1, prepend=0.0, append=1.0)
    prior_shares = np.diff(prior_steps, axis=-1, prepend=0.0, append=1.0)
    variation = 0.5 * np.abs(shares - prior_shares).sum(axis=-1)
    effective = np.minimum(ess, flat.shape[-1])
    bin_var = (1 - 1 / _BINS) / _BINS * (1 / prior.shape[-1] + 1 / effective)
    noise = 0.5 * _BINS * np.sqrt(2 / np.pi * bin_var)
    overlap = 1.0 - np.sqrt(np.maximum(variation**2 - noise**2, 0.0))
    known = np.ptp(prior, axis=-1) > 0
    return {
        "prior_low": low,
        "prior_high": high,
        "prior_distance": np.where(known & (unit > 0), distance, np.nan),
        "prior_tail": beyond.mean(axis=-1),
        "overlap": np.where(known & (effective >= MIN_ESS_FOR_OVERLAP), overlap, np.nan),
    }


def _block_figures(
    draws: np.ndarray,
    divergent: np.ndarray | None,
    energy: np.ndarray | None,
    prior: np.ndarray | None,
) -> dict[str, np.ndarray]:
    rhat, bulk, tail = convergence(draws)
    median = np.median(draws, axis=(-2, -1))
    figures = {
        "rhat": rhat,
        "ess_bulk": bulk,
        "ess_tail": tail,
        "chain_mean": draws.mean(axis=-1),
        "chain_sd": draws.std(axis=-1),
        "median": median,
    }
    if divergent is not None:
        figures |= _divergent_figures(draws, divergent)
    if energy is not None:
        figures |= _energy_figures(draws, energy)
    if prior is not None:
        figures |= _prior_figures(draws, prior, bulk, median)
    return figures


def gather(
    posterior: Mapping[str, xr.DataArray],
    *,
    divergent: np.ndarray | None,
    energy: np.ndarray | None,
    prior: Mapping[str, xr.DataArray],
) -> Quantities:
    """Compute the statistics of all quantities.

    Parameters
    ----------
    posterior
        Variables with the dimensions ``chain`` and ``draw``.
    divergent
        Mask (chain, draw), or None to skip the location of divergences.
    energy
        Energies (chain, draw), or None to skip the correlation with them.
    prior
        Prior draws of the same variables where available: finite, and of the same shapes.
    """
    names: list[str] = []
    variables: list[str] = []
    channels: list[str | None] = []
    for variable, values in posterior.items():
        labels, of_channel = element_labels(values)
        names += labels
        channels += of_channel
        variables += [variable] * len(labels)
    chains = next(iter(posterior.values())).sizes["chain"]
    count = len(names)
    per_chain = {"chain_mean", "chain_sd"}
    columns = {
        key: np.full((count, chains) if key in per_chain else count, np.nan)
        for key in Quantities.__dataclass_fields__
        if key not in {"names", "variables", "channels", "nonfinite", "constant"}
    }
    nonfinite = np.zeros(count, dtype=int)
    constant = np.zeros(count, dtype=bool)
    start = 0
    for variable, values in posterior.items():
        prior_blocks = _blocks(prior[variable]) if variable in prior else None
        for draws in _blocks(values):
            before = None if prior_blocks is None else next(prior_blocks)
            here = slice(start, start + len(draws))
            start += len(draws)
            nonfinite[here] = (~np.isfinite(draws)).sum(axis=(-2, -1))
            finite = nonfinite[here] == 0
            constant[here] = finite & (draws.max(axis=(-2, -1)) == draws.min(axis=(-2, -1)))
            use = finite & ~constant[here]
            if not use.any():
                continue
            before = None if before is None else before[use].reshape(use.sum(), -1)
            rows = np.flatnonzero(use) + here.start
            for key, column in _block_figures(draws[use], divergent, energy, before).items():
                columns[key][rows] = column
    return Quantities(
        names=tuple(names),
        variables=tuple(variables),
        channels=tuple(channels),
        nonfinite=nonfinite,
        constant=constant,
        **columns,
    )


def draws_of(posterior: Mapping[str, xr.DataArray], index: int) -> np.ndarray:
    """Return draws (chain, draw) of the quantity with this index in :class:`Quantities`."""
    for values in posterior.values():
        size = values.size // (values.sizes["chain"] * values.sizes["draw"])
        if index < size:
            array = values.transpose(*SAMPLE_DIMS, ...).values
            return array.reshape(*array.shape[:2], -1)[..., index].astype(np.float64)
        index -= size
    raise IndexError("no quantity with this index")
