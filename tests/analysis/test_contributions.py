"""Contributions and ROAS against an independent NumPy version of the model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

from mmm_bayes import FitResult
from mmm_bayes.analysis import draws
from mmm_bayes.analysis.contributions import contributions, marginal_roas, roas
from mmm_bayes.analysis.decomposition import Component, components

from . import reference

DRAWS = ("chain", "draw")
PriorFits = Callable[[str], FitResult]


def _draw(fit: FitResult, index: int) -> xr.Dataset:
    return fit.tree["posterior"].to_dataset().isel(chain=0, draw=index)


def _predictor(
    fit: FitResult, draw: xr.Dataset
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    base = reference.baseline(fit, draw)
    return base, {c: reference.effect(fit, draw, c) for c in fit.data.channels}


@pytest.mark.parametrize("index", [0, 7])
def test_counterfactual_contributions_equal_mean_with_less_mean_without(
    any_fit: FitResult, index: int
) -> None:
    draw = _draw(any_fit, index)
    base, media = _predictor(any_fit, draw)
    eta = sum(base.values()) + sum(media.values())
    full = reference.mean(any_fit, draw, eta)
    found = any_fit.contributions(("geo", "date")).isel(chain=0, draw=index)
    # Differences of means lose digits where a channel contributes little.
    tolerance = 1e-10 * np.abs(full).max()
    np.testing.assert_allclose(
        any_fit.fitted_mean().isel(chain=0, draw=index).values, full, rtol=1e-9, atol=tolerance
    )
    for channel, own in media.items():
        off = reference.mean(any_fit, draw, eta - own)
        np.testing.assert_allclose(
            found.sel(component=channel).values, full - off, rtol=1e-8, atol=tolerance
        )


def test_baseline_parts_are_effects_or_their_average_along_the_path(any_fit: FitResult) -> None:
    draw = _draw(any_fit, 3)
    base, media = _predictor(any_fit, draw)
    found = any_fit.contributions(("geo", "date")).isel(chain=0, draw=3)
    intercept = base.pop("intercept")
    wanted = {"intercept": reference.mean(any_fit, draw, intercept)}
    wanted |= reference.shares_of_path(any_fit, draw, intercept, base)
    if any_fit.spec.likelihood.link == "identity":
        people = any_fit.data.ds["population"].values[:, None]
        wanted |= {name: people * part for name, part in base.items()}
    scale = np.abs(wanted["intercept"]).max()
    for name, values in wanted.items():
        np.testing.assert_allclose(
            found.sel(component=name).values, values, rtol=1e-8, atol=1e-10 * scale, err_msg=name
        )
    labels = [*wanted, *media]
    if any_fit.spec.likelihood.link != "identity":
        labels.append("interaction")
    assert list(found["component"].values) == labels


@pytest.mark.parametrize("by", [(), "date", ("year", "geo"), ("geo", "quarter"), "month"])
@pytest.mark.parametrize("method", ["counterfactual", "shapley"])
def test_components_sum_to_the_fitted_mean(
    prior_fits: PriorFits, by: str | tuple[str, ...], method: str
) -> None:
    for family in ("geo_log", "mixed"):
        fit = prior_fits(family)
        parts = fit.contributions(by, method=method)
        mean = fit.fitted_mean(by)
        np.testing.assert_allclose(parts.sum("component"), mean, rtol=1e-10)
        wanted = (by,) if isinstance(by, str) else by
        assert parts.dims == (*DRAWS, "component", *wanted)
        assert "interaction" not in parts["kind"] or method == "counterfactual"


@pytest.mark.parametrize("family", ["negative_binomial", "geo_log"])
def test_shapley_contributions_average_over_the_path_of_all_media(
    prior_fits: PriorFits, family: str
) -> None:
    fit, index = prior_fits(family), 5
    draw = _draw(fit, index)
    base, media = _predictor(fit, draw)
    found = fit.contributions(("geo", "date"), method="shapley").isel(chain=0, draw=index)
    wanted = reference.shares_of_path(fit, draw, sum(base.values()), media)
    for channel, values in wanted.items():
        np.testing.assert_allclose(
            found.sel(component=channel).values,
            values,
            rtol=1e-8,
            atol=1e-12 * np.abs(found.values).max(),
        )
    assert "interaction" not in found["component"].values


def test_with_an_identity_link_both_methods_are_the_same(prior_fits: PriorFits) -> None:
    fit = prior_fits("mixed")
    xr.testing.assert_allclose(fit.contributions(), fit.contributions(method="shapley"), rtol=1e-14)


def test_kinds_and_labels(prior_fits: PriorFits) -> None:
    found = prior_fits("mixed").contributions()
    kinds = dict(
        zip(found["component"].values.tolist(), found["kind"].values.tolist(), strict=True)
    )
    assert kinds == {
        "intercept": "baseline", "trend": "baseline", "seasonality": "baseline",
        "events": "baseline", "price": "control", "promo": "control",
        "tv": "media", "radio": "media", "search": "media",
    }  # fmt: skip


def test_a_control_called_like_a_term_keeps_a_label_of_its_own(prior_fits: PriorFits) -> None:
    from mmm_bayes.model.structure import structure_of

    structure = structure_of(prior_fits("mixed").spec.evolve(channels={}), ["tv"], ["trend"], 1)
    assert components(structure, "counterfactual")[-2:] == [
        Component("trend (control)", "control"),
        Component("tv", "media"),
    ]


@pytest.mark.parametrize("family", ["mixed", "geo"])
def test_switching_a_channel_off_in_the_table_gives_its_contribution(
    prior_fits: PriorFits, family: str
) -> None:
    fit = prior_fits(family)
    full = fit.fitted_mean("date")
    for channel in fit.data.channels:
        without = fit.fitted_mean("date", data=fit.data.with_spend(channel, scale=0.0))
        found = fit.contributions("date").sel(component=channel, drop=True)
        scale = float(np.abs(full).max())
        np.testing.assert_allclose(found, full - without, rtol=1e-9, atol=1e-10 * scale)


@pytest.mark.parametrize("family", ["mixed", "geo"])
def test_quantities_with_a_prior_on_them_are_those_of_the_tree(
    prior_fits: PriorFits, family: str
) -> None:
    fit = prior_fits(family)
    posterior = fit.tree["posterior"]
    found = {
        "roas": fit.roas(),
        "marginal_roas": fit.marginal_roas(),
        "contribution_share": fit.contribution_share(),
    }
    checked = [name for name in found if name in posterior]
    assert len(checked) == (3 if family == "mixed" else 1)
    for name in checked:
        prior = posterior[name]
        own = found[name].sel(channel=prior[prior.dims[-1]].values)
        np.testing.assert_allclose(own.values, prior.values, rtol=1e-8)


@pytest.mark.parametrize("family", ["mixed", "negative_binomial", "geo"])
def test_returns_of_a_draw_by_hand(prior_fits: PriorFits, family: str) -> None:
    fit, index = prior_fits(family), 2
    draw = _draw(fit, index)
    base, media = _predictor(fit, draw)
    eta = sum(base.values()) + sum(media.values())
    full = reference.mean(fit, draw, eta)
    ds = fit.data.ds
    revenue = ds["revenue_per_target"].values
    at_two = fit.marginal_roas("geo", increase=0.02).isel(chain=0, draw=index)
    for channel, own in media.items():
        spent = ds["spend"].sel(channel=channel).values.sum(1)
        gone = reference.mean(fit, draw, eta - own)
        more = reference.mean(
            fit, draw, eta - own + reference.effect(fit, draw, channel, factor=1.02)
        )
        found = fit.roas("geo").isel(chain=0, draw=index).sel(channel=channel)
        np.testing.assert_allclose(
            found.values, (revenue * (full - gone)).sum(1) / spent, rtol=1e-7
        )
        np.testing.assert_allclose(
            at_two.sel(channel=channel).values,
            (revenue * (more - full)).sum(1) / (0.02 * spent),
            rtol=1e-6,
        )


def test_revenue_is_the_target_times_its_price(prior_fits: PriorFits) -> None:
    fit = prior_fits("negative_binomial")
    price = fit.data.ds["revenue_per_target"].values
    assert price.min() == price.max() == 25.0
    np.testing.assert_allclose(fit.contributions(unit="revenue"), 25.0 * fit.contributions())
    assert fit.contributions(unit="revenue").attrs["unit"] == "revenue"


def test_totals_of_periods_are_sums_of_dates(prior_fits: PriorFits) -> None:
    fit = prior_fits("geo")
    dates = fit.contributions("date")
    months = fit.contributions("month")
    labels = fit.data.dates.strftime("%Y-%m")
    assert list(months["month"].values) == sorted(set(labels))
    for month in months["month"].values:
        here = dates.isel(date=np.flatnonzero(labels == month)).sum("date")
        np.testing.assert_allclose(months.sel(month=month), here, rtol=1e-10, atol=1e-6)
    quarters = fit.contributions("quarter")["quarter"].values
    assert list(quarters) == ["2022-Q1", "2022-Q2", "2022-Q3"]
    assert fit.contributions("year")["year"].values.tolist() == [2022]


def test_returns_are_missing_where_nothing_was_spent(prior_fits: PriorFits) -> None:
    fit = prior_fits("geo")
    spend = fit.data.ds["spend"].sum("geo")
    found = fit.roas("date").transpose(*DRAWS, "date", "channel")
    missing = np.isnan(found.values).all((0, 1))
    assert missing.any()
    np.testing.assert_array_equal(missing, spend.values == 0)
    np.testing.assert_array_equal(np.isnan(fit.marginal_roas("date").values).any((0, 1)), missing.T)


def test_thinning_keeps_labels_and_values(national_fit: FitResult) -> None:
    every, some = national_fit.roas(), national_fit.roas(max_draws=20)
    assert some.sizes["chain"] == 2
    assert some.sizes["draw"] == 10
    assert some["draw"].values[[0, -1]].tolist() == [0, 149]
    xr.testing.assert_allclose(some, every.sel(draw=some["draw"]), rtol=1e-12)


def test_prior_has_the_same_quantities(national_fit: FitResult) -> None:
    found = national_fit.roas(group="prior")
    assert found.sizes["chain"] == 1
    assert np.isfinite(found.values).all()
    # The prior is wider than the posterior for at least one channel.
    assert (found.std(DRAWS) > national_fit.roas().std(DRAWS)).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "geos"}, "Did you mean 'geo'"),
        ({"by": ("year", "month")}, "'year' or 'month'"),
        ({"by": ("geo", "geo")}, "'geo', 'geo'"),
        ({"method": "shapely"}, "Did you mean 'shapley'"),
        ({"unit": "money"}, "'target', 'revenue'"),
        ({"group": "prior"}, "'prior'"),
    ],
)
def test_wrong_arguments_are_explained(
    prior_fits: PriorFits, options: dict[str, str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        prior_fits("mixed").contributions(**options)


def test_increase_must_be_positive(prior_fits: PriorFits) -> None:
    with pytest.raises(ValueError, match="increase"):
        prior_fits("mixed").marginal_roas(increase=0.0)


def test_a_result_too_large_for_memory_is_refused_with_the_number_that_fits(
    prior_fits: PriorFits, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = prior_fits("geo")
    each = 8 * 8 * fit.data.num_dates * fit.data.num_geos
    monkeypatch.setattr(draws, "_RESULT_BYTES", 5 * each)
    with pytest.raises(ValueError, match="max_draws=5"):
        fit.contributions(("geo", "date"))
    assert fit.contributions(("geo", "date"), max_draws=5).sizes["draw"] == 5


def test_small_batches_change_nothing(
    prior_fits: PriorFits, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = prior_fits("mixed")
    whole = fit.contributions("date")
    # With five draws per batch, twelve draws need a padded last batch.
    monkeypatch.setattr(draws, "_BATCH", 5)
    xr.testing.assert_allclose(fit.contributions("date"), whole, rtol=1e-12)


def test_module_functions_take_the_fitted_model(prior_fits: PriorFits) -> None:
    fitted = prior_fits("mixed")._fitted
    assert contributions(fitted).dims == (*DRAWS, "component")
    assert roas(fitted).name == "roas"
    assert marginal_roas(fitted).attrs["increase"] == 0.01
