"""Table of one equation, with a node as the target and its parents as channels and controls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mmm_bayes.data.schema import MMMData

NDArray = np.ndarray[Any, Any]


def equation_data(data: MMMData, node: str, media: Sequence[str], linear: Sequence[str]) -> MMMData:
    """Build the table of the equation for ``node``, with its parents as channels and controls."""
    columns, ds = data.columns(), data.ds
    shape = (data.num_geos, data.num_dates)
    none = np.zeros(shape)
    spend = [ds["spend"].sel(channel=c).values if c in data.channels else none for c in media]
    paid = [bool(ds["paid"].sel(channel=c)) if c in data.channels else False for c in media]

    def side_by_side(parts: Sequence[NDArray]) -> NDArray:
        return np.stack(parts, -1) if parts else np.zeros((*shape, 0))

    found = MMMData.from_arrays(
        dates=data.dates,
        target=columns[node],
        spend=side_by_side(spend),
        exposure=side_by_side([columns[c] for c in media]),
        channels=media,
        controls=side_by_side([columns[c] for c in linear]),
        control_names=linear,
        geos=None if data.is_national else data.geos,
        population=ds["population"].values if data.has_population else None,
        revenue_per_target=(ds["revenue_per_target"].values if node == data.target_name else None),
        paid=np.array(paid, bool),
        step=data.time_step,
    )
    roles = replace(found.roles, target=node)
    attrs = {**found.ds.attrs, "roles": roles.to_json(), "target": node}
    return MMMData(found.ds.assign_attrs(attrs))
