"""Checks of the arguments of the optimiser; all problems are reported at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import numpy as np
import pandas as pd
import xarray as xr

from mmm_bayes.budget.cost import CostCurve
from mmm_bayes.budget.goals import Goal
from mmm_bayes.budget.risk import Kind
from mmm_bayes.budget.variables import BY
from mmm_bayes.budget.window import After, Unit
from mmm_bayes.data.dates import parse_dates, read_date
from mmm_bayes.data.frames import as_frame, is_frame
from mmm_bayes.data.labels import known_labels
from mmm_bayes.data.schema import MMMData
from mmm_bayes.runtime.findings import DataError, Finding, listing, nearest

NDArray = np.ndarray[Any, Any]


def finding(check: str, message: str, remedy: str, column: str) -> Finding:
    """Return an error about an argument."""
    return Finding(check, "error", message, remedy, column)


def choice(name: str, value: Any, known: Sequence[str]) -> list[Finding]:
    """Check that a value is one of the known ones."""
    if value in known:
        return []
    message = f"{name} should be one of {', '.join(map(repr, known))}, but is {value!r}."
    return [
        finding(name, message, nearest(str(value), known).strip() or "Choose one of these.", name)
    ]


def number(
    name: str, value: Any, low: float, high: float = np.inf, *, open_low: bool = False
) -> list[Finding]:
    """Check that a value is a number within a range."""
    fine = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    fine = fine and bool(np.isfinite(value)) and low <= value <= high
    if fine and not (open_low and value == low):
        return []
    ends = f"above {low:g}" if open_low else f"at least {low:g}"
    ends += f" and at most {high:g}" if np.isfinite(high) else ""
    return [
        finding(name, f"{name} should be a number {ends}, but is {value!r}.", "Correct it.", name)
    ]


def check_arguments(
    data: MMMData,
    *,
    total: Any,
    goal: Any,
    target_value: Any,
    spend: Any,
    objective: Any,
    level: Any,
    risk_aversion: Any,
    by: Any,
    periods: Any,
    start: Any,
    unit: Any,
    after: Any,
    num_starts: Any,
    max_draws: Any,
    ci_prob: Any,
    cost: Any,
    controls: Any,
) -> list[Finding]:
    """Check every argument except the limits."""
    found = choice("goal", goal, get_args(Goal))
    found += choice("objective", objective, get_args(Kind))
    found += choice("unit", unit, get_args(Unit))
    found += choice("after", after, get_args(After))
    found += choice("spend", spend, ("exact", "at_most"))
    if total is not None:
        found += number("total", total, 0.0, open_low=True)
    found += _check_target(goal, target_value, objective)
    if level is not None:
        found += number("level", level, 0.0, 1.0, open_low=True)
        found += _unused("level", objective, ("quantile", "cvar"))
    if risk_aversion is not None:
        found += number("risk_aversion", risk_aversion, 0.0)
        found += _unused("risk_aversion", objective, ("mean_sd",))
    found += number("num_starts", num_starts, 0.0)
    found += number("max_draws", max_draws, 1.0)
    found += number("ci_prob", ci_prob, 0.01, 0.999)
    for name in by:
        found += choice("by", name, BY)
    if "channel" not in by:
        found.append(finding("by", "by should include 'channel'.", "Add it.", "by"))
    found += _check_window(data, periods, start)
    found += _check_cost(data, cost)
    for name in controls or {}:
        found += choice("controls", name, data.controls)
    if not bool((data.ds["paid"].values & (data.ds["spend"].values.sum((0, 1)) > 0)).any()):
        found.append(
            finding(
                "paid",
                "No channel has spend, so there is nothing to plan.",
                "Name the spend columns with spend= when you load the table.",
                "spend",
            )
        )
    return found


def _check_target(goal: Any, target_value: Any, objective: Any) -> list[Finding]:
    if goal not in get_args(Goal):
        return []
    if goal == "maximise":
        if target_value is None:
            return []
        message = "target_value is given, but goal='maximise' has no target."
        remedy = "Leave target_value out, or set goal to 'outcome', 'roas' or 'marginal_roas'."
        return [finding("target_value", message, remedy, "target_value")]
    found = number("target_value", target_value, 0.0, open_low=True)
    if objective == "sharpe":
        message = f"objective='sharpe' is a ratio, which goal={goal!r} cannot use as a target."
        remedy = "Choose another objective, such as 'mean_sd'."
        found.append(finding("objective", message, remedy, "objective"))
    return found


def _unused(name: str, objective: Any, objectives: tuple[str, ...]) -> list[Finding]:
    """Refuse a setting that the chosen objective does not have."""
    if objective in objectives:
        return []
    known = " or ".join(map(repr, objectives))
    message = f"{name} is given, but objective={objective!r} has no use for it."
    return [finding(name, message, f"Set objective to {known}, or leave {name} out.", name)]


def start_date(data: MMMData, start: Any) -> pd.Timestamp:
    """Read the first date of a window, in any form of a date."""
    return read_date(
        start, "start", known=pd.DatetimeIndex(data.dates.append(data.future_dates(1)))
    )


def _check_window(data: MMMData, periods: Any, start: Any) -> list[Finding]:
    found = []
    if periods is not None:
        found += number("periods", periods, 1, data.num_dates)
    if start is None:
        return found
    try:
        first = start_date(data, start)
    except DataError as error:
        return [*found, *(finding("start", f.message, f.remedy, "start") for f in error.findings)]
    if first not in data.dates and first != data.future_dates(1)[0]:
        found.append(
            finding(
                "start",
                f"start should be a date of the table or {data.future_dates(1)[0]:%Y-%m-%d}, the "
                f"first date after it, but is {first:%Y-%m-%d}.",
                f"The table runs from {data.dates[0]:%Y-%m-%d} to {data.dates[-1]:%Y-%m-%d}.",
                "start",
            )
        )
    return found


def _check_cost(data: MMMData, cost: Any) -> list[Finding]:
    found = []
    for name, curve in (cost or {}).items():
        found += choice("cost", name, data.channels)
        if not isinstance(curve, CostCurve):
            found += number(f"cost of {name}", curve, 0.0, open_low=True)
            continue
        found += number(f"elasticity of {name}", curve.elasticity, 0.0, 0.95)
        for part in ("price", "spend"):
            value = getattr(curve, part)
            if value is not None:
                found += number(f"{part} of {name}", value, 0.0, open_low=True)
    return found


def read_plan(
    plan: Any,
    reference: NDArray,
    data: MMMData,
    dates: pd.DatetimeIndex,
    paid: NDArray,
    name: str = "the plan",
) -> tuple[NDArray | None, list[Finding]]:
    """Read a plan of spend (channel, geo, date) in any form.

    Parameters
    ----------
    plan
        ``{channel: total}`` (spread like today's plan), ``{channel: "x1.2"}`` (1.2 times today's),
        an array labelled ``channel``, ``geo`` and ``date``, a wide table (one row per date and geo,
        one column per channel), or a long table with the columns channel, (geo,) date and
        ``planned`` or ``spend``.
    reference
        Today's plan, which applies to channels that are not named.
    data, dates, paid, name
        The table of the fit, the dates of the window, the channels with spend, and the name of the
        plan in messages.
    """
    found: list[Finding] = []
    result = np.array(reference, float)
    channels, geos = data.channels, data.geos
    if isinstance(plan, xr.DataArray):
        missing = {"channel", "date"} - set(map(str, plan.dims))
        if missing:
            message = f"{name} lacks the dimension {listing(sorted(missing))}."
            remedy = "Give dimensions channel, (geo) and date, with their labels."
            return None, [finding("plan", message, remedy, "plan")]
        own = plan if "geo" in plan.dims else plan.expand_dims(geo=geos[:1])
        plan = own.to_series().rename("spend").reset_index()
    if is_frame(plan):
        return _read_table(as_frame(plan), result, data, dates, paid, name)
    if not isinstance(plan, Mapping):
        message = f"{name} cannot be a {type(plan).__name__}."
        remedy = "Give {channel: total}, {channel: 'x1.2'}, a table or an xarray.DataArray."
        return None, [finding("plan", message, remedy, "plan")]
    heads = data.ds["population"].values
    for channel, value in plan.items():
        wrong = choice(f"channel of {name}", channel, channels)
        found += wrong
        if wrong:
            continue
        c = channels.index(channel)
        if not paid[c]:
            message = f"{name} gives money to {channel!r}, which has no spend in the table."
            found.append(finding("unpaid_channel", message, "Leave this channel out.", "plan"))
            continue
        today = result[c].sum()
        times = isinstance(value, str) and value.strip().startswith("x")
        try:
            amount = float(str(value).strip()[1:]) * today if times else float(value)
        except (TypeError, ValueError):
            amount = np.nan
        if not (np.isfinite(amount) and amount >= 0):
            message = f"{name} gives {value!r} to {channel!r}, which is not an amount."
            remedy = "Give an amount of 0 or more, or 'x1.2' for 1.2 times today's."
            found.append(finding("plan", message, remedy, "plan"))
            continue
        spread = (
            result[c] / today
            if today > 0
            else np.repeat(heads[:, None] / heads.sum() / len(dates), len(dates), 1)
        )
        result[c] = result[c] if amount == today else amount * spread
    return (None if found else result), found


def _read_table(
    table: pd.DataFrame,
    result: NDArray,
    data: MMMData,
    dates: pd.DatetimeIndex,
    paid: NDArray,
    name: str,
) -> tuple[NDArray | None, list[Finding]]:
    channels, geos = data.channels, data.geos
    frame = table.copy()
    if "date" not in frame.columns and isinstance(frame.index, pd.DatetimeIndex):
        frame = frame.rename_axis("date").reset_index()
    date = next((c for c in ("date", data.roles.date) if c in frame.columns), None)
    if date is None:
        return None, [finding("plan", f"{name} has no date column.", "Name it 'date'.", "plan")]
    geo = next((c for c in ("geo", data.roles.geo) if c is not None and c in frame.columns), None)
    if "channel" not in frame.columns:
        keys = [date] if geo is None else [date, geo]
        known = [c for c in frame.columns if c in channels]
        frame = frame.melt(keys, known, var_name="channel", value_name="spend")
    amount = next((c for c in ("planned", "spend") if c in frame.columns), None)
    if amount is None:
        message = f"{name} has no column 'planned' or 'spend'."
        return None, [finding("plan", message, "Name the column of amounts 'spend'.", "plan")]
    found: list[Finding] = []
    parsed = parse_dates(frame[date], str(date), known=dates)
    if parsed.findings:
        return None, [
            finding("plan", f"{name}: {f.message}", f.remedy, "plan") for f in parsed.findings
        ]
    where = pd.DataFrame(
        {
            "c": pd.Index(channels).get_indexer(known_labels(frame["channel"], channels)),
            "g": 0 if geo is None else pd.Index(geos).get_indexer(known_labels(frame[geo], geos)),
            "t": dates.get_indexer(parsed.values),
        }
    )
    if geo is None and len(geos) > 1:
        found.append(finding("plan", f"{name} has no geo column.", "Name it 'geo'.", "plan"))
    days = [f"{day:%Y-%m-%d}" for day in dates]
    for key, column, known in (("c", "channel", channels), ("g", geo, geos), ("t", date, days)):
        wrong = np.flatnonzero(where[key].to_numpy() < 0)
        if wrong.size and column is not None:
            shown = listing(sorted({str(frame[column].iloc[row]) for row in wrong}))
            have = listing(known, 4)
            message = f"{name} names the {column} {shown}, which the window does not have."
            found.append(finding("plan", message, f"The window has {have}.", "plan"))
    values = frame[amount].to_numpy(float)
    if not (np.isfinite(values).all() and (values >= 0).all()):
        message = f"{name} has negative or missing amounts."
        found.append(finding("plan", message, "Give numbers of 0 or more.", "plan"))
    if found:
        return None, found
    named = np.unique(where["c"])
    named = named[paid[named]]
    result[named] = 0.0
    keep = np.isin(where["c"], named)
    np.add.at(result, tuple(where.loc[keep, key].to_numpy() for key in "cgt"), values[keep])
    return result, []
