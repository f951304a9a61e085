"""Simulated tables with mediation: effects by do(), and the graph of the data."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import mmm_bayes as mb
from mmm_bayes import simulate


@pytest.mark.parametrize("world", ["full", "example"])
def test_effects_are_sums_over_interventions(world: str) -> None:
    sim = simulate.mediation(jax.random.key(0), world=world, num_weeks=104)  # type: ignore[arg-type]
    sales = sim.data.ds["target"].values[0]
    for channel, row in sim.effects.iterrows():
        assert row["total"] == pytest.approx((sales - sim.sales_without(str(channel))).sum())
        assert row["total"] == pytest.approx(row["direct"] + row["indirect"])
        mediated = channel == "tv" or (world == "full" and channel == "video")
        assert (row["indirect"] > 1.0) == mediated
        assert row["direct"] > 1.0
    assert np.isfinite(sim.data.to_frame().iloc[:, 1:].to_numpy(float)).all()


def test_a_channel_may_be_off_for_a_while() -> None:
    sim = simulate.mediation(jax.random.key(4), world="example")
    sales, dates = sim.data.ds["target"].values[0], sim.data.dates
    lost = sales - sim.sales_without("tv", "2023-02-06", "2023-03-27")
    before, during = dates < "2023-02-06", (dates >= "2023-02-06") & (dates <= "2023-03-27")
    assert (lost[before] == 0).all()
    assert (lost[during] > 0).all()
    assert lost[~before & ~during].sum() > 0  # what would have been carried over
    assert lost.sum() < sim.effects.loc["tv", "total"]
    with pytest.raises(ValueError, match="tv, digital, email, search"):
        sim.sales_without("radio")


def test_the_graph_is_that_of_the_table() -> None:
    sim = simulate.mediation(jax.random.key(1))
    graph = mb.CausalGraph(edges=sim.edges, bidirected=sim.bidirected, roles=sim.roles)
    columns = {*sim.data.channels, *sim.data.controls, "sales"}
    assert set(graph.nodes) - columns == {"season"}
    assert graph.adjustment_set("tv", "sales") == ("season", "demand")
    assert set(graph.parents("visits")) == {"tv", "sales"}
    # An intervention on TV does not change what TV does not cause, such as the plan of video.
    again = simulate.mediation(jax.random.key(1))
    assert again.data.equals(sim.data)
    other = simulate.mediation(jax.random.key(2))
    assert not other.data.equals(sim.data)


def test_confounding_moves_plans_with_demand() -> None:
    def correlation(strength: float) -> float:
        found = []
        for seed in range(6):
            frame = simulate.mediation(jax.random.key(seed), confounding=strength).data.to_frame()
            found.append(np.corrcoef(np.log(frame["social"]), frame["demand"])[0, 1])
        return float(np.mean(found))

    assert abs(correlation(0.0)) < 0.15
    assert 0.55 < correlation(1.0) < 0.85


def test_wrong_settings_are_all_named() -> None:
    with pytest.raises(ValueError, match=r"(?s)world.*num_weeks.*confounding.*noise"):
        simulate.mediation(
            jax.random.key(0),
            world="none",
            num_weeks=3,
            confounding=-1,
            noise=0,  # type: ignore[arg-type]
        )
