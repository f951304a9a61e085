"""Simulated shops compared with an independent loop, formulas and Monte Carlo error."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import jax
import networkx as nx
import numpy as np
import pytest
from scipy import stats

from mmm_bayes import simulate
from mmm_bayes.data.panel import ShopPanel
from mmm_bayes.runtime.findings import DataError
from mmm_bayes.simulate import shops_draw
from mmm_bayes.simulate.shop_panel import (
    ShopSettings,
    SimulatedShops,
    duplicated_shops,
    simulate_shops_with_truth,
)
from mmm_bayes.simulate.shops_graph import draw_graph

SMALL = {
    "num_shops": 3,
    "num_channels": 5,
    "num_dates": 25,
    "num_lags": 3,
    "burn_in": 10,
    "num_structures": 2,
}
CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "own mechanisms": {"mechanisms": "shop"},
    "nonlinear": {"difficulty": ("nonlinear",), "num_channels": 7},
    "spends": {"difficulty": ("spends",)},
    "confounded": {"difficulty": ("confounded",), "num_channels": 8},
    "all": {"difficulty": ("nonlinear", "spends", "confounded", "short"), "simulation": 2},
}


def key(seed: int) -> jax.Array:
    return jax.random.key(seed)


def truth(seed: int, **settings: Any) -> SimulatedShops:
    return simulate_shops_with_truth(key(seed), ShopSettings(**{**SMALL, **settings}))


# The recursion, node by node and lag by lag.


def edge(shape: int, x: float, other: float, unit: float) -> float:
    if shape == 0:
        return math.tanh(x)
    if shape == 1:
        return unit if x > unit / 2 else -unit
    if shape == 2:
        return unit * (min((x / unit) ** 2, 9) - 1)
    return unit * min(max(x * other / unit**2, -9), 9)


def loop(s: SimulatedShops, shop: int) -> np.ndarray:
    """States of one shop by the formulas; roots that are spend are taken from the simulation."""
    graph = s.graphs[s.panel.structure[shop]]  # type: ignore[index]
    m, unit, lags = s.mechanisms, s.settings.noise_sd, s.settings.num_lags
    own = shop if len(m.weights) > 1 else 0
    (a, b, g), w, shapes = m.roots[own], m.weights[own], m.shapes[own]
    e, pushes = s.noise[shop], unit * s.hidden[shop] @ m.loadings
    steps, nodes = e.shape
    x = np.zeros((steps, nodes))

    def at(series: np.ndarray, t: int, i: int) -> float:
        return series[t, i] if t >= 0 else 0.0

    for t in range(steps):
        for j in range(nodes):
            parents = [i for i in range(nodes) if graph[i, j]]
            value = e[t, j] + pushes[t, j]
            if not parents and j < nodes - 1:
                if "spends" in s.settings.difficulty:
                    x[t, j] = s.states[shop, t, j]
                    continue
                before = at(x, t - 1, j)
                value += a[j] * before
                value += b[j] * before * sum(at(x, t - k, j) for k in range(1, lags + 1))
                value += g[j] * at(e, t - lags, j) * at(e, t - 1, j)
            for place, i in enumerate(parents):
                partner = parents[(place + 1) % len(parents)]
                for k in range(1, lags + 1):
                    pair = at(x, t - k, i), at(x, t - k, partner)
                    value += w[i, j, k - 1] * edge(shapes[i, j], *pair, unit)
            x[t, j] = value
    return x


@pytest.mark.parametrize("case", CASES)
def test_series_follow_from_the_formulas(case: str) -> None:
    s = truth(3, **CASES[case])
    if "nonlinear" in s.settings.difficulty:
        used = s.mechanisms.shapes[0][s.graphs.any(0)]
        assert set(used) == {0, 1, 2, 3}
    for shop in range(s.settings.num_shops):
        x = loop(s, shop)
        np.testing.assert_allclose(s.states[shop], x, rtol=1e-10, atol=1e-12)
        channels = s.panel.series[shop, :, :-1]
        np.testing.assert_allclose(
            channels, (x * s.scale[shop])[s.settings.burn_in :, :-1], rtol=1e-10, atol=1e-12
        )


def test_curve_of_simulation_2_follows_the_context() -> None:
    one = truth(5, num_shops=40, num_dates=300)
    two = truth(5, num_shops=40, num_dates=300, simulation=2)
    np.testing.assert_array_equal(one.panel.series[..., :-1], two.panel.series[..., :-1])
    y = two.panel.series[..., -1]
    assert 0 < y.min() < 0.1 < 0.9 < y.max() < 1
    scale = two.settings.response_scale
    for n in range(40):
        context = two.panel.context[n]
        assert (context == context[0]).all()
        p, q = two.mechanisms.curve
        assert math.hypot(*p) == pytest.approx(1)
        assert math.hypot(*q) == pytest.approx(0.7)
        alpha = 1 + 2 / (1 + math.exp(-context[0] @ p))
        gamma = math.exp(context[0] @ q)
        v = np.log(1 + np.exp(one.panel.series[n, :, -1] / scale)) / math.log(2)
        np.testing.assert_allclose(y[n], v**alpha / (v**alpha + gamma), rtol=1e-9)
        # Where the response is 0 the curve is at 1 / (1 + gamma).
        order = np.argsort(one.panel.series[n, :, -1])
        assert np.all(np.diff(y[n][order]) > 0)
    level, half = y.mean(1), np.log(two.gamma)
    # A higher half-saturation point gives a lower curve for any exponent.
    assert stats.spearmanr(level, half).statistic < -0.8


# Streams: what stays when a setting changes.


@pytest.mark.parametrize("difficulty", [(), ("spends",), ("confounded", "nonlinear")])
@pytest.mark.parametrize("mechanisms", ["shared", "shop"])
def test_more_shops_keep_the_first(difficulty: tuple[Any, ...], mechanisms: Any) -> None:
    settings = {**SMALL, "difficulty": difficulty, "mechanisms": mechanisms}
    few = simulate.shops(key(1), **{**settings, "num_shops": 6})
    many = simulate.shops(key(1), **{**settings, "num_shops": 15})
    first = many.select(slice(0, 6))
    np.testing.assert_allclose(few.series, first.series, rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(few.context, first.context)
    np.testing.assert_array_equal(few.structure, first.structure)
    assert few.shops == first.shops


def test_one_setting_leaves_the_other_draws() -> None:
    plain = truth(2, num_channels=8)
    for change in ("nonlinear", "spends", "confounded"):
        other = truth(2, num_channels=8, difficulty=(change,))
        np.testing.assert_array_equal(plain.graphs, other.graphs)
        np.testing.assert_array_equal(plain.noise, other.noise)
        np.testing.assert_array_equal(plain.mechanisms.weights, other.mechanisms.weights)
        assert not np.allclose(plain.states, other.states)
    assert truth(2, num_dates=200, difficulty=("short",)).panel.length == 30


def test_mechanism_key_shares_mechanisms_on_other_graphs() -> None:
    settings = ShopSettings(**SMALL)
    one = simulate_shops_with_truth(key(1), settings, mechanism_key=key(9))
    two = simulate_shops_with_truth(key(2), settings, mechanism_key=key(9))
    for name in ("roots", "weights", "shapes", "loadings", "curve"):
        np.testing.assert_array_equal(
            getattr(one.mechanisms, name), getattr(two.mechanisms, name), err_msg=name
        )
    assert not any((g == h).all() for g in one.graphs for h in two.graphs)
    assert np.abs(np.corrcoef(one.noise.ravel(), two.noise.ravel())[0, 1]) < 0.2
    own = simulate_shops_with_truth(key(1), settings)
    np.testing.assert_array_equal(own.graphs, one.graphs)
    assert not np.allclose(own.mechanisms.weights, one.mechanisms.weights)


def test_given_graphs_are_followed() -> None:
    graphs = np.zeros((1, 6, 6), dtype=bool)
    graphs[0, 0, 1] = graphs[0, 1, 5] = True
    panel = simulate.shops(key(0), **SMALL, graphs=graphs)
    assert panel.adjacency is not None
    assert (panel.adjacency == graphs).all()
    x = simulate.shops(
        key(0), **{**SMALL, "num_dates": 2000, "num_shops": 1}, graphs=graphs
    ).series[0]
    correlation = np.corrcoef(x.T)
    # Nodes 2, 3 and 4 stand alone: correlations of nearly white series, 5 errors.
    assert np.abs(correlation[2:5, [0, 1, 5]]).max() < 5 / math.sqrt(2000)


# Every shop has its own noise.


def test_noise_is_each_shops_own() -> None:
    s = simulate_shops_with_truth(key(4), ShopSettings(num_shops=100, num_structures=2))
    noise = s.noise.reshape(100, -1)
    off = np.abs(np.corrcoef(noise)[np.triu_indices(100, 1)])
    bound = stats.norm.isf(1e-4 / len(off)) / math.sqrt(noise.shape[1])
    assert off.max() < bound
    # The same node of two shops, and two nodes of a shop.
    by_node = s.noise.transpose(1, 0, 2).reshape(len(s.noise[0]), -1)
    correlation = np.abs(np.corrcoef(by_node.T)[np.triu_indices(by_node.shape[1], 1)])
    assert correlation.max() < stats.norm.isf(1e-4 / len(correlation)) / math.sqrt(len(by_node))
    assert noise.std() == pytest.approx(0.1, rel=5 / math.sqrt(2 * noise.size))
    assert duplicated_shops(s.panel) == []


@pytest.mark.parametrize("case", CASES)
def test_no_two_series_are_equal(case: str) -> None:
    panel = truth(6, **{**CASES[case], "num_shops": 60, "num_structures": 1}).panel
    assert duplicated_shops(panel) == []
    rows = panel.series.reshape(60, -1)
    assert len(np.unique(rows, axis=0)) == 60


def test_a_root_that_diverges_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {
        "num_shops": 30,
        "num_channels": 3,
        "num_dates": 100,
        "burn_in": 50,
        "num_structures": 2,
    }
    monkeypatch.setattr(
        shops_draw,
        "draw_roots",
        lambda rng, nodes, lags, unit: np.tile([[0.3], [0.35], [0.1]], nodes),
    )
    s = simulate_shops_with_truth(key(0), ShopSettings(**settings))
    limit = shops_draw.DIVERGED * s.settings.noise_sd
    is_root = ~s.graphs[s.panel.structure].any(1)
    is_root[:, -1] = False
    assert (np.abs(s.states).max(1)[is_root] < limit).all()
    monkeypatch.setattr(shops_draw, "_ATTEMPTS", 1)
    with pytest.raises(DataError, match=r"\d+ shop.*mechanism_key"):
        simulate_shops_with_truth(key(0), ShopSettings(**settings))


# Graphs.


@pytest.mark.parametrize(("channels", "share", "p"), [(10, 0.5, 0.5), (6, 0.3, 0.2), (1, 1.0, 0.1)])
def test_graphs(channels: int, share: float, p: float) -> None:
    rng, draws = np.random.default_rng(channels), 400
    roots = max(1, round(share * channels))
    counts = np.empty(draws)
    for k in range(draws):
        graph = draw_graph(rng, channels, root_share=share, edge_probability=p)
        assert nx.is_directed_acyclic_graph(nx.DiGraph(graph.astype(int)))
        assert not graph[-1].any()
        into = graph.sum(0)
        assert (into[:-1] == 0).sum() == roots
        assert into[-1] >= min(2, channels)
        counts[k] = graph.sum()

    def expected(n: int, least: int) -> float:
        # A binomial number of parents, raised to the smallest allowed number.
        k = np.arange(n + 1)
        return float((np.maximum(k, least) * stats.binom.pmf(k, n, p)).sum())

    mean = sum(expected(n, 1) for n in range(roots, channels)) + expected(
        channels, min(2, channels)
    )
    assert counts.mean() == pytest.approx(mean, abs=5 * counts.std() / math.sqrt(draws) + 1e-9)
    if (channels, share, p) == (10, 0.5, 0.5):
        assert mean / 110 == pytest.approx(0.2, abs=0.01)


def test_structures_are_uniform_and_fill_the_adjacency() -> None:
    s = truth(8, num_shops=500, num_structures=4, num_dates=2, burn_in=0)
    counts = np.bincount(s.panel.structure, minlength=4)  # type: ignore[arg-type]
    assert stats.chisquare(counts).pvalue > 1e-3
    np.testing.assert_array_equal(s.panel.adjacency, s.graphs[s.panel.structure])


# The series.


def test_series_are_stationary_after_the_burn_in() -> None:
    panel = simulate.shops(key(10), num_shops=200, num_dates=120)
    half = panel.series[:, :60], panel.series[:, 60:]
    before, after = (np.log(part.std(1)) for part in half)
    difference = (after - before).mean(0)
    error = (after - before).std(0) / math.sqrt(200)
    assert np.abs(difference / error).max() < 4.5
    is_root = ~panel.adjacency.any(1)  # type: ignore[union-attr]
    is_root[:, -1] = False
    sd = panel.series.std(1)[is_root]
    assert 0.05 < sd.min() < 0.1 < sd.max() < 0.4


def test_true_parents_and_only_they_granger_cause() -> None:
    lags = 7
    panel = simulate.shops(key(11), num_shops=8, num_dates=600)
    nodes = panel.num_nodes
    is_edge = panel.adjacency.reshape(-1, nodes)  # type: ignore[union-attr]
    p = np.concatenate([granger(series, lags) for series in panel.series])
    off = np.tile(~np.eye(nodes, dtype=bool), (panel.num_shops, 1))
    p, is_edge = p[off], is_edge[off]
    assert (p[is_edge] < 1e-3).mean() > 0.97
    # Edges bend, so the linear test of the others is a little off its level of 5%.
    assert 0.02 < (p[~is_edge] < 0.05).mean() < 0.10


def granger(x: np.ndarray, lags: int) -> np.ndarray:
    """p-values of the F-tests that drop all lags of a source from a VAR (source, target)."""
    length, nodes = x.shape
    past = np.stack([x[lags - k : length - k] for k in range(1, lags + 1)], 2)
    rows = length - lags
    design = np.concatenate([np.ones((rows, 1)), past.reshape(rows, -1)], 1)
    inverse = np.linalg.inv(design.T @ design)
    b = inverse @ design.T @ x[lags:]
    left = rows - design.shape[1]
    variance = ((x[lags:] - design @ b) ** 2).sum(0) / left
    p = np.empty((nodes, nodes))
    for i in range(nodes):
        block = slice(1 + i * lags, 1 + (i + 1) * lags)
        # The Wald form of the F statistic.
        wald = (b[block] * np.linalg.solve(inverse[block, block], b[block])).sum(0)
        p[i] = stats.f.sf(wald / lags / variance, lags, left)
    return p


def test_spend_is_positive_autocorrelated_and_zero_inflated() -> None:
    s = truth(12, num_shops=40, num_dates=800, difficulty=("spends",))
    is_root = ~s.panel.adjacency.any(1)  # type: ignore[union-attr]
    is_root[:, -1] = False
    spend = s.panel.series.transpose(0, 2, 1)[is_root]
    assert spend.min() == 0
    zeros = (spend == 0).mean(1)
    assert zeros.mean() == pytest.approx(0.4, abs=5 * zeros.std() / math.sqrt(len(zeros)))
    levels = np.log(spend.sum(1))
    assert levels.std() == pytest.approx(1.5, rel=0.3)
    both = (spend[:, 1:] > 0) & (spend[:, :-1] > 0)
    logs = np.log(np.where(spend > 0, spend, 1.0)) - np.log(s.scale[is_root])[:, None]
    assert np.corrcoef(logs[:, 1:][both], logs[:, :-1][both])[0, 1] == pytest.approx(0.7, abs=0.04)


def test_hidden_drivers_correlate_what_no_edge_joins() -> None:
    graphs = np.zeros((1, 9, 9), dtype=bool)
    graphs[0, :2, 8] = True
    settings = ShopSettings(num_channels=8, num_shops=1, num_dates=4000, difficulty=("confounded",))
    s = simulate_shops_with_truth(key(13), settings, graphs=graphs)
    loadings = s.mechanisms.loadings
    assert loadings.shape == (2, 9)
    assert set((loadings != 0).sum(1)) <= {2, 3}
    assert not loadings[:, -1].any()
    joint = loadings.T @ loadings
    correlation = np.corrcoef(s.panel.series[0].T)[:8, :8]
    off = ~np.eye(8, dtype=bool)
    driven = off & (joint[:8, :8] != 0)
    assert (np.sign(correlation[driven]) == np.sign(joint[:8, :8][driven])).all()
    assert np.abs(correlation[driven]).min() > 0.2
    assert np.abs(correlation[off & ~driven]).max() < 0.15


# Duplicates.


@pytest.fixture(scope="module")
def panel() -> ShopPanel:
    return simulate.shops(key(20), num_shops=12, num_channels=4, num_dates=40, num_structures=1)


def test_copies_are_found(panel: ShopPanel) -> None:
    series = panel.series.copy()
    rng = np.random.default_rng(0)
    series[3] = series[0]
    series[5] = 40 * series[1] - 7
    series[7] = series[2] + 1e-4 * rng.standard_normal(series[2].shape)
    # A tenth of the standard deviation is another series, and so is the same one shifted.
    series[8] = series[4] + 0.02 * rng.standard_normal(series[4].shape)
    series[9] = np.roll(series[6], 1, axis=0)
    copied = replace(panel, series=series)
    pairs = [("shop0", "shop3"), ("shop1", "shop5"), ("shop2", "shop7")]
    assert duplicated_shops(copied) == pairs
    assert duplicated_shops(panel) == []
    validation = replace(copied.select([3, 4, 10]), shops=("a", "b", "c"))
    assert duplicated_shops(copied, validation) == [
        ("shop0", "a"),
        ("shop3", "a"),
        ("shop4", "b"),
        ("shop10", "c"),
    ]


def test_copies_with_gaps_and_of_another_length_are_found(panel: ShopPanel) -> None:
    series = panel.series.copy()
    series[1] = series[0]
    series[1, 5:9] = np.nan
    series[3] = series[2]
    series[3, 30:] = np.nan
    holey = replace(panel, series=series)
    assert duplicated_shops(holey) == [("shop0", "shop1"), ("shop2", "shop3")]
    assert duplicated_shops(panel, panel.window(0, 30))[:2] == [
        ("shop0", "shop0"),
        ("shop1", "shop1"),
    ]
    empty = replace(panel, series=np.full_like(panel.series, np.nan))
    assert duplicated_shops(empty) == []


def test_three_hundred_series_of_which_four_are_distinct(panel: ShopPanel) -> None:
    which = np.arange(300) % 4
    repeated = ShopPanel(
        series=panel.series[which],
        nodes=panel.nodes,
        shops=tuple(f"s{i}" for i in range(300)),
        context=panel.context[which],
        context_names=panel.context_names,
    )
    pairs = duplicated_shops(repeated)
    assert len(pairs) == 4 * (75 * 74 // 2)
    training, validation = repeated.select(slice(0, 200)), repeated.select(slice(200, 300))
    assert len({b for _, b in duplicated_shops(training, validation)}) == 100


# Settings.


def test_every_wrong_setting_is_reported() -> None:
    with pytest.raises(DataError) as caught:
        simulate.shops(
            key(0),
            simulation=3,  # type: ignore[arg-type]
            num_shops=0,
            num_channels=0,
            num_dates=1,
            num_structures=0,
            num_lags=0,
            noise_sd=0.0,
            edge_probability=1.5,
            root_share=0.0,
            burn_in=-1,
            mechanisms="each",  # type: ignore[arg-type]
            difficulty=("nonlinaer", "short"),  # type: ignore[arg-type]
        )
    columns = {finding.where for finding in caught.value.findings}
    assert columns == set(ShopSettings.__dataclass_fields__)
    assert "'nonlinear'" in str(caught.value)
    with pytest.raises(DataError, match=r"difficulty.*'short'"):
        simulate.shops(key(0), difficulty="short")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"jax\.random\.key"):
        simulate.shops("0")


@pytest.mark.parametrize(
    ("graphs", "match"),
    [
        (np.zeros((2, 5, 5), bool), "shape"),
        (np.zeros((0, 6, 6), bool), "shape"),
        (np.zeros((2, 6, 6)), "boolean"),
        (np.eye(6, dtype=bool)[None], "join a node with itself"),
        (np.ones((1, 6, 6), bool), "from the target"),
    ],
)
def test_graphs_that_cannot_be(graphs: np.ndarray, match: str) -> None:
    with pytest.raises(DataError, match=match):
        simulate.shops(key(0), **SMALL, graphs=graphs)
