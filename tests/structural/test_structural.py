"""The structural model as a user meets it: checks, equations, effects, files."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import mmm_bayes as mb
from mmm_bayes.structural.equations import equation_data
from tests.refusals import refused

CHANNELS = ("tv", "video", "social", "search")
DRAWS: dict[str, Any] = {"num_warmup": 200, "num_samples": 150, "num_chains": 2}
EDGES = [
    ("tv", "search"), ("tv", "awareness"), ("tv", "sales"), ("search", "sales"),
    ("awareness", "sales"), ("demand", "sales"), ("season", "sales"), ("social", "sales"),
]  # fmt: skip
PATHS = ["tv -> sales", "tv -> awareness -> sales", "tv -> search -> sales"]


@pytest.fixture(scope="module")
def simulated() -> mb.simulate.SimulatedMediation:
    return mb.simulate.mediation(jax.random.key(5), num_weeks=104)


@pytest.fixture(scope="module")
def graph() -> mb.CausalGraph:
    return mb.CausalGraph(
        edges=EDGES, bidirected=[("search", "awareness")], roles={"season": "seasonality"}
    )


@pytest.fixture(scope="module")
def model(simulated: mb.simulate.SimulatedMediation, graph: mb.CausalGraph) -> mb.StructuralMMM:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mb.errors.DataWarning)
        return mb.StructuralMMM(simulated.data, graph)


@pytest.fixture(scope="module")
def fit(model: mb.StructuralMMM) -> mb.StructuralFit:
    return model.fit(jax.random.key(1), progress=False, num_prior_draws=20, **DRAWS)


def test_equations_follow_the_graph(model: mb.StructuralMMM) -> None:
    assert repr(model).splitlines() == [
        "search ~ media(tv)",
        "awareness ~ media(tv)",
        "sales ~ media(tv, search, social) + season + awareness + demand",
        "search <-> awareness",
    ]
    assert model.districts == [("search", "awareness"), ("sales",)]
    sales, search = model.models["sales"], model.models["search"]
    assert [s.period for s in sales.spec.seasonality] == ["year"]
    assert not search.spec.seasonality
    assert sales.data.roles.target == "sales"


def test_every_finding_comes_at_once(simulated: mb.simulate.SimulatedMediation) -> None:
    graph = mb.CausalGraph(edges=[("tv", "serch"), ("mood", "price")])
    with pytest.raises(mb.errors.DataError) as caught:
        mb.StructuralMMM(
            simulated.data, graph, specs={"tvv": mb.ModelSpec()}, media=["tv", "price", "radio"]
        )
    checks = [(finding.check, finding.where) for finding in caught.value.findings]
    assert sorted(checks) == [
        ("media", "price"), ("media", "radio"), ("specs", "tvv"), ("target", "sales"),
        ("unknown_node", "mood"), ("unknown_node", "serch"),
    ]  # fmt: skip
    text = str(caught.value)
    for part in ("'search'", "mood [latent]"):
        assert part in text
    with pytest.warns(mb.errors.DataWarning, match="video, social"):
        mb.StructuralMMM(
            simulated.data, mb.CausalGraph(edges=[("tv", "sales"), ("search", "sales")])
        )


def test_specs_of_single_nodes(simulated: mb.simulate.SimulatedMediation) -> None:
    graph = mb.CausalGraph(edges=[(c, "sales") for c in CHANNELS] + [("tv", "search")])
    spec = mb.ModelSpec(
        media={"effect": "roas", "max_lag": 5},
        channels={"social": {"adstock": "none"}},
        likelihood={"family": "log_normal"},
    )
    own = mb.ModelSpec(media={"max_lag": 2})
    model = mb.StructuralMMM(simulated.data, graph, spec, specs={"search": own})
    assert model.models["sales"].spec.likelihood.family == "log_normal"
    assert model.models["sales"].spec.channels.keys() == {"social"}
    assert model.models["search"].spec.media.max_lag == 2
    plain = mb.StructuralMMM(simulated.data, graph, spec).models["search"].spec
    # Revenue per target and logarithms do not apply to a mediator.
    assert plain.likelihood.family == "normal"
    assert (plain.media.effect, plain.media.max_lag) == ("coefficient", 5)


def test_effects_add_up_and_are_of_the_right_size(
    fit: mb.StructuralFit, simulated: mb.simulate.SimulatedMediation
) -> None:
    effects = fit.effects()
    assert effects.dims == ("chain", "draw", "channel", "effect")
    assert list(effects["channel"].values) == ["tv", "social", "search"]
    total, direct, indirect = (effects.sel(effect=e) for e in ("total", "direct", "indirect"))
    np.testing.assert_allclose(total, direct + indirect, rtol=1e-9, atol=1e-6)
    assert (indirect.sel(channel=["social", "search"]) == 0).all()
    along = fit.path_effects("tv")
    assert list(along["path"].values) == [*PATHS, "together"]
    np.testing.assert_allclose(along.sum("path"), total.sel(channel="tv"), rtol=1e-9)
    # No two paths meet in a node with saturation, so that nothing remains.
    scale = float(np.abs(total.sel(channel="tv")).mean())
    assert float(np.abs(along.sel(path="together")).max()) < 1e-9 * scale
    low, high = total.sel(channel="tv").quantile([0.005, 0.995]).values
    assert low < simulated.effects.loc["tv", "total"] < high


def test_effects_by_date_sum_to_the_whole(fit: mb.StructuralFit) -> None:
    whole = fit.effects("tv", max_draws=20)
    by_date = fit.effects("tv", by="date", max_draws=20)
    assert by_date.dims[-1] == "date"
    np.testing.assert_allclose(by_date.sum("date"), whole, rtol=1e-9)
    by_year = fit.effects("tv", by="year", max_draws=20)
    np.testing.assert_allclose(by_year.sum("year"), whole, rtol=1e-9)
    campaign = fit.effects("tv", by="date", dates=slice("2022-06", "2022-07"), max_draws=20)
    total = campaign.sel(effect="total", channel="tv").mean(("chain", "draw"))
    assert (total.sel(date=slice(None, "2022-05-25")) == 0).all()
    assert (total.sel(date=slice("2022-06", "2022-07")) != 0).any()
    assert float(total.sel(date=slice("2022-08", None)).sum()) != 0  # carry-over


def test_do_sets_nodes_and_lets_others_follow(fit: mb.StructuralFit) -> None:
    found = fit.do({"tv": 0.0}, max_draws=20)
    assert set(found.data_vars) == {"tv", "search", "awareness", "sales"}
    assert (found["tv"] == 0).all()
    assert (found["search"] >= 0).all()
    observed = fit.data.ds["target"]
    contribution = (observed - found["sales"]).sum(("geo", "date"))
    wanted = fit.effects("tv", max_draws=20).sel(channel="tv", effect="total")
    np.testing.assert_allclose(contribution, wanted, rtol=1e-9)
    through = fit.do({"tv": 0.0}, through=[("tv", "search", "sales")], max_draws=20)
    assert set(through.data_vars) == {"tv", "search", "sales"}
    with pytest.raises(mb.errors.DataError) as caught:
        fit.do({"tv": -1.0, "season": 0.0, "search": np.zeros(3)})
    found_in = {finding.where: finding.message for finding in caught.value.findings}
    assert set(found_in) == {"tv", "season", "search"}
    assert "(3,)" in found_in["search"]
    with refused("edge") as caught:
        fit.do({"tv": 0.0}, through=[("search", "tv")])
    assert "search -> tv" in str(caught.value)
    with pytest.raises(mb.errors.DataError, match="'tv'"):
        fit.do({"tvv": 0.0})


def test_summary_and_reconciliation(
    fit: mb.StructuralFit, simulated: mb.simulate.SimulatedMediation
) -> None:
    table = fit.summary()
    assert table.loc[("tv", "total"), "roas"] == pytest.approx(
        table.loc[("tv", "total"), "contribution"] / table.loc[("tv", "total"), "spend"]
    )
    assert (table["contribution_lower"] <= table["contribution"]).all()
    spec = mb.ModelSpec()
    plain = mb.MMM(simulated.data, spec).fit(
        jax.random.key(2), progress=False, num_prior_draws=0, **DRAWS
    )
    why = fit.reconcile(plain)["why"]
    assert "search and awareness" in why["tv"] or "search, awareness" in why["tv"]
    assert "direct effect" in why["tv"]
    assert "season" in why["tv"] or "not in the graph" in why["tv"]


def test_verdicts_and_errors_are_shown(fit: mb.StructuralFit) -> None:
    report = fit.diagnose()
    table = report.to_frame()
    assert list(table.index) == ["search", "awareness", "sales"]
    assert set(table["verdict"]) <= {"PASS", "REVIEW", "FAIL"}
    worst = [own.verdict for own in report.reports.values()]
    assert report.verdict == max(worst, key=["PASS", "REVIEW", "FAIL"].index)
    assert all(own.where.split(":")[0] in fit.equations for own in report.findings)
    assert str(report).startswith(f"Diagnostics: {report.verdict}")
    with pytest.warns(DeprecationWarning, match="to_frame"):
        assert report["verdict"].equals(table["verdict"])
    with pytest.warns(DeprecationWarning, match="to_frame"):
        assert list(report.index) == list(table.index)
    assert pickle.loads(pickle.dumps(report)).verdict == report.verdict
    assert "search <-> awareness" in repr(fit)
    (correlation,) = fit.error_correlations.values()
    assert correlation.dims == ("chain", "draw", "node", "other")
    assert "<table>" in fit._repr_html_()


def test_files_give_back_the_same_fit(fit: mb.StructuralFit, tmp_path: Path) -> None:
    path = fit.save(tmp_path / "fit.zip")
    again = mb.load_structural_fit(path)
    assert again.graph == fit.graph
    np.testing.assert_array_equal(again.effects(max_draws=20), fit.effects(max_draws=20))
    assert repr(again) == repr(fit)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(mb.errors.FitFileError, match=r"fit\.zip"):
        mb.load_structural_fit(path)
    with pytest.raises(FileNotFoundError):
        mb.load_structural_fit(tmp_path / "none.zip")


def test_hidden_causes_need_national_gaussian_data(
    simulated: mb.simulate.SimulatedMediation,
) -> None:
    graph = mb.CausalGraph(edges=[(c, "sales") for c in CHANNELS], bidirected=[("search", "sales")])
    spec = mb.ModelSpec(likelihood={"family": "student_t"})
    with pytest.raises(mb.errors.DataError, match="'student_t'"):
        mb.StructuralMMM(simulated.data, graph, spec).fit(jax.random.key(0))


def test_a_table_keeps_its_units_in_an_equation() -> None:
    data = mb.load_dataset("geo_weekly")
    own = equation_data(data, data.channels[1], data.channels[:1], data.controls[:1])
    assert own.geos == data.geos
    np.testing.assert_array_equal(
        own.ds["target"], data.ds["exposure"].sel(channel=data.channels[1])
    )
    np.testing.assert_array_equal(own.ds["population"], data.ds["population"])
    assert (own.ds["revenue_per_target"] == 1).all()
