"""Tables and intervals."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from mmm_bayes import FitResult, MMMData
from mmm_bayes.analysis.summary import interval
from mmm_bayes.model.fitted import Fitted

DRAWS = ("chain", "draw")


def _gamma(shape: tuple[int, ...]) -> xr.DataArray:
    values = np.random.default_rng(0).gamma(2.0, size=shape)
    return xr.DataArray(values, dims=("chain", "draw", "channel"), coords={"channel": ["a", "b"]})


def test_equal_tails_are_quantiles() -> None:
    draws = _gamma((2, 400, 2))
    found = interval(draws, 0.8)
    assert found.dims == ("ci_bound", "channel")
    np.testing.assert_allclose(
        found, draws.quantile([0.1, 0.9], DRAWS).transpose("quantile", "channel"), rtol=1e-12
    )


def test_shortest_interval_is_arviz_hdi() -> None:
    arviz = pytest.importorskip("arviz")
    draws = _gamma((2, 400, 2))
    found = interval(draws, 0.8, "hdi")
    wanted = arviz.hdi(draws, prob=0.8).transpose("ci_bound", ...)
    # ArviZ may count one draw more or less into the interval.
    gaps = np.diff(np.sort(draws.stack(d=DRAWS).values, axis=-1), axis=-1)
    np.testing.assert_allclose(found, wanted, atol=float(gaps[:, :700].max()))
    inside = (draws >= found.sel(ci_bound="lower")) & (draws <= found.sel(ci_bound="upper"))
    np.testing.assert_allclose(inside.mean(DRAWS), 0.8, atol=2 / 800)
    assert (found.diff("ci_bound") < interval(draws, 0.8).diff("ci_bound")).all()


def test_missing_stays_missing() -> None:
    draws = _gamma((2, 50, 2))
    draws[..., 1] = np.nan
    for kind in ("eti", "hdi"):
        found = interval(draws, 0.9, kind)
        assert np.isnan(found.sel(channel="b")).all()
        assert np.isfinite(found.sel(channel="a")).all()


@pytest.mark.parametrize("prob", [0.0, 1.0, 90])
def test_interval_mass_is_a_probability(prob: float) -> None:
    with pytest.raises(ValueError, match="ci_prob"):
        interval(_gamma((1, 10, 2)), prob)


def test_interval_kind_is_known() -> None:
    with pytest.raises(ValueError, match=r"'eti'.*'hdi'"):
        interval(_gamma((1, 10, 2)), 0.9, "equal")


@pytest.mark.parametrize("kind", ["eti", "hdi"])
def test_summary_has_a_row_a_channel(national_fit: FitResult, kind: str) -> None:
    found = national_fit.summary(ci_prob=0.8, ci_kind=kind)
    assert list(found.index) == national_fit.data.channels
    assert found.attrs == {"ci_prob": 0.8, "ci_kind": kind}
    np.testing.assert_allclose(found["spend"], national_fit.data.ds["spend"].sum(("geo", "date")))
    for name in ("contribution", "share", "roas", "marginal_roas"):
        for point in (name, f"{name}_mean"):
            assert (found[f"{name}_lower"] <= found[point]).all()
            assert (found[point] <= found[f"{name}_upper"]).all()
    roas = national_fit.roas()
    np.testing.assert_allclose(found["roas"], roas.median(DRAWS))
    np.testing.assert_allclose(found["roas_mean"], roas.mean(DRAWS))
    np.testing.assert_allclose(found["roas_lower"], interval(roas, 0.8, kind)[0])
    # Contributions, ROAS and shares are one quantity over three bases.
    np.testing.assert_allclose(found["roas"] * found["spend"], found["contribution"], rtol=1e-9)
    total = float(national_fit.data.ds["target"].sum())
    np.testing.assert_allclose(found["share"] * total, found["contribution"], rtol=1e-9)


def test_unpaid_channels_have_contributions_and_no_returns(national_fit: FitResult) -> None:
    ds = national_fit.data.ds
    spend = ds["spend"].where(ds["channel"] != "radio", 0.0)
    fitted = national_fit._fitted
    unpaid = FitResult(Fitted(fitted.spec, MMMData(ds.assign(spend=spend)), fitted.tree)).summary()
    paid = national_fit.summary()
    assert unpaid.loc["radio", "spend"] == 0.0
    assert unpaid.loc["radio", ["roas", "roas_lower", "marginal_roas_upper"]].isna().all()
    columns = ["contribution", "contribution_lower", "share_upper"]
    np.testing.assert_allclose(unpaid[columns], paid[columns])
    np.testing.assert_allclose(unpaid["roas"].drop("radio"), paid["roas"].drop("radio"))


def test_prices_that_change_weigh_each_date(national_fit: FitResult) -> None:
    ds = national_fit.data.ds
    price = ds["revenue_per_target"] + xr.DataArray(np.arange(104.0), dims="date")
    fitted = national_fit._fitted
    found = FitResult(
        Fitted(fitted.spec, MMMData(ds.assign(revenue_per_target=price)), fitted.tree)
    )
    by_date = national_fit.contributions("date").sel(component="tv")
    money = (by_date * price.sel(geo="national", drop=True)).sum("date")
    wanted = float((money / ds["spend"].sel(channel="tv").sum()).median())
    assert found.summary().loc["tv", "roas"] == pytest.approx(wanted, rel=1e-9)


def test_parameter_summary_has_a_row_a_parameter(national_fit: FitResult) -> None:
    found = national_fit.parameter_summary(ci_prob=0.9)
    assert "alpha[tv]" in found.index
    assert "sigma" in found.index
    assert {"mean", "sd", "eti90_lb", "eti90_ub", "ess_bulk", "r_hat"} <= set(found.columns)
