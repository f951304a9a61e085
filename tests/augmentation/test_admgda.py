"""Enumeration against a plain loop on random graphs and tables; findings for bad input."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
import pandas as pd
import pytest
from jax import export

from mmm_bayes import CausalGraph, admgda, augment
from mmm_bayes.augmentation import admgda as module
from mmm_bayes.augmentation import donors, estimators, kernels, resampling
from mmm_bayes.augmentation.admgda import enumerate_rows, leaf_rows
from mmm_bayes.augmentation.factorisation import Problem, problem_of
from mmm_bayes.augmentation.table import EncodedTable, encode
from mmm_bayes.errors import AugmentationWarning, DataError, GraphError
from mmm_bayes.results import AugmentedData

from .reference import Reference, reference_of

NAMES = tuple("abcdef")
# Tables of six variables and up to 64 rows, with pillows of up to four columns and one capacity:
# one compiled program a precision serves all of them.
CAPACITY = 4096
# A weight is a product of up to six factors, added as logarithms of size 10: each adds a few
# roundings of 10 times the precision (6e-8 and 1e-16).
RTOL = {"float32": 1e-5, "float64": 1e-10}
DISCRETE = ("int", "bool", "category", "string")
GAUSSIAN_CASES = range(24)


@pytest.fixture(autouse=True)
def _one_class_of_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LEAST_CAPACITY", CAPACITY)
    monkeypatch.setattr(module, "_START_CAPACITY", CAPACITY)


@pytest.fixture
def _any_mass() -> Iterator[None]:
    """Random cases may lose probability; the warning has its own test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AugmentationWarning)
        yield


# --- Random cases --------------------------------------------------------------------------------


class Case(NamedTuple):
    frame: pd.DataFrame
    graph: CausalGraph
    order: tuple[str, ...] | None
    scale: float

    def reference(self, theta: float) -> Reference:
        return reference_of(self.frame, self.graph, theta, order=self.order, scale=self.scale)


def random_graph(rng: np.random.Generator, bidirected: int) -> CausalGraph:
    """Graph of six nodes in a random order, most of them with one or two parents."""
    names = [NAMES[k] for k in rng.permutation(len(NAMES))]
    edges = []
    for k in range(1, len(names)):
        if rng.random() > 0.1:
            count = min(k, int(rng.integers(1, 3)))
            edges += [(names[j], names[k]) for j in rng.choice(k, count, replace=False)]
    pairs = [(a, b) for i, a in enumerate(NAMES) for b in NAMES[i + 1 :]]
    chosen = rng.choice(len(pairs), bidirected, replace=False)
    return CausalGraph(NAMES, edges, [pairs[k] for k in chosen])


def random_order(rng: np.random.Generator, graph: CausalGraph) -> tuple[str, ...]:
    left, order = list(graph.nodes), []
    while left:
        free = [v for v in left if not set(graph.parents(v)) & set(left)]
        order.append(free[rng.integers(len(free))])
        left.remove(order[-1])
    return tuple(order)


def random_table(rng: np.random.Generator, n: int, discrete: tuple[str, ...] = ()) -> pd.DataFrame:
    """Dependent columns, some of them discrete; continuous ones are rounded, so that values tie."""
    x = rng.normal(size=(n, len(NAMES))) @ (np.eye(6) + 0.4 * rng.normal(size=(6, 6)))
    frame = pd.DataFrame(np.round(x, 1 + int(rng.integers(3))), columns=list(NAMES))
    for name, kind in zip(rng.permutation(NAMES), discrete, strict=False):
        code = (frame[name] > 0).astype(int) + (frame[name] > 1.0)
        made: Any = code
        if kind == "bool":
            made = code > 0
        elif kind == "category":
            made = pd.Categorical.from_codes(code, ["low", "middle", "high"], ordered=True)
        elif kind == "string":
            made = code.map({0: "x", 1: "y", 2: "z"})
        frame[name] = made
    return frame


def random_case(seed: int) -> Case:
    """DAG or mixed graph, a table of 8 to 40 rows (or 60), with an order at every second seed."""
    rng = np.random.default_rng(seed)
    while True:
        graph = random_graph(rng, bidirected=seed % 3)
        order = random_order(rng, graph) if seed % 2 else None
        if max(len(pillow) for _, pillow in graph.topological_factorization(order)) <= 4:
            break
    n = 60 if seed % 8 == 7 else int(rng.integers(8, 41))
    kinds = tuple(rng.permutation(DISCRETE)[: seed % 4])
    # Narrow kernels: with wide ones, few rows of such small tables are above the threshold.
    return Case(random_table(rng, n, kinds), graph, order, [0.15, 0.3, 1.0][seed % 3 - seed % 2])


def away_from_ties(
    theta: float, reference: Callable[[float], Reference]
) -> tuple[float, Reference]:
    """A threshold that is not close to any weight, and the reference result."""
    for _ in range(20):
        found = reference(theta)
        if found.margin > 1e-4:
            return theta, found
        theta *= 1.003
    raise AssertionError("every threshold is near a weight")


@functools.cache
def loop_over(seed: int) -> tuple[float, Reference]:
    """A threshold for a random case, and the rows of the loop."""
    return away_from_ties([1e-2, 4e-3][seed % 2], random_case(seed).reference)


def check_same(found: AugmentedData, expected: Reference, rtol: float) -> None:
    rows = list(zip(*(found.frame[c].tolist() for c in expected.columns), strict=True))
    assert len(set(rows)) == len(rows), "identical rows should have been merged"
    weights = dict(zip(rows, found.weights.tolist(), strict=True))
    assert weights.keys() == expected.rows.keys()
    ordered = [weights[row] for row in expected.rows]
    np.testing.assert_allclose(ordered, list(expected.rows.values()), rtol=rtol)
    assert found.mass == pytest.approx(expected.mass, rel=rtol)


# --- Against the loop ----------------------------------------------------------------------------


@pytest.mark.usefixtures("_any_mass")
@pytest.mark.parametrize("seed", GAUSSIAN_CASES)
def test_rows_and_weights_are_those_of_the_loop(seed: int) -> None:
    case = random_case(seed)
    theta, expected = loop_over(seed)
    for precision, rtol in RTOL.items():
        found = admgda(
            case.frame, case.graph, threshold=theta, order=case.order,
            bandwidth_scale=case.scale, precision=precision,
        )  # fmt: skip
        check_same(found, expected, rtol)


def test_the_random_cases_are_worth_testing() -> None:
    """The cases include kept and dropped rows, discrete columns, mixed graphs and wide pillows."""
    cases = [random_case(seed) for seed in GAUSSIAN_CASES]
    sizes = [
        max(len(p) for _, p in case.graph.topological_factorization(case.order)) for case in cases
    ]
    assert sum(size >= 3 for size in sizes) >= 4
    assert sum(not case.graph.is_dag for case in cases) >= 10
    kinds = {str(dtype) for case in cases for dtype in case.frame.dtypes}
    assert {"float64", "int64", "bool", "category", "str"} <= kinds
    found = [loop_over(seed)[1] for seed in GAUSSIAN_CASES]
    assert (
        sum(len(each.rows) > len(case.frame) for each, case in zip(found, cases, strict=True)) >= 10
    )
    assert sum(0.1 < each.mass < 0.9 for each in found) >= 8


@pytest.mark.usefixtures("_any_mass")
@pytest.mark.parametrize("kernel", kernels.KERNELS)
def test_every_kernel(kernel: str) -> None:
    rng = np.random.default_rng(list(kernels.KERNELS).index(kernel))
    graph = CausalGraph(
        NAMES, [("a", "b"), ("a", "c"), ("b", "d"), ("c", "d"), ("d", "e"), ("b", "e"), ("e", "f")]
    )
    frame = random_table(rng, 16)
    # No difference of rounded values lies at the end of a compact kernel's support.
    width = dict.fromkeys(NAMES, 0.15 if kernel in ("gaussian", "laplace") else 0.50005)
    if kernel in kernels.DISCRETE:
        frame = np.round(frame).astype(int) + 2_000_000_000  # of which single precision keeps 8
        width = dict.fromkeys(NAMES, 0.08)
    by_name = dict.fromkeys(NAMES, kernel)
    theta, expected = away_from_ties(
        4e-3, lambda theta: reference_of(frame, graph, theta, by_name=by_name, bandwidth=width)
    )
    assert len(expected.rows) > len(frame)
    for precision, rtol in RTOL.items():
        found = admgda(
            frame, graph, threshold=theta, kernel=by_name, bandwidth=width,
            precision=precision,
        )  # fmt: skip
        check_same(found, expected, rtol)


def test_bandwidths_that_differ_between_rows() -> None:
    frame, graph, order, _ = random_case(1)
    widths = {
        name: kernels.bandwidth_of(frame[name].to_numpy(float), "gaussian", "nearest")
        for name in frame.select_dtypes(float)
    }
    assert all(np.ptp(width) > 0 for width in widths.values())
    theta, expected = away_from_ties(
        4e-3,
        lambda theta: reference_of(frame, graph, theta, bandwidth=widths, scale=0.2, order=order),
    )
    found = admgda(
        frame, graph, threshold=theta, bandwidth="nearest",
        bandwidth_scale=0.2, order=order, precision="float64",
    )  # fmt: skip
    check_same(found, expected, RTOL["float64"])


def test_a_pillow_without_a_match_ends_the_row() -> None:
    """Parents that occur only in certain pairs, under a kernel with compact support."""
    frame = pd.DataFrame({name: [0.0, 1.0, 2.0] for name in NAMES})
    graph = CausalGraph(NAMES, [("a", "c"), ("b", "c"), *(("c", v) for v in "def")])
    settings: dict[str, Any] = {"kernel": "epanechnikov", "bandwidth": 0.5}
    with pytest.warns(AugmentationWarning, match=r"33\.3%"):
        found = admgda(frame, graph, threshold=1e-2, **settings)
    # Of nine pairs of parents three are in the table, and they make its rows.
    np.testing.assert_allclose(found.weights, 1.0 / 9.0, rtol=1e-6)
    pd.testing.assert_frame_equal(found.frame[list(NAMES)], frame)


# --- What the weights add up to ------------------------------------------------------------------


@pytest.mark.usefixtures("_any_mass")
@pytest.mark.parametrize("precision", RTOL)
def test_without_a_threshold_the_mass_is_one(precision: Any) -> None:
    rng = np.random.default_rng(5)
    graph = random_case(4).graph
    frame = random_table(rng, 3)
    found = admgda(frame, graph, threshold=0.0, precision=precision)
    assert found.mass == pytest.approx(1.0, abs=1e-6)
    check_same(found, reference_of(frame, graph, 0.0), RTOL[precision])


@pytest.mark.parametrize("precision", RTOL)
@pytest.mark.parametrize("n", [7, 10, 14])
def test_weights_at_the_threshold_are_kept(n: int, precision: Any) -> None:
    """Three variables without parents, weights of 1/n**3 and a threshold of just that."""
    edges = [("c", "d"), ("d", "e"), ("e", "f")]
    rng = np.random.default_rng(n)
    chain = np.sort(rng.normal(size=n))
    frame = pd.DataFrame({name: rng.permutation(chain) for name in "ab"})
    for name in "cdef":
        frame[name] = np.sort(rng.normal(size=n))
    found = admgda(
        frame, CausalGraph(NAMES, edges), threshold=float(n) ** -2,
        bandwidth=1e-6, precision=precision,
    )  # fmt: skip
    assert len(found) == n**3
    assert found.mass == pytest.approx(1.0, rel=1e-5)


def test_several_roots_leave_nothing_at_the_usual_threshold() -> None:
    frame = random_table(np.random.default_rng(0), 40)
    graph = CausalGraph(NAMES, [("a", "d"), ("b", "d"), ("c", "e"), ("d", "f")])
    with pytest.warns(AugmentationWarning, match=r"\b0\.0%.*method='sample'") as caught:
        found = admgda(frame, graph)
    assert caught[0].filename == __file__
    assert (len(found), found.mass, found.ess, found.share_observed) == (0, 0.0, 0.0, 0.0)
    assert list(found.frame) == list(frame)


def test_no_more_rows_than_the_threshold_allows() -> None:
    frame, graph, order, _ = random_case(11)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AugmentationWarning)
        found = admgda(frame, graph, threshold=0.02, order=order, bandwidth_scale=0.15)
    assert 0 < len(found) <= len(frame) / 0.02
    assert found.weights.min() >= 0.02 / len(frame) * (1 - 1e-5)


def test_the_order_matters_where_a_hidden_cause_is_shared() -> None:
    frame = random_table(np.random.default_rng(3), 20)
    graph = CausalGraph(
        NAMES, [("a", "b"), ("c", "d"), ("d", "e"), ("e", "f")], [("b", "c"), ("c", "f")]
    )
    orders = [("a", "b", "c", "d", "e", "f"), ("c", "a", "d", "b", "e", "f")]
    results = []
    for order in orders:
        theta, expected = away_from_ties(
            1e-2,
            lambda theta, order=order: reference_of(frame, graph, theta, order=order, scale=0.2),
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AugmentationWarning)
            found = admgda(
                frame, graph, threshold=theta, order=order,
                bandwidth_scale=0.2, precision="float64",
            )  # fmt: skip
        check_same(found, expected, RTOL["float64"])
        assert found.nodes == order
        results.append(expected)
    one = {frozenset(zip(results[0].columns, row, strict=True)) for row in results[0].rows}
    two = {frozenset(zip(results[1].columns, row, strict=True)) for row in results[1].rows}
    assert one != two


@pytest.mark.usefixtures("_any_mass")
def test_columns_of_a_block_move_together() -> None:
    frame = random_table(np.random.default_rng(11), 20, ("int",))
    blocks = {"season": ("b", "d", "f")}
    graph = CausalGraph(
        ("season", "a", "c", "e"),
        [("season", "a"), ("a", "c"), ("season", "c"), ("c", "e")],
    )
    theta, expected = away_from_ties(
        1e-2, lambda theta: reference_of(frame, graph, theta, blocks=blocks, scale=0.3)
    )
    found = admgda(
        frame, graph, threshold=theta, blocks=blocks, bandwidth_scale=0.3,
        precision="float64",
    )  # fmt: skip
    assert len(found) > len(frame)
    check_same(found, expected, RTOL["float64"])
    together = set(frame[["b", "d", "f"]].itertuples(index=False, name=None))
    assert set(found.frame[["b", "d", "f"]].itertuples(index=False, name=None)) <= together


# --- Sizes and compiled programs -----------------------------------------------------------------


@pytest.fixture(scope="module")
def many() -> tuple[pd.DataFrame, CausalGraph]:
    """A table and a graph of one root."""
    graph = CausalGraph(NAMES, [("a", "b"), ("b", "c"), ("c", "d"), ("d", "e"), ("e", "f")])
    return random_table(np.random.default_rng(2), 30), graph


@pytest.mark.usefixtures("_any_mass")
def test_more_rows_than_the_capacity(
    many: tuple[pd.DataFrame, CausalGraph], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, Any] = {"threshold": 4e-3, "bandwidth_scale": 0.1}
    enough = admgda(*many, **settings)
    assert 1024 < len(enough) < CAPACITY
    monkeypatch.setattr(module, "_LEAST_CAPACITY", 1024)
    monkeypatch.setattr(module, "_START_CAPACITY", 1024)
    again = admgda(*many, **settings)
    np.testing.assert_array_equal(again.row_index, enough.row_index)
    np.testing.assert_array_equal(again.weights, enough.weights)
    monkeypatch.setattr(module, "_MAX_CAPACITY", 2048)
    with pytest.raises(MemoryError, match=r"2048 rows .* threshold=0.004.*method='sample'"):
        admgda(*many, **settings)


def test_more_rows_than_pairs_have_a_matrix() -> None:
    rng = np.random.default_rng(8)
    x = rng.normal(size=1030)
    frame = pd.DataFrame({"a": x, "b": x + 0.2 * rng.normal(size=1030)})
    graph = CausalGraph(edges=[("a", "b")])
    width = {"a": 0.004, "b": 1.0}
    theta, expected = away_from_ties(
        0.3, lambda theta: reference_of(frame, graph, theta, bandwidth=width)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AugmentationWarning)
        found = admgda(frame, graph, threshold=theta, bandwidth=width)
    assert len(found) > 300
    check_same(found, expected, RTOL["float32"])


def encoded(frame: pd.DataFrame, graph: CausalGraph, scale: float = 1.0) -> EncodedTable:
    return encode(
        frame, graph, kernel="gaussian", bandwidth="normal_reference", bandwidth_scale=scale,
        order=None, blocks=None,
    )  # fmt: skip


def stacked(problems: list[Problem]) -> Problem:
    return jax.tree.map(lambda *leaves: np.stack(leaves), *problems)


def check_mapped(problems: list[Problem], trees: Any) -> None:
    """Trees of mapped problems are those of each problem alone."""
    for k, problem in enumerate(problems):
        rows, logs = leaf_rows(jax.device_get(enumerate_rows(problem, CAPACITY)))
        mapped_rows, mapped_logs = leaf_rows(jax.tree.map(lambda leaf, k=k: leaf[k], trees))
        assert len(rows) > 20
        np.testing.assert_array_equal(mapped_rows, rows)
        np.testing.assert_allclose(mapped_logs, logs, rtol=1e-6)


def test_mapped_over_replicates_and_bandwidths(many: tuple[pd.DataFrame, CausalGraph]) -> None:
    frame, graph = many
    rng = np.random.default_rng(1)
    problems = []
    for scale in (0.1, 0.2):
        rows = rng.integers(len(frame), size=len(frame))
        table = encoded(frame.iloc[rows].reset_index(drop=True), graph, scale)
        problems.append(problem_of(table, 1e-2, np.float32))
    for scale in (0.1, 0.15):
        problems.append(problem_of(encoded(*many, scale), 1e-2, np.float32))
    mapped = jax.jit(jax.vmap(functools.partial(enumerate_rows, capacity=CAPACITY)))
    check_mapped(problems, jax.device_get(mapped(stacked(problems))))


def test_compiled_parts_lower_for_machines_that_are_not_here(
    many: tuple[pd.DataFrame, CausalGraph],
) -> None:
    table = encoded(*many)
    problem, key = problem_of(table, 1e-2, np.float32), jax.random.key(0)
    pillow = donors.pillow_arrays(estimators.columns_of(table, (0, 1)))
    query = np.zeros((4, 256), np.float32)
    state = (np.zeros((6, 64), np.int32), np.zeros(64, np.float32), np.int32(50))
    programs: list[tuple[Any, tuple[Any, ...]]] = [
        (functools.partial(enumerate_rows, capacity=CAPACITY), (problem,)),
        (functools.partial(donors.donors_of, block=64), (key, pillow, query, query)),
        (resampling.resample_step, (key, problem, np.int32(1), *state)),
    ]
    for program, arguments in programs:
        lowered = export.export(jax.jit(program), platforms=("cpu", "cuda", "tpu"))(*arguments)
        assert lowered.platforms == ("cpu", "cuda", "tpu")


# --- Bad input -----------------------------------------------------------------------------------


def messages(call: Callable[[], Any]) -> list[str]:
    with pytest.raises(DataError) as caught:
        call()
    for finding in caught.value.findings:
        assert finding.message in str(caught.value)
        assert finding.remedy in str(caught.value)
    return [str(finding) for finding in caught.value.findings]


def test_every_wrong_setting_is_listed() -> None:
    frame = pd.DataFrame({"tv": [0.0, 1.0], "sales": [1.0, 2.0]})
    graph = CausalGraph(edges=[("tv", "sales")])
    wrong: dict[str, Any] = {
        "method": "sampel",
        "estimator": {"tv": "kernal", "sale": "kernel"},
        "threshold": 1.5,
        "num_rows": 0,
        "smoothing": -1.0,
        "precision": "float16",
    }
    found = messages(lambda: augment(None, frame, graph, **wrong))
    expected = [
        "no method 'sampel'. Choose from sample, resample, residual, enumerate. Did you mean 's",
        "no precision 'float16'. Choose from float32, float64.",
        "no estimator 'kernal'. Choose from kernel,",
        "no variable 'sale'. Choose from tv, sales. Did you mean 'sales'?",
        "threshold should lie between 0 and 1, but is 1.5. The usual one is 0.01.",
        "num_rows should be at least 1, but is 0.",
        "smoothing should be 0 or more, but is -1.0.",
        "there is no rng_key. Give jax.random.key(0), or a seed.",
    ]
    assert len(found) == len(expected)
    assert all(text in message for text, message in zip(expected, found, strict=True))


def test_a_wrong_order_is_refused() -> None:
    frame = pd.DataFrame({"tv": [0.0, 1.0], "sales": [1.0, 2.0]})
    graph = CausalGraph(edges=[("tv", "sales")])
    with pytest.raises(GraphError, match="'tv' should come before its effect 'sales'"):
        admgda(frame, graph, order=("sales", "tv"))


def test_settings_are_kept_with_the_result() -> None:
    frame, graph, *_ = random_case(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AugmentationWarning)
        found = admgda(frame, graph, bandwidth=np.float32(0.5))
    assert found.method == "enumerate"
    assert found.num_observed == len(frame)
    assert found.nodes == graph.topological_order()
    assert found.settings["threshold"] == 1e-2
    assert found.settings["bandwidth"] == 0.5
