"""Baselines on vector autoregressions with known graphs, and their parts one by one."""

from __future__ import annotations

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize

from mmm_bayes.causal_mmm.networks.metrics import auroc, f1
from mmm_bayes.runtime.findings import DataError
from studies.granger import lagged, proximal, trivial
from studies.granger.gvar import GVARSettings, gvar, stable_graph
from studies.granger.ingra import InGRAFit, InGRASettings, _batches
from studies.granger.linear_granger import (
    benjamini_hochberg,
    granger_tests,
    log_f_survival,
    ridge_norms,
)
from studies.granger.ngc import NGCSettings, _norms, _shrink, neural_granger
from studies.granger.registry import (
    BASELINES,
    Baseline,
    Scorer,
    gvar_baseline,
    ingra_baseline,
    ngc_baseline,
)

NODES = 4
# Two graphs, by (source, target, lag, coefficient).
GRAPHS = (
    ((0, 1, 1, 0.6), (1, 2, 2, -0.6), (0, 3, 1, 0.5), (3, 2, 1, 0.5)),
    ((0, 1, 1, 0.6), (2, 3, 1, 0.6), (3, 1, 2, 0.5)),
)
OWN = 0.3


def simulate(seed: int, shops: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Series (shop, time, node) and graphs (shop, source, target), of the graphs in turn."""
    rng = np.random.default_rng(seed)
    series = rng.normal(size=(shops, length + 50, NODES))
    truth = np.zeros((shops, NODES, NODES), bool)
    for shop in range(shops):
        edges = GRAPHS[shop % len(GRAPHS)]
        for t in range(2, length + 50):
            series[shop, t] += OWN * series[shop, t - 1]
            for source, target, k, weight in edges:
                series[shop, t, target] += weight * series[shop, t - k, source]
        for source, target, *_ in edges:
            truth[shop, source, target] = True
    # Units of their own, which no method may depend on.
    return series[:, 50:] * [1, 100, 0.01, 5] + [0, 7, 1, -3], truth


@pytest.fixture(scope="module")
def panel() -> tuple[np.ndarray, np.ndarray]:
    return simulate(1, 4, 200)


SMALL_NGC = {"hidden": 6, "lags": 3, "iterations": 60}
QUICK = {
    **BASELINES,
    "ngc_mlp": ngc_baseline("ngc_mlp", NGCSettings(**SMALL_NGC)),
    "ngc_mlp_hierarchical": ngc_baseline(
        "ngc_mlp_hierarchical", NGCSettings(penalty="hierarchical", **SMALL_NGC)
    ),
    "ngc_lstm": ngc_baseline(
        "ngc_lstm", NGCSettings(network="lstm", lambdas=(0.1, 0.05), ridge=0.01, **SMALL_NGC)
    ),
    "gvar": gvar_baseline("gvar", GVARSettings(lags=3, hidden=8, iterations=100)),
    "ingra": ingra_baseline(
        "ingra",
        InGRASettings(prototypes=2, hidden=8, width=6, epochs=200, batch=8, learning_rate=0.02),
    ),
}
"""Every baseline, those that take long with small settings."""
KNOWING = ["linear_granger", "linear_granger_bic", "ridge_var"]
LEARNING = ["ngc_mlp", "ngc_mlp_hierarchical", "ngc_lstm", "gvar", "ingra", "nearest_neighbour"]
FIT_ONCE = list(BASELINES)


@pytest.fixture(scope="module")
def scorers() -> dict[str, Scorer]:
    """Each baseline, with other shops than the panel's to learn from."""
    train, graphs = simulate(2, 16, 120)
    key = jax.random.key(0)
    return {name: each.fit(key, train, graphs) for name, each in QUICK.items()}


@pytest.fixture(scope="module")
def results(scorers, panel) -> dict[str, np.ndarray]:
    """Scores of each baseline on the panel."""
    return {name: score(panel[0]) for name, score in scorers.items()}


@pytest.mark.parametrize("name", FIT_ONCE)
def test_scores_have_the_shape_of_graphs(results, panel, name) -> None:
    scores = results[name]
    assert scores.shape == panel[1].shape
    assert scores.dtype == np.float64
    assert np.isfinite(scores).all()
    assert not scores[:, np.eye(NODES, dtype=bool)].any()


@pytest.mark.parametrize("name", KNOWING + LEARNING)
def test_methods_find_the_graph(results, panel, name) -> None:
    assert auroc(results[name], panel[1]) > 0.92


@pytest.mark.parametrize("name", ["linear_granger", "ridge_var", "ngc_mlp", "gvar"])
def test_gaps_and_shorter_shops(panel, results, name) -> None:
    """A shop that ends early, and one with a gap, are scored; a whole one as before."""
    series, truth = panel
    broken = series.copy()
    broken[0, 170:] = np.nan
    broken[1, 100:103, 2] = np.nan
    scores = QUICK[name].fit(jax.random.key(0), broken, None)(broken)
    assert auroc(scores[:2], truth[:2]) > 0.9
    # Float32 sums may be taken in another order.
    np.testing.assert_allclose(scores[2:], results[name][2:], rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("name", ["linear_granger", "ridge_var"])
def test_a_shop_that_ends_early_is_a_shorter_shop(panel, name) -> None:
    series = panel[0][:1]
    padded = series.copy()
    padded[:, 150:] = np.nan
    fit = QUICK[name].fit(jax.random.key(0), series, None)
    np.testing.assert_allclose(fit(padded), fit(series[:, :150]), rtol=1e-9, atol=1e-12)


def test_other_missing_values_leave_finite_scores(panel) -> None:
    series = panel[0].copy()
    series[:, 150:] = np.nan
    series[0, 50, 1] = np.nan
    series[1, :, 3] = 4.0
    for name in ("all_zero", "low_variance_first", "lagged_correlation", "linear_granger"):
        scores = QUICK[name].fit(jax.random.key(0), series, None)(series)
        assert np.isfinite(scores).all(), name


def test_registry_names_its_baselines() -> None:
    assert all(name == each.name for name, each in BASELINES.items())
    assert all(isinstance(each, Baseline) for each in BASELINES.values())
    assert all(
        next(iter(inspect.signature(b.fit).parameters)) == "rng_key" for b in BASELINES.values()
    )
    for name in ("mean_graph", "nearest_neighbour"):
        assert BASELINES[name].learns_from == "graphs"
        with pytest.raises(DataError, match="learns from the graphs"):
            BASELINES[name].fit(jax.random.key(0), np.zeros((1, 30, 3)), None)


# Linear Granger.


def test_f_tests_are_those_of_statsmodels(panel) -> None:
    from statsmodels.tsa.api import VAR

    series = panel[0][:2]
    for max_lag in (1, 3):
        ours = granger_tests(series, max_lag=max_lag, criterion="most")
        assert (ours.lags == max_lag).all()
        for shop in range(2):
            fitted = VAR(series[shop]).fit(max_lag, trend="c")
            assert ours.residual_df[shop] == fitted.df_resid
            for source, target in ((0, 1), (1, 0), (1, 2), (2, 3)):
                test = fitted.test_causality(target, source, kind="f")
                # Theirs has the residual degrees of freedom of all equations together.
                expected = stats.f.sf(test.test_statistic, max_lag, fitted.df_resid)
                np.testing.assert_allclose(
                    ours.p_values[shop, source, target], expected, rtol=1e-6, atol=1e-300
                )


def test_f_test_of_two_series_is_that_of_two_regressions() -> None:
    from statsmodels.tsa.stattools import grangercausalitytests

    rng = np.random.default_rng(4)
    pair = rng.normal(size=(60, 2))
    ours = granger_tests(pair[None], max_lag=2, criterion="most").p_values[0]
    result = grangercausalitytests(pair, [2])  # second column -> first
    assert ours[1, 0] == pytest.approx(result[2][0]["ssr_ftest"][1], rel=1e-9)


@pytest.mark.parametrize("criterion", ["aic", "bic"])
def test_orders_are_those_of_statsmodels(panel, criterion) -> None:
    from statsmodels.tsa.api import VAR

    series = np.concatenate([panel[0], simulate(5, 4, 40)[0].repeat(5, axis=1)])
    ours = granger_tests(series, max_lag=5, criterion=criterion).lags
    for shop in range(len(series)):
        orders = VAR(series[shop]).select_order(5, trend="c").selected_orders
        # Theirs may choose no lag at all.
        assert ours[shop] == max(orders[criterion], 1)


def test_p_values_are_uniform_without_edges() -> None:
    rng = np.random.default_rng(6)
    p = granger_tests(rng.normal(size=(150, 60, 3)), max_lag=2, criterion="most").p_values
    p = p[:, ~np.eye(3, dtype=bool)]
    # One pair a shop, so that they are independent.
    assert stats.kstest(p[:, 0], "uniform").pvalue > 0.01
    decided = benjamini_hochberg(granger_tests(rng.normal(size=(150, 60, 3))).p_values, 0.05)
    # With no edges the rate of shops with any is the false discovery rate: 0.05, sd 0.018.
    assert decided.any((1, 2)).mean() < 0.05 + 4 * 0.018


def test_tail_of_f_has_a_closed_form_with_two_degrees_of_freedom() -> None:
    statistic = np.array([0.0, 0.3, 5.0, 100.0, 1e4, 1e8])
    for df in (5, 40, 700):
        expected = -df / 2 * np.log1p(2 * statistic / df)
        np.testing.assert_allclose(log_f_survival(statistic, 2, np.array(df)), expected, rtol=1e-9)
    several = log_f_survival(np.array([0.5, 2.0, 9.0]), 7, np.array(30))
    np.testing.assert_allclose(several, stats.f.logsf([0.5, 2.0, 9.0], 7, 30), rtol=1e-9)
    # Continuous where the logarithm of the series takes over, at 1e-280.
    fine = log_f_survival(np.linspace(1000, 2000, 2000), 7, np.array(400))
    assert fine.min() < -645 < fine.max()
    assert (np.diff(fine) < 0).all()
    assert np.ptp(np.diff(fine, n=2)) < 1e-3


def test_decisions_are_those_of_statsmodels() -> None:
    from statsmodels.stats.multitest import multipletests

    rng = np.random.default_rng(7)
    p = rng.beta(0.4, 1, size=(5, NODES, NODES))
    keep = ~np.eye(NODES, dtype=bool)
    p[:, ~keep] = np.nan
    ours = benjamini_hochberg(p, 0.1)
    for shop in range(5):
        expected = multipletests(p[shop][keep], 0.1, method="fdr_bh")[0]
        np.testing.assert_array_equal(ours[shop][keep], expected)
    assert not ours[:, ~keep].any()
    with pytest.raises(DataError, match="between 0 and 1"):
        benjamini_hochberg(p, 5)


def test_short_or_collinear_shops_are_scored_by_ridge() -> None:
    rng = np.random.default_rng(8)
    series = rng.normal(size=(3, 20, 6))
    series[1, :, 5] = series[1, :, 0] + series[1, :, 1]  # its tests are not defined
    series[2, 13:] = np.nan  # too few rows: 12 - 6 - 1 = 5 is enough, with one more gone not
    series[2, 12:] = np.nan
    tests = granger_tests(series)
    np.testing.assert_array_equal(tests.lags > 0, [True, False, False])
    assert np.isnan(tests.p_values[1:]).all()
    np.testing.assert_allclose(tests.scores[1:], ridge_norms(series[1:], lags=1))
    assert not benjamini_hochberg(tests.p_values)[1:].any()


def test_a_constant_node_has_no_edges() -> None:
    series, truth = simulate(9, 1, 200)
    series[:, :, 3] = 5.0
    tests = granger_tests(series)
    others = ~np.eye(NODES, dtype=bool)
    others[3] = others[:, 3] = False
    assert (tests.p_values[0, 3, :3] == 1).all()
    assert (tests.p_values[0, :3, 3] == 1).all()
    rest = granger_tests(series[..., :3], max_lag=int(tests.lags[0]), criterion="most")
    np.testing.assert_allclose(tests.scores[0, :3, :3], rest.scores[0], rtol=1e-9)
    assert tests.scores[0][others & truth[0]].min() > tests.scores[0][others & ~truth[0]].max()


def test_ridge_is_a_loop_over_targets_and_penalties() -> None:
    series = simulate(10, 1, 40)[0]
    ours = ridge_norms(series, lags=2)
    x = (series[0] - series[0].mean(0)) / series[0].std(0)
    design = np.column_stack([x[2 - k : 40 - k, i] for i in range(NODES) for k in (1, 2)])
    design -= design.mean(0)
    n = 38
    for target in range(NODES):
        y = x[2:, target] - x[2:, target].mean()
        best = (np.inf, None)
        for penalty in n * np.logspace(-3, 3, 31):
            inverse = np.linalg.inv(design.T @ design + penalty * np.eye(2 * NODES))
            beta = inverse @ design.T @ y
            df = np.trace(design @ inverse @ design.T)
            best = min(best, (np.sum((y - design @ beta) ** 2) / (n - 1 - df) ** 2, tuple(beta)))
        norms = np.linalg.norm(np.reshape(best[1], (NODES, 2)), axis=1)
        norms[target] = 0
        np.testing.assert_allclose(ours[0, :, target], norms, rtol=1e-9)


# Lags and parts.


def test_lags_are_shifts_and_rows_are_whole_or_not() -> None:
    series = np.arange(24.0).reshape(1, 12, 2)
    series[0, 5, 1] = np.nan
    past, present, whole = lagged.lag(series, 2)
    np.testing.assert_array_equal(np.flatnonzero(~whole[0]) + 2, [5, 6, 7])
    for row in np.flatnonzero(whole[0]):
        np.testing.assert_array_equal(present[0, row], series[0, row + 2])
        for k in (1, 2):
            np.testing.assert_array_equal(past[0, row, k - 1], series[0, row + 2 - k])
    assert np.isfinite(past).all()
    held = lagged.last_rows(whole, 0.25)
    assert held.sum() == 2
    assert held[0, -2:].all()


def test_too_short_and_infinite_series_are_refused() -> None:
    series = np.random.default_rng(0).normal(size=(3, 30, 2))
    series[1, 9:] = np.nan
    with pytest.raises(DataError, match=r"1 shops have fewer than 8 rows .* positions 1"):
        lagged.lag_checked(series, 2)
    with pytest.raises(DataError) as caught:
        lagged.standardise(np.full((5, 2), np.inf))
    assert len(caught.value.findings) == 2


def test_parts_are_joined_in_order() -> None:
    values = np.arange(7.0)
    joined = lagged.by_parts(lambda a, b: (a + b, 2 * a), 3, values, values)
    np.testing.assert_array_equal(joined[0], 2 * values)
    np.testing.assert_array_equal(lagged.by_parts(lambda a: -a, 3, values), -values)


# Neural Granger causality.


def test_descent_reaches_the_group_lasso() -> None:
    """With orthogonal designs the solution is a soft threshold of least squares."""
    rng = np.random.default_rng(11)
    target = jnp.asarray(rng.normal(size=(5, 3, 2)), jnp.float32)  # network, group, member
    scale = jnp.asarray([1.0, 4.0, 0.5, 30.0, 2.0])

    def loss(w):
        return scale * ((w - target) ** 2).sum((1, 2)) / 2

    state = proximal.descend(
        loss,
        lambda w: 0.8 * proximal.safe_norm(w, (2,)).sum(-1),
        lambda w, step: proximal.soft_threshold(w, 0.8 * step[:, None, None], (2,)),
        jnp.zeros_like(target),
        jnp.full(5, 0.3),  # too long for the fourth, which has to find that out
        200,
    )
    length = np.linalg.norm(target, axis=2, keepdims=True)
    expected = target * np.maximum(1 - 0.8 / np.asarray(scale)[:, None, None] / length, 0)
    np.testing.assert_allclose(state.current, expected, atol=1e-4)
    assert state.step[3] < 0.3
    assert state.step[1] <= 0.3


@pytest.mark.parametrize("hierarchical", [False, True])
def test_shrinking_is_the_proximal_map(hierarchical) -> None:
    weights = np.random.default_rng(12).normal(size=(1, 1, 3, 1, 2))

    def objective(flat: np.ndarray) -> float:
        w = jnp.asarray(flat.reshape(weights.shape))
        return float(0.9 * _norms(w, hierarchical).sum() + ((w - weights) ** 2).sum() / 2)

    found = np.asarray(_shrink(jnp.asarray(weights), jnp.full((1, 1), 0.9), hierarchical))
    # Derivative-free, since the minimum may lie where norms have no derivative.
    rough = minimize(objective, weights.ravel() * 0.5, method="Powell", options={"xtol": 1e-8})
    assert objective(found.ravel()) <= rough.fun + 1e-6
    np.testing.assert_allclose(found.ravel(), rough.x, atol=5e-3)


def test_networks_drop_sources_and_keep_the_edges(panel) -> None:
    series, truth = panel
    settings = NGCSettings(**SMALL_NGC)
    fit = neural_granger(jax.random.key(0), series, settings)
    held = fit.norms[:, 0] == 0
    assert held.mean() > 0.5  # the largest factor leaves little, exactly zero the rest
    assert (fit.edges | ~truth).all()
    assert fit.errors.shape == (len(series), len(settings.lambdas), NODES)
    # Each shop is fitted by itself, from a key of its own.
    others = np.concatenate([series[:2], series[:1:-1]])
    again = neural_granger(jax.random.key(0), others, settings)
    np.testing.assert_array_equal(again.scores[:2], fit.scores[:2])
    assert (again.scores[2:] != fit.scores[2:]).any()


# Generalised vector autoregression.


def test_signs_and_both_directions_of_time(panel) -> None:
    series, truth = panel
    fit = gvar(jax.random.key(0), series, GVARSettings(lags=3, hidden=8, iterations=100))
    for source, target, _, weight in GRAPHS[0]:
        assert fit.signs[0, source, target] == np.sign(weight)
    assert fit.backward.shape == truth.shape
    assert f1(fit.edges, truth, 0.5) > 0.7


def test_stable_graph_is_where_both_agree() -> None:
    from sklearn.metrics import balanced_accuracy_score

    rng = np.random.default_rng(13)
    truth = rng.random((20, 5, 5)) < 0.3
    keep = ~np.eye(5, dtype=bool)
    noise = rng.random((2, 20, 5, 5))
    forward, backward = truth + 0.9 * noise[0], truth.mT + 0.9 * noise[1]
    found = stable_graph(forward, backward, 9)
    assert not found[:, ~keep].any()
    for shop in range(20):
        ahead, behind = forward[shop][keep], backward[shop].T[keep]
        tried = []
        for level in np.arange(1, 10) / 10:
            one, other = ahead >= np.quantile(ahead, level), behind >= np.quantile(behind, level)
            both = balanced_accuracy_score(one, other) + balanced_accuracy_score(other, one)
            tried.append((both, one))
        best = max(tried, key=lambda pair: pair[0])[1]
        np.testing.assert_array_equal(found[shop][keep], best)
    assert f1(stable_graph(truth + 0.1 * noise[0], truth.mT + 0.1 * noise[1]), truth, 0.5) > 0.9


# InGRA.


def test_attention_is_shared_out_and_shops_are_scored_one_by_one(scorers, panel, results) -> None:
    fit = scorers["ingra"].__self__
    assert isinstance(fit, InGRAFit)
    assert fit.losses[-10:].mean() < 0.8 * fit.losses[:5].mean()
    np.testing.assert_allclose(fit.prototypes().sum(1), 1, rtol=1e-5)
    scores = results["ingra"]
    assert (scores.sum(1) <= 1 + 1e-5).all()
    turned = fit.scores(panel[0][::-1])[::-1]
    np.testing.assert_allclose(turned, scores, rtol=1e-4, atol=1e-6)


def test_batches_pass_over_all_shops() -> None:
    settings = InGRASettings(epochs=3, batch=4)
    batches = _batches(jax.random.key(1), 10, settings)
    assert batches.shape == (9, 4)
    for epoch in batches.reshape(3, 12):
        assert set(epoch) == set(range(10))
    assert not np.array_equal(batches[:3], batches[3:6])
    np.testing.assert_array_equal(batches, _batches(jax.random.key(1), 10, settings))


# Rules that know next to nothing.


def test_trivial_scores_have_closed_forms() -> None:
    rng = np.random.default_rng(15)
    series = rng.normal(size=(2, 50, 3)) * [1, 3, 2]
    assert not trivial.all_zero(series).any()
    expected = np.array([[0, 1, 1], [0, 0, 1], [0, 1, 0]])
    np.testing.assert_array_equal(trivial.last_nodes_receive(series)[0], expected)

    order = trivial.variance_order(series)
    variance = series[0].var(0)
    assert order[0, 0, 2] == pytest.approx(np.log(variance[2] / variance[0]))
    np.testing.assert_array_equal(trivial.variance_order(series, increasing=False), -order)

    graphs = np.array([[[0, 1, 0]] * 3, [[0, 1, 1]] * 3])
    mean = trivial.mean_graph(graphs)(series)
    np.testing.assert_array_equal(mean[1], [[0, 1, 0.5], [0, 0, 0.5], [0, 1, 0]])


def test_lagged_correlation_is_a_correlation() -> None:
    rng = np.random.default_rng(16)
    series = rng.normal(size=(1, 400, 2))
    series[0, 3:, 1] = 0.8 * series[0, :-3, 0] + 0.6 * series[0, 3:, 1]
    each = trivial.lagged_correlations(series, 5)[0]
    for k in range(1, 6):
        expected = np.corrcoef(series[0, :-k, 0], series[0, k:, 1])[0, 1]
        # Means and variances are those of the whole series: differences of the order k / n.
        assert each[k - 1, 0, 1] == pytest.approx(expected, abs=0.02)
    scores = trivial.lagged_correlation(series, 5)[0]
    assert scores[0, 1] == np.abs(each[:, 0, 1]).max()
    assert scores[0, 1] > 0.7 > 0.2 > scores[1, 0]


def test_nearest_neighbour_gives_back_the_graph_of_a_known_shop() -> None:
    train, graphs = simulate(17, 6, 150)
    score = trivial.nearest_neighbour(train, graphs)
    np.testing.assert_array_equal(score(train), graphs)


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        (lambda: NGCSettings(network="gru", hidden=0, lambdas=(0.1, 0.2)), 3),
        (lambda: NGCSettings(network="lstm", penalty="hierarchical"), 1),
        (lambda: GVARSettings(lags=0, mixing=2), 2),
        (lambda: InGRASettings(prototypes=0, pull=-1, batch=0), 3),
    ],
)
def test_settings_are_checked_all_at_once(settings, wrong) -> None:
    with pytest.raises(DataError) as caught:
        settings()
    assert len(caught.value.findings) == wrong
