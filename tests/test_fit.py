"""What a user holds: the model, its fit, and what a fit leaves alone."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from mmm_bayes import (
    MMM,
    CausalDA,
    CausalGraph,
    Checkpoint,
    FitResult,
    MMMData,
    ModelSpec,
    load_fit,
)
from mmm_bayes.errors import RunFolderError, SamplingWarning
from mmm_bayes.model.groups import outcomes
from mmm_bayes.runtime.progress import Silent

SPEC = ModelSpec(media={"max_lag": 6}, seasonality=[{"period": "year", "order": 2}])
FEW = {"num_warmup": 40, "num_samples": 20, "num_chains": 2, "block": 50}


def _fit(data: MMMData, seed: int, **changes: object) -> FitResult:
    settings = {**FEW, **changes}
    return MMM(data, SPEC).fit(jax.random.key(seed), progress=False, num_prior_draws=30, **settings)


def test_the_key_decides_every_draw(national_data: MMMData) -> None:
    first, again, other = (_fit(national_data, seed) for seed in (5, 5, 6))
    for group in ("posterior", "posterior_predictive", "prior", "sample_stats", "log_likelihood"):
        xr.testing.assert_identical(
            first.tree[group].to_dataset().drop_attrs(), again.tree[group].to_dataset().drop_attrs()
        )
        assert not first.tree[group].to_dataset().equals(other.tree[group].to_dataset())


def test_jax_stays_as_it_was(national_data: MMMData) -> None:
    _fit(national_data, 5)
    assert jnp.zeros(2).dtype == jnp.float32
    assert not jax.config.jax_enable_x64


def test_groups_and_coordinates(national_fit: FitResult) -> None:
    tree, data = national_fit.tree, national_fit.data
    assert set(tree.children) == {
        "posterior", "posterior_predictive", "prior", "prior_predictive", "log_likelihood",
        "sample_stats", "observed_data", "constant_data",
    }  # fmt: skip
    posterior = tree["posterior"]
    assert posterior.sizes["chain"] == 2
    assert posterior.sizes["draw"] == 150
    assert posterior["alpha"].dims == ("chain", "draw", "channel")
    assert posterior["channel"].values.tolist() == data.channels
    assert posterior["control"].values.tolist() == data.controls
    replicated = tree["posterior_predictive"]["target"]
    assert replicated.dims == ("chain", "draw", "geo", "date")
    assert (replicated["date"].values == data.dates.values).all()
    xr.testing.assert_identical(tree["observed_data"]["target"], data.ds["target"])
    assert {"energy", "n_steps", "tree_depth", "diverging"} <= set(tree["sample_stats"].data_vars)


def test_log_likelihood_is_the_density_of_the_table(national_fit: FitResult) -> None:
    """Normal density of the target, in its own units, about the fitted mean."""
    mean, sigma = national_fit.fitted_mean(), national_fit.tree["posterior"]["sigma"]
    z = (national_fit.data.ds["target"] - mean) / sigma
    wanted = -0.5 * z**2 - np.log(sigma) - 0.5 * np.log(2 * np.pi)
    found = national_fit.tree["log_likelihood"]["target"]
    np.testing.assert_allclose(found, wanted.transpose(*found.dims), rtol=1e-9)


def test_posterior_knows_more_than_the_prior(national_fit: FitResult) -> None:
    draws = ("chain", "draw")
    before, after = national_fit.tree["prior"]["sigma"], national_fit.tree["posterior"]["sigma"]
    assert float(after.std(draws)) < 0.3 * float(before.std(draws))


def test_unknown_settings_name_the_nearest(national_data: MMMData) -> None:
    with pytest.raises(TypeError, match="Did you mean 'num_samples'"):
        MMM(national_data, SPEC).fit(jax.random.key(0), progress=False, num_sample=3)


def test_prior_predictive_needs_no_target_fit(national_data: MMMData) -> None:
    found = MMM(national_data, SPEC).sample_prior_predictive(jax.random.key(1), 25)
    assert set(found.children) == {"prior", "prior_predictive", "observed_data", "constant_data"}
    assert found["prior_predictive"]["target"].sizes["draw"] == 25
    assert np.isfinite(found["prior_predictive"]["target"]).all()


def test_what_is_shown_of_a_fit(national_fit: FitResult, geo_fit: FitResult) -> None:
    text = repr(national_fit)
    for part in ("national_test", "national, 104 dates", "tv, radio, search", "2 x 150 draws"):
        assert part in text
    assert "4 geos, 80 dates" in repr(geo_fit)
    assert "<table>" in national_fit._repr_html_()


def test_pooled_geos_have_a_coefficient_each(geo_data: MMMData) -> None:
    """Coefficients that follow from a ROAS are labelled by geo also where all share one."""
    spec = ModelSpec(media={"max_lag": 6, "effect": "roas"}, geo={"media": "pooled"})
    prior = MMM(geo_data, spec).sample_prior_predictive(jax.random.key(2), 5)["prior"]
    assert prior["beta_geo"].dims == ("chain", "draw", "channel", "geo")
    assert (prior["beta_geo"].std("geo") == 0).all()


@pytest.mark.parametrize(
    ("method", "few"),
    [("nuts", {"num_warmup": 60, "num_samples": 40, "num_chains": 2}), ("svi", {"num_steps": 60})],
)
def test_precision_asked_for_in_a_fit_holds_for_all_of_it(
    national_data: MMMData, method: str, few: dict[str, int]
) -> None:
    before = jax.config.jax_enable_x64
    fit = MMM(national_data, ModelSpec()).fit(
        jax.random.key(0),
        method=method,
        progress=False,
        precision="float32",
        num_prior_draws=0,
        **few,
    )
    assert fit.spec.sampler.precision == "float32"
    alpha = fit.tree["posterior"]["alpha"].values
    assert np.array_equal(alpha, alpha.astype(np.float32))  # computed in float32, whatever it is in
    assert jax.config.jax_enable_x64 == before


def _augmentation(data: MMMData) -> CausalDA:
    target = str(data.roles.target)
    causes = (*data.channels, *data.controls)
    graph = CausalGraph((*causes, target), [(cause, target) for cause in causes])
    return CausalDA(graph, estimator="kernel")


def test_added_rows_change_the_posterior_alone(national_fit: FitResult) -> None:
    """With the same key: the prior and the table are those of the fit without added rows."""
    data = national_fit.data
    fit = MMM(data, national_fit.spec).fit(
        jax.random.key(2), augmentation=_augmentation(data), progress=False, **FEW
    )
    for group in ("prior", "prior_predictive", "observed_data", "constant_data"):
        xr.testing.assert_identical(
            fit.tree[group].to_dataset(), national_fit.tree[group].to_dataset()
        )
    assert fit.spec.sampler.num_samples == FEW["num_samples"]
    assert fit.spec.evolve(sampler=national_fit.spec.sampler) == national_fit.spec
    assert not fit.tree["posterior"]["sigma"].equals(national_fit.tree["posterior"]["sigma"])
    assert "augmentation" not in national_fit.tree["posterior"].attrs
    assert "augmented" not in repr(national_fit)
    assert fit.predict(None).sizes["date"] == data.num_dates
    assert fit.diagnose().verdict in ("PASS", "REVIEW", "FAIL")


def test_what_follows_the_sampler_is_compiled_before_it_ends(national_data: MMMData) -> None:
    """Parameters with the added rows, outcomes without: both shapes are ready."""
    spec = SPEC.evolve(name="compiled_ahead")
    mmm = MMM(national_data, spec)
    with jax.enable_x64(True):
        observed = mmm.arrays()
        added = mmm.augment(jax.random.key(3), _augmentation(national_data))
        arrays = mmm._given(added).arrays
        program = mmm.program(True)
        program.compile_ahead(arrays, observed)
        ready = set(program._compiled)
        positions = np.zeros((130, program.layout(arrays).dim))
        params = program.parameters(jax.random.key(4), positions, arrays)
        outcomes(mmm._table_model, jax.random.key(5), program, params, observed)
    assert set(program._compiled) == ready
    assert {name for name, *_ in ready} == {"parameters", "outcomes"}


# --- Long runs -----------------------------------------------------------------------------------


def test_a_checkpoint_goes_on_and_belongs_to_one_fit(
    national_data: MMMData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = _fit(national_data, 5)
    blocks = []

    class Stops(Silent):
        def update(self, index: int, done: int, note: str = "") -> None:
            blocks.append(done)
            if len(blocks) == 9:
                raise RuntimeError("the power went")

    given = {**FEW, "progress": Stops(), "num_prior_draws": 30}
    checkpoint = Checkpoint(tmp_path / "run", draws=1)
    model = MMM(national_data, SPEC)
    with pytest.raises(RuntimeError, match="power"):
        model.fit(jax.random.key(5), checkpoint=checkpoint, **given)
    again = model.fit(jax.random.key(5), checkpoint=checkpoint, **given)
    for group in ("posterior", "posterior_predictive", "log_likelihood", "sample_stats"):
        xr.testing.assert_identical(
            again.tree[group].to_dataset().drop_attrs(), whole.tree[group].to_dataset().drop_attrs()
        )
    assert again.tree["posterior"].attrs["resumed"] > 0
    assert "resumed" not in whole.tree["posterior"].attrs
    for other, text in (
        (lambda: model.fit(jax.random.key(6), checkpoint=checkpoint, **given), "key"),
        (lambda: MMM(national_data, ModelSpec()).fit(
            jax.random.key(5), checkpoint=checkpoint, **given), "model"),
        (lambda: MMM(national_data.subset(slice(None, national_data.dates[-2])), SPEC).fit(
            jax.random.key(5), checkpoint=checkpoint, **given), "table"),
    ):  # fmt: skip
        with pytest.raises(RunFolderError, match=f"{text}: "):
            other()


def test_ctrl_c_returns_a_fit_that_says_so(national_data: MMMData, tmp_path: Path) -> None:
    class Interrupts(Silent):
        def update(self, index: int, done: int, note: str = "") -> None:
            if done == 80 and index == 0:
                os.kill(os.getpid(), signal.SIGINT)

    given = {"num_warmup": 40, "num_samples": 400, "num_chains": 2, "block": 20}
    with pytest.warns(SamplingWarning, match="stopped by the user after"):
        fit = MMM(national_data, SPEC).fit(
            jax.random.key(5), progress=Interrupts(), num_prior_draws=30, **given
        )
    posterior = fit.tree["posterior"]
    assert 20 <= posterior.sizes["draw"] < 400
    assert fit.tree["log_likelihood"].sizes["draw"] == posterior.sizes["draw"]
    assert "incomplete" in repr(fit)
    assert "stopped by the user" in fit.diagnose().findings[0].message or any(
        finding.check == "interrupted" for finding in fit.diagnose().findings
    )
    assert fit.diagnose().verdict != "PASS"
    # The mark is kept with the fit, and its results can be read.
    loaded = load_fit(fit.save(tmp_path / "fit.nc"))
    assert "incomplete" in repr(loaded)
    assert np.isfinite(loaded.summary()["roas"]).all()


def test_single_precision_agrees(national_data: MMMData) -> None:
    settings = {"num_warmup": 300, "num_samples": 300, "num_chains": 2}
    found = {
        precision: MMM(national_data, SPEC).fit(
            jax.random.key(2), progress=False, precision=precision, num_prior_draws=0, **settings
        )
        for precision in ("auto", "float32")
    }
    assert found["auto"].tree["posterior"].attrs["precision"] == "float64"
    assert found["float32"].tree["posterior"].attrs["precision"] == "float32"
    double, single = (fit.contributions().sum("component") for fit in found.values())
    channels = [fit.roas() for fit in found.values()]
    np.testing.assert_allclose(double.mean(), single.mean(), rtol=0.01)
    gap = abs(channels[0].mean(("chain", "draw")) - channels[1].mean(("chain", "draw")))
    assert (gap < 0.35 * channels[0].std(("chain", "draw"))).all()


def test_what_is_not_finite_is_named(
    national_data: MMMData, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mmm_bayes.model import arrays

    own = arrays.training_arrays
    monkeypatch.setattr(
        arrays, "training_arrays",
        lambda *given: (made := own(*given))._replace(target=made.target * np.inf),
    )  # fmt: skip
    with pytest.raises(FloatingPointError, match=r"not finite: target \((nan|-inf)\)") as found:
        _fit(national_data, 5)
    assert "prior predictive" in str(found.value)
