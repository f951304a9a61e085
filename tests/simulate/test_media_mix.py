"""The simulator compared with its stated model, recomputed by loops."""

from __future__ import annotations

import math
import warnings

import jax
import numpy as np
import pytest
import xarray as xr

from mmm_bayes import simulate
from mmm_bayes.data.scaling import fit_scaling
from mmm_bayes.data.schema import MMMData
from mmm_bayes.simulate.media_mix import SimulatedMMM
from mmm_bayes.transforms.adstock import delayed_adstock, geometric_adstock
from mmm_bayes.transforms.saturation import hill

LIKELIHOODS = ["normal", "lognormal", "negative_binomial"]


def draw(seed: int = 0, **changes) -> SimulatedMMM:
    settings = {"num_dates": 60, "num_channels": 3, "max_lag": 6, "confounding": 0.5}
    return simulate.mmm(jax.random.key(seed), **{**settings, **changes})


@pytest.fixture(scope="module", params=LIKELIHOODS)
def panel(request: pytest.FixtureRequest) -> SimulatedMMM:
    return draw(
        likelihood=request.param, num_geos=3, num_dates=30, impressions=True, num_controls=3
    )


def curve(x: float, ec: float, slope: float) -> float:
    return 0.0 if x == 0 else 1.0 / (1.0 + (ec / x) ** slope)


def predictor(data: MMMData, truth: xr.Dataset, factor: dict[str, float]) -> np.ndarray:
    """The linear predictor by plain loops, with each channel's exposure times a factor."""
    max_lag = truth.attrs["max_lag"]
    p = {name: truth[name].values.tolist() for name in truth.data_vars}
    z, x = data.ds["controls"].values.tolist(), data.ds["exposure"].values.tolist()
    people = data.ds["population"].values.tolist()
    centres = data.ds["controls"].mean(("geo", "date")).values.tolist()
    out = np.zeros((data.num_geos, data.num_dates))
    for g in range(data.num_geos):
        for t in range(data.num_dates):
            eta = p["intercept"][g] + p["trend"][t] + p["seasonality"][t]
            for k, centre in enumerate(centres):
                eta += p["control_effect"][k] * (z[g][t][k] - centre)
            for c, name in enumerate(data.channels):
                weights = [p["alpha"][c] ** lag for lag in range(max_lag)]
                stock = sum(
                    weights[lag] * x[g][t - lag][c] for lag in range(max_lag) if t - lag >= 0
                ) / (sum(weights) * people[g] * p["media_scale"][c])
                stock *= factor.get(name, 1.0)
                eta += p["beta_geo"][g][c] * curve(stock, p["ec"][c], p["slope"][c])
            out[g, t] = eta
    return out


def expected_target(simulated: SimulatedMMM, factor: dict[str, float]) -> np.ndarray:
    data, truth = simulated.data, simulated.truth
    eta = predictor(data, truth, factor)
    people = data.ds["population"].values[:, None]
    if truth.attrs["likelihood"] == "normal":
        return people * eta
    shift = float(truth["noise_scale"]) ** 2 / 2 if truth.attrs["likelihood"] == "lognormal" else 0
    return people * np.exp(eta + shift)


@pytest.fixture(scope="module")
def counterfactuals(panel: SimulatedMMM) -> dict[str, np.ndarray]:
    channels = panel.data.channels
    found = {
        "all": expected_target(panel, {}),
        "none": expected_target(panel, dict.fromkeys(channels, 0.0)),
    }
    for name in channels:
        found[f"{name} off"] = expected_target(panel, {name: 0.0})
        found[f"{name} more"] = expected_target(panel, {name: 1.01})
    return found


def test_mean_and_contributions_by_loops(panel: SimulatedMMM, counterfactuals) -> None:
    truth = panel.truth
    np.testing.assert_allclose(truth["mu"], counterfactuals["all"], rtol=1e-10)
    np.testing.assert_allclose(truth["baseline"], counterfactuals["none"], rtol=1e-10)
    for name in panel.data.channels:
        expected = counterfactuals["all"] - counterfactuals[f"{name} off"]
        tolerance = 1e-10 * float(truth["mu"].max())
        np.testing.assert_allclose(
            truth["contribution"].sel(channel=name), expected, rtol=1e-8, atol=tolerance
        )


def test_roas(panel: SimulatedMMM, counterfactuals) -> None:
    ds = panel.data.ds
    revenue = ds["revenue_per_target"].values
    for name in panel.data.channels:
        truth, spend = panel.truth.sel(channel=name), float(ds["spend"].sel(channel=name).sum())
        gain = (truth["contribution"].values * revenue).sum()
        assert float(truth["roas"]) == pytest.approx(gain / spend, rel=1e-12)
        more = (counterfactuals[f"{name} more"] - counterfactuals["all"]) * revenue
        # The difference of two sums of relative error 1e-16 per term, divided by 1% of spend.
        assert float(truth["marginal_roas"]) == pytest.approx(more.sum() / (0.01 * spend), rel=1e-7)


def test_roas_and_share_are_the_ones_asked_for() -> None:
    for likelihood in LIKELIHOODS:
        wanted = [0.8, 1.5, 3.0]
        truth = draw(likelihood=likelihood, parameters={"roas": wanted}, media_share=0.2).truth
        np.testing.assert_allclose(truth["roas"], wanted, rtol=1e-9)
        if likelihood == "normal":
            total = truth["contribution"].sum() / truth["mu"].sum()
            assert float(total) == pytest.approx(0.2, rel=1e-12)
            rest = truth["baseline"] + truth["contribution"].sum("channel")
            np.testing.assert_allclose(rest, truth["mu"], rtol=1e-12)


def test_same_key_same_data_and_other_key_other_data() -> None:
    first, again, other = draw(1), draw(1), draw(2)
    assert first.data.equals(again.data)
    assert first.truth.identical(again.truth)
    assert not first.data.equals(other.data)
    assert simulate.mmm(jax.random.PRNGKey(1), num_dates=20).data.num_dates == 20


def test_one_more_control_does_not_change_the_spend() -> None:
    np.testing.assert_array_equal(draw(num_controls=1).data.ds["spend"], draw().data.ds["spend"])


def test_tables_pass_the_checks(panel: SimulatedMMM) -> None:
    roles = panel.data.roles
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = MMMData.from_dataframe(
            panel.data.to_frame(),
            date=roles.date,
            target=roles.target,
            channels=roles.exposure,
            spend=roles.spend,
            controls=roles.controls,
            geo=roles.geo,
            population=roles.population,
            revenue_per_target=roles.revenue_per_target,
        )
    assert again.equals(panel.data)


def test_media_scale_is_the_one_a_model_would_fit(panel: SimulatedMMM) -> None:
    scaling = fit_scaling(panel.data)
    np.testing.assert_allclose(panel.truth["media_scale"], scaling.media_scale, rtol=1e-12)


def test_noise_has_the_stated_size() -> None:
    """Standard error of a standard deviation from n draws is 1 / sqrt(2 n); 4 of them."""
    n = 4000
    for likelihood in ("normal", "lognormal"):
        simulated = draw(num_dates=n, likelihood=likelihood, noise=0.4, freq="D")
        truth, target = simulated.truth, simulated.data.ds["target"]
        sigma = float(truth["noise_scale"])
        error = target - truth["mu"]
        if likelihood == "lognormal":
            error = np.log(target / truth["mu"])
        assert float(error.std()) == pytest.approx(sigma, rel=4 / math.sqrt(2 * n))


def test_counts_vary_as_a_negative_binomial() -> None:
    n = 4000
    simulated = draw(num_dates=n, likelihood="negative_binomial", freq="D", noise=0.4)
    truth, y = simulated.truth, simulated.data.ds["target"]
    assert (y % 1 == 0).all()
    mu = truth["mu"]
    pearson = (y - mu) / np.sqrt(mu + mu**2 * truth["noise_scale"] ** 2)
    # Gamma noise with this phi has little excess kurtosis, so normal theory holds with a margin.
    assert float(pearson.std()) == pytest.approx(1, rel=6 / math.sqrt(2 * n))
    assert float(pearson.mean()) == pytest.approx(0, abs=4 / math.sqrt(n))


def test_confounder_moves_search_spend_and_sales() -> None:
    def likeness(confounding: float) -> float:
        simulated = draw(3, num_dates=1000, freq="D", confounding=confounding)
        spend = np.log(simulated.data.ds["spend"].sel(channel="search", geo="national"))
        return float(np.corrcoef(spend, simulated.truth["demand"])[0, 1])

    assert likeness(0.9) > 0.5
    # An AR(1) of 0.8 leaves about a ninth of 1000 draws effective: 4 / sqrt(111).
    assert abs(likeness(0.0)) < 0.38
    assert "category_demand" in draw(confounding=0.9).data.controls
    assert "category_demand" not in draw(confounding=0.0).data.controls


@pytest.mark.parametrize("adstock", ["geometric", "delayed"])
def test_agrees_with_the_transforms(adstock: str) -> None:
    """The simulator's kernels are implemented independently of the model's, and agree."""
    simulated = draw(adstock=adstock)
    truth, max_lag = simulated.truth, simulated.truth.attrs["max_lag"]
    x = simulated.data.ds["exposure"].values[0].T / truth["media_scale"].values[:, None]
    with jax.enable_x64(True):
        if adstock == "geometric":
            carried = geometric_adstock(x, truth["alpha"].values, max_lag=max_lag)
        else:
            carried = delayed_adstock(
                x, truth["alpha"].values, truth["theta"].values, max_lag=max_lag
            )
        saturated = hill(carried, truth["ec"].values[:, None], truth["slope"].values[:, None])
        carried, saturated = np.asarray(carried), np.asarray(saturated)
    np.testing.assert_allclose(carried, truth["adstock"].values[0].T, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(saturated, truth["saturation"].values[0].T, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("saturation", ["logistic", "michaelis_menten", "tanh", "exponential"])
def test_other_curves_rise_from_zero_to_below_one(saturation: str) -> None:
    simulated = draw(saturation=saturation)
    values, stock = (simulated.truth[n].values.ravel() for n in ("saturation", "adstock"))
    assert ((values >= 0) & (values < 1)).all()
    for c in range(3):
        s, a = (
            simulated.truth["saturation"].values[0, :, c],
            simulated.truth["adstock"].values[0, :, c],
        )
        assert (np.diff(s[np.argsort(a)]) >= 0).all()
    assert (values[stock == 0] == 0).all()


@pytest.mark.parametrize("freq", ["D", "MS", "YS"])
def test_other_steps(freq: str) -> None:
    data = draw(freq=freq, num_dates=48).data
    assert (data.num_dates, data.time_step.alias) == (48, freq)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_dates": 2}, "num_dates.* 8 .* 2"),
        ({"num_channels": 0}, "num_channels.* 1 .* 0"),
        ({"media_share": 1.2}, r"media_share.*\(0, 0\.8\).*1\.2"),
        ({"correlation": 1}, r"correlation.*\[0, 1\)"),
        ({"likelihood": "gamma"}, "likelihood.*negative_binomial.*'gamma'"),
        ({"adstock": "geometrc"}, "adstock.*'geometric'"),
        ({"saturation": "log"}, "saturation.*hill.*'log'"),
        ({"parameters": {"alfa": 0.5}}, "'alfa'.*'alpha'"),
        ({"parameters": {"alpha": [0.5, 0.4]}}, r" 3 channels.*\(2,\)"),
    ],
)
def test_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw(**changes)


def test_a_word_is_not_a_key() -> None:
    with pytest.raises(TypeError, match=r"jax\.random\.key"):
        simulate.mmm("3")
