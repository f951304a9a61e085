"""Power-scaling: log priors, ArviZ's figures, and a case with a closed form."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from mmm_bayes import FitResult
from mmm_bayes.validation import sensitivity as found_by
from mmm_bayes.validation.sensitivity import prior_sensitivity, sensitivity_tree


@pytest.fixture(scope="module")
def found(national_fit: FitResult):
    return prior_sensitivity(national_fit.fitted)


def test_log_priors_are_those_of_the_specification(national_fit: FitResult):
    prior = found_by.log_prior(national_fit.fitted)
    posterior = national_fit.tree["posterior"].to_dataset()
    alpha = stats.beta(2, 2).logpdf(posterior["alpha"]).sum(-1)
    np.testing.assert_allclose(prior["alpha"], alpha)
    scaled = posterior["sigma"].values / national_fit.fitted.scaling.target_scale
    sigma = stats.halfnorm(scale=1.0).logpdf(scaled)
    np.testing.assert_allclose(prior["sigma"], sigma)
    assert {"beta", "ec", "slope", "intercept", "control_coef"} <= set(prior.data_vars)


def test_parts_that_the_model_scales_are_no_choices_of_priors(geo_fit: FitResult):
    names = set(found_by.log_prior(geo_fit.fitted).data_vars)
    assert {"roas", "media_geo_scale", "intercept_geo_scale"} <= names
    assert not names & {"intercept_geo", "control_geo", "beta_geo", "linear_geo"}


def test_figures_are_those_of_arviz(national_fit: FitResult, found):
    from arviz import psense_summary

    tree = sensitivity_tree(national_fit.fitted)
    known = psense_summary(tree, var_names=["ROAS"], round_to=10)
    own = found.table.loc[[f"ROAS[{name}]" for name in national_fit.data.channels]]
    np.testing.assert_allclose(own["prior"], known["prior"], rtol=1e-6)
    np.testing.assert_allclose(own["likelihood"], known["likelihood"], rtol=1e-6)


def test_a_result_says_what_to_do(found, national_fit: FitResult):
    table = found.table
    assert set(table["diagnosis"]) <= set(found_by._ADVICE)
    for diagnosis, advice in zip(table["diagnosis"], table["advice"], strict=True):
        assert bool(advice) == (diagnosis != "fine")
    assert list(found.blocks.columns) == ["effect", "adstock", "saturation", "noise", "baseline"]
    # The prior on adstock says nothing about the noise: the sensitivity is below the threshold.
    assert found.blocks.loc["sigma", "adstock"] < 0.05
    assert "Prior sensitivity" in str(found)
    assert "<table" in found._repr_html_()
    flagged = found.flagged()
    assert flagged["prior"].is_monotonic_decreasing
    fewer = prior_sensitivity(national_fit.fitted, parameters=False)
    assert len(fewer.table) == 2 * len(national_fit.data.channels)


@pytest.mark.parametrize(
    ("prior", "likelihood", "words"),
    [(0.01, 0.4, "fine"), (0.2, 0.01, "weak likelihood"), (0.2, 0.4, "prior-data conflict")],
)
def test_diagnosis(prior, likelihood, words):
    assert found_by.diagnosis(prior, likelihood, 0.05) == words


def test_weaker_priors_move_a_normal_mean_as_they_should():
    # Prior N(0, 1) and data worth N(2, 1): the posterior N(1, 1/2) becomes that of the precision
    # 1.8 about 2 / 1.8 when the prior counts 0.8.
    rng = np.random.default_rng(0)
    mean = 1.0 + np.sqrt(0.5) * rng.standard_normal((4, 20_000))
    tree = xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset({"m": (("chain", "draw"), mean)}),
            "log_prior": xr.Dataset({"m": (("chain", "draw"), stats.norm.logpdf(mean))}),
        }
    )
    now, weaker = found_by._medians(tree)
    assert now["m"] == pytest.approx(1.0, abs=0.015)
    assert weaker["m"] == pytest.approx(2.0 / 1.8, abs=0.015)


def test_augmented_fits_are_refused(national_fit: FitResult, monkeypatch):
    monkeypatch.setattr(found_by, "is_augmented", lambda fitted: True)
    with pytest.raises(ValueError, match="augment"):
        prior_sensitivity(national_fit.fitted)
