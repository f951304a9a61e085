"""The search end to end: alignment, disputes, other packages' searches, sessions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmm_bayes.causal.discovery.discover import METHODS, discover
from mmm_bayes.causal.discovery.knowledge import Knowledge
from mmm_bayes.causal.discovery.result import Discovery
from mmm_bayes.causal.discovery.session import DiscoverySession
from mmm_bayes.causal.graph.checks import GraphError
from mmm_bayes.runtime.findings import DataError

KEY = jax.random.key(0)
FEW: dict[str, Any] = {"num_bootstrap": 3}  # what every search takes
QUICK: dict[str, Any] = FEW | {"num_draws": 60}


def chain(seed: int = 0, n: int = 200) -> pd.DataFrame:
    """Tv to search to sales, curved, and a price that acts on sales."""
    rng = np.random.default_rng(seed)
    tv = rng.gamma(1.0, 1.0, n)
    search = np.sqrt(tv) + 0.2 * rng.normal(size=n)
    price = rng.uniform(-1.0, 1.0, n)
    sales = np.tanh(search) - 0.5 * price**2 + 0.1 * rng.normal(size=n)
    return pd.DataFrame({"tv": tv, "search": search, "price": price, "sales": sales})


TABLE = chain()
TRUTH = {("tv", "search"), ("search", "sales"), ("price", "sales")}


@pytest.fixture(scope="module")
def found() -> Discovery:
    knowledge = Knowledge(
        required=[("tv", "search"), ("tv", "sales"), ("sales", "price")],
        forbidden=[("search", "sales")],
    )
    return discover(KEY, TABLE, knowledge, num_bootstrap=6, num_draws=100)


def test_data_alone_find_the_graph() -> None:
    alone = discover(KEY, TABLE, **QUICK)
    assert set(alone.graph.edges) == TRUTH
    assert alone.graph == alone.data_graph
    assert len(alone.conflicts) == 0
    assert str(alone.conflicts) == "No disputes between experts and data."
    assert set(alone.edges["source"]) == {"data"}


def test_wrong_statements_are_disputed_and_right_ones_are_not(found: Discovery) -> None:
    kinds = {conflict.edge: conflict.kind for conflict in found.conflicts}
    assert kinds == {
        ("tv", "sales"): "rejected",
        ("sales", "price"): "reversed",
        ("search", "sales"): "insisted",
    }
    assert set(found.graph.edges) == TRUTH


def test_disputes_carry_their_evidence(found: Discovery) -> None:
    rejected = found.conflicts.on(("sales", "tv"))
    insisted = found.conflicts.on(("search", "sales"))
    assert rejected is not None
    assert insisted is not None
    assert rejected.bayes_factor < 0.5
    assert rejected.p_value > 0.01
    assert rejected.title == "human bias?"
    assert "through search" in rejected.questions[0]
    assert insisted.bayes_factor > 10.0
    assert insisted.p_value < 1e-6
    assert insisted.stability == 1.0
    assert insisted.log_evidence > 10.0
    table = found.conflicts.to_frame()
    assert len(table) == 3
    assert set(table["question"]) == {"human bias?", "direction?", "data issue?"}
    assert "human bias?" in str(found)
    assert "<table" in found._repr_html_()


def test_edges_say_where_they_come_from(found: Discovery) -> None:
    rows = found.edges.set_index(["cause", "effect"])
    assert rows.loc[("tv", "search"), "source"] == "both"
    assert rows.loc[("price", "sales"), "source"] == "data"
    assert (rows["stability"] > 0.5).all()
    assert (rows["p_value"] < 1e-3).all()
    assert rows["strength"].between(0.0, 1.0).all()
    assert found.probabilities.loc["tv", "search"] > 0.5
    assert sum(mass for _, mass in found.samples) <= 1.0 + 1e-9
    assert all(graph.is_dag for graph, _ in found.samples)


def test_same_key_and_table_give_the_same_result() -> None:
    one, other = (discover(KEY, TABLE, **QUICK) for _ in range(2))
    pd.testing.assert_frame_equal(one.probabilities, other.probabilities)
    assert one.data_hash == other.data_hash
    changed = discover(KEY, TABLE * 1.001, **QUICK)
    assert changed.data_hash != one.data_hash


@settings(max_examples=8, deadline=None, derandomize=True)
@given(st.integers(0, 10_000))
def test_rules_are_obeyed_and_no_cycle_forms(seed: int) -> None:
    rng = np.random.default_rng(seed)
    order = list(rng.permutation(list(TABLE.columns)))
    later = [(a, b) for i, a in enumerate(order) for b in order[i + 1 :]]
    required = [edge for edge in later if rng.random() < 0.3]
    forbidden = [edge for edge in later if edge not in required and rng.random() < 0.3]
    tiers = [order[:2], order[2:]] if rng.random() < 0.5 else []
    knowledge = Knowledge(required=required, forbidden=forbidden, tiers=tiers, confidence=1.0)
    graph = discover(
        jax.random.key(seed), TABLE.iloc[:60], knowledge, num_bootstrap=2, num_draws=20
    ).graph
    assert set(required) <= set(graph.edges)
    assert not set(forbidden) & set(graph.edges)
    assert not any(knowledge.against_tiers(edge) for edge in graph.edges)


def test_rules_against_the_data_are_kept_and_disputed() -> None:
    knowledge = Knowledge(tiers=[["sales"], ["search"]], tier_confidence=1.0)
    found = discover(KEY, TABLE, knowledge, **QUICK)
    assert ("search", "sales") not in found.graph.edges
    dispute = found.conflicts.on(("search", "sales"))
    assert dispute is not None
    assert dispute.kind == "insisted"


@pytest.mark.parametrize("method", ["pc", "ges", "lingam"])
def test_searches_of_causal_learn_obey_rules_too(method: str) -> None:
    pytest.importorskip("causallearn")
    knowledge = Knowledge(
        required=[("tv", "search")], tiers=[["tv", "price"], ["search"], ["sales"]], confidence=1.0
    )
    found = discover(KEY, TABLE, knowledge, method=method, num_bootstrap=3)
    assert ("tv", "search") in found.graph.edges
    assert not any(knowledge.against_tiers(edge) for edge in found.graph.edges)
    assert found.settings["method"] == method


def test_linear_chains_are_joined_by_every_search() -> None:
    pytest.importorskip("causallearn")
    rng = np.random.default_rng(0)
    a = rng.uniform(-1, 1, 300)
    b = a + 0.5 * rng.uniform(-1, 1, 300)
    c = b + 0.5 * rng.uniform(-1, 1, 300)
    table = pd.DataFrame({"a": a, "b": b, "c": c})
    for method in ("gp", "pc", "ges", "lingam"):
        found = discover(KEY, table, method=method, **(QUICK if method == "gp" else FEW))
        joined = {frozenset(edge) for edge in found.graph.edges}
        assert joined == {frozenset("ab"), frozenset("bc")}, method
        if method in ("gp", "lingam"):
            assert set(found.graph.edges) == {("a", "b"), ("b", "c")}


def test_pcmci_takes_one_series_with_dates() -> None:
    with pytest.raises(ValueError, match="one series with dates"):
        discover(KEY, TABLE, method="pcmci", **FEW)
    dated = TABLE.assign(week=pd.date_range("2020-01-05", periods=len(TABLE), freq="W"))
    try:
        import tigramite  # noqa: F401
    except ImportError:
        with pytest.raises(ImportError, match=r'pip install "mmm-bayes\[pcmci\]"'):
            discover(KEY, dated, method="pcmci", date="week", **FEW)


def test_independent_slow_series_are_not_joined() -> None:
    rng = np.random.default_rng(3)
    noise = rng.normal(size=(150, 3))
    values = noise.copy()
    for t in range(1, len(values)):
        values[t] += 0.9 * values[t - 1]
    table = pd.DataFrame(values, columns=["a", "b", "c"])
    table["week"] = pd.date_range("2020-01-05", periods=150, freq="W")
    found = discover(KEY, table, date="week", **QUICK)
    assert found.effective_sample_ratio < 0.25
    with pytest.warns(DeprecationWarning, match="effective_sample_ratio"):
        assert found.news == found.effective_sample_ratio
    assert found.graph.edges == ()


def test_seasons_and_geos_are_taken() -> None:
    weeks = pd.date_range("2020-01-05", periods=80, freq="W")
    rng = np.random.default_rng(0)
    parts = []
    for geo, size in (("north", 1.0), ("south", 30.0)):
        wave = np.sin(2 * np.pi * weeks.day_of_year.to_numpy() / 365.25)
        tv = wave + 0.3 * rng.normal(size=80)
        sales = size * (np.tanh(tv) + 0.2 * rng.normal(size=80))
        parts.append(pd.DataFrame({"week": weeks, "geo": geo, "tv": size * tv, "sales": sales}))
    knowledge = Knowledge(tiers=[["season"], ["tv"], ["sales"]])
    found = discover(
        KEY, pd.concat(parts), knowledge, season=["season"], date="week", geo="geo", **QUICK
    )
    assert ("season", "tv") in found.graph.edges
    assert ("tv", "sales") in found.graph.edges
    with pytest.raises(GraphError, match="tv -> season"):
        discover(
            KEY, pd.concat(parts), Knowledge(required=[("tv", "season")]),
            season=["season"], date="week", geo="geo", **QUICK,
        )  # fmt: skip


def test_many_nodes_are_searched_too() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(80, 14))
    values[:, 1] = np.tanh(2 * values[:, 0]) + 0.1 * values[:, 1]
    table = pd.DataFrame(values, columns=[f"x{i}" for i in range(14)])
    knowledge = Knowledge(required=[(f"x{i}", "x13") for i in range(2, 9)], confidence=1.0)
    found = discover(KEY, table, knowledge, num_bootstrap=1, num_draws=20, max_parents=2)
    assert ("x0", "x1") in found.graph.edges
    assert set(knowledge.required) <= set(found.graph.edges)


def test_everything_wrong_with_settings_is_told_at_once() -> None:
    with pytest.raises(GraphError) as caught:
        discover(
            KEY, TABLE, Knowledge(required=[("tv", "salse")]), method="gps", num_bootstrap=-1,
            num_draws=0, block=0, edge_odds=2.0, max_parents=0, alpha=0.0,
        )  # fmt: skip
    assert len(caught.value.problems) == 8
    assert "Did you mean 'gp'?" in str(caught.value)
    assert "Did you mean 'sales'?" in str(caught.value)
    with pytest.raises(GraphError, match="leave out event"):
        discover(KEY, TABLE.assign(event=1.0), **QUICK)
    with pytest.raises(DataError, match="has no column"):
        discover(KEY, TABLE, nodes=["tv", "radio"], **QUICK)
    with pytest.raises(TypeError, match="rng_key"):
        discover("0", TABLE, **QUICK)
    assert "gp" in METHODS


def test_a_session_keeps_runs_and_decisions_and_replays(tmp_path: Path) -> None:
    path = tmp_path / "session.json"
    knowledge = Knowledge(required=[("tv", "sales")], confidence=0.7)
    session = DiscoverySession(KEY, knowledge, path=path, **QUICK)
    first = session.run_again(TABLE)
    assert ("tv", "sales") not in first.graph.edges
    assert [tuple(c["edge"]) for c in session.open_conflicts] == [("tv", "sales")]
    session.decide(("tv", "sales"), "open", reason="Ask the agency.")
    assert len(session.open_conflicts) == 1
    session.decide(("tv", "sales"), "keep", reason="Lift test of 2024.", by="Ana")
    assert session.open_conflicts == ()
    session.decide(("price", "sales"), "reverse", reason="Prices follow sales.")
    assert set(session.run_again(TABLE).graph.edges) >= {("tv", "sales"), ("sales", "price")}
    again = DiscoverySession.load(path)
    assert again.decisions == session.decisions
    assert [d.action for d in again.decisions] == ["open", "keep", "reverse"]
    assert len(again.runs) == 2
    assert again.graph == session.graph
    assert again.knowledge == knowledge
    for position in range(2):
        replay = again.replay(TABLE, position)
        assert replay.same_data
        assert replay.same_graph, str(replay)
    assert "keep tv -> sales (Ana): Lift test of 2024." in str(again)
    values = json.loads(path.read_text())
    for run in values["runs"]:
        run["news"] = 0.5
    older = tmp_path / "older.json"
    older.write_text(json.dumps(values))
    assert DiscoverySession.load(older).graph == session.graph
    changed = again.replay(chain(seed=1))
    assert not changed.same_data
    assert "a table that has changed" in str(changed)
    again.run_again(chain(seed=1))
    assert again.runs[-1].data_changed
    assert not again.runs[-2].data_changed
    assert ("tv", "sales") in {tuple(c["edge"]) for c in again.runs[-1].conflicts}


def test_decisions_that_cannot_be_are_not_recorded(tmp_path: Path) -> None:
    knowledge = Knowledge(required=[("tv", "search")], tiers=[["tv"], ["sales"]], confidence=1.0)
    session = DiscoverySession(KEY, knowledge, path=tmp_path / "session.json")
    with pytest.raises(GraphError, match=r"two names(.|\n)*one of keep(.|\n)*reason"):
        session.decide(("tv", "tv"), "maybe", reason=" ")  # type: ignore[arg-type]
    with pytest.raises(GraphError, match="back to tier 1"):
        session.decide(("tv", "sales"), "reverse", reason="Tried.")
    session.decide(("search", "sales"), "keep", reason="Known.")
    assert [one.edge for one in session.decisions] == [("search", "sales")]
    with pytest.raises(FileExistsError, match="There is a session already"):
        DiscoverySession(rng_key=KEY, path=tmp_path / "session.json")
    with pytest.raises(ValueError, match="There is no graph yet"):
        _ = session.graph


def test_decisions_that_close_a_cycle_are_refused() -> None:
    session = DiscoverySession(KEY, Knowledge(required=[("a", "b")]))
    session.decide(("b", "c"), "keep", reason="Known.")
    with pytest.raises(GraphError, match="cycle a -> b -> c -> a"):
        session.decide(("c", "a"), "keep", reason="Known too.")
    assert len(session.decisions) == 1


def test_decisions_replace_what_was_said_of_their_pair() -> None:
    knowledge = Knowledge(
        required=[("a", "b")], forbidden=[("b", "c")], probabilities={("a", "c"): 0.3},
        confidences={("a", "b"): 0.9},
    )  # fmt: skip
    session = DiscoverySession(KEY, knowledge)
    session.decide(("a", "b"), "drop", reason="No.")
    session.decide(("b", "c"), "keep", reason="Yes.")
    session.decide(("a", "c"), "reverse", reason="The other way.")
    found = session.settled_knowledge()
    assert set(found.required) == {("b", "c"), ("c", "a")}
    assert set(found.forbidden) == {("a", "b"), ("b", "a")}
    assert found.probabilities == {}
    assert {found.confidence_of(edge) for edge in (*found.required, *found.forbidden)} == {1.0}
    assert session.knowledge is knowledge


def test_files_that_are_no_session_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "session.json"
    with pytest.raises(FileNotFoundError, match=r"session\.json"):
        DiscoverySession.load(path)
    path.write_text("{")
    with pytest.raises(GraphError, match="not JSON"):
        DiscoverySession.load(path)
    path.write_text('{"format": 1}')
    with pytest.raises(GraphError, match="no runs"):
        DiscoverySession.load(path)
    session = DiscoverySession(rng_key=KEY)
    with pytest.raises(ValueError, match="save"):
        session.save()
    session.save(path)
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "format": 2}))
    with pytest.raises(GraphError, match=r"\b2\b.*\b1\b"):
        DiscoverySession.load(path)
