"""Figures of plans: what is drawn is what was planned."""

import io

import numpy as np
import pytest
from matplotlib.figure import Figure

from mmm_bayes import ModelSpec
from mmm_bayes.budget import BudgetPlan, optimize_budget
from mmm_bayes.present.plots.budget import plot_flighting, plot_plan, plot_plan_curves
from tests.budget.problems import prior_fit, simulated


@pytest.fixture(scope="module")
def plan() -> BudgetPlan:
    fitted = prior_fit(simulated(), ModelSpec(media={"max_lag": 4}), draws=30)
    return optimize_budget(
        fitted, by=("channel", "date"), change=(0.5, 1.5), periods=6, num_starts=0
    )


def render(figure: Figure) -> Figure:
    figure.savefig(io.BytesIO(), format="png")
    return figure


def test_bars_are_the_amounts(plan: BudgetPlan):
    left, right = render(plot_plan(plan)).axes[:2]
    widths = sorted(patch.get_width() for patch in left.patches)
    expected = sorted([*plan.table["today"], *plan.table["planned"]])
    np.testing.assert_allclose(widths, expected)
    assert len(right.patches) == 2 * len(plan.table)


def test_curves_have_both_points(plan: BudgetPlan):
    figure = render(plot_plan_curves(plan, num_points=6))
    for ax, (_, row) in zip(figure.axes, plan.table.iterrows(), strict=False):
        at = [float(line.get_xdata()[0]) for line in ax.lines if len(line.get_xdata()) == 1]
        assert at == pytest.approx([row["today"], row["planned"]])


def test_flighting_draws_every_date(plan: BudgetPlan):
    figure = render(plot_flighting(plan))
    name = plan.table.index[0]
    line = figure.axes[0].lines[1]
    np.testing.assert_allclose(line.get_ydata(), plan.plan.sel(channel=name).sum("geo").values)
