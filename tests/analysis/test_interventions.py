"""do() on equations, against the fitted means of changed tables and loops over draws."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from mmm_bayes.analysis import interventions as do_engine
from mmm_bayes.analysis.contributions import fitted_mean
from mmm_bayes.data.schema import MMMData
from mmm_bayes.fit import MMM
from mmm_bayes.model.fitted import Fitted
from mmm_bayes.model.spec import ModelSpec

NDArray = np.ndarray[Any, Any]
WEEKS, DRAWS, GEOS = 40, 30, 2


def drawn_from_prior(data: MMMData, spec: ModelSpec, seed: int) -> Fitted:
    """A fit whose posterior is its prior: widely spread parameters without sampling."""
    tree = MMM(data, spec).sample_prior_predictive(jax.random.key(seed), DRAWS)
    groups = {name: tree[name].to_dataset() for name in ("observed_data", "constant_data")}
    return Fitted(
        spec, data, xr.DataTree.from_dict(groups | {"posterior": tree["prior"].to_dataset()})
    )


def equation(
    target: NDArray, media: dict[str, NDArray], linear: dict[str, NDArray], spec: ModelSpec
) -> tuple[MMMData, ModelSpec]:
    shape = target.shape
    data = MMMData.from_arrays(
        dates=pd.date_range("2023-01-02", periods=WEEKS, freq="W-MON"),
        target=target,
        spend=np.stack([*media.values()], -1) if media else np.zeros((*shape, 0)),
        channels=list(media),
        controls=np.stack([*linear.values()], -1) if linear else None,
        control_names=list(linear),
        geos=["north", "south"],
        population=np.array([3.0, 1.0]),
    )
    return data, spec


@pytest.fixture(scope="module", params=["adstock_first", "saturation_first"])
def system(request: pytest.FixtureRequest) -> do_engine.System:
    """tv -> search -> sales, tv -> mood -> sales, tv -> sales; sales have a log link."""
    rng = np.random.default_rng(0)
    shape = (GEOS, WEEKS)
    tv, search = rng.gamma(2.0, 3.0, shape), rng.gamma(3.0, 2.0, shape)
    mood, sales = rng.normal(size=shape), np.exp(rng.normal(3.0, 0.2, shape))
    plain = ModelSpec(media={"order": request.param, "max_lag": 4})
    logged = plain.evolve(likelihood={"family": "log_normal"})
    parts = {
        "search": equation(search, {"tv": tv}, {}, plain),
        "mood": equation(mood, {"tv": tv}, {}, plain),
        "sales": equation(sales, {"tv": tv, "search": search}, {"mood": mood}, logged),
    }
    fitted = {n: drawn_from_prior(*given, seed) for seed, (n, given) in enumerate(parts.items())}
    observed = {"tv": tv, "search": search, "mood": mood, "sales": sales}
    return do_engine.System(fitted, observed, frozenset(["tv", "search"]))


def means(fitted: Fitted, changes: dict[str, NDArray], draw: int) -> NDArray:
    """Fitted mean (geo, date) of one draw with other values of its parents."""
    ds = fitted.data.ds.copy(deep=True)
    for name, values in changes.items():
        if name in fitted.data.channels:
            ds["exposure"].loc[{"channel": name}] = values
        else:
            ds["controls"].loc[{"control": name}] = values
    posterior = fitted.tree["posterior"].to_dataset().isel(draw=[draw])
    one = Fitted(fitted.spec, fitted.data, xr.DataTree.from_dict({"posterior": posterior}))
    found: NDArray = fitted_mean(one, ("geo", "date"), data=MMMData(ds)).values[0, 0]
    return found


def test_nodes_respond_as_their_equations_say(system: do_engine.System) -> None:
    tv = 0.3 * system.observed["tv"]
    found = do_engine.under(system, {"tv": tv})
    assert list(found) == ["tv", "search", "mood", "sales"]
    for draw in (0, 7, 29):
        after = {"tv": tv}
        for node in ("search", "mood"):
            fitted = system.equations[node]
            change = means(fitted, {"tv": tv}, draw) - means(fitted, {}, draw)
            after[node] = system.observed[node] + change
            if node == "search":
                after[node] = np.maximum(after[node], 0.0)
            np.testing.assert_allclose(found[node][draw], after[node], rtol=1e-8, atol=1e-8)
        sales = system.equations["sales"]
        ratio = means(sales, after, draw) / means(sales, {}, draw)
        expected = system.observed["sales"] * ratio
        np.testing.assert_allclose(found["sales"][draw], expected, rtol=1e-7)


def test_edges_that_carry_nothing_change_nothing(system: do_engine.System) -> None:
    none = np.zeros((GEOS, WEEKS))
    direct = do_engine.under(system, {"tv": none}, {("tv", "sales")})
    assert set(direct) == {"tv", "sales"}
    for draw in (3, 11):
        sales = system.equations["sales"]
        ratio = means(sales, {"tv": none}, draw) / means(sales, {}, draw)
        np.testing.assert_allclose(
            direct["sales"][draw], system.observed["sales"] * ratio, rtol=1e-7
        )
    nothing = do_engine.under(system, {"tv": none}, ())
    assert set(nothing) == {"tv"}
    dead_end = do_engine.under(system, {"tv": none}, {("tv", "search")})
    assert set(dead_end) == {"tv", "search"}
    # Nodes that are not affected keep their values, up to rounding.
    same = do_engine.under(system, {"tv": system.observed["tv"]})
    for node in ("search", "mood", "sales"):
        wanted = np.broadcast_to(system.observed[node], same[node].shape)
        np.testing.assert_allclose(same[node], wanted, rtol=1e-9, atol=1e-9)


def test_a_node_set_by_hand_takes_no_orders(system: do_engine.System) -> None:
    none = np.zeros((GEOS, WEEKS))
    fixed = do_engine.under(system, {"tv": none, "search": system.observed["search"]})
    through = {("tv", "sales"), ("tv", "mood"), ("mood", "sales")}
    by_edges = do_engine.under(system, {"tv": none}, through)
    np.testing.assert_allclose(fixed["sales"], by_edges["sales"], rtol=1e-9)


def test_paths_are_all_paths() -> None:
    parents = {"y": ("a", "b", "c"), "c": ("b",), "b": ("a",), "a": ()}
    assert do_engine.directed_paths(parents, "a", "y") == [
        ("a", "y"), ("a", "b", "y"), ("a", "b", "c", "y"),
    ]  # fmt: skip
    assert do_engine.directed_paths(parents, "y", "a") == []
    assert do_engine.edges_of(("a", "b", "y")) == {("a", "b"), ("b", "y")}
