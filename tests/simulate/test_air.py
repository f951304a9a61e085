"""The simulated platform: its shape, the funnel, an independent loop over its days."""

from __future__ import annotations

import math

import jax
import numpy as np
import pytest

from mmm_bayes import simulate
from mmm_bayes.data.panel import ShopPanel
from mmm_bayes.runtime.findings import DataError
from mmm_bayes.simulate import air_panel as shops_air
from mmm_bayes.simulate.air_panel import AIR_GROUPS, AIR_NODES, air_contributions
from mmm_bayes.simulate.shop_panel import duplicated_shops

BRAND, EFFECT, PV, GMV = range(6), range(6, 11), 11, 12


@pytest.fixture(scope="module")
def panel() -> ShopPanel:
    return simulate.air_shops(jax.random.key(0))


def test_shape_of_the_published_data(panel: ShopPanel) -> None:
    assert panel.series.shape == (50, 676, 13)
    assert panel.context.shape == (50, 676, 5)
    assert panel.dates is not None
    assert (str(panel.dates[0].date()), str(panel.dates[-1].date())) == ("2021-01-30", "2022-12-06")
    assert panel.target == "gmv"
    assert AIR_NODES[-2] == "pv"
    groups = {"brand": 6, "effect": 5, "views": 1, "target": 1}
    assert {group: AIR_GROUPS.count(group) for group in set(AIR_GROUPS)} == groups
    assert panel.groups == AIR_GROUPS
    assert panel.observed.all()
    assert panel.series.min() >= 0
    assert duplicated_shops(panel) == []


def test_zeros_scales_and_weeks(panel: ShopPanel) -> None:
    zeros = (panel.series == 0).mean((0, 1))
    flights = [name.startswith(("x-brand", "x-interact", "x-live")) for name in AIR_NODES]
    assert ((zeros[flights] > 0.3) & (zeros[flights] < 0.7)).all()
    assert (zeros[~np.array(flights)] < 0.04).all()
    assert (panel.series[..., [PV, GMV]] > 0).all()
    means = panel.series.mean(1)
    # Orders of magnitude: log-normal of sd 1.3 over 50 shops spans a factor above 100.
    assert (means.max(0) / means.min(0) > 100).all()
    logs = np.log(panel.series[..., GMV])
    weekdays = [logs[:, panel.dates.day_of_week == day].mean() for day in range(7)]  # type: ignore[union-attr]
    assert min(weekdays[5:]) > max(weekdays[:5]) + 0.04
    promoted = panel.context[0, :, 1] > 0.2
    assert 0.05 < promoted.mean() < 0.2
    assert logs[:, promoted].mean() > logs[:, ~promoted].mean() + 0.1
    kind = panel.context[..., 4]
    np.testing.assert_array_equal(kind, np.repeat(panel.structure[:, None], 676, 1))  # type: ignore[index]
    economy = panel.context[..., 2]
    assert (economy == economy[0]).all()


def test_graphs_follow_the_funnel(panel: ShopPanel) -> None:
    assert panel.structure is not None
    assert panel.adjacency is not None
    assert set(panel.structure) == {0, 1, 2, 3}
    for graph, kind in zip(panel.adjacency, panel.structure, strict=True):
        np.testing.assert_array_equal(graph, panel.adjacency[panel.structure == kind][0])
        assert not graph[GMV].any()
        assert not graph[:, BRAND].any()
        assert not graph[np.ix_([*EFFECT], [*EFFECT, PV])].any()
        assert graph[BRAND, PV].any()
        assert graph[PV, EFFECT].any()
        assert graph[EFFECT, GMV].any()


def test_levels_follow_from_the_formulas() -> None:
    rng = np.random.default_rng(0)
    funnel = shops_air._draw_funnel(rng, 2)
    kind, context = np.array([1, 0]), rng.standard_normal((2, 12, 5))
    own = rng.uniform(0.5, 1.5, (2, 12, 13)) * (rng.uniform(size=(2, 12, 13)) > 0.2)
    levels = shops_air._run(funnel, kind, context, own)
    for n in range(2):
        m = np.zeros(13)
        for t in range(12):
            x = np.zeros(13)
            for j in range(13):
                total = 1.0 if j < 6 else 0.3
                for i in range(13):
                    if funnel.graphs[kind[n], i, j]:
                        half = 1.0 if i < 6 else 2.5
                        half *= math.exp(0.3 * context[n, t, 3]) if j == GMV else 1.0
                        share = m[i] ** 1.5 / (m[i] ** 1.5 + half**1.5)
                        total += funnel.effects[i, j] * share
                moved = math.exp(sum(funnel.tilt[j, k] * context[n, t, k] for k in range(3)))
                x[j] = own[n, t, j] * moved * total
            np.testing.assert_allclose(levels[n, t], x, rtol=1e-10)
            for i in range(13):
                m[i] = funnel.carryover[i] * m[i] + (1 - funnel.carryover[i]) * x[i]


def test_streams_of_shops_and_days() -> None:
    few = simulate.air_shops(jax.random.key(3), num_shops=2, num_dates=20)
    many = simulate.air_shops(jax.random.key(3), num_shops=5, num_dates=20)
    np.testing.assert_allclose(few.series, many.series[:2], rtol=1e-12)
    other = simulate.air_shops(jax.random.key(4), num_shops=2, num_dates=20)
    assert not np.allclose(few.series, other.series)


def test_every_wrong_setting_is_reported() -> None:
    with pytest.raises(DataError) as caught:
        simulate.air_shops(
            jax.random.key(0), num_shops=0, num_dates=1, start="spring", num_structures=0
        )
    columns = {finding.where for finding in caught.value.findings}
    assert columns == {"num_shops", "num_dates", "start", "num_structures"}


# --- Contributions of nodes -----------------------------------------------------------------------


def test_only_nodes_with_a_path_to_sales_contribute() -> None:
    size = {"num_shops": 6, "num_dates": 40}
    panel = simulate.air_shops(jax.random.key(5), **size)
    contributions = air_contributions(jax.random.key(5), **size)
    total = panel.series[..., GMV].sum(1)
    assert contributions.shape == (6, GMV)
    assert (contributions < total[:, None]).all()
    reached = np.eye(13, dtype=bool) | panel.adjacency
    for _ in range(4):
        reached = (reached.astype(int) @ reached.astype(int)) > 0
    runs = panel.series[:, 1:-1, :GMV].sum(1) > 0  # not so on the last day alone
    acts = reached[:, :GMV, GMV] & runs
    assert (contributions[~acts] == 0).all()
    assert (contributions[acts & (panel.series[:, :20, :GMV].sum(1) > 0)] > 0).all()
    # A node that acts through views alone cannot contribute more than views.
    through = panel.adjacency[:, BRAND, PV] & (panel.adjacency[:, BRAND].sum(2) == 1)
    assert through.any()
    assert (contributions[:, BRAND] <= contributions[:, [PV]])[through].all()


def test_contributions_of_one_edge_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Live shows act only on sales: sales without them, by the formula."""
    graph = np.zeros((1, 13, 13), dtype=bool)
    graph[0, 6, GMV] = True
    drawn = shops_air._draw_funnel
    monkeypatch.setattr(
        shops_air, "_draw_funnel", lambda rng, n: drawn(rng, n)._replace(graphs=graph)
    )
    size = {"num_shops": 3, "num_dates": 30, "num_structures": 1}
    contributions = air_contributions(jax.random.key(6), **size)
    world = shops_air._draw_world(jax.random.key(6), 3, 30, "2021-01-30", 1)
    factor = world.own * np.exp(world.context[..., :3] @ world.funnel.tilt.T)
    live = 0.3 * factor[..., 6]
    half = np.exp(0.3 * world.context[..., 3])
    weight, keep = world.funnel.effects[6, GMV], world.funnel.carryover[6]
    expected = np.zeros(3)
    for shop in range(3):
        with_it = without = 0.0
        for t in range(live.shape[1]):
            kept = t >= shops_air._BURN_IN

            def share(m: float, at: float = half[shop, t]) -> float:
                return (m / 2.5) ** 1.5 / ((m / 2.5) ** 1.5 + at**1.5)

            difference = weight * (share(with_it) - share(without)) * factor[shop, t, GMV]
            expected[shop] += kept * difference * world.scale[shop, 0, GMV]
            with_it = keep * with_it + (1 - keep) * live[shop, t]
            without = keep * without + (1 - keep) * (0.0 if kept else live[shop, t])
    np.testing.assert_allclose(contributions[:, 6], expected, rtol=1e-9)
    assert (np.delete(contributions, 6, axis=1) == 0).all()
