"""Tables of augmentation, their findings, and weights in fits of other libraries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest

from mmm_bayes import CausalGraph, augment
from mmm_bayes.augmentation.kernels import bandwidth_of
from mmm_bayes.augmentation.table import EncodedTable, encode
from mmm_bayes.errors import DataError
from mmm_bayes.results import AugmentedData
from tests.refusals import refused

COLUMNS = ("price", "clicks", "promo", "region", "note")
GRAPH = CausalGraph(COLUMNS, [("price", "clicks"), ("region", "clicks"), ("promo", "note")])


def mixed() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    n = 9
    return pd.DataFrame(
        {
            "clicks": rng.integers(5, size=n),
            "note": [f"week {k % 3}" for k in range(n)],
            "price": rng.normal(size=n),
            "region": pd.Categorical(["n", "s", "n"] * 3, categories=["s", "n", "e"], ordered=True),
            "promo": rng.random(n) < 0.5,
        },
        index=pd.date_range("2024-01-01", periods=n, freq="W"),
    )


def encoded(frame: pd.DataFrame, graph: CausalGraph = GRAPH, **settings: Any) -> EncodedTable:
    defaults: dict[str, Any] = {
        "kernel": "gaussian",
        "bandwidth": "normal_reference",
        "bandwidth_scale": 1.0,
        "order": None,
        "blocks": None,
    }
    return encode(frame, graph, **(defaults | settings))


# --- Columns as numbers, and back ----------------------------------------------------------------


def test_columns_are_numbers_in_the_order_of_visiting() -> None:
    frame = mixed()
    table = encoded(frame)
    assert table.nodes == table.columns == ("price", "promo", "region", "clicks", "note")
    assert table.kernel == ("gaussian", *("indicator",) * 4)
    assert [table.is_continuous(c) for c in range(5)] == [True] + [False] * 4
    np.testing.assert_array_equal(table.values[0], frame["price"])
    np.testing.assert_array_equal(table.values[1], frame["promo"])
    np.testing.assert_array_equal(table.values[3], frame["clicks"])
    for c, name in ((2, "region"), (4, "note")):
        same = frame[name].to_numpy()[:, None] == frame[name].to_numpy()[None, :]
        np.testing.assert_array_equal(table.values[c][:, None] == table.values[c], same)
    np.testing.assert_array_equal(table.levels, [frame[name].nunique() for name in table.columns])
    assert table.pillows == ((), (), (), (0, 2), (1,))
    assert table.node_of.tolist() == [0, 1, 2, 3, 4]
    assert table.num_rows == 9


def test_rows_come_back_in_the_columns_and_types_of_the_table() -> None:
    frame = mixed()
    table = encoded(frame)
    rows = np.random.default_rng(1).integers(9, size=(20, 5))
    found = table.decode(rows)
    assert list(found) == list(frame)
    assert found.dtypes.equals(frame.dtypes)
    assert found["region"].cat.categories.tolist() == ["s", "n", "e"]
    for name in frame:
        at = rows[:, table.nodes.index(name)]
        assert found[name].tolist() == frame[name].iloc[at].tolist()
    drawn = table.decode(rows, {0: np.linspace(0.0, 1.0, 20)})
    np.testing.assert_array_equal(drawn["price"], np.linspace(0.0, 1.0, 20))
    assert drawn["note"].tolist() == found["note"].tolist()
    assert len(table.decode(rows[:0])) == 0


def test_a_block_is_one_variable_of_several_columns() -> None:
    frame = mixed()
    graph = CausalGraph(("week", "price", "clicks"), [("week", "price"), ("price", "clicks")])
    table = encoded(frame, graph, blocks={"week": ("note", "promo", "region")})
    assert table.nodes == ("week", "price", "clicks")
    assert table.columns == ("note", "promo", "region", "price", "clicks")
    assert table.members == ((0, 1, 2), (3,), (4,))
    assert table.node_of.tolist() == [0, 0, 0, 1, 2]
    assert table.pillow_columns(1) == (0, 1, 2)
    found = table.decode(np.array([[4, 0, 8]]))
    wanted = [frame["note"].iloc[4], frame["price"].iloc[0], frame["clicks"].iloc[8]]
    assert found[["note", "price", "clicks"]].iloc[0].tolist() == wanted


def test_names_that_are_no_strings_become_strings() -> None:
    frame = pd.DataFrame(np.random.default_rng(2).normal(size=(10, 2)), columns=[2020, 2021])
    graph = CausalGraph(edges=[("2020", "2021")])
    found = augment(jax.random.key(0), frame, graph, num_rows=5)
    assert list(found.frame) == ["2020", "2021"]
    rows, weights = found.combined(frame)
    assert rows.shape == (15, 2)
    assert weights.sum() == pytest.approx(10.0)


def test_bandwidths_by_rule_number_and_name() -> None:
    frame = mixed().assign(cost=lambda f: f["price"] ** 2)
    graph = CausalGraph((*COLUMNS, "cost"), GRAPH.edges)
    at = encoded(frame, graph).columns.index
    price, cost = (
        bandwidth_of(frame[c].to_numpy(), "gaussian", "normal_reference") for c in ("price", "cost")
    )
    for asked, wanted in (
        ("normal_reference", (price, cost)),
        (0.3, (np.full(9, 0.3), np.full(9, 0.3))),
        ({"price": 0.7}, (np.full(9, 0.7), cost)),
    ):
        table = encoded(frame, graph, bandwidth=asked, bandwidth_scale=2.0)
        np.testing.assert_allclose(table.bandwidth[at("price")], 2.0 * wanted[0])
        np.testing.assert_allclose(table.bandwidth[at("cost")], 2.0 * wanted[1])
        assert (table.bandwidth[at("clicks")] == 0.0).all()


def test_bandwidths_of_discrete_kernels_keep_equal_values_on_top() -> None:
    kernel = {"clicks": "wang_ryzin", "region": "aitchison_aitken"}
    table = encoded(mixed(), kernel=kernel, bandwidth_scale=50.0)
    at = table.columns.index
    np.testing.assert_allclose(table.bandwidth[at("region")], 0.5)  # (c - 1) / c of two levels
    np.testing.assert_allclose(table.bandwidth[at("clicks")], 0.99)
    assert table.kernel[at("price")] == "gaussian"
    assert table.kernel[at("promo")] == "indicator"


# --- Findings ------------------------------------------------------------------------------------


def findings(call: Callable[[], Any]) -> list[tuple[str, str | None, tuple[int, ...]]]:
    """Check, column and rows of each; every message and remedy is in the text."""
    with pytest.raises(DataError) as caught:
        call()
    for number, finding in enumerate(caught.value.findings, 1):
        assert f"{number}. {finding.message} {finding.remedy}" in str(caught.value)
    return [(f.check, f.where, f.rows) for f in caught.value.findings]


def test_every_column_that_does_not_fit_is_found() -> None:
    frame = mixed().rename(columns={"price": "prize"}).assign(extra=1.0)
    frame.insert(0, "promo", frame.pop("promo"))
    frame = pd.concat([frame, frame[["note"]]], axis=1)
    graph = CausalGraph((*COLUMNS, "week", "none"), GRAPH.edges)
    blocks = {"week": ("clicks", "day"), "none": (), "weak": ("extra",)}
    found = findings(lambda: encoded(frame, graph, blocks=blocks))
    assert found == [
        ("unknown_block", None, ()),
        ("empty_block", None, ()),
        ("shared_column", "clicks", ()),
        ("missing_column", "price", ()),
        ("missing_column", "day", ()),
        ("column_not_in_graph", "prize", ()),
        ("column_not_in_graph", "extra", ()),
        ("repeated_column", "note", ()),
    ]
    with pytest.raises(DataError, match=r"(?s)'price'.*'day' of block 'week'") as caught:
        encoded(frame, graph, blocks=blocks)
    assert "Did you mean 'prize'" in str(caught.value)


def test_every_cell_and_setting_that_cannot_be_used_is_found() -> None:
    frame = mixed().reset_index(drop=True)
    frame["clicks"] = frame["clicks"].astype(float)
    frame.loc[[1, 4], "clicks"] = np.nan
    frame.loc[2, "price"] = np.inf
    frame["note"] = pd.date_range("2024-01-01", periods=9)
    frame.loc[5, "region"] = None
    kernel = {"promo": "normal", "region": "gaussian", "pries": "gaussian"}
    bandwidth = {"price": -1.0, "clicsk": 1.0, "promo": np.nan}
    found = findings(
        lambda: encoded(frame, kernel=kernel, bandwidth=bandwidth, bandwidth_scale=0.0)
    )
    assert found == [
        ("missing_value", "clicks", (1, 4)),
        ("dates", "note", ()),
        ("not_finite", "price", (2,)),
        ("missing_value", "region", (5,)),
        ("unknown_choice", "promo", ()),
        ("kernel_of_categories", "region", ()),
        ("unknown_choice", None, ()),
        ("unknown_choice", None, ()),
        ("bandwidth", None, ()),
        ("bandwidth", "price", ()),
        ("bandwidth", "promo", ()),
    ]


@pytest.mark.parametrize(
    ("settings", "check", "names"),
    [
        ({"kernel": "indicator"}, "unknown_choice", ["'indicator'"]),
        ({"kernel": "gausian"}, "unknown_choice", ["Did you mean 'gaussian'"]),
        ({"bandwidth": "silvermann"}, "unknown_choice", ["Did you mean 'silverman'"]),
        ({"bandwidth": 0.0}, "bandwidth", ["'bandwidth'", "0.0"]),
        ({"bandwidth_scale": np.inf}, "bandwidth", ["'bandwidth_scale'", "inf"]),
        (
            {"kernel": {"region": "aitchison_aitken"}, "bandwidth": {"region": 0.8}},
            "bandwidth", ["'region'", "0.5", "0.8"],
        ),
        (
            {"kernel": {"clicks": "wang_ryzin"}, "bandwidth": {"clicks": 2.0}},
            "bandwidth", ["'clicks'", "0.99", "2.0"],
        ),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_used(
    settings: dict[str, Any], check: str, names: list[str]
) -> None:
    with refused(check) as caught:
        encoded(mixed(), **settings)
    assert all(name in str(caught.value) for name in names)


def test_a_table_needs_two_rows() -> None:
    assert findings(lambda: encoded(mixed().iloc[:1])) == [("too_few_rows", None, ())]
    assert encoded(mixed().iloc[:2]).num_rows == 2


# --- What augmented rows are worth ---------------------------------------------------------------


def augmented(weights: list[float]) -> AugmentedData:
    """Rows of a table of five, the first of which is one of its own."""
    frame = observed()
    rows = np.array([[3, 3], [0, 4], [2, 1], [1, 0]])
    values = pd.DataFrame(
        {"x": frame["x"].to_numpy()[rows[:, 0]], "y": frame["y"].to_numpy()[rows[:, 1]]}
    )
    return AugmentedData(values, rows, np.array(weights), ("x", "y"), 5, "sample")


def observed() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    x = rng.normal(size=5)
    return pd.DataFrame({"x": x, "y": 2.0 * x + rng.normal(size=5)})


def test_mass_and_effective_rows() -> None:
    found = augmented([0.1, 0.2, 0.2, 0.3])
    assert found.mass == pytest.approx(0.8)
    assert found.ess == pytest.approx(0.8**2 / 0.18)
    assert found.share_observed == pytest.approx(0.1 / 0.8)
    assert len(found) == 4
    assert repr(found) == (
        "AugmentedData(sample: 4 rows from 5 observed, mass 0.8, ESS 3.6, 12% of the weight on "
        "observed rows)"
    )
    assert augmented([0.25] * 4).ess == pytest.approx(4.0)


@pytest.mark.parametrize("mixture", [0.0, 0.3, 1.0])
def test_combined_weights_add_up_to_the_observed_rows(mixture: float) -> None:
    found, table = augmented([0.1, 0.2, 0.2, 0.3]), observed()
    table.index = pd.Index(list("vwxyz"))
    frame, weights = found.combined(table, mixture)
    assert weights.sum() == pytest.approx(5.0)
    np.testing.assert_array_equal(frame["y"].iloc[:5], table["y"])
    assert frame.index.tolist() == list(range(len(frame)))
    if mixture:
        np.testing.assert_allclose(weights[:5], 1.0 - mixture)
        np.testing.assert_allclose(weights[5:], mixture * 5.0 * found.weights / 0.8)
        pd.testing.assert_frame_equal(frame.iloc[5:].reset_index(drop=True), found.frame)
    x, y, kept = found.training_set(table, "y", mixture)
    assert list(x) == ["x"]
    assert len(x) == len(y) == len(kept) == {0.0: 5, 0.3: 9, 1.0: 4}[mixture]
    assert kept.sum() == pytest.approx(5.0)
    assert (kept > 0).all()


def test_nothing_augmented_leaves_the_observed_rows() -> None:
    found = augmented([1.0] * 4)
    empty = AugmentedData(
        found.frame.iloc[:0], found.row_index[:0], found.weights[:0], ("x", "y"), 5, "enumerate"
    )
    frame, weights = empty.combined(observed(), 0.7)
    pd.testing.assert_frame_equal(frame, observed())
    np.testing.assert_array_equal(weights, 1.0)
    assert empty.ess == 0.0


def test_rows_that_do_not_go_together_are_refused() -> None:
    found = augmented([0.25] * 4)
    table = observed().rename(columns={"x": "z"}).assign(week=1)
    with pytest.raises(DataError) as caught:
        found.training_set(table, "why", 1.2)
    text = str(caught.value)
    for part in ("'why'", "1.2", "'z'", "'week'", "'x'"):
        assert part in text
    checks = sorted(finding.check for finding in caught.value.findings)
    assert checks == ["mixture", *["other_columns"] * 3, "unknown_choice"]
    with pytest.raises(DataError, match="Did you mean 'y'"):
        found.training_set(observed(), "Y")


def test_categories_survive_being_combined() -> None:
    frame = mixed()
    found = augment(jax.random.key(0), frame, GRAPH, num_rows=20)
    combined, _ = found.combined(frame)
    assert combined.dtypes.equals(frame.dtypes)


# --- The same weights in other libraries ---------------------------------------------------------


@pytest.fixture(scope="module")
def weighted() -> tuple[pd.DataFrame, pd.Series[Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Training set of 40 observed and 3 x 20 augmented rows, and how often each is repeated."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(40, 2))
    table = pd.DataFrame(
        {"tv": x[:, 0], "price": x[:, 1], "sales": x @ [2.0, -1.0] + rng.normal(size=40)}
    )
    rows = rng.integers(40, size=(20, 3))
    values = pd.DataFrame(
        {name: table[name].to_numpy()[rows[:, k]] for k, name in enumerate(table)}
    )
    times = np.tile([1, 2, 3, 2], 5)
    found = AugmentedData(values, rows, times / 100.0, tuple(table), 40, "sample")
    # Observed rows have weight 1/2, augmented ones multiples of 1/2.
    features, target, weight = found.training_set(table, "sales")
    times = np.concatenate([np.ones(40, int), times])
    np.testing.assert_allclose(weight, 0.5 * times)
    return features, target, weight, times


def repeated(
    weighted: tuple[pd.DataFrame, pd.Series[Any], np.ndarray[Any, Any], np.ndarray[Any, Any]],
) -> tuple[pd.DataFrame, pd.Series[Any]]:
    features, target, _, times = weighted
    return features.loc[features.index.repeat(times)], target.loc[target.index.repeat(times)]


def test_weights_in_scikit_learn(weighted: Any) -> None:
    from sklearn.linear_model import Ridge
    from sklearn.tree import DecisionTreeRegressor

    features, target, weight, _ = weighted
    unit = weight[0]
    more, same = repeated(weighted)
    for one, other in (
        (Ridge(alpha=2.0 * unit), Ridge(alpha=2.0)),
        (DecisionTreeRegressor(max_depth=3), DecisionTreeRegressor(max_depth=3)),
    ):
        found = one.fit(features, target, sample_weight=weight).predict(features)
        np.testing.assert_allclose(found, other.fit(more, same).predict(features), rtol=1e-8)


def test_weights_in_statsmodels(weighted: Any) -> None:
    import statsmodels.api as sm

    features, target, weight, _ = weighted
    more, same = repeated(weighted)
    found = sm.WLS(target, sm.add_constant(features), weights=weight).fit()
    wanted = sm.OLS(same, sm.add_constant(more)).fit()
    np.testing.assert_allclose(found.params, wanted.params, rtol=1e-9)


def test_weights_in_xgboost(weighted: Any) -> None:
    import xgboost

    features, target, weight, _ = weighted
    unit = weight[0]
    more, same = repeated(weighted)
    settings: dict[str, Any] = {
        "n_estimators": 20, "max_depth": 3, "tree_method": "exact", "n_jobs": 1, "base_score": 0.0
    }  # fmt: skip
    # Penalties are relative to the sum of weights.
    one = xgboost.XGBRegressor(reg_lambda=2.0 * unit, min_child_weight=unit, **settings)
    other = xgboost.XGBRegressor(reg_lambda=2.0, min_child_weight=1.0, **settings)
    found = one.fit(features, target, sample_weight=weight).predict(features)
    wanted = other.fit(more, same).predict(features)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
