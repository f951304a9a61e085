"""Statements of experts: checks, priors, files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from mmm_bayes.causal.causal_graph import CausalGraph
from mmm_bayes.causal.discovery.knowledge import Knowledge
from mmm_bayes.causal.graph.checks import GraphError

FULL = Knowledge(
    required=[("tv", "search"), ("search", "sales")],
    forbidden=[("email", "tv")],
    tiers=[["tv", "email"], ["search"], ["sales"]],
    probabilities={("tv", "sales"): 0.7, ("sales", "email"): 0.1},
    confidence=0.7,
    confidences={("tv", "search"): 0.95},
    tier_confidence=0.9,
)


def test_everything_wrong_is_told_at_once() -> None:
    with pytest.raises(GraphError) as caught:
        Knowledge(
            required=[("a", "b"), ("b", "c"), ("c", "a"), ("d", "d"), ("x", "y")],
            forbidden=[("a", "b"), ("a",)],  # type: ignore[list-item]
            tiers=[["y"], ["x"], ["y"]],
            probabilities={("x", "y"): 0.2, ("e", "f"): 1.5, ("g", "h"): 0.7, ("h", "g"): 0.6},
            confidence=0.5,
            confidences={("q", "r"): 0.9, ("a", "b"): 2.0},
            tier_confidence=float("nan"),
        )
    text = str(caught.value)
    for part in (
        "a -> b is both required and forbidden",
        "a -> b -> c -> a",
        "d -> d joins a node to itself",
        "pair of names",
        "'y' is in tier 1 and in tier 3",
        "x -> y has a probability",
        "e -> f should be from 0 to 1",
        "sum to 1.3",
        "confidence should be above 0.5",
        "q -> r has a confidence, but is neither",
        "confidence of a -> b should be above 0.5",
        "tier_confidence should be above 0.5",
    ):
        assert part in text, part


def test_required_edges_against_tiers_are_refused() -> None:
    with pytest.raises(GraphError, match="leads from tier 2 back to tier 1"):
        Knowledge(required=[("sales", "tv")], tiers=[["tv"], ["sales"]])


def test_unknown_nodes_are_told_with_the_nearest() -> None:
    with pytest.raises(GraphError, match="Did you mean 'sales'"):
        Knowledge(required=[("tv", "salse")]).check(["tv", "sales"])
    with pytest.raises(GraphError, match=r"'search'(.|\n)*'email'"):
        FULL.check(["tv", "sales"])


def test_priors_are_as_stated() -> None:
    nodes = ("tv", "email", "search", "sales", "price")
    odds, ruled = FULL.prior(nodes, 0.05)
    at = {name: i for i, name in enumerate(nodes)}
    get = lambda a, b: float(np.exp(odds[at[a], at[b]]))  # noqa: E731
    assert get("tv", "search") == pytest.approx(0.95 / 0.05)
    assert get("search", "sales") == pytest.approx(0.7 / 0.3)
    assert get("email", "tv") == pytest.approx(0.05 * 0.3 / 0.7)
    assert get("search", "tv") == pytest.approx(0.05 * 0.1 / 0.9)
    assert get("price", "sales") == pytest.approx(0.05)
    # The opposite direction has the odds of an edge without a statement, times the tier odds.
    assert get("tv", "sales") == pytest.approx(0.7 / 0.25)
    assert get("sales", "tv") == pytest.approx(0.05 / 0.25 * 0.1 / 0.9)
    assert not ruled.any()


def test_rules_leave_no_doubt() -> None:
    rules = Knowledge([("a", "b")], [("b", "c")], tiers=[["c"], ["a"]], confidence=1.0)
    odds, ruled = rules.prior(("a", "b", "c"), 0.05)
    assert ruled.tolist() == [[False, True, False], [False] * 3, [False] * 3]
    assert np.isneginf(odds[1, 0])
    assert np.isneginf(odds[1, 2])
    assert np.isneginf(odds[0, 2])
    soft, none = rules.softened(0.9).prior(("a", "b", "c"), 0.05)
    assert np.isfinite(soft).all()
    assert not none.any()


def test_a_whole_graph_is_edges_and_no_others() -> None:
    found = Knowledge.from_graph(CausalGraph(["a", "b", "c"], [("a", "b")]), absent=0.9)
    assert found.required == (("a", "b"),)
    assert set(found.forbidden) == {("a", "c"), ("c", "a"), ("b", "c"), ("c", "b")}
    assert found.confidence_of(("a", "b")) == 0.8
    assert found.confidence_of(("c", "b")) == 0.9


def test_probabilities_of_shops_are_averaged() -> None:
    values = np.array([[[0.3, 0.9], [0.9, 0.0]], [[0.1, 0.7], [0.9, 0.2]]])
    array = xr.DataArray(
        values, dims=("shop", "source", "target"),
        coords={"source": ["tv", "sales"], "target": ["tv", "sales"]},
    )  # fmt: skip
    found = Knowledge(probabilities=array).probabilities  # type: ignore[arg-type]
    # Means 0.8 and 0.9; a graph holds one of the two, so that they are scaled to 0.99 together.
    assert found == pytest.approx(
        {("tv", "sales"): 0.8 * 0.99 / 1.7, ("sales", "tv"): 0.9 * 0.99 / 1.7}
    )


@pytest.mark.parametrize("knowledge", [FULL, Knowledge(), Knowledge(tiers=[["a"], [], ["b"]])])
def test_toml_gives_the_same_back(knowledge: Knowledge, tmp_path: Path) -> None:
    path = knowledge.to_toml(tmp_path / "knowledge.toml")
    assert Knowledge.from_toml(path) == knowledge


def test_files_that_say_nonsense_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "knowledge.toml"
    with pytest.raises(FileNotFoundError, match=r"knowledge\.toml"):
        Knowledge.from_toml(path)
    path.write_text("required = [[")
    with pytest.raises(GraphError, match="not TOML"):
        Knowledge.from_toml(path)
    path.write_text('requires = [["a", "b"]]\nconfidences = [{edge = ["a", "b"]}]')
    with pytest.raises(GraphError, match=r"Did you mean 'required'(.|\n)*An entry of confidences"):
        Knowledge.from_toml(path)
