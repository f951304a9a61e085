"""Simulated causal models: graphs, mechanisms and noise against formulas and Monte Carlo error."""

from __future__ import annotations

import math
from typing import Any, get_args

import jax
import networkx as nx
import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats

from mmm_bayes import simulate
from mmm_bayes.runtime.findings import DataError
from mmm_bayes.simulate import scm_mechanisms
from mmm_bayes.simulate.scm_graph import draw_parents
from mmm_bayes.simulate.scm_mechanisms import MECHANISMS, Mechanism, draw_mixture, fit_mixture
from mmm_bayes.simulate.scm_table import Noise, add_uniform_outliers

ALL = get_args(Mechanism)
CHAIN = [("V0", "V1"), ("V1", "V2")]


def key(seed: int) -> jax.Array:
    return jax.random.key(seed)


# Graphs.


@pytest.mark.parametrize(
    ("num_nodes", "degree"), [(10, 3.0), (15, 0.5), (7, 2.9), (5, 2.0), (4, 9)]
)
def test_expected_number_of_edges(num_nodes: int, degree: float) -> None:
    rng, draws = np.random.default_rng(num_nodes), 1000
    counts = np.zeros((num_nodes, num_nodes))
    totals = np.empty(draws)
    for t in range(draws):
        parents = draw_parents(rng, num_nodes, degree)
        totals[t] = sum(map(len, parents))
        for j, into in enumerate(parents):
            counts[list(into), j] += 1
    pairs = num_nodes * (num_nodes - 1) / 2
    p = min(1.0, degree * num_nodes / pairs)
    assert totals.mean() == pytest.approx(p * pairs, abs=4 * math.sqrt(pairs * p * (1 - p) / draws))
    if p < 1:
        assert p * pairs == pytest.approx(degree * num_nodes)
        # Variance of the sample variance of a near normal count.
        variance = pairs * p * (1 - p)
        assert totals.var() == pytest.approx(variance, rel=5 * math.sqrt(2 / draws))
    # Either way round with the same probability: the largest of n^2 cells within 5 errors.
    off = ~np.eye(num_nodes, dtype=bool)
    assert np.abs(counts[off] / draws - p / 2).max() < 5 * math.sqrt(p / 2 * (1 - p / 2) / draws)


@pytest.mark.parametrize("degree", [0, 1.5, 4, 20])
def test_graphs_are_acyclic_and_the_order_is_causal(degree: float) -> None:
    for seed in range(5):
        drawn = simulate.scm(key(seed), num_rows=5, num_nodes=9, expected_degree=degree)
        dag = nx.DiGraph(drawn.edges)
        dag.add_nodes_from(drawn.nodes)
        assert nx.is_directed_acyclic_graph(dag)
        position = {v: i for i, v in enumerate(drawn.truth["order"].values)}
        assert sorted(position) == sorted(drawn.nodes) == list(drawn.frame.columns)
        assert all(position[a] < position[b] for a, b in drawn.edges)
        assert len(drawn.edges) == (0 if degree == 0 else 36 if degree == 20 else len(dag.edges))
        roots = {v for v in dag if dag.in_degree(v) == 0}
        assert roots == {v for v in drawn.nodes if np.isnan(drawn.truth["noise_sd"].sel(node=v))}


def test_one_node_alone() -> None:
    drawn = simulate.scm(key(0), num_nodes=1, num_rows=4)
    assert (drawn.nodes, drawn.edges, drawn.frame.shape) == (("V0",), (), (4, 1))


# Mechanisms.

X = np.array([[0.3, -1.2], [2.0, 0.1], [-0.4, 0.9]])
E = np.array([0.5, -0.2, 0.1])


def test_linear_formula() -> None:
    expected = [0.2 * x[0] + 0.7 * x[1] + e for x, e in zip(X, E, strict=True)]
    found = scm_mechanisms.linear(X, E, np.array([0.2, 0.7]))
    np.testing.assert_allclose(found, expected, rtol=1e-14)


@pytest.mark.parametrize("multiply", [True, False])
def test_polynomial_formula(multiply: bool) -> None:
    a = np.array([[0.1, 0.9, 0.4], [0.5, 0.2, 0.8]])
    clipped = 0
    for row, (x, e) in enumerate(zip(X, E, strict=True)):
        total = 0.0
        for j in range(2):
            term = a[j, 0] + a[j, 1] * x[j] + a[j, 2] * x[j] ** 2
            clipped += abs(term) > 1
            total += min(1.0, max(-1.0, term))
        expected = total * e if multiply else total + e
        found = scm_mechanisms.polynomial(X, E, a, multiply)[row]
        assert found == pytest.approx(expected, rel=1e-13)
    assert clipped > 0


def test_sigmoid_formula() -> None:
    a, b, c = 1.3, -0.8, 0.6
    for x in (-4.0, -0.6, 0.0, 3.0):
        expected = a * b * (x + c) / (1 + abs(b * (x + c)))
        assert scm_mechanisms.sigmoid(np.array(x), a, b, c) == pytest.approx(expected, rel=1e-14)
    assert scm_mechanisms.sigmoid(np.array(1e12), a, b, c) == pytest.approx(-a)


def test_network_formula() -> None:
    rng = np.random.default_rng(0)
    w1, b1, w2, b2 = rng.normal(size=(4, 2)), rng.normal(size=4), rng.normal(size=4), 0.3
    found = scm_mechanisms.network(X, (w1, b1), (w2, np.array(b2)))
    for row, x in enumerate(X):
        units = [math.tanh(sum(w1[u, j] * x[j] for j in range(2)) + b1[u]) for u in range(4)]
        assert found[row] == pytest.approx(sum(map(float.__mul__, w2.tolist(), units)) + b2)


class Basis:
    """A source of unit vectors in place of normal draws: shows a factor column by column."""

    def __init__(self, at: int) -> None:
        self.at = at

    def standard_normal(self, size: int) -> np.ndarray:
        return np.eye(size)[self.at]


@pytest.mark.parametrize(("rows", "inputs"), [(80, 1), (40, 3), (30, 12), (1, 1)])
def test_gaussian_process_has_its_covariance(rows: int, inputs: int) -> None:
    x = np.random.default_rng(rows).normal(size=(rows, inputs))
    x[-1] = x[0]  # a singular covariance
    factor = np.array([scm_mechanisms.gaussian_process(Basis(k), x) for k in range(rows)])  # type: ignore[arg-type]
    exact = np.exp([[-0.5 * ((a - b) ** 2).sum() for b in x] for a in x])
    # At most 1e-12 of each point's variance is left, and so of each covariance.
    np.testing.assert_allclose(factor.T @ factor, exact, atol=1e-11)


def test_gaussian_process_of_many_points_is_smooth() -> None:
    x = np.linspace(-3, 3, 700)[:, None]
    f = scm_mechanisms.gaussian_process(np.random.default_rng(1), x)
    # Slopes have standard deviation 1: 6 errors of them over a step of 6 / 699.
    assert np.abs(np.diff(f)).max() < 6 * 6 / 699


def test_drawn_coefficients_of_linear_and_polynomial() -> None:
    rng = np.random.default_rng(2)
    a = np.concatenate([MECHANISMS["linear"](rng, np.eye(5), np.zeros(5)) for _ in range(200)])
    assert stats.kstest(a, "uniform").pvalue > 0.001
    # One cause at 0: the sum is a_0, and a noise of 0 shows whether noise multiplies.
    zero = np.array([MECHANISMS["polynomial"](rng, np.zeros((1, 1)), np.zeros(1))[0] for _ in a])
    assert (zero == 0).mean() == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(len(a)))
    assert stats.kstest(zero[zero != 0], "uniform").pvalue > 0.001


def test_drawn_coefficients_of_sigmoids() -> None:
    rng = np.random.default_rng(3)
    far = np.array([[1e9], [-1e9]])
    ends = np.array([MECHANISMS["sigmoid_mix"](rng, far, np.zeros(2)) for _ in range(1000)])
    np.testing.assert_allclose(ends.sum(1), 0, atol=1e-6)
    height = np.abs(ends[:, 0])
    assert stats.kstest(height - 1, stats.expon(scale=0.25).cdf).pvalue > 0.001
    assert (ends[:, 0] > 0).mean() == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(1000))
    # At x far out, |s| = a (1 - 1 / |b x| + ..), so the gap to its end, 1 - |s| / a, gives b.
    pair = np.array([[1e5], [1e15]])
    near, end = np.array([_sigmoids(seed, pair) for seed in range(300)]).T
    assert stats.kstest(1e-5 / (1 - near / end), stats.uniform(0.5, 1.5).cdf).pvalue > 0.001
    # At x = 0, s / (a sign(b)) is t / (1 + |t|) with t = |b| c: its sign is that of c.
    centre, end = np.array([_sigmoids(seed, np.array([[0.0], [1e15]])) for seed in range(300)]).T
    assert (centre / end > 0).mean() == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(300))
    assert np.abs(centre / end).max() < 4 / 5


def _sigmoids(seed: int, causes: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return MECHANISMS["sigmoid_mix"](rng, causes, np.zeros(len(causes)))


def test_noise_of_sigmoid_add_is_added_once_per_cause_and_once_more() -> None:
    for seed in range(3):
        bare = MECHANISMS["sigmoid_add"](np.random.default_rng(seed), X, np.zeros(3))
        noisy = MECHANISMS["sigmoid_add"](np.random.default_rng(seed), X, E)
        np.testing.assert_allclose(noisy - bare, 3 * E, rtol=1e-12)


def test_drawn_weights_of_networks() -> None:
    # At inputs 0: mean square = Var(b2) + 20 Var(w2) E[tanh(b1)^2], b1 ~ U(-r, r), r = 1/sqrt(2).
    rng, r, variance = np.random.default_rng(4), 2**-0.5, 1 / 20 / 3
    squared_tanh = integrate.quad(lambda b: math.tanh(b) ** 2, 0, r)[0] / r
    out = np.array([MECHANISMS["nn"](rng, np.zeros((1, 1)), np.zeros(1))[0] for _ in range(4000)])
    expected = variance * (1 + 20 * squared_tanh)
    assert (out**2).mean() == pytest.approx(expected, abs=4 * (out**2).std() / math.sqrt(4000))


@pytest.mark.parametrize("mechanism", ALL)
def test_every_mechanism(mechanism: str) -> None:
    """Shapes, standardisation, reproducibility, and exchangeable rows."""
    drawn = simulate.scm(key(5), num_rows=150, num_nodes=8, mechanism=mechanism)
    values = drawn.frame.to_numpy()
    assert np.isfinite(values).all()
    np.testing.assert_allclose(values.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(values.std(0), 1, rtol=1e-12)
    again = simulate.scm(key(5), num_rows=150, num_nodes=8, mechanism=mechanism)
    pd.testing.assert_frame_equal(again.frame, drawn.frame, check_exact=True)
    assert drawn.edges == simulate.scm(key(5), num_rows=30, num_nodes=8, mechanism="linear").edges
    assert drawn.truth.attrs == {"mechanism": mechanism, "noise": "gaussian"}
    effect = MECHANISMS[mechanism](np.random.default_rng(0), X, E)
    assert effect.shape == (3,)
    if mechanism not in ("gp_add", "gp_mix"):  # those draw a function through all rows
        turned = MECHANISMS[mechanism](np.random.default_rng(0), X[::-1], E[::-1])
        np.testing.assert_allclose(turned[::-1], effect, rtol=1e-12)


def test_a_constant_variable_is_only_centred() -> None:
    # Noise that multiplies is 0 everywhere without noise.
    found = set()
    for seed in range(6):
        drawn = simulate.scm(
            key(seed), num_nodes=2, edges=[("V0", "V1")], noise_coeff=0, mechanism="polynomial"
        )
        found.add(round(float(drawn.frame["V1"].std(ddof=0)), 6))
    assert found == {0.0, 1.0}


# Roots and noise.


def test_mixture_fit_is_that_of_scikit_learn() -> None:
    from sklearn.cluster import KMeans
    from sklearn.mixture import GaussianMixture

    for seed in range(5):
        x = np.random.default_rng(seed).standard_normal(300)
        start = np.quantile(x, [0.125, 0.375, 0.625, 0.875])[:, None]
        labels = KMeans(4, init=start, n_init=1, tol=0).fit(x[:, None]).labels_
        groups = [x[labels == k] for k in range(4)]
        theirs = GaussianMixture(
            4,
            covariance_type="spherical",
            weights_init=[len(g) / 300 for g in groups],
            means_init=[[g.mean()] for g in groups],
            precisions_init=[1 / (g.var() + 1e-6) for g in groups],
        ).fit(x[:, None])
        weights, means, variances = fit_mixture(x, 4)
        np.testing.assert_allclose(weights, theirs.weights_, rtol=1e-8)
        np.testing.assert_allclose(means, theirs.means_[:, 0], rtol=1e-7)
        np.testing.assert_allclose(variances, theirs.covariances_, rtol=1e-7)


def test_mixture_fit_finds_separate_groups() -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(-10, 1, 3000), rng.normal(0, 0.5, 1000)])
    weights, means, variances = fit_mixture(x, 2)
    np.testing.assert_allclose(weights, [0.75, 0.25], rtol=1e-6)
    np.testing.assert_allclose(means, [-10, 0], atol=4 / math.sqrt(3000))
    np.testing.assert_allclose(variances, [1, 0.25], rtol=4 * math.sqrt(2 / 1000))


def test_rows_of_a_root_are_shuffled_unless_asked_otherwise() -> None:
    found: dict[bool, list[float]] = {True: [], False: []}
    for seed in range(50):
        together = draw_mixture(np.random.default_rng(seed), 200, by_component=True)
        shuffled = draw_mixture(np.random.default_rng(seed), 200)
        np.testing.assert_array_equal(np.sort(together), np.sort(shuffled))
        for by_component, x in ((True, together), (False, shuffled)):
            found[by_component].append(float(np.corrcoef(x[1:], x[:-1])[0, 1]))
    # Neighbours share their component: their correlation is high. Shuffled, it is -1 / n.
    assert np.mean(found[True]) > 0.5
    assert np.mean(found[False]) == pytest.approx(-1 / 200, abs=4 / math.sqrt(200 * 50))


def test_moments_of_mixtures() -> None:
    rng = np.random.default_rng(0)
    fitted = np.mean([fit_mixture(rng.standard_normal(300), 4)[2].mean() for _ in range(100)])
    x = np.array([draw_mixture(np.random.default_rng(seed), 1)[0] for seed in range(600)])
    # One row per mixture: the variance is that of the means, 4, and of a component.
    variance = 4 + fitted
    assert abs(x.mean()) < 4 * math.sqrt(variance / 600)
    assert x.var() == pytest.approx(variance, rel=4 * math.sqrt(2 / 600))
    assert 0.15 < fitted < 0.35


@pytest.mark.parametrize("noise", get_args(Noise))
def test_noise_has_the_moments_of_the_truth(noise: Noise) -> None:
    drawn = simulate.scm(
        key(7), num_rows=4000, num_nodes=8, mechanism="linear", noise=noise, noise_coeff=0.3
    )
    offsets = []
    for v in drawn.nodes:
        truth = drawn.truth.sel(node=v)
        e, mean, sd = truth["noise"].values, float(truth["noise_mean"]), float(truth["noise_sd"])
        if np.isnan(sd):
            assert np.isnan(e).all()
            continue
        assert e.mean() == pytest.approx(mean, abs=4 * sd / math.sqrt(4000))
        # Kurtosis is at most 3, so the error of a variance at most sqrt(2 / n) of it.
        assert e.var() == pytest.approx(sd**2, rel=4 * math.sqrt(2 / 4000))
        if noise == "gaussian":
            assert abs(mean) == pytest.approx(0.6)
            assert sd < 0.3
            offsets.append(mean)
            assert stats.kstest((e - mean) / sd, "norm").pvalue > 0.001
        else:
            spread = sd * math.sqrt(12)
            assert spread < 0.3
            offsets.append(mean - spread / 2)
            assert stats.kstest((e - offsets[-1]) / spread, "uniform").pvalue > 0.001
    assert {round(offset, 6) for offset in offsets} == {-0.6, 0.6}


@pytest.mark.parametrize("rescale", [True, False])
def test_truth_gives_back_the_structural_equation(rescale: bool) -> None:
    drawn = simulate.scm(
        key(8), num_nodes=3, edges=CHAIN, num_confounders=1, mechanism="linear", rescale=rescale
    )
    for v in ("V1", "V2"):
        truth = drawn.truth.sel(node=v)
        before = drawn.frame[v] * float(truth["scale"]) + float(truth["location"])
        causes = [drawn.frame[a] for a, b in drawn.edges if b == v]
        if v in drawn.bidirected[0]:
            causes.append(drawn.truth["hidden"].values[:, 0])
        fit = np.linalg.lstsq(np.column_stack(causes), before - truth["noise"].values)
        assert ((fit[0] > 0) & (fit[0] < 1)).all()
        assert fit[1] < 1e-20
        assert (float(truth["location"]), float(truth["scale"])) != (0, 1) or not rescale
    if not rescale:
        assert (drawn.truth["scale"] == 1).all()


# What the graph implies.


def root_dependence(guide_compat: bool) -> float:
    found = []
    for seed in range(80):
        drawn = simulate.scm(
            key(seed), num_rows=100, num_nodes=2, edges=[], guide_compat=guide_compat
        )
        found.append(abs(stats.spearmanr(drawn.frame["V0"], drawn.frame["V1"])[0]))
    return float(np.mean(found))


def test_roots_are_independent_by_default_and_not_in_the_published_manner() -> None:
    # Under independence |rho| is half-normal with scale 1 / sqrt(n - 1).
    scale = 1 / math.sqrt(99)
    mean, error = scale * math.sqrt(2 / math.pi), scale * math.sqrt(1 - 2 / math.pi) / math.sqrt(80)
    assert root_dependence(False) == pytest.approx(mean, abs=4 * error)
    assert root_dependence(True) > 3 * mean


def fisher_z(a: np.ndarray, b: np.ndarray, given: np.ndarray) -> float:
    """Partial correlation as a standard normal score."""
    basis = np.column_stack([np.ones(len(a)), given])
    left = [x - basis @ np.linalg.lstsq(basis, x)[0] for x in (a, b)]
    return math.atanh(np.corrcoef(*left)[0, 1]) * math.sqrt(len(a) - 4)


def test_a_linear_chain_obeys_its_graph() -> None:
    partial, marginal = [], []
    for seed in range(120):
        drawn = simulate.scm(
            key(seed), num_rows=200, num_nodes=3, edges=CHAIN, mechanism="linear", noise_coeff=1.0
        )
        a, b, c = drawn.frame.to_numpy().T
        partial.append(fisher_z(a, c, b))
        marginal.append(abs(np.corrcoef(a, c)[0, 1]))
    # Scores of a true independence: mean 0, mean square 1.
    assert abs(np.mean(partial)) < 4 / math.sqrt(120)
    assert np.mean(np.square(partial)) == pytest.approx(1, abs=4 * math.sqrt(2 / 120))
    assert np.mean(marginal) > 0.2


def test_hidden_causes_join_their_pair_and_explain_it() -> None:
    given_hidden, marginal = [], []
    for seed in range(100):
        drawn = simulate.scm(
            key(seed), num_rows=200, num_nodes=2, edges=[], num_confounders=1, mechanism="linear"
        )
        assert drawn.bidirected == (("V0", "V1"),)
        a, b = drawn.frame.to_numpy().T
        given_hidden.append(fisher_z(a, b, drawn.truth["hidden"].values[:, 0]))
        marginal.append(np.corrcoef(a, b)[0, 1])
    assert np.mean(np.square(given_hidden)) == pytest.approx(1, abs=4 * math.sqrt(2 / 100))
    assert np.mean(marginal) > 0.5


def test_hidden_causes_are_distinct_pairs_and_leave_the_rest_alone() -> None:
    plain = simulate.scm(key(3), num_nodes=6, expected_degree=1, num_rows=50)
    hidden = simulate.scm(key(3), num_nodes=6, expected_degree=1, num_rows=50, num_confounders=4)
    assert hidden.edges == plain.edges
    assert len(set(hidden.bidirected)) == 4
    assert hidden.truth["hidden"].shape == (50, 4)
    assert list(hidden.frame) == list(plain.frame)
    joined = {v for pair in hidden.bidirected for v in pair}
    ancestors = nx.DiGraph(plain.edges)
    ancestors.add_nodes_from(plain.nodes)
    for v in plain.nodes:
        touched = bool(joined & {v, *nx.ancestors(ancestors, v)})
        assert touched != bool((plain.frame[v] == hidden.frame[v]).all())
    every = simulate.scm(key(3), num_nodes=4, num_rows=5, num_confounders=6)
    assert len(every.bidirected) == 6


def test_given_edges_are_the_graph() -> None:
    edges = [("V3", "V0"), ("V0", "V2"), ("V3", "V2")]
    drawn = simulate.scm(key(0), num_nodes=4, edges=iter(edges))
    assert drawn.edges == (("V0", "V2"), ("V3", "V0"), ("V3", "V2"))
    assert drawn.truth["order"].values.tolist() == ["V1", "V3", "V0", "V2"]


def test_settings_change_only_what_depends_on_them() -> None:
    base: dict[str, Any] = {"num_nodes": 5, "num_rows": 60, "expected_degree": 1}
    drawn = simulate.scm(key(1), **base)
    roots = [v for v in drawn.nodes if np.isnan(drawn.truth["noise_sd"].sel(node=v))]
    for change in ({"noise_coeff": 0.1}, {"mechanism": "gp_mix"}, {"noise": "uniform"}):
        other = simulate.scm(key(1), **base, **change)
        assert other.edges == drawn.edges
        pd.testing.assert_frame_equal(other.frame[roots], drawn.frame[roots])
        assert not np.allclose(other.frame, drawn.frame)
    assert not np.allclose(simulate.scm(key(2), **base).frame, drawn.frame)
    old_key = simulate.scm(jax.random.key_data(key(1)), **base)
    pd.testing.assert_frame_equal(old_key.frame, drawn.frame)


# Outliers.


def test_outliers_are_uniform_on_the_observed_range() -> None:
    frame = simulate.scm(key(0), num_rows=300, num_nodes=3).frame
    longer, positions = add_uniform_outliers(key(1), frame, 10)
    np.testing.assert_array_equal(positions, np.arange(300, 3300))
    pd.testing.assert_frame_equal(longer.iloc[:300], frame)
    new = longer.iloc[positions].to_numpy()
    for j in range(3):
        low, high = frame.iloc[:, j].min(), frame.iloc[:, j].max()
        assert stats.kstest(new[:, j], stats.uniform(low, high - low).cdf).pvalue > 0.001
    assert np.abs(np.corrcoef(new.T)[np.triu_indices(3, 1)]).max() < 4 / math.sqrt(3000)
    again, _ = add_uniform_outliers(key(1), frame, 10)
    pd.testing.assert_frame_equal(again, longer)


@pytest.mark.parametrize(("fraction", "count"), [(0, 0), (0.01, 0), (0.15, 7), (0.05, 2)])
def test_share_of_outliers_is_cut_to_whole_rows(fraction: float, count: int) -> None:
    frame = pd.DataFrame({"n": range(50), "x": np.linspace(0, 1, 50)}, index=range(100, 150))
    longer, positions = add_uniform_outliers(key(0), frame, fraction)
    assert len(positions) == len(longer) - 50 == count
    assert longer.index.tolist() == list(range(50 + count))


# Errors.


def messages(error: pytest.ExceptionInfo[DataError]) -> list[str]:
    return [str(finding) for finding in error.value.findings]


def test_every_wrong_setting_is_reported_at_once() -> None:
    bad: dict[str, Any] = {
        "num_rows": 1,
        "num_nodes": 3,
        "num_confounders": 4,
        "expected_degree": -1,
        "noise_coeff": float("nan"),
        "mechanism": "sigmoid_ad",
        "noise": "cauchy",
        "edges": [("V0", "V1"), ("V1", "V0"), ("V2", "V2"), ("V0", "V1"), ("V0", "v3"), "V0V1"],
    }
    with pytest.raises(DataError) as error:
        simulate.scm(key(0), **bad)
    assert [(f.check, f.where) for f in error.value.findings] == [
        ("setting", "num_rows"),
        ("setting", "num_confounders"),
        ("edge", "edges"),
        ("edge", "edges"),
        ("edge", "edges"),
        ("setting", "edges"),
        ("cycle", "edges"),
        ("setting", "expected_degree"),
        ("setting", "noise_coeff"),
        ("setting", "mechanism"),
        ("setting", "noise"),
    ]
    found = messages(error)
    for text, words in zip(
        found[2:7],
        ("V2 -> V2", "V0 -> V1", "'v3'", "'V0V1'", "V0 -> V1 -> V0"),
        strict=True,
    ):
        assert words in text
    assert "'sigmoid_add'" in found[-2]
    assert "simulate.scm" in str(error.value)


def test_wrong_types_are_reported() -> None:
    bad: dict[str, Any] = {"num_rows": 10.0, "num_nodes": "3", "num_confounders": None, "edges": 3}
    with pytest.raises(DataError) as error:
        simulate.scm(key(0), **bad)
    assert [f.where for f in error.value.findings] == ["num_rows", "num_nodes", "num_confounders"]
    with pytest.raises(DataError, match=r"edges.*'V0'"):
        simulate.scm(key(0), edges="V0")
    with pytest.raises(TypeError, match="rng_key should be a JAX key"):
        simulate.scm(0.5)
    with pytest.raises(TypeError, match="rng_key should be a JAX key"):
        add_uniform_outliers(np.random.default_rng(0), pd.DataFrame({"x": [1.0]}), 0.1)


def test_a_cycle_behind_other_nodes_is_found() -> None:
    edges = [("V0", "V1"), ("V1", "V2"), ("V2", "V3"), ("V3", "V1"), ("V3", "V4")]
    with pytest.raises(DataError) as error:
        simulate.scm(key(0), num_nodes=5, edges=edges)
    assert "V1 -> V2 -> V3 -> V1" in messages(error)[0]


def test_tables_that_have_no_range() -> None:
    frame = pd.DataFrame({"a": [1.0, np.nan, np.inf], "b": ["x", "y", "z"], "c": [True] * 3})
    with pytest.raises(DataError) as error:
        add_uniform_outliers(key(0), frame, -0.1)
    found = error.value.findings
    assert [(f.check, f.where) for f in found] == [
        ("not_finite", "a"),
        ("not_numeric", "b"),
        ("not_numeric", "c"),
        ("setting", "fraction"),
    ]
    assert found[0].rows == (1, 2)
    with pytest.raises(DataError) as error:
        add_uniform_outliers(key(0), frame.iloc[:0], 0.1)
    assert error.value.findings[0].check == "no_rows"
