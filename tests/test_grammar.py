"""One grammar: ``rng_key`` first in every form of a key, typed options, old calls for a while."""

import inspect
import warnings

import jax
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import mmm_bayes as mb
from mmm_bayes import fit_settings
from mmm_bayes.analysis import contributions, forecast, next_experiment, response
from mmm_bayes.analysis.prediction import predict
from mmm_bayes.budget import compare_plans, optimize_budget
from mmm_bayes.causal.check import falsification
from mmm_bayes.causal.discovery.discover import DiscoverySettings
from mmm_bayes.causal_mmm.spec import CausalMMMSettings
from mmm_bayes.inference.mcmc import SamplerSpec
from mmm_bayes.inference.settings import FitSettings, SamplerSettings, SVISettings
from mmm_bayes.inference.svi import SVISpec
from mmm_bayes.present.report import write_report

KEYS = (3, jax.random.PRNGKey(3), jax.random.key(3))
GRAPH = mb.CausalGraph(
    edges=[("season", "tv"), ("season", "sales"), ("tv", "search"), ("tv", "sales"),
           ("search", "sales")],
)  # fmt: skip
TINY = {"num_warmup": 20, "num_samples": 6, "num_chains": 1}


def table(rows: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    season, noise = rng.normal(size=(2, rows))
    tv = 3 + season + rng.normal(size=rows)
    search = 1 + 0.5 * tv + rng.normal(size=rows)
    sales = 20 + 2 * tv + search + 3 * season + noise
    return pd.DataFrame({"season": season, "tv": tv, "search": search, "sales": sales})


def panel(**changes):
    sizes = {"num_shops": 3, "num_channels": 2, "num_dates": 30, **changes}
    return mb.simulate.shops(1, **sizes)


def effect():
    return mb.average_treatment_effect(0, table(), GRAPH, "tv", "sales", num_draws=20)


def session(key):
    made = mb.DiscoverySession(key, num_bootstrap=1, num_draws=10)
    return made.run_again(table()).probabilities


# By name: a call with a key, and what of the result is compared.
CALLS = {
    "simulate.mmm": lambda k: mb.simulate.mmm(k, num_dates=20, num_channels=1).data.ds,
    "simulate.scm": lambda k: mb.simulate.scm(k, num_rows=20, num_nodes=3).frame,
    "simulate.mediation": lambda k: mb.simulate.mediation(k, num_weeks=52).data.ds,
    "simulate.shops": lambda k: mb.simulate.shops(
        k, num_shops=2, num_channels=2, num_dates=10
    ).series,
    "simulate.air_shops": lambda k: mb.simulate.air_shops(k, num_shops=2, num_dates=10).series,
    "simulate.air_contributions": lambda k: mb.simulate.air_contributions(
        k, num_shops=2, num_dates=10
    ),
    "simulate.lift_test": lambda k: mb.simulate.lift_test(
        k, mb.simulate.mmm(0, num_dates=60, num_channels=3), "search", start="2022-02-07",
        end="2022-03-06",
    ).test.lift,
    "average_treatment_effect": lambda k: mb.average_treatment_effect(
        k, table(), GRAPH, "tv", "sales", num_draws=20
    ).draws,
    "effects_table": lambda k: mb.effects_table(
        k, table(), GRAPH, ["tv"], "sales", num_draws=20
    ).estimate("tv").draws,
    "graph_sensitivity": lambda k: mb.graph_sensitivity(
        k, table(), GRAPH, "tv", "sales", edge_probabilities={("tv", "search"): 0.5},
        num_graphs=10, num_draws=20,
    ).table,
    "refute": lambda k: mb.refute(
        k, effect(), tests=["data_subset"], num_simulations=10
    ).tests[0].values,
    "falsify": lambda k: mb.falsify(
        k, GRAPH, table(), test="kernel", suggest=False, num_permutations=0
    ).independences[0].result.p_value,
    "graph.falsify": lambda k: GRAPH.falsify(
        k, table(), test="kernel", suggest=False, num_permutations=0
    ).independences[0].result.p_value,
    "discover": lambda k: mb.discover(
        k, table(), num_bootstrap=1, num_draws=10
    ).probabilities,
    "DiscoverySession": session,
    "augment": lambda k: mb.augment(k, table(), GRAPH, num_rows=20).frame,
    "augment resample": lambda k: mb.augment(
        k, table(), GRAPH, method="resample", num_rows=20
    ).frame,
    "fit_key": lambda k: jax.random.key_data(mb.fit_key(k, "brand")),
}  # fmt: skip


def same(one, other):
    if isinstance(one, pd.DataFrame):
        pd.testing.assert_frame_equal(one, other)
    elif isinstance(one, xr.Dataset | xr.DataArray):
        xr.testing.assert_identical(one, other)
    else:
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", CALLS)
def test_every_form_of_a_key_gives_the_same(name):
    first, *others = (CALLS[name](key) for key in KEYS)
    for other in others:
        same(first, other)


# Fits: one small model.


@pytest.fixture(scope="module")
def model():
    data = mb.simulate.mmm(0, num_dates=40, num_channels=2, num_controls=1).data
    return mb.MMM(data, mb.ModelSpec(media={"max_lag": 3}))


@pytest.fixture(scope="module")
def fit(model):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(0, progress=False, num_prior_draws=10, **TINY)


OF_A_FIT = {
    "predict": lambda fit, k: fit.predict(k),
    "forecast": lambda fit, k: fit.forecast(k, 3).draws,
    "rank_experiments": lambda fit, k: fit.rank_experiments(
        k, num_results=10, num_points=5
    ).table,
}  # fmt: skip


@pytest.mark.parametrize("name", OF_A_FIT)
def test_every_form_of_a_key_gives_the_same_of_a_fit(fit, name):
    first, *others = (OF_A_FIT[name](fit, key) for key in KEYS)
    for other in others:
        same(first, other)


@pytest.mark.slow
def test_every_form_of_a_key_gives_the_same_fit(model):
    fits = [model.fit(key, "SVI", progress=False, num_steps=20, num_draws=100) for key in KEYS]
    for other in fits[1:]:
        same(fits[0].tree["posterior"].to_dataset(), other.tree["posterior"].to_dataset())


# Signatures.


def public():
    """Every public function and method, by its name."""
    for name in mb.__all__:
        value = getattr(mb, name)
        if inspect.ismodule(value):
            found = {f"{name}.{own}": getattr(value, own) for own in value.__all__}
        else:
            found = {name: value}
        for path, own in found.items():
            if inspect.isclass(own):
                if not path.startswith("results."):  # nobody makes these
                    yield path, own
                for method, function in vars(own).items():
                    function = getattr(function, "__func__", function)
                    if not method.startswith("_") and inspect.isfunction(function):
                        yield f"{path}.{method}", function
            elif callable(own):
                yield path, own


PUBLIC = dict(public())


@pytest.mark.parametrize("name", [n for n in PUBLIC if "errors." not in n])
def test_arguments_are_spelled_out(name):
    parameters = inspect.signature(PUBLIC[name]).parameters
    names = [own for own in parameters if own != "self"]
    assert not [own for own, p in parameters.items() if p.kind is p.VAR_KEYWORD and own != "more"]
    if "rng_key" in names:
        assert names[0] == "rng_key"
        assert parameters["rng_key"].default is inspect.Parameter.empty
    for old in ("n_rows", "n_dates", "n_draws", "prior_draws", "bootstrap_draws", "level"):
        assert old not in names or name.endswith(("optimize_budget", "with_level"))
    assert "seed" not in names


@pytest.mark.parametrize(
    ("settings", "function"),
    [
        (fit_settings.ContributionSettings, contributions.contributions),
        (fit_settings.MeanSettings, contributions.fitted_mean),
        (fit_settings.DrawSettings, contributions.roas),
        (fit_settings.DrawSettings, contributions.marginal_roas),
        (fit_settings.DrawSettings, contributions.contribution_share),
        (fit_settings.DrawSettings, response.saturation_curves),
        (fit_settings.ResponseSettings, response.response_curves),
        (fit_settings.ForecastSettings, forecast.forecast),
        (fit_settings.BudgetSettings, optimize_budget),
        (fit_settings.WindowSettings, compare_plans),
        (fit_settings.RankingSettings, next_experiment.rank_experiments),
        (fit_settings.ReportSettings, write_report),
        (falsification.FalsificationSettings, falsification.falsify),
        (DiscoverySettings, mb.discover),
    ],
)
def test_settings_that_are_handed_on_are_those_of_the_function(settings, function):
    names = set(settings.__annotations__)
    rest = set(inspect.signature(function).parameters) - names
    assert names <= set(inspect.signature(function).parameters)
    assert rest <= {
        "fitted", "by", "rng_key", "horizon", "total", "plans", "candidates", "path", "graph",
        "data", "knowledge", "cache", "increase", "num_points", "channels", "diagnostics",
    }  # fmt: skip


def test_settings_of_specifications_are_their_fields():
    assert set(SamplerSettings.__annotations__) == set(SamplerSpec.model_fields)
    own = set(SVISpec.model_fields) - {"precision"}
    assert set(SVISettings.__annotations__) == own
    assert set(FitSettings.__annotations__) == own | set(SamplerSpec.model_fields)
    assert set(CausalMMMSettings.__annotations__) == set(mb.CausalMMMSpec.model_fields)


# Old calls.


def kernel_p_values(**settings):
    found = GRAPH.falsify(0, table(), test="kernel", num_permutations=0, suggest=False, **settings)
    return [check.result.p_value for check in found.independences]


OLD = {
    "average_treatment_effect": (
        lambda: (
            mb.average_treatment_effect(
                table(), GRAPH, "tv", "sales", rng_key=3, draws=20, level=0.8
            ).interval
        ),
        lambda: (
            mb.average_treatment_effect(
                3, table(), GRAPH, "tv", "sales", num_draws=20, ci_prob=0.8
            ).interval
        ),
    ),
    "falsify": (
        lambda: GRAPH.falsify(table(), permutations=0).objected,
        lambda: GRAPH.falsify(0, table(), num_permutations=0).objected,
    ),
    "falsify by features": (
        lambda: kernel_p_values(features=4, seed=3),
        lambda: kernel_p_values(test_options={"num_features": 4, "rng_key": 3}),
    ),
    "discover": (
        lambda: mb.discover(table(), rng_key=3, bootstrap=1, draws=10).probabilities,
        lambda: mb.discover(3, table(), num_bootstrap=1, num_draws=10).probabilities,
    ),
    "admgda": (
        lambda: mb.admgda(table(), GRAPH, num_rows=20, rng_key=3).frame,
        lambda: mb.augment(3, table(), GRAPH, num_rows=20).frame,
    ),
    "admgda by name": (
        lambda: mb.admgda(table(), GRAPH, method="enumerate", threshold=1e-4).frame,
        lambda: mb.admgda(table(), GRAPH, 1e-4).frame,
    ),
    "simulate_mmm": (
        lambda: mb.simulate_mmm(3, n_dates=20, n_channels=1).data.ds,
        lambda: mb.simulate.mmm(3, num_dates=20, num_channels=1).data.ds,
    ),
}


@pytest.mark.parametrize("name", OLD)
def test_old_calls_give_the_same_with_a_warning(name):
    old, new = OLD[name]
    with pytest.warns(DeprecationWarning, match="use "):
        before = old()
    same(before, new())


def test_old_calls_of_a_fit(fit):
    with pytest.warns(DeprecationWarning, match="predict"):
        before = fit.predict(None, jax.random.key(3))
    same(before, fit.predict(jax.random.key(3)))
    with pytest.warns(DeprecationWarning, match="predict"):
        same(fit.predict(), fit.predict(None))
    with pytest.warns(DeprecationWarning, match="predict"):
        same(predict(3, fit.fitted), fit.predict(fit.data, 3))


# Settings without an effect, and names nobody knows.


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: m.fit(0, "svi", target_accept=0.9), "target_accept.*requires method='nuts'"),
        (lambda m: m.fit(0, num_steps=100), "num_steps.*requires method='svi'"),
        (lambda m: m.fit(0, "svi", devices=1), "devices.*requires method='nuts'"),
        (lambda m: m.fit(0, "svi", checkpoint="x"), "checkpoint.*requires method='nuts'"),
        (lambda m: m.fit(0, "nutz"), "Did you mean 'nuts'"),
        (lambda m: mb.augment(0, table(), GRAPH, threshold=0.9), "threshold.*'enumerate'"),
        (lambda m: mb.augment(0, table(), GRAPH, method="resample", smoothing=1.0), "smoothing"),
        (lambda m: mb.discover(0, table(), alpha=0.1), "alpha.*'pc'"),
        (lambda m: mb.CausalMMM(noise=0.1, centred=True), "centred.*noise.*decoder='recurrent'"),
        (lambda m: mb.CausalMMM(decoder="recurrent", rounds=3), "rounds.*decoder='additive'"),
        (lambda m: mb.discover(0, table(), method="pc", num_draws=3), "num_draws.*'gp'"),
        (lambda m: mb.falsify(0, GRAPH, table(), test_options={"bins": 3}), "bins"),
        (lambda m: mb.leave_future_out(0, m, method="exact", k_threshold=0.5), "k_threshold"),
        (
            lambda m: mb.compare_models(0, m.data, {"a": m.spec, "b": m.spec}, num_folds=3),
            "num_folds.*'kfold'",
        ),
    ],
)
def test_a_setting_without_an_effect_is_refused(model, call, words):
    with pytest.raises(ValueError, match=words):
        call(model)


def test_a_risk_setting_without_an_effect_is_refused(fit):
    with pytest.raises(mb.errors.DataError) as caught:
        fit.optimize_budget(level=0.2, risk_aversion=2.0)
    assert {finding.where for finding in caught.value.findings} == {"level", "risk_aversion"}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: mb.MMM.fit(None, 0, num_sample=3), "MMM.fit.*'num_samples'"),
        (lambda: mb.CausalMMM(epoch=3), "CausalMMM.*'epochs'"),
        (lambda: mb.discover(0, table(), num_boots=3), "'num_bootstrap'"),
        (lambda: mb.simulate.mmm(0, num_date=3), "'num_dates'"),
        (lambda: mb.augment(0, table(), GRAPH, treshold=3), "'threshold'"),
        (lambda: mb.LiftTest.of_roas("tv", "2024-01-01", "2024-01-28", 2.0, 0.1, geo=("a",)),
         "'geos'"),
    ],
)  # fmt: skip
def test_a_misspelt_argument_gets_the_nearest_name(call, words):
    with pytest.raises(TypeError, match=rf"Did you mean.*{words.rpartition('.*')[2]}"):
        call()
