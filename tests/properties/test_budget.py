"""Plans of spend for any channels, totals and limits: what any optimum has."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mmm_bayes as mb
from mmm_bayes.budget import BudgetPlan, optimize_budget
from mmm_bayes.model.fitted import Fitted
from tests.budget.problems import prior_fit, simulated

QUICK = settings(max_examples=6, deadline=None, derandomize=True)
SMALL: dict[str, Any] = {"periods": 4, "num_starts": 1}
SPEC = mb.ModelSpec(media={"max_lag": 3})


@functools.cache
def base() -> Fitted:
    return prior_fit(simulated(num_dates=30), SPEC, draws=20)


@functools.cache
def changed(order: tuple[int, ...], currency: float) -> Fitted:
    """The same fit with channels in another order and money in another currency."""
    old = base()
    names = old.data.channels
    frame = old.data.to_frame()
    roles = old.data.roles
    wanted = [names[k] for k in order]
    for k, name in enumerate(names):
        # Media units of their own, so that the currency is that of money alone.
        frame[f"units of {name}"] = old.data.ds["exposure"].values[0, :, k]
        frame[f"money on {name}"] = old.data.ds["spend"].values[0, :, k] * currency
    data = mb.MMMData.from_dataframe(
        frame,
        date=roles.date,
        target=roles.target,
        channels={name: f"units of {name}" for name in wanted},
        spend={name: f"money on {name}" for name in wanted},
        controls=roles.controls,
        revenue_per_target=currency,
    )
    tree = old.tree.copy(deep=True)
    posterior = tree["posterior"].to_dataset()
    dims = [dim for dim in posterior.dims if str(dim).startswith("channel")]
    tree["posterior"] = type(tree)(posterior.sel({dim: wanted for dim in dims}))
    for name, group in {
        "observed_data": data.ds[["target"]],
        "constant_data": data.ds.drop_vars("target"),
    }.items():
        tree[name] = type(tree)(group)
    return Fitted(SPEC, data, tree)


def plan_of(fitted: Fitted, total: float | None, change: tuple[float, float]) -> BudgetPlan:
    return optimize_budget(fitted, total, change=change, **SMALL)


TOTALS = st.floats(0.6, 1.5)
CHANGES = st.tuples(st.floats(0.1, 0.6), st.floats(1.5, 4.0))


@QUICK
@given(TOTALS, CHANGES)
def test_plans_are_feasible_and_no_worse_than_today(
    factor: float, change: tuple[float, float]
) -> None:
    fitted = base()
    today = fitted.data.ds["spend"].isel(date=slice(-4, None)).sum(("geo", "date")).values
    total = float(factor * today.sum())
    plan = plan_of(fitted, total, change)
    assert plan.total == pytest.approx(total, rel=1e-6)
    assert (plan.plan.values >= 0).all()
    ratio = (plan.table["planned"] / plan.table["today"]).to_numpy()
    used = plan.table["today"].to_numpy() > 0
    assert (ratio[used] >= change[0] - 1e-6).all()
    assert (ratio[used] <= change[1] + 1e-6).all()
    if factor >= 1.0:
        # Today's plan, raised evenly, is feasible, and today's is no more than it.
        even = plan.evaluator.outcomes(plan.today.values * min(factor, change[1])).mean()
        assert plan.evaluator.outcomes(plan.plan.values).mean() >= even - 1e-6 * abs(even) or (
            plan.value >= plan.value_today - 1e-9 * abs(plan.value_today)
        )
    same = plan_of(fitted, None, change)
    assert same.value >= same.value_today - 1e-9 * abs(same.value_today)


@pytest.mark.parametrize("factor", [0.7, 1.0, 1.4])
def test_the_order_of_channels_does_not_matter(factor: float) -> None:
    one = base()
    other = changed((2, 0, 1), 1.0)
    total = float(factor * one.data.ds["spend"].isel(date=slice(-4, None)).sum())
    plans = [plan_of(fitted, total, (0.3, 3.0)) for fitted in (one, other)]
    first, second = (pd.Series(p.table["planned"]) for p in plans)
    np.testing.assert_allclose(second[first.index], first, rtol=5e-3, atol=1e-3 * total)
    assert plans[1].value == pytest.approx(plans[0].value, rel=1e-5)


@pytest.mark.parametrize("currency", [1e-6, 0.01, 1e4, 1e9])
def test_the_plan_is_in_the_currency_of_the_table(currency: float) -> None:
    one, other = base(), changed((0, 1, 2), currency)
    total = float(one.data.ds["spend"].isel(date=slice(-4, None)).sum())
    first = plan_of(one, total, (0.3, 3.0)).table
    second = plan_of(other, total * currency, (0.3, 3.0)).table
    np.testing.assert_allclose(
        second["planned"] / currency, first["planned"], rtol=5e-3, atol=1e-3 * total
    )
