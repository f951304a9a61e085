"""The labelled dataset behind `MMMData`: built from arrays, and written back as a wide table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from mmm_bayes.data.dates import format_dates
from mmm_bayes.data.roles import Roles
from mmm_bayes.data.table import NATIONAL
from mmm_bayes.data.time_step import TimeStep, infer_step

DIMS = {
    "target": ("geo", "date"),
    "spend": ("geo", "date", "channel"),
    "exposure": ("geo", "date", "channel"),
    "controls": ("geo", "date", "control"),
    "population": ("geo",),
    "revenue_per_target": ("geo", "date"),
    "paid": ("channel",),
}


def build_dataset(
    *,
    dates: pd.DatetimeIndex,
    target: np.ndarray,
    spend: np.ndarray,
    channels: Sequence[str],
    exposure: np.ndarray | None,
    controls: np.ndarray | None,
    control_names: Sequence[str],
    geos: Sequence[str] | None,
    population: np.ndarray | None,
    revenue_per_target: np.ndarray | float | None,
    paid: np.ndarray | None,
    roles: Roles | None,
    step: TimeStep | None,
    date_form: str,
) -> xr.Dataset:
    """Label arrays without checks; see `MMMData.from_arrays`."""
    names = [NATIONAL] if geos is None else [str(g) for g in geos]
    dates = pd.DatetimeIndex(dates, name="date").as_unit("ns")
    step = step or infer_step(dates)
    shape = (len(names), len(dates))
    if controls is None:
        controls = np.zeros((*shape, len(control_names)))
    paid = np.ones(len(channels), bool) if paid is None else np.asarray(paid, bool)
    roles = roles or _default_roles(
        channels, control_names, geos, exposure, paid, population, revenue_per_target
    )
    revenue = 1.0 if revenue_per_target is None else revenue_per_target
    people = np.ones(len(names)) if population is None else population
    spend = np.asarray(spend, "float64")
    values = {
        "target": target,
        "spend": spend,
        "exposure": spend if exposure is None else exposure,
        "controls": controls,
        "population": people,
        "revenue_per_target": np.broadcast_to(np.asarray(revenue, "float64"), shape),
    }
    variables = {k: (DIMS[k], np.array(v, dtype="float64")) for k, v in values.items()}
    return xr.Dataset(
        variables | {"paid": (DIMS["paid"], paid)},
        coords={
            "geo": np.array(names, dtype=str),
            "date": dates,
            "channel": np.array(list(channels), dtype=str),
            "control": np.array(list(control_names), dtype=str),
        },
        attrs={
            "target": roles.target or "",
            "date": roles.date,
            "geo": roles.geo or "",
            "time_step": step.alias,
            "time_step_unit": step.unit,
            "time_step_n": step.n,
            "date_marks": step.marks,
            "date_marks_source": step.source,
            "has_population": int(population is not None),
            "date_form": date_form,
            "roles": roles.to_json(),
        },
    )


def _default_roles(
    channels: Sequence[str],
    control_names: Sequence[str],
    geos: Sequence[str] | None,
    exposure: np.ndarray | None,
    paid: np.ndarray,
    population: np.ndarray | None,
    revenue_per_target: np.ndarray | float | None,
) -> Roles:
    units = {c: c if exposure is None else f"{c}_exposure" for c in channels}
    bought = {c: c if exposure is None else f"{c}_spend" for c in channels}
    revenue: str | float | None = "revenue_per_target"
    if revenue_per_target is None or isinstance(revenue_per_target, int | float):
        revenue = revenue_per_target
    return Roles(
        date="date",
        target="target",
        exposure=units,
        spend={c: bought[c] if p else None for c, p in zip(channels, paid, strict=True)},
        controls={c: c for c in control_names},
        geo=None if geos is None else "geo",
        population=None if population is None else "population",
        revenue_per_target=revenue,
    )


def wide_table(ds: xr.Dataset, roles: Roles) -> pd.DataFrame:
    """Return the wide table with its own column names, sorted by geo and date."""
    geos = [str(geo) for geo in ds["geo"].values]
    dates = format_dates(pd.DatetimeIndex(ds.indexes["date"]), ds.attrs["date_form"])
    columns: dict[str, Any] = {}
    if roles.geo is not None:
        columns[roles.geo] = np.repeat(geos, len(dates))
    columns[roles.date] = dates.repeat(1).append([dates] * (len(geos) - 1))
    if roles.target is not None:
        columns[roles.target] = ds["target"].values.ravel()
    for c, name in enumerate(map(str, ds["channel"].values)):
        columns[roles.exposure[name]] = ds["exposure"].values[..., c].ravel()
        spend = roles.spend[name]
        if spend is not None:
            columns[spend] = ds["spend"].values[..., c].ravel()
    for k, name in enumerate(map(str, ds["control"].values)):
        columns[roles.controls[name]] = ds["controls"].values[..., k].ravel()
    if isinstance(roles.population, str):
        columns[roles.population] = np.repeat(ds["population"].values, len(dates))
    if isinstance(roles.revenue_per_target, str):
        columns[roles.revenue_per_target] = ds["revenue_per_target"].values.ravel()
    return pd.DataFrame(columns)
