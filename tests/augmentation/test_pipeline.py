"""Augmented rows of a model's table, their likelihood weights, and fits with them."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import xarray as xr

from mmm_bayes import MMM, FitResult, MMMData, ModelSpec, load_fit, simulate
from mmm_bayes.augmentation.likelihood_weights import (
    information_ratio,
    largest_mixture,
    likelihood_weights,
)
from mmm_bayes.augmentation.model_features import feature_frames
from mmm_bayes.augmentation.pipeline import CausalDA, MMMAugmentation
from mmm_bayes.causal.causal_graph import CausalGraph
from mmm_bayes.errors import DataError, DataWarning
from mmm_bayes.inference.convergence import ess_bulk
from tests.refusals import refused

WEEKS = 60
CAUSES = ("tv", "radio", "price", "promo")
GRAPH = CausalGraph((*CAUSES, "sales"), [("tv", "radio"), *((name, "sales") for name in CAUSES)])
# Every variable depends on all earlier ones, and with tiny bandwidths a row matches only itself.
NAMES = ("season", *CAUSES, "sales")
SATURATED = CausalGraph(NAMES, [(a, b) for i, a in enumerate(NAMES) for b in NAMES[i + 1 :]])
FEW = {"num_warmup": 60, "num_samples": 30, "num_chains": 2, "block": 30}


def spec_with(**sections: Any) -> ModelSpec:
    own = {
        "media": {"max_lag": 4, "saturation": "michaelis_menten"},
        "trend": {"kind": "linear"},
        "seasonality": [{"period": "year", "order": 1}],
    }
    return ModelSpec(**(own | sections))


def data_with(**settings: Any) -> MMMData:
    sizes: dict[str, Any] = {"num_dates": WEEKS, "num_channels": 2, "num_controls": 2}
    return simulate.mmm(jax.random.key(51), **(sizes | settings)).data


def copying(graph: CausalGraph = GRAPH, **settings: Any) -> CausalDA:
    """Copy outcomes too; the default, outcomes of the model, is tested elsewhere."""
    return CausalDA(graph, **({"estimator": "kernel"} | settings))


@pytest.fixture(scope="module")
def mmm() -> MMM:
    return MMM(data_with(), spec_with())


@pytest.fixture(scope="module")
def augmentation(mmm: MMM) -> MMMAugmentation:
    return mmm.augment(jax.random.key(1), copying(num_rows=90))


# --- Settings and what does not fit --------------------------------------------------------------


def test_every_wrong_setting_is_found_at_once() -> None:
    with pytest.raises(DataError) as caught:
        CausalDA(
            "tv -> sales",  # type: ignore[arg-type]
            method="sampel",  # type: ignore[arg-type]
            estimator=3,  # type: ignore[arg-type]
            bandwidth="silvermann",
            bandwidth_scale=0.0,
            smoothing=-1.0,
            num_rows=0,
            mixture=1.5,
            season="",
        )
    found = {finding.where: str(finding) for finding in caught.value.findings}
    assert set(found) == {
        "graph", "method", "estimator", "bandwidth", "bandwidth_scale", "smoothing", "num_rows",
        "mixture", "season",
    }  # fmt: skip
    assert "Did you mean 'sample'?" in found["method"]
    assert "Did you mean 'silverman'?" in found["bandwidth"]
    assert "CausalGraph.from_file" in found["graph"]
    assert "1.5" in found["mixture"]


def test_methods_that_copy_take_no_other_estimator() -> None:
    with refused("setting"):
        CausalDA(GRAPH, method="resample", estimator={"sales": "residual"})
    with pytest.raises(DataError, match=r"estimator=\{target: 'residual'}"):
        CausalDA(GRAPH, method="residual")  # type: ignore[arg-type]


def test_bandwidths_of_variables_are_checked_each() -> None:
    with pytest.raises(DataError) as caught:
        CausalDA(GRAPH, bandwidth={"tv": -1.0, "radio": 0.5, "price": np.nan})
    assert [f.where for f in caught.value.findings] == [
        "bandwidth of 'tv'",
        "bandwidth of 'price'",
    ]


def test_everything_that_does_not_fit_the_model_is_found_at_once() -> None:
    graph = CausalGraph(edges=[("tv", "sale"), ("radoi", "sale"), ("price", "sale")])
    settings = CausalDA(
        graph, estimator={"tv": "residual", "promo": "flow", "season": "flow", "pric": "kernel"}
    )
    spec = spec_with(media={"max_lag": 4, "order": "saturation_first"})
    with pytest.raises(DataError) as caught:
        MMM(data_with(), spec).augment(jax.random.key(0), settings)
    found = [(f.check, f.where) for f in caught.value.findings]
    assert found == [
        ("not_in_graph", "radio"),
        ("not_in_graph", "promo"),
        ("not_in_graph", "sales"),
        ("unknown_node", "sale"),
        ("unknown_node", "radoi"),
        ("saturation_first", None),
        ("unknown_variable", "pric"),
        ("needs_donors", "tv"),
        ("needs_donors", "season"),
        ("needs_donors", "promo"),
    ]
    text = str(caught.value)
    assert "Did you mean 'radio'?" in text
    assert 'media.order = "adstock_first"' in text


def test_counts_keep_whole_targets() -> None:
    data = data_with(likelihood="negative_binomial")
    spec = spec_with(likelihood={"family": "negative_binomial"})
    settings = CausalDA(GRAPH, estimator={"sales": "residual"})
    with refused("needs_donors"):
        MMM(data, spec).augment(jax.random.key(0), settings)


def test_a_name_cannot_be_two_things(mmm: MMM) -> None:
    with refused("shared_name"):
        mmm.augment(jax.random.key(0), CausalDA(GRAPH, season="tv"))


# --- Calendar ------------------------------------------------------------------------------------


def test_the_calendar_is_added_as_a_cause_of_everything() -> None:
    settings = CausalDA(GRAPH, order=("promo", "price", "tv", "radio", "sales")).completed()
    assert settings.graph.nodes[0] == "season"
    assert settings.graph.children("season") == GRAPH.nodes
    assert set(settings.graph.edges) >= set(GRAPH.edges)
    assert settings.order == ("season", "promo", "price", "tv", "radio", "sales")
    own = CausalDA(SATURATED)
    assert own.completed() is own


def test_features_are_adstock_controls_and_calendar(mmm: MMM) -> None:
    frame = feature_frames(mmm.structure, mmm.arrays(), "season", "sales")[0]
    assert list(frame.columns) == [
        "season[time]", "season[year_sin1]", "season[year_cos1]", "price", "promo",
        "tv", "radio", "sales",
    ]  # fmt: skip
    assert frame["promo"].dtype.kind == "i"
    alpha = mmm.spec.media_prior("tv", "alpha").median
    kernel = alpha ** np.arange(4)
    kernel /= kernel.sum()
    exposure = mmm.arrays().media[0, 0, 0]
    wanted = [
        sum(kernel[lag] * exposure[t - lag] for lag in range(4) if t >= lag) for t in range(WEEKS)
    ]
    np.testing.assert_allclose(frame["tv"], wanted, rtol=1e-6)
    np.testing.assert_allclose(frame["season[time]"], np.arange(WEEKS) / (WEEKS - 1))


# --- Likelihood weights --------------------------------------------------------------------------


def test_likelihood_weights_by_hand() -> None:
    """Two dates, three rows of weights 1/2, 1/4, 1/4 with the outcomes of dates 0, 0 and 1."""
    weights, outcomes = np.array([[0.5, 0.25, 0.25]]), np.array([[0, 0, 1]])
    found = likelihood_weights(weights, outcomes, 2, 0.5)
    raw = np.array([0.5, 0.5, 0.5, 0.25, 0.25])
    kish = 2.0**2 / (1.25**2 + 0.75**2)
    np.testing.assert_allclose(found[0], raw * kish / 2.0, rtol=1e-12)
    assert found.sum() == pytest.approx(kish)


def test_likelihood_weights_never_count_more_than_the_observed_rows() -> None:
    rng = np.random.default_rng(2)
    weights, outcomes = rng.gamma(0.3, size=(3, 50)), rng.integers(0, 20, (3, 50))
    for mixture in (0.0, 0.3, 1.0):
        weight = likelihood_weights(weights, outcomes, 20, mixture)
        count = np.zeros((3, 20))
        for g in range(3):
            for row in range(70):
                count[g, row if row < 20 else outcomes[g, row - 20]] += weight[g, row]
        assert weight.sum() == pytest.approx(count.sum() ** 2 / (count**2).sum())
        assert weight.sum() < 60.0 + 1e-9
        # One factor for all: shares stay those of the mixture, and geos count alike.
        np.testing.assert_allclose(weight.sum(1), weight.sum() / 3)
        np.testing.assert_allclose(weight[:, 20:].sum(), mixture * weight.sum(), atol=1e-12)
    assert (likelihood_weights(weights, outcomes, 20, 0.0)[:, :20] == 1.0).all()


def test_outcomes_of_their_own_count_each() -> None:
    """Residual draws have no donor: equal weights are then as many rows as there are dates."""
    weight = likelihood_weights(np.ones((1, 40)), np.full((1, 40), -1), 20, 0.5)
    assert weight.sum() == pytest.approx(20.0)


def test_information_is_the_greatest_over_directions() -> None:
    """Against many random directions, geo by geo with loops; a constant column is left out."""
    rng = np.random.default_rng(4)
    mix = rng.normal(size=(3, 3))
    observed = [np.c_[rng.normal(size=(30, 3)) @ mix, np.full(30, 7.0)] for _ in range(2)]
    augmented = [np.c_[rng.normal(size=(50, 3)), np.full(50, 7.0)] for _ in range(2)]
    weights = [rng.gamma(1.0, size=50) for _ in range(2)]
    scale = np.sqrt(np.mean([x[:, :3].var(0) for x in observed], 0))
    greatest = 0.0
    for direction in rng.normal(size=(20000, 3)):
        own, theirs = direction @ direction, 0.0
        for x, new, weight in zip(observed, augmented, weights, strict=True):
            along, drawn = x[:, :3] / scale @ direction, new[:, :3] / scale @ direction
            own += np.sum((along - along.mean()) ** 2)
            middle = np.average(drawn, weights=weight)
            theirs += 30 * np.average((drawn - middle) ** 2, weights=weight)
        greatest = max(greatest, theirs / own)
    found = information_ratio(observed, augmented, weights)
    assert greatest <= found
    assert found == pytest.approx(greatest, rel=0.01)
    assert information_ratio(observed, observed, [np.ones(30)] * 2) == pytest.approx(1.0, abs=0.05)


def test_the_mixture_is_bounded_by_the_information() -> None:
    assert largest_mixture(0.7) == largest_mixture(1.1) == 0.5
    assert largest_mixture(1.5) == pytest.approx(0.2)
    assert largest_mixture(11.0) == pytest.approx(0.01)


def test_channels_that_the_graph_separates_get_few_rows() -> None:
    """Two channels that move together, and graphs with and without an edge between them."""
    data = data_with(num_controls=0)
    frame = data.to_frame()
    rng = np.random.default_rng(5)
    plan = np.exp(rng.normal(0.0, 0.6, WEEKS))
    for name in ("tv", "radio"):
        frame[name] = 1e4 * plan * np.exp(rng.normal(0.0, 0.15, WEEKS))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        table = MMMData.from_dataframe(
            frame[["date", "sales", "tv", "radio"]], date="date", target="sales",
            channels=["tv", "radio"],
        )  # fmt: skip
    model = MMM(table, spec_with())
    edges = [("tv", "sales"), ("radio", "sales")]
    found = {}
    for bond in ((), (("tv", "radio"),)):
        graph = CausalGraph(("tv", "radio", "sales"), edges, bond)
        found[len(bond)] = model.augment(jax.random.key(5), copying(graph, num_rows=600))
    assert found[0].information > 4.0
    assert found[0].mixture < 0.05
    assert found[1].information < 2.0
    assert found[1].mixture > 0.1
    share = model.augment(
        jax.random.key(5), copying(CausalGraph(("tv", "radio", "sales"), edges), mixture=0.5)
    )
    assert share.mixture == 0.5
    assert "too narrow" in str(share)
    assert f"{found[0].information:.3g} times" in str(found[0])


# --- Rows ----------------------------------------------------------------------------------------


def is_mixed(augmentation: MMMAugmentation) -> np.ndarray:
    """Rows (geo, row) that come from more than one observed row."""
    donors = augmentation.donors.values
    return (donors != donors[..., :1]).any(-1)


def test_rows_are_put_together_from_their_donors(mmm: MMM, augmentation: MMMAugmentation) -> None:
    arrays, structure = mmm.arrays(), mmm.structure
    rows = augmentation.added_rows(structure)
    assert rows.media.shape == (2, 1, 90)
    donors = augmentation.donors
    assert donors.min() >= 0
    assert donors.max() < WEEKS
    np.testing.assert_array_equal(rows.media[1, 0], donors.sel(node="radio")[0])
    np.testing.assert_array_equal(rows.calendar[0], donors.sel(node="season")[0])
    np.testing.assert_allclose(rows.target[0], arrays.target[0][donors.sel(node="sales")[0]])
    for k, name in enumerate(("price", "promo")):
        lent = arrays.design[0, donors.sel(node=name)[0], k - 2]
        np.testing.assert_allclose(rows.controls[0, :, k], lent)
    # The purpose of augmentation: rows that were never observed.
    assert np.mean(is_mixed(augmentation)) > 0.5


def test_the_key_decides_the_rows(mmm: MMM, augmentation: MMMAugmentation) -> None:
    settings = copying(num_rows=90)
    again = mmm.augment(jax.random.key(1), settings)
    other = mmm.augment(jax.random.key(2), settings)
    xr.testing.assert_identical(augmentation.donors, again.donors)
    assert not augmentation.donors.equals(other.donors)


def test_a_saturated_graph_with_small_bandwidths_repeats_rows(mmm: MMM) -> None:
    found = mmm.augment(jax.random.key(3), copying(SATURATED, bandwidth_scale=1e-3))
    assert found.weights.sizes["row"] == 2 * WEEKS
    assert not is_mixed(found).any()
    assert not found.season_added


def test_new_targets_may_come_from_residuals(mmm: MMM) -> None:
    settings = CausalDA(GRAPH, estimator={"sales": "residual"}, num_rows=50)
    found = mmm.augment(jax.random.key(4), settings)
    target = found.added_rows(mmm.structure).target
    assert np.isin(target, mmm.arrays().target).mean() < 0.2
    assert np.isfinite(target).all()


def test_jitter_is_kept_by_continuous_values_alone(mmm: MMM) -> None:
    found = mmm.augment(jax.random.key(4), copying(smoothing=0.5, num_rows=50))
    rows, arrays = found.added_rows(mmm.structure), mmm.arrays()
    for k, name, copied in ((0, "price", False), (1, "promo", True)):
        lent = arrays.design[0, found.donors.sel(node=name)[0], k - 2]
        assert (np.abs(rows.controls[0, :, k] - lent) < 1e-6).all() == copied
    assert not np.isin(rows.target, arrays.target).any()
    data = data_with(likelihood="negative_binomial")
    counts = MMM(data, spec_with(likelihood={"family": "negative_binomial"}))
    found = counts.augment(jax.random.key(4), copying(smoothing=0.5, num_rows=50))
    target = found.added_rows(counts.structure).target
    assert np.isin(target, counts.arrays().target).all()


@pytest.mark.parametrize("own", [{"method": "resample", "num_rows": 200}, {"method": "enumerate"}])
def test_weighted_rows_have_unequal_likelihood_weights(mmm: MMM, own: Any) -> None:
    """With the calendar as the only root, enumeration keeps most of the probability."""
    settings = copying(bandwidth_scale=0.1, **own)
    found = mmm.augment(jax.random.key(5), settings)
    weights = found.weights.values[0]
    assert 0.5 < float(found.mass[0]) < 1.5
    assert np.ptp(weights[weights > 0]) > 0
    added = found.likelihood_weight[0, WEEKS:]
    np.testing.assert_allclose(added / added.sum(), weights / weights.sum())
    assert added.sum() == pytest.approx(0.5 * found.effective_rows)


def test_what_was_assumed_is_said(augmentation: MMMAugmentation) -> None:
    text = str(augmentation)
    for part in (
        "90 rows for 60 observed ones",
        "season given nothing",
        "radio given season, tv",
        "exchangeable",
        "'season' was not in the graph",
        "prior median",
        f"{augmentation.effective_rows:.1f} for 60",
    ):
        assert part in text, text
    record = json.loads(augmentation.to_json())
    assert record["settings"]["graph"]["nodes"][0] == "season"
    assert record["rows"] == 90
    assert record["mass"] == [pytest.approx(1.0)]
    assert 0 < record["ess"][0] <= 90.0 + 1e-9
    assert record["effective_rows"] < 60.0
    for old in ("power", "total_power"):
        with pytest.warns(DeprecationWarning, match="likelihood_weight|effective_rows"):
            getattr(augmentation, old)


# --- Fits ----------------------------------------------------------------------------------------


def quick(mmm: MMM, key: int, **settings: Any) -> FitResult:
    chosen = {**FEW, "num_prior_draws": 10, **settings}
    return mmm.fit(jax.random.key(key), progress=False, **chosen)


# Without edges from radio and promo, which are not excluded from the model here.
APART = CausalGraph(GRAPH.nodes, [("tv", "radio"), ("tv", "sales"), ("price", "sales")])
UNCHANGED = copying(APART, num_rows=90, exclusions=False)


@pytest.fixture(scope="module")
def fit(mmm: MMM) -> FitResult:
    return quick(mmm, 5, augmentation=UNCHANGED, num_prior_draws=20)


def test_results_are_of_observed_rows(fit: FitResult) -> None:
    assert fit.tree["posterior_predictive"]["target"].sizes["date"] == WEEKS
    assert fit.tree["log_likelihood"]["target"].sizes["date"] == WEEKS
    assert fit.tree["prior_predictive"]["target"].sizes["date"] == WEEKS
    parts = fit.contributions(by="date")
    assert (parts["date"].values == fit.data.dates.values).all()
    mean = fit.fitted_mean(by="date")
    np.testing.assert_allclose(parts.sum("component"), mean, rtol=1e-8)
    # The density of the table's own rows, without likelihood weights.
    z = (fit.data.ds["target"].values[0] - mean) / fit.tree["posterior"]["sigma"]
    wanted = -0.5 * z**2 - np.log(fit.tree["posterior"]["sigma"]) - 0.5 * np.log(2 * np.pi)
    found = fit.tree["log_likelihood"]["target"].isel(geo=0)
    np.testing.assert_allclose(found, wanted.transpose(*found.dims), rtol=1e-8)


def test_a_fit_says_what_was_added_and_keeps_it(fit: FitResult, tmp_path: Path) -> None:
    loaded = load_fit(fit.save(tmp_path / "fit.nc"))
    for one in (fit, loaded):
        record = json.loads(one.tree["posterior"].attrs["augmentation"])
        assert record["rows"] == 90
        assert f"{record['effective_rows']:.1f} for 60 observed rows" in repr(one)
        assert "augmented" in one._repr_html_()
    xr.testing.assert_allclose(fit.roas(), loaded.roas())


def test_a_fit_has_the_rows_that_augment_shows(mmm: MMM, fit: FitResult) -> None:
    shown = mmm.augment(jax.random.key(5), UNCHANGED)
    assert fit.tree["posterior"].attrs["augmentation"] == shown.to_json()


def test_a_model_stays_as_it_was_without_exclusions(mmm: MMM, fit: FitResult) -> None:
    assert fit.spec.evolve(sampler=mmm.spec.sampler) == mmm.spec
    assert (fit.roas() > 0.0).all()
    assert "No effect" not in json.loads(fit.tree["posterior"].attrs["augmentation"])["summary"]


def scalars(fit: FitResult) -> dict[str, np.ndarray]:
    """Draws (chain, draw) of every scalar parameter."""
    found: dict[str, np.ndarray] = {}
    for name, values in fit.tree["posterior"].to_dataset().data_vars.items():
        flat = values.values.reshape(*values.shape[:2], -1)
        found |= {f"{name}[{i}]": flat[..., i] for i in range(flat.shape[-1])}
    return found


@pytest.mark.slow
def test_repeated_rows_do_not_make_a_posterior_narrow(mmm: MMM) -> None:
    """Rows without new information: counted in full, they would at least halve the sds."""
    enough = {"num_warmup": 200, "num_samples": 500, "num_chains": 2, "block": 100}
    plain = quick(mmm, 6, **enough)
    settings = copying(SATURATED, bandwidth_scale=1e-3, num_rows=10 * WEEKS)
    repeated = quick(mmm, 6, augmentation=settings, **enough)
    ratios = []
    wide, other = scalars(plain), scalars(repeated)
    for name, draws in wide.items():
        ratios.append(np.log(other[name].std() / draws.std()))
        # A log sd of normal draws has a standard error of 1 / sqrt(2 ess); tails add to it.
        error = np.sqrt(1 / ess_bulk(draws) + 1 / ess_bulk(other[name]))
        assert abs(ratios[-1]) < np.log(1.1) + 3.0 * error, name
    assert abs(np.mean(ratios)) < np.log(1.1)


ROOTS = CausalGraph((*CAUSES, "sales"), [(name, "sales") for name in CAUSES])


def panel() -> MMM:
    return MMM(data_with(num_geos=3, num_dates=40), spec_with())


def test_panels_are_augmented_geo_by_geo() -> None:
    mmm = panel()
    shown = mmm.augment(jax.random.key(7), copying(ROOTS, num_rows=50))
    rows, arrays = shown.added_rows(mmm.structure), mmm.arrays()
    for g in range(3):
        own = shown.donors.sel(node="sales")[g].values
        np.testing.assert_allclose(rows.target[g], arrays.target[g, own])
    assert shown.likelihood_weight.shape == (3, 90)
    np.testing.assert_allclose(shown.likelihood_weight.sum(1), shown.effective_rows / 3)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["nuts", "svi"])
@pytest.mark.parametrize("estimator", [None, "kernel"])
def test_panels_are_fitted(form: Any, estimator: str | None) -> None:
    few: dict[str, Any] = {"num_steps": 60} if form == "svi" else FEW
    fit = panel().fit(
        jax.random.key(7),
        form,
        augmentation=CausalDA(ROOTS, estimator=estimator, num_rows=50),
        progress=False,
        num_prior_draws=0,
        **few,
    )
    assert "150 rows added" in repr(fit)
    assert fit.tree["posterior_predictive"]["target"].shape[2:] == (3, 40)
    assert all(np.isfinite(draws).all() for draws in scalars(fit).values())


@pytest.mark.slow
@pytest.mark.parametrize("family", ["log_normal", "student_t", "negative_binomial", "poisson"])
@pytest.mark.parametrize("num_geos", [1, 3])
def test_other_likelihoods_run(family: str, num_geos: int) -> None:
    source = {"log_normal": "lognormal", "student_t": "normal"}.get(family, "negative_binomial")
    data = data_with(likelihood=source, num_dates=40, num_geos=num_geos)
    spec = spec_with(likelihood={"family": family}, geo={"media": "log_normal"})
    fit = quick(MMM(data, spec), 8, augmentation=CausalDA(GRAPH, mixture=0.3))
    assert all(np.isfinite(draws).all() for draws in scalars(fit).values())
    assert fit.contributions(by="date").sizes["date"] == 40


@pytest.mark.slow
def test_both_forms_have_one_posterior() -> None:
    spec = spec_with(trend={"kind": "none"}, media={"max_lag": 4, "effect": "roas"})
    mmm = MMM(data_with(), spec)
    enough = {"num_warmup": 500, "num_samples": 1500, "num_chains": 2}
    settings = copying()
    both = [
        scalars(quick(mmm, 9, augmentation=settings, marginal=form, **enough))
        for form in (True, False)
    ]
    assert set(both[0]) == set(both[1])
    for name, one in both[0].items():
        two = both[1][name]
        for a, b in ((one, two), ((one - one.mean()) ** 2, (two - two.mean()) ** 2)):
            error = np.hypot(*(x.std() / np.sqrt(ess_bulk(x)) for x in (a, b)))
            assert abs(a.mean() - b.mean()) < 4.5 * error, name
