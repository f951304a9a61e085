"""Change a channel's spend in a labelled dataset; its exposure moves in proportion."""

from __future__ import annotations

import numpy as np
import xarray as xr

from mmm_bayes.data.cell_values import LARGEST
from mmm_bayes.runtime.findings import nearest


def change_spend(
    ds: xr.Dataset,
    channel: str,
    rows: np.ndarray,
    *,
    scale: float | None,
    value: float | np.ndarray | None,
) -> xr.Dataset:
    """Scale or replace a channel's spend at some positions of dates; see `MMMData.with_spend`."""
    channels = [str(name) for name in ds["channel"].values]
    if channel not in channels:
        raise ValueError(
            f"{channel!r} is not a channel.{nearest(channel, channels)} Channels are {channels}."
        )
    if (scale is None) == (value is None):
        raise ValueError("Give exactly one of scale= (a factor) and value= (a new spend).")
    change = np.asarray(scale if value is None else value, "float64")
    if not np.isfinite(change).all() or (change < 0).any():
        raise ValueError(
            f"{'scale' if value is None else 'value'} should be finite and not negative, but has "
            f"{change[~(np.isfinite(change) & (change >= 0))].flat[0]:g}."
        )
    if (change > LARGEST).any():
        raise ValueError(f"A change of spend of {change.max():g} is larger than any amount.")
    c = channels.index(channel)
    spend, exposure = ds["spend"].values.copy(), ds["exposure"].values.copy()
    if value is None:
        spend[:, rows, c] *= change
        exposure[:, rows, c] *= change
    elif not bool(ds["paid"].values[c]):
        raise ValueError(f"{channel!r} is unpaid media, so its spend cannot be set. Use scale=.")
    else:
        bought = units_per_money(exposure[..., c], spend[..., c])[:, rows]
        spend[:, rows, c] = change
        exposure[:, rows, c] = change * bought
    return ds.assign(
        spend=ds["spend"].copy(data=spend),
        exposure=ds["exposure"].copy(data=exposure),
    )


def units_per_money(exposure: np.ndarray, spend: np.ndarray) -> np.ndarray:
    """Return media units bought per unit of money (geo, date).

    Cells without spend take the mean of their geo, or of all geos if the geo has no spend.
    """
    total = spend.sum(1)
    overall = exposure.sum() / total.sum() if total.sum() > 0 else 1.0
    mean = np.divide(exposure.sum(1), total, out=np.full(len(total), overall), where=total > 0)
    rates = np.repeat(mean[:, None], spend.shape[1], axis=1)
    return np.divide(exposure, spend, out=rates, where=spend > 0)
