"""Outcomes from the restricted model, and effects excluded by the graph's missing edges."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest
import xarray as xr

from mmm_bayes import MMM, FitResult, MMMData, ModelSpec, load_fit, simulate
from mmm_bayes.analysis import contributions
from mmm_bayes.augmentation import model_outcomes
from mmm_bayes.augmentation.model_outcomes import draw_outcomes, restricted, with_exclusions
from mmm_bayes.augmentation.pipeline import CausalDA, MMMAugmentation, excluding
from mmm_bayes.causal.causal_graph import CausalGraph
from mmm_bayes.data.scaling import fit_scaling
from mmm_bayes.errors import DataError
from mmm_bayes.inference.convergence import ess_bulk
from mmm_bayes.model.arrays import AddedRows
from mmm_bayes.model.fitted import Fitted
from mmm_bayes.model.priors import PriorSpec
from mmm_bayes.model.spec import MEDIA_PRIORS
from tests.refusals import refused

WEEKS = 48
PILLOW = ("tv", "search", "price")
TO_SALES = [(name, "sales") for name in PILLOW]
# Radio and promo come after the target in the graph's own order, although they are not its effects.
GRAPH = CausalGraph((*PILLOW, "sales", "radio", "promo"), [*TO_SALES, ("tv", "radio")])
NORMAL = PriorSpec(dist="normal", loc=0.3, scale=0.5)
OWN: dict[str, Any] = {
    "channels": {
        "tv": {"priors": {"alpha": PriorSpec(dist="beta", a=3.0, b=2.0)}},
        "radio": {"effect": "roas", "priors": {"alpha": PriorSpec(dist="beta", a=1.0, b=3.0)}},
    },
    "controls": {"priors": {"price": NORMAL, "promo": NORMAL}},
}


def spec_with(**sections: Any) -> ModelSpec:
    own = {
        "media": {"max_lag": 3, "saturation": "michaelis_menten"},
        "seasonality": [{"period": "year", "order": 1}],
        "sampler": {"num_warmup": 250, "num_samples": 250, "num_chains": 2},
    }
    return ModelSpec(**(own | sections))


@cache
def data_with(likelihood: Any = "normal", num_geos: int = 1) -> MMMData:
    return simulate.mmm(
        jax.random.key(61),
        num_dates=WEEKS,
        num_channels=3,
        num_controls=2,
        num_geos=num_geos,
        likelihood=likelihood,
    ).data


@pytest.fixture(scope="module")
def mmm() -> MMM:
    return MMM(data_with(), spec_with(**OWN))


# --- The specification with exclusions -----------------------------------------------------------


def test_exclusions_change_the_effects_outside_the_pillow_alone() -> None:
    spec = spec_with(**OWN)
    found = with_exclusions(spec, data_with(), PILLOW)
    assert found.channel_transforms("radio") == ("geometric", "michaelis_menten", "coefficient")
    assert found.media_prior("radio", "beta") == PriorSpec(dist="constant", value=0.0)
    assert found.media_prior("radio", "alpha") == spec.media_prior("radio", "alpha")
    for name in ("tv", "search"):
        assert found.channel_transforms(name) == spec.channel_transforms(name)
        for parameter in MEDIA_PRIORS:
            assert found.media_prior(name, parameter) == spec.media_prior(name, parameter)
    assert found.control_prior("price") == NORMAL
    assert found.control_prior("promo") == PriorSpec(dist="constant", value=0.0)
    same = {"channels": spec.channels, "controls": spec.controls}
    assert found.evolve(**same) == spec


def test_nothing_outside_the_pillow_changes_nothing() -> None:
    spec, every = spec_with(**OWN), (*PILLOW, "radio", "promo", "season")
    assert with_exclusions(spec, data_with(), every) == spec


@pytest.mark.parametrize("sections", [{}, OWN, {"media": {"effect": "contribution_share"}}])
def test_a_specification_with_exclusions_is_written_and_read(sections: Any) -> None:
    spec = with_exclusions(spec_with(**sections), data_with(), ("search",))
    assert spec.media_prior("tv", "beta").dist == "constant"
    assert ModelSpec.from_toml(spec.to_toml()) == spec


def test_what_shares_a_hidden_cause_with_the_target_stays_in_the_model(mmm: MMM) -> None:
    """The pillow of a mixed graph: siblings of the target, and what causes those."""
    graph = CausalGraph(
        (*mmm.data.channels, *mmm.data.controls, "sales"),
        [("price", "tv"), ("promo", "radio")],
        [("tv", "sales")],
    )
    found = excluding(CausalDA(graph), mmm.structure, mmm.data)
    zero = {name: found.media_prior(name, "beta").dist for name in mmm.data.channels}
    assert zero == {"tv": "half_normal", "radio": "constant", "search": "constant"}
    assert found.control_prior("price") == NORMAL
    assert found.control_prior("promo") != NORMAL


def test_restricted_models_keep_what_is_their_own() -> None:
    spec, data = spec_with(**OWN), data_with()
    small, table = restricted(spec, data, (*PILLOW, "season"))
    assert (table.channels, table.controls) == (["tv", "search"], ["price"])
    for name in ("spend", "exposure"):
        xr.testing.assert_identical(table.ds[name], data.ds[name].sel(channel=["tv", "search"]))
    xr.testing.assert_identical(table.ds["target"], data.ds["target"])
    own = {"channels": {"tv": OWN["channels"]["tv"]}, "controls": {"priors": {"price": NORMAL}}}
    assert small == spec_with(**own)


# --- Fits with exclusions ------------------------------------------------------------------------

EFFECTS = {
    "tv": {"effect": "roas"},
    "search": {"effect": "contribution_share"},
    "radio": {"effect": "marginal_roas"},
}
FEW = {"num_warmup": 100, "num_samples": 60, "num_chains": 2}


def spec_without(data: MMMData, **sections: Any) -> ModelSpec:
    """A model in which only tv, search and price have effects."""
    return with_exclusions(spec_with(**sections, sampler=FEW), data, PILLOW)


def fit_without(num_geos: int, **sections: Any) -> FitResult:
    data = data_with(num_geos=num_geos)
    spec = spec_without(data, channels=EFFECTS, **sections)
    return MMM(data, spec).fit(jax.random.key(1), progress=False, num_prior_draws=120)


@pytest.fixture(scope="module")
def national() -> FitResult:
    """Each channel's prior is on something else."""
    return fit_without(1)


@pytest.fixture(scope="module")
def panel() -> FitResult:
    """The same, and coefficients differ by geo; those of controls do not."""
    return fit_without(2, geo={"controls": "pooled"})


@pytest.fixture(scope="module")
def augmented(mmm: MMM) -> FitResult:
    """Everything together: rows, outcomes from the restricted model, and exclusions."""
    settings = CausalDA(GRAPH, num_rows=60)
    return mmm.fit(jax.random.key(3), augmentation=settings, progress=False, num_prior_draws=120)


@pytest.fixture(params=[pytest.param("national", marks=pytest.mark.slow), "panel", "augmented"])
def excluded(request: pytest.FixtureRequest) -> FitResult:
    return request.getfixturevalue(request.param)


def test_an_excluded_channel_brings_nothing(excluded: FitResult) -> None:
    roas = excluded.roas()
    assert (roas.sel(channel="radio") == 0.0).all()
    assert (roas.sel(channel=["tv", "search"]) != 0.0).all()
    parts = excluded.contributions(by="date")
    assert (parts.sel(component="radio") == 0.0).all()
    np.testing.assert_allclose(parts.sum("component"), excluded.fitted_mean(by="date"), rtol=1e-8)
    table = excluded.summary()
    assert (table.loc["radio"].drop("spend") == 0.0).all()
    assert (table["spend"] > 0.0).all()
    assert (table.loc[["tv", "search"], "roas"] > 0.0).all()


def test_an_excluded_control_brings_nothing(excluded: FitResult) -> None:
    parts = excluded.contributions(by=["geo", "date"])
    size = excluded.data.ds["target"].std("date")
    assert (parts.sel(component="promo") == 0.0).all()
    assert (np.abs(parts.sel(component="price")).max("date") > 1e-3 * size).mean() > 0.9


@pytest.mark.slow
def test_an_excluded_control_brings_nothing_in_any_geo() -> None:
    parts = fit_without(2).contributions(by=["geo", "date"])
    assert (parts.sel(component="promo") == 0.0).all()
    assert (parts.sel(component="price") != 0.0).any()


def test_exclusions_are_judged_without_complaint(excluded: FitResult) -> None:
    subjects = [finding.where for finding in excluded.diagnose().findings]
    sites = ("beta", "beta_geo", "roas", "marginal_roas", "contribution_share", "control_coef")
    for name in subjects:
        site = name.partition("[")[0]
        assert site not in sites or ("radio" not in name and "promo" not in name), name
        assert name != "radio"


def test_parameters_are_summed_up_without_warnings(augmented: FitResult) -> None:
    table = augmented.parameter_summary()
    assert table.loc["beta[radio]", "mean"] == 0.0
    assert table.loc["beta[tv]", "r_hat"] > 0.9


def test_other_channels_keep_their_effect_priors() -> None:
    """The quantity of a prior has that prior, and equals the one computed from observed rows."""
    data = data_with()
    spec = spec_without(data, channels=EFFECTS)
    tree = MMM(data, spec).sample_prior_predictive(jax.random.key(2), 200)
    fitted = Fitted(spec, data, tree)
    assert (contributions.roas(fitted, group="prior").sel(channel="radio") == 0.0).all()
    for site, name, found in (
        ("roas", "tv", contributions.roas),
        ("contribution_share", "search", contributions.contribution_share),
    ):
        draws = tree["prior"][site].sel({f"{site}_channel": name})
        np.testing.assert_allclose(found(fitted, group="prior").sel(channel=name), draws, rtol=1e-6)
        # Kolmogorov and Smirnov: 1.95 / sqrt(n) is exceeded once in a thousand times.
        probs = (np.arange(draws.size) + 0.5) / draws.size
        below = (draws.values.reshape(-1, 1) <= MEDIA_PRIORS[site].quantile(probs)).mean(0)
        assert np.abs(below - probs).max() < 1.95 / np.sqrt(draws.size)


# --- Outcomes ------------------------------------------------------------------------------------


def rows_at(calendar: Any, radio: Any, promo: Any, tv: Any, search: Any, price: Any) -> AddedRows:
    """Rows (one geo) assembled from weeks; their outcomes must not be used."""
    weeks = [np.atleast_1d(x) for x in (tv, radio, search, calendar)]
    *media, dates = np.broadcast_arrays(*weeks)
    controls = scaled_controls()
    values = np.stack([controls[price, 0] + 0 * dates, controls[promo, 1] + 0 * dates], -1)
    return AddedRows(
        np.stack(media)[:, None], dates[None], values[None], np.full((1, len(dates)), np.nan)
    )


def scaled_controls() -> np.ndarray:
    data = data_with()
    return fit_scaling(data, "identity").controls(data.ds["controls"].values)[0]


def draw(mmm: MMM, key: int, rows: AddedRows) -> np.ndarray:
    """Outcomes in the units of the table (row,)."""
    with jax.enable_x64(True):
        found = draw_outcomes(jax.random.key(key), mmm.structure, mmm.data, PILLOW, rows)
    return mmm._scaling.inverse_target(found, mmm.data.ds["population"].values)[0]


@pytest.fixture(scope="module")
def reference(mmm: MMM) -> FitResult:
    """The restricted model, built and fitted independently."""
    own = {"channels": {"tv": OWN["channels"]["tv"]}, "controls": {"priors": {"price": NORMAL}}}
    table = MMMData(mmm.data.ds.sel(channel=["tv", "search"], control=["price"]))
    return MMM(table, spec_with(**own)).fit(jax.random.key(4), progress=False, num_prior_draws=0)


def test_outcomes_are_those_of_the_restricted_model(mmm: MMM, reference: FitResult) -> None:
    """Rows from several weeks: the mean of the additive model is the sum of the contributions.

    Rows take the draws in turn. Between draws outcomes differ by what is not known of the mean,
    within them by the noise.
    """
    kinds = np.array([(2, 30, 12, 40), (40, 5, 33, 3), (20, 20, 20, 20)])
    parts = reference.contributions(by="date")
    noise = float(np.mean(reference.tree["posterior"]["sigma"] ** 2))
    times, draws = 30, model_outcomes._DRAWS
    calendar, price, tv, search = np.tile(kinds.T, times * draws)
    found = draw(mmm, 5, rows_at(calendar, radio=7, promo=3, tv=tv, search=search, price=price))
    for number, (week, *weeks) in enumerate(kinds):
        at = dict(zip(("price", "tv", "search"), weeks, strict=True))
        mean = sum(
            parts.sel(component=name).isel(date=at.get(name, week)).values
            for name in parts["component"].values
        )
        rate = np.hypot(1 / np.sqrt(draws), 1 / np.sqrt(min(ess_bulk(mean), draws)))
        own = found[number :: len(kinds)].reshape(times, draws)
        error = np.sqrt(mean.var() * rate**2 + noise / own.size)
        assert abs(own.mean() - mean.mean()) < 4.0 * error, number
        # A variance of m normal draws has a relative error of the square root of 2 / m.
        between = mean.var() + noise / times
        assert abs(own.mean(0).var() - between) < 4.0 * np.sqrt(2.0) * rate * between, number
        within = noise * (1.0 - 1.0 / times)
        # The variance of the noise, its uncertainty, and its Monte Carlo error.
        error = np.hypot(np.sqrt(2.0 / own.size), rate * np.sqrt(2.0 / WEEKS))
        assert abs(own.var(0).mean() / within - 1.0) < 4.0 * error, number


def test_rows_take_the_draws_in_turn(mmm: MMM, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sampler with numbered draws, and a model whose outcomes show the number of the draw."""
    asked = {}

    class Stub:
        """Outcomes are 10000 times the draw's number plus the position in the extended table."""

        def sampler(self, arrays: Any) -> None: ...

        def layout(self, arrays: Any) -> Any:
            return SimpleNamespace(start=None)

        def parameters(self, rng_key: Any, positions: np.ndarray, arrays: Any) -> Any:
            return {"draw": positions[:, 0]}

        def outcomes(self, rng_key: Any, params: Any, arrays: Any, keep: Any) -> Any:
            asked["channels"], asked["power"] = arrays.media.shape[0], arrays.likelihood_weight
            place = np.arange(arrays.target.shape[1])
            return keep(10_000 * params["draw"][:, None, None] + place[None, None], None)

    def sample(*arguments: Any) -> SimpleNamespace:
        return SimpleNamespace(positions=np.arange(1000.0).reshape(2, 500, 1))

    monkeypatch.setattr(model_outcomes, "program_for", lambda *_: Stub())
    monkeypatch.setattr(model_outcomes.mcmc, "sample", sample)
    weeks = np.arange(450) % WEEKS
    rows = rows_at(weeks, radio=0, promo=0, tv=weeks, search=weeks, price=weeks)
    with jax.enable_x64(True):
        found = draw_outcomes(jax.random.key(0), mmm.structure, mmm.data, PILLOW, rows)
    assert found.shape == (1, 450)
    np.testing.assert_array_equal(found[0] % 10_000, WEEKS + np.arange(450))
    drawn = (found[0] // 10_000).astype(int)
    np.testing.assert_array_equal(drawn[200:400], drawn[:200])
    assert (drawn[0], drawn[199]) == (0, 999)  # of both chains, from the first draw to the last
    assert set(np.diff(drawn[:200])) <= {5, 6}
    assert asked["channels"] == 2


def test_counts_are_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_outcomes, "_ITERATIONS", 60)
    spec = spec_with(likelihood={"family": "negative_binomial"}, sampler={"num_chains": 1})
    mmm = MMM(data_with("negative_binomial"), spec)
    found = mmm.augment(jax.random.key(6), CausalDA(GRAPH, num_rows=60))
    drawn, observed = found.added_rows(mmm.structure).target, mmm.data.ds["target"].values
    assert (drawn == np.round(drawn)).all()
    assert (drawn >= 0).all()
    assert np.isin(drawn, observed).mean() < 0.2
    # Weeks differ, but not by orders of magnitude.
    assert 0.7 < drawn.mean() / observed.mean() < 1.4


# --- The default augmentation --------------------------------------------------------------------


@pytest.fixture(scope="module")
def augmentation(mmm: MMM) -> MMMAugmentation:
    return mmm.augment(jax.random.key(3), CausalDA(GRAPH, num_rows=60))


def test_outcomes_have_no_donor_and_replace_those_of_kernels(
    mmm: MMM, augmentation: MMMAugmentation
) -> None:
    copied = mmm.augment(jax.random.key(3), CausalDA(GRAPH, num_rows=60, estimator="kernel"))
    assert (augmentation.donors.sel(node="sales") == -1).all()
    rest = [name for name in augmentation.donors["node"].values if name != "sales"]
    xr.testing.assert_identical(augmentation.donors.sel(node=rest), copied.donors.sel(node=rest))
    controls = ["price", "promo"]
    one, two = (own.values.sel(variable=controls) for own in (augmentation, copied))
    xr.testing.assert_identical(one, two)
    target = augmentation.values.sel(variable="sales").values
    assert np.isfinite(target).all()
    assert not np.isin(target, mmm.arrays().target).any()


@pytest.mark.parametrize(("rows", "mixture"), [(6, 0.5), (6, 0.8), (60, 0.5)])
def test_likelihood_weights_of_new_outcomes(
    augmentation: MMMAugmentation, rows: int, mixture: float
) -> None:
    """Kish's number of n observed rows at 1 - mu and of M others at mu n / M, no more than n."""
    few = replace(
        augmentation,
        mixture=mixture,
        likelihood_weight=augmentation.likelihood_weight[:, : WEEKS + rows],
        **{
            name: getattr(augmentation, name).isel(row=slice(rows))
            for name in ("donors", "values", "weights")
        },
    ).with_outcomes(np.full((1, rows), 0.5))
    assert (few.values.sel(variable="sales") == 0.5).all()
    kish = WEEKS / ((1.0 - mixture) ** 2 + mixture**2 * WEEKS / rows)
    assert few.effective_rows == pytest.approx(min(kish, WEEKS))
    added = few.likelihood_weight[:, WEEKS:].sum()
    assert added == pytest.approx(mixture * few.effective_rows)


def test_the_target_is_visited_last_where_it_has_no_effects(augmentation: MMMAugmentation) -> None:
    assert GRAPH.topological_order()[-1] != "sales"
    order = augmentation.settings.order
    assert order is not None
    assert order[-1] == "sales"
    assert set(order[:-1]) == {"season", *PILLOW, "radio", "promo"}
    assert augmentation.settings.graph.check_order(order) == order


def test_what_has_no_effect_is_named(mmm: MMM, augmentation: MMMAugmentation) -> None:
    assert "No effect on 'sales': radio, promo." in str(augmentation)
    assert "sales given season, tv, search, price" in str(augmentation)
    settings = CausalDA(GRAPH, num_rows=60, estimator="kernel", exclusions=False)
    assert "No effect" not in str(mmm.augment(jax.random.key(3), settings))


def test_the_record_is_kept_with_the_fit(
    augmented: FitResult, augmentation: MMMAugmentation, tmp_path: Path
) -> None:
    """The rows of a fit with exclusions are those that the full model's augment shows."""
    loaded = load_fit(augmented.save(tmp_path / "fit.nc"))
    for one in (augmented, loaded):
        assert one.tree["posterior"].attrs["augmentation"] == augmentation.to_json()
        assert one.spec.media_prior("radio", "beta").dist == "constant"
    record = json.loads(augmentation.to_json())
    assert record["settings"]["exclusions"] is True
    assert record["settings"]["estimator"] is None
    assert record["settings"]["order"][-1] == "sales"
    assert "No effect on 'sales': radio, promo." in record["summary"]
    assert loaded.spec == augmented.spec
    assert (loaded.roas().sel(channel="radio") == 0.0).all()


# --- What does not fit ---------------------------------------------------------------------------


def findings_of(mmm: MMM, settings: CausalDA) -> dict[str, str]:
    with pytest.raises(DataError) as caught:
        mmm.augment(jax.random.key(0), settings)
    assert caught.value.source == "the augmentation of this model"
    return {finding.check: str(finding) for finding in caught.value.findings}


EFFECT_OF_SALES = CausalGraph(GRAPH.nodes, [*TO_SALES, ("sales", "radio")])
SALES_EARLY = ("tv", "search", "price", "sales", "radio", "promo")


@pytest.mark.parametrize(
    "settings", [CausalDA(EFFECT_OF_SALES), CausalDA(GRAPH, order=SALES_EARLY)]
)
def test_nothing_may_be_drawn_after_the_target(mmm: MMM, settings: CausalDA) -> None:
    found = findings_of(mmm, settings)
    assert list(found) == ["target_not_last"]
    assert "radio, promo" in found["target_not_last"]
    assert "estimator={'sales': 'kernel'}" in found["target_not_last"]


def test_kernels_give_outcomes_that_have_effects(mmm: MMM) -> None:
    settings = CausalDA(EFFECT_OF_SALES, estimator={"sales": "kernel"}, num_rows=60)
    found = mmm.augment(jax.random.key(0), settings)
    assert (found.donors >= 0).all()
    assert found.settings.order is None


def test_some_channel_has_to_have_an_effect(mmm: MMM) -> None:
    found = findings_of(mmm, CausalDA(CausalGraph(GRAPH.nodes, [("price", "sales")])))
    assert list(found) == ["no_channel"]
    assert "'sales'" in found["no_channel"]


def test_both_are_found_at_once(mmm: MMM) -> None:
    graph = CausalGraph(GRAPH.nodes, [("price", "sales"), ("sales", "radio")])
    assert set(findings_of(mmm, CausalDA(graph))) == {"target_not_last", "no_channel"}


def test_the_model_gives_outcomes_alone(mmm: MMM) -> None:
    """Channels must copy weeks, and the model of sales cannot draw prices."""
    settings = CausalDA(GRAPH, estimator={"tv": "model"})
    assert list(findings_of(mmm, settings)) == ["needs_donors"]
    with pytest.raises(DataError, match="'model'"):
        mmm.augment(jax.random.key(0), CausalDA(GRAPH, estimator={"price": "model"}))


def test_a_fit_says_what_does_not_fit_before_it_starts(mmm: MMM) -> None:
    graph = CausalGraph(GRAPH.nodes[1:], TO_SALES[1:])
    with refused("not_in_graph"):
        mmm.fit(jax.random.key(0), augmentation=CausalDA(graph), progress=False)
