"""Response, adstock and saturation curves."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mmm_bayes import FitResult

from . import reference

PriorFits = Callable[[str], FitResult]
FAMILIES = ("mixed", "student_t", "geo_log")


@pytest.mark.parametrize("family", FAMILIES)
def test_response_at_a_multiplier_is_the_contribution_of_that_spend(
    prior_fits: PriorFits, family: str
) -> None:
    fit = prior_fits(family)
    curves = fit.response_curves(multipliers=[0.0, 0.5, 1.0, 1.7], unit="target")
    full = float(np.abs(fit.fitted_mean(())).max())
    np.testing.assert_allclose(curves.sel(multiplier=0.0), 0.0, atol=1e-10 * full)
    for channel in fit.data.channels:
        for factor in (0.5, 1.0, 1.7):
            changed = fit.data.with_spend(channel, scale=factor)
            wanted = fit.contributions(data=changed).sel(component=channel)
            np.testing.assert_allclose(
                curves.sel(channel=channel, multiplier=factor),
                wanted,
                rtol=1e-8,
                atol=1e-10 * full,
            )


def test_response_labels_units_and_choice_of_channels(prior_fits: PriorFits) -> None:
    fit = prior_fits("negative_binomial")
    money = fit.response_curves()
    assert money.dims == ("chain", "draw", "channel", "multiplier")
    assert money.sizes["multiplier"] == 41
    assert money["multiplier"].values[[0, -1]].tolist() == [0.0, 2.0]
    spend = fit.data.ds["spend"].sum(("geo", "date"))
    np.testing.assert_allclose(
        money["spend"].sel(multiplier=2.0, channel="radio"), 2.0 * spend.sel(channel="radio")
    )
    one = fit.response_curves("radio", unit="target")
    assert one["channel"].values.tolist() == ["radio"]
    np.testing.assert_allclose(25.0 * one, money.sel(channel=["radio"]))
    with pytest.raises(ValueError, match="'radio'"):
        fit.response_curves(["radios"])
    for wrong in ([-0.5], [np.nan], [], 1.0):
        with pytest.raises(ValueError, match="multipliers"):
            fit.response_curves(multipliers=wrong)
    with pytest.raises(ValueError, match=r"'revenue'.*'target'"):
        fit.response_curves(unit="euro")


@pytest.mark.parametrize("family", ["mixed", "geo"])
def test_adstock_curves_are_the_kernels(prior_fits: PriorFits, family: str) -> None:
    fit = prior_fits(family)
    curves = fit.adstock_curves()
    assert curves.dims == ("chain", "draw", "channel", "lag")
    assert curves["lag"].values.tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(curves.sum("lag"), 1.0, rtol=1e-12)
    draw = fit.tree["posterior"].to_dataset().isel(chain=0, draw=4)
    for channel in fit.data.channels:
        adstock = fit.spec.channel_transforms(channel)[0]
        wanted = reference.kernel(draw, adstock, channel, 4)
        found = curves.sel(channel=channel).isel(chain=0, draw=4)
        np.testing.assert_allclose(found, wanted, rtol=1e-8, atol=1e-14)


def test_saturation_curves_are_the_curves_of_the_model(prior_fits: PriorFits) -> None:
    fit = prior_fits("mixed")
    curves = fit.saturation_curves(num_points=9)
    draw = fit.tree["posterior"].to_dataset().isel(chain=0, draw=4)
    exposure = fit.data.ds["exposure"].values[0]
    for c, channel in enumerate(fit.data.channels):
        saturation = fit.spec.channel_transforms(channel)[1]
        own = exposure[:, c]
        unit = own[own > 0].mean()
        points = curves["exposure"].sel(channel=channel).values
        assert points[0] == 0.0
        wanted = [reference.saturated(draw, saturation, channel, x, unit) for x in points]
        found = curves.sel(channel=channel).isel(chain=0, draw=4)
        np.testing.assert_allclose(found, wanted, rtol=1e-8, atol=1e-12)
    reach = curves["exposure"].isel(point=-1).values / np.array(
        [own[own > 0].mean() for own in exposure.T]
    )
    np.testing.assert_allclose(reach, reach[0])


def test_prior_curves_are_there_for_comparison(national_fit: FitResult) -> None:
    prior = national_fit.adstock_curves(group="prior")
    assert prior.sizes == {"chain": 1, "draw": 500, "channel": 3, "lag": 6}
