"""The table of future dates behind a forecast: spend planned, controls given or projected."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from mmm_bayes.analysis import projection
from mmm_bayes.analysis.forecast_columns import by_name, checked, given_columns, problem
from mmm_bayes.analysis.projection import Projection
from mmm_bayes.data.frames import as_frame, is_frame
from mmm_bayes.data.schema import MMMData
from mmm_bayes.runtime.findings import DataError, Finding, listing, nearest

NDArray = np.ndarray[Any, Any]
SpendPlan = str | float | Mapping[str, float] | pd.DataFrame | xr.DataArray | None
Controls = Mapping[str, Any] | pd.DataFrame | None

PLANS = ("last_year", "last_window")
_WORDS = {
    "seasonal": "the same dates a season before",
    "last": "its last value",
    "mean": "its mean",
}


class FutureTable(NamedTuple):
    """Future dates with all columns.

    Attributes
    ----------
    data
        The table; its target is unknown.
    projected
        Projections of the controls that were not given, by name.
    notes
        One row per column that was planned or projected, with the columns ``what``, ``name``,
        ``how`` and ``uncertain``.
    """

    data: MMMData
    projected: dict[str, Projection]
    notes: pd.DataFrame


def future_table(
    data: MMMData, horizon: int | pd.DataFrame | MMMData, spend: SpendPlan, controls: Controls
) -> FutureTable:
    """Assemble the table of a forecast; raise one error with every problem.

    See :func:`mmm_bayes.analysis.forecast.forecast` for the arguments.
    """
    if isinstance(horizon, MMMData):
        return FutureTable(horizon, {}, _notes([]))
    findings: list[Finding] = []
    given: dict[str, NDArray] = {}
    if is_frame(horizon):
        periods, given = given_columns(data, as_frame(horizon), findings)
    else:
        periods = _periods(horizon, findings)
    if findings:  # without dates nothing else can be checked
        raise DataError(findings, "the forecast")
    dates = data.future_dates(periods)
    money, units, notes = _media(data, dates, spend, given, findings)
    values, projected, more = _controls(data, dates, controls, given, findings)
    if findings:
        raise DataError(findings, "the forecast")
    ds, attrs = data.ds, data.ds.attrs
    future = MMMData.from_arrays(
        dates=dates,
        target=np.full((data.num_geos, periods), np.nan),
        spend=money,
        exposure=units,
        channels=data.channels,
        controls=values,
        control_names=data.controls,
        geos=None if data.is_national else data.geos,
        population=ds["population"].values if data.has_population else None,
        revenue_per_target=_revenue(data, periods, given),
        paid=ds["paid"].values,
        roles=data.roles,
        step=data.time_step,
        date_form=attrs["date_form"],
    )
    return FutureTable(future, projected, _notes(notes + more))


def _notes(rows: Iterable[tuple[str, str, str, bool]]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=["what", "name", "how", "uncertain"])


def _periods(horizon: object, findings: list[Finding]) -> int:
    if isinstance(horizon, int | np.integer) and not isinstance(horizon, bool) and horizon >= 1:
        return int(horizon)
    message = f"horizon should be 1 or more periods, or a table, but got {horizon!r}."
    findings.append(problem("horizon", message, "For example horizon=13."))
    return 0


def _revenue(data: MMMData, periods: int, given: dict[str, NDArray]) -> NDArray:
    column = data.roles.revenue_per_target
    if isinstance(column, str) and column in given:
        return given[column]
    return np.repeat(data.ds["revenue_per_target"].values[:, -1:], periods, 1)


# --- Spend ---------------------------------------------------------------------------------------


def _media(
    data: MMMData,
    dates: pd.DatetimeIndex,
    plan: SpendPlan,
    given: dict[str, NDArray],
    findings: list[Finding],
) -> tuple[NDArray, NDArray, list[tuple[str, str, str, bool]]]:
    """Plan spend and exposure (geo, date, channel), and note how each was planned."""
    name = plan if isinstance(plan, str) else None
    if name is not None and name not in PLANS:
        text = f"spend should be one of {', '.join(PLANS)}, but got {name!r}.{nearest(name, PLANS)}"
        remedy = "Or give multipliers, a data frame or an array."
        findings.append(problem("spend", text, remedy))
        name = None
    rows, how = _rows_to_repeat(data, len(dates), name)
    if name == "last_year" and how != "last year's":
        text = "spend='last_year' requires a year of data before every date of the horizon."
        findings.append(problem("spend", text, "Use spend='last_window', or give the spend."))
    spend = data.ds["spend"].values[:, rows].copy()
    units = data.ds["exposure"].values[:, rows].copy()
    rate = _units_per_money(data)
    notes = {channel: f"{how} spend" for channel in data.channels}
    factors = _factors(data, plan, findings)
    for channel, factor in factors.items():
        c = data.channels.index(channel)
        spend[..., c] *= factor
        units[..., c] *= factor
        notes[channel] += f", times {factor:g}"
    for channel, money in _planned_money(data, dates, plan, findings).items():
        c = data.channels.index(channel)
        spend[..., c], units[..., c] = money, money * rate[:, None, c]
        notes[channel] = "as planned"
    for c, channel in enumerate(data.channels):
        column, cost = data.roles.exposure[channel], data.roles.spend[channel]
        exposed, paid = given.get(column), None if cost is None else given.get(cost)
        if exposed is None and paid is None:
            continue
        notes[channel] = "as given"
        for values, label in ((exposed, column), (paid, cost)):
            if values is not None:
                checked(values, f"column {label!r}", dates, findings, label, positive=True)
        if exposed is not None:
            units[..., c] = exposed
        elif paid is not None:
            units[..., c] = paid * rate[:, None, c]
        if paid is not None:
            spend[..., c] = paid
        elif exposed is not None and cost is not None:
            spend[..., c] = np.divide(exposed, rate[:, None, c])
    return spend, units, [("spend", c, how, False) for c, how in notes.items()]


def _rows_to_repeat(data: MMMData, periods: int, plan: str | None) -> tuple[NDArray, str]:
    """Choose the training rows whose media are repeated, with a name for them."""
    year = projection.season_length(data.time_step, data.num_dates)
    n = data.num_dates
    if plan != "last_window" and year > 7:
        return n - year + np.arange(periods) % year, "last year's"
    window = min(periods, n)
    return n - window + np.arange(periods) % window, "the last window's"


def _units_per_money(data: MMMData) -> NDArray:
    """Compute the exposure per unit of spend (geo, channel) over the last year of the table."""
    recent = data.ds.isel(date=slice(-max(1, round(data.time_step.per_year)), None))
    units, money = recent["exposure"].values.sum(1), recent["spend"].values.sum(1)
    total = money.sum(0)
    pooled = np.divide(units.sum(0), total, out=np.ones(len(total)), where=total > 0)
    own = np.broadcast_to(pooled, units.shape).copy()
    return np.divide(units, money, out=own, where=(money > 0) & (units > 0))


def _factors(data: MMMData, plan: SpendPlan, findings: list[Finding]) -> dict[str, float]:
    if plan is None or isinstance(plan, str | xr.DataArray) or is_frame(plan):
        return {}
    given = plan if isinstance(plan, Mapping) else dict.fromkeys(data.channels, plan)
    found = {}
    for channel, factor in given.items():
        if channel not in data.channels:
            text = f"{channel!r} is not a channel.{nearest(str(channel), data.channels)}"
            remedy = f"The channels are {listing(data.channels, 20)}."
            findings.append(problem("spend", text, remedy))
        elif not (np.ndim(factor) == 0 and 0 <= float(factor) < np.inf):
            text = f"The multiplier of {channel!r} should be 0 or more, but got {str(factor)[:40]}."
            remedy = "To plan spend in currency, give a data frame or an array with dates."
            findings.append(problem("spend", text, remedy))
        else:
            found[channel] = float(factor)
    return found


def _planned_money(
    data: MMMData, dates: pd.DatetimeIndex, plan: SpendPlan, findings: list[Finding]
) -> dict[str, NDArray]:
    """Read a plan in currency: spend (geo, date) by channel."""
    if is_frame(plan):
        frame = as_frame(plan)
        return by_name(data, dates, frame, data.channels, "channel", findings, positive=True)
    if not isinstance(plan, xr.DataArray):
        return {}
    array = plan
    if "geo" not in array.dims and data.num_geos > 1:
        text = "A spend plan for a panel needs the dimension geo."
        findings.append(problem("spend", text, f"The geos are {listing(data.geos)}."))
        return {}
    if "geo" not in array.dims:
        array = array.expand_dims(geo=data.geos)
    lacking = [dim for dim in ("channel", "date") if dim not in array.dims]
    if lacking:
        text = f"A plan has the dimensions channel and date; {', '.join(lacking)} not found."
        findings.append(problem("spend", text, f"It has {listing(map(str, plan.dims))}."))
        return {}
    found = {}
    for channel in map(str, array["channel"].values):
        if channel not in data.channels:
            text = f"{channel!r} is not a channel.{nearest(channel, data.channels)}"
            remedy = f"The channels are {listing(data.channels, 20)}."
            findings.append(problem("spend", text, remedy))
            continue
        own = array.sel(channel=channel).reindex(geo=data.geos, date=dates)
        values = own.transpose("geo", "date").values.astype(float)
        found[channel] = checked(values, f"plan of {channel!r}", dates, findings, positive=True)
    return found


# --- Controls ------------------------------------------------------------------------------------


def _controls(
    data: MMMData,
    dates: pd.DatetimeIndex,
    controls: Controls,
    given: dict[str, NDArray],
    findings: list[Finding],
) -> tuple[NDArray, dict[str, Projection], list[tuple[str, str, str, bool]]]:
    """Collect controls (geo, date, control), project those that were not given, and note how."""
    periods = len(dates)
    supplied: dict[str, NDArray] = {}
    rules: dict[str, Any] = {}
    if is_frame(controls):
        supplied = by_name(data, dates, as_frame(controls), data.controls, "control", findings)
    for name, value in controls.items() if isinstance(controls, Mapping) else ():
        if name not in data.controls:
            text = f"{name!r} is not a control.{nearest(str(name), data.controls)}"
            remedy = f"The controls are {listing(data.controls, 20)}."
            findings.append(problem("controls", text, remedy))
        elif isinstance(value, str):
            rules[name] = value
            if value not in projection.RULES:
                text = f"The rule of control {name!r} should be one of "
                text += f"{', '.join(projection.RULES)}, but got {value!r}."
                findings.append(problem("controls", text, "Or give the control's values."))
        else:
            shape = (data.num_geos, periods)
            try:
                supplied[name] = np.broadcast_to(np.asarray(value, float), shape).copy()
            except ValueError:
                text = f"Control {name!r} has the shape {np.shape(value)}."
                remedy = f"Give one value, {periods} values, or an array of shape {shape}."
                findings.append(problem("controls", text, remedy))
                continue
            checked(supplied[name], f"control {name!r}", dates, findings)
    period = projection.season_length(data.time_step, data.num_dates)
    values = np.zeros((data.num_geos, periods, len(data.controls)))
    projected, notes = {}, []
    for k, name in enumerate(data.controls):
        own = given.get(data.roles.controls[name], supplied.get(name))
        if own is not None:
            values[..., k] = own
            notes.append(("control", name, "as given", False))
            continue
        rule = rules.get(name)
        if rule is not None and rule not in projection.RULES:
            continue
        past = data.ds["controls"].values[..., k]
        projected[name] = found = projection.project(past, periods, period, rule)
        values[..., k] = found.point
        wide = bool(len(found.paths)) and bool(np.abs(found.paths).max() > 0)
        text = f"projected: {_WORDS[found.rule]}"
        text += f", with its errors at {len(found.paths)} past origins" if wide else ""
        notes.append(("control", name, text, wide))
    return values, projected, notes
