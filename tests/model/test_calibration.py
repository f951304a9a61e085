"""Lift tests in the likelihood, compared with counterfactuals and with the plain program."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from numpyro.infer.util import log_density

import mmm_bayes as mb
from mmm_bayes.analysis.lift import lift_of
from mmm_bayes.data.lift_exposure import as_weighted_sum, place_tests
from mmm_bayes.data.scaling import fit_scaling
from mmm_bayes.model import arrays as model_arrays
from mmm_bayes.model import calibration
from mmm_bayes.model.baseline import TimeFrame
from mmm_bayes.model.fitted import Fitted
from mmm_bayes.model.linear_block import draw_linear_block
from mmm_bayes.model.predictor import media_coefficients
from mmm_bayes.model.program import program_for
from mmm_bayes.model.sites import geo_scales
from mmm_bayes.runtime.findings import DataError


def national():
    return mb.simulate.mmm(jax.random.key(1), num_dates=80, num_channels=3, num_controls=1).data


def geos():
    return mb.simulate.mmm(
        jax.random.key(3), num_dates=60, num_geos=4, num_channels=3, num_controls=1
    ).data


def experiments_on(data, *, cut: bool = True):
    """One test of every kind, over dates in the middle of the table."""
    dates, names = data.dates, data.channels
    a, b, c = names
    spend = data.ds["spend"]
    own = () if data.is_national else (data.geos[1], data.geos[2])
    rows = spend.sel(date=slice(dates[30], dates[34]), channel=a)
    rows = rows if not own else rows.sel(geo=list(own))
    change = 0.4 * float(rows.sum())
    span = dates[30], dates[34]
    tests = [
        mb.LiftTest(a, *span, 500.0, 90.0, geos=own),
        mb.LiftTest(a, *span, 300.0, 70.0, geos=own, spend_change=change, name="recorded"),
        mb.LiftTest(a, *span, 300.0, 70.0, geos=own, spend_change=change, recorded=False,
                    measured_until=dates[40], name="later"),
        mb.LiftTest((b, c), dates[50], dates[52], 800.0, 100.0, name="two"),
        mb.LiftTest.of_roas(b, dates[50], dates[55], 1.4, 0.3, name="roas"),
        mb.LiftTest.of_cost_per_target(c, dates[50], dates[58], 0.8, 0.2, name="cost"),
    ]  # fmt: skip
    if cut:
        less = -0.5 * change
        tests.append(mb.LiftTest(a, *span, -100.0, 40.0, geos=own, spend_change=less, name="cut"))
    return tests


def posterior_like(data, spec, tests):
    """A `Fitted` of prior draws, whose parameters are those of a model with tests."""
    model = mb.MMM(data, spec, lift_tests=tests)
    tree = model.sample_prior_predictive(jax.random.key(0), 12)
    posterior = tree["prior"].to_dataset()
    from mmm_bayes.model import tree as labels

    groups = {"posterior": posterior, **labels.data_groups(data)}
    import xarray as xr

    return model, Fitted(spec, data, xr.DataTree.from_dict(groups))


SPECS = {
    "additive": {},
    "saturation first": {"media": {"order": "saturation_first", "max_lag": 5}},
    "multiplicative": {"likelihood": {"family": "log_normal"}},
    "count": {"likelihood": {"family": "negative_binomial"}},
    "mixed": {"channels": {"channel_1": {"adstock": "none", "saturation": "root"}}},
}


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("table", [national, geos])
def test_the_likelihood_uses_the_counterfactual_of_the_engine(table, name):
    data = table()
    if name == "count":
        data = mb.MMMData(data.ds.assign(target=data.ds["target"].round().clip(1)))
    options = SPECS[name]
    if "channels" in options:
        options = {"channels": {data.channels[0]: options["channels"]["channel_1"]}}
    spec = mb.ModelSpec(**{"media": {"max_lag": 6}, **options}, geo={"media": "log_normal"})
    tests = experiments_on(data)
    model, fitted = posterior_like(data, spec, tests)
    params, _, _ = fitted.scaled()
    with jax.enable_x64(True):
        arrays = model.arrays()

        def one(own):
            values = media_coefficients(model.structure, own, arrays)
            return calibration.predicted(
                model.structure.media, own, values, arrays.experiments, data.num_geos
            )

        found = np.asarray(jax.jit(jax.vmap(one))(params))
    for k, placed in enumerate(place_tests(data, tests)):
        _, value, error = as_weighted_sum(data, placed)
        expected = lift_of(fitted, tests[k])
        own = found[:, k] * error
        own = 1.0 / own if tests[k].measure == "cost_per_target" else own
        np.testing.assert_allclose(own, expected, rtol=1e-6, err_msg=tests[k].name)
        assert arrays.experiments.observed[k] == pytest.approx(value / error)


def test_integrated_and_plain_programs_agree_with_tests():
    """Integrated coefficients follow the plain program's conditional, including lift tests.

    Given all else, the plain log density is a Gaussian's of `dim` coefficients: over draws of it,
    half a chi-squared of `dim` degrees of freedom. Wrong draws would spread otherwise.
    """
    data = geos()
    spec = mb.ModelSpec(media={"max_lag": 4}, seasonality=[])
    tests = experiments_on(data)
    model = mb.MMM(data, spec, lift_tests=tests)
    with jax.enable_x64(True):
        arrays = model.arrays()
        plain, joined = model.program(marginal=False), model.program(marginal=True)
        sites = joined.layout(arrays).prior_draws(np.random.default_rng(4), 1)
        sites = {n: np.asarray(x[0]) for n, x in sites.items()}
        keys = jax.random.split(jax.random.key(1), 400)
        draws = jax.vmap(lambda key: draw_linear_block(joined.structure, key, joined.resolve(
            dict(sites), arrays), arrays))(keys)  # fmt: skip

        def density(own):
            z = (own["coefficient__geo"] / own["beta"][:, None] - 1.0) / own["media_geo_scale"][
                :, None
            ]
            scales = geo_scales(plain.structure, own)
            full = {**sites, "media_geo__z": z, "linear_geo__z": own["linear_geo"] / scales}
            full |= {t.site: own[t.site] for t in plain.structure.terms}
            names = [s.name for s in plain.layout(arrays).sites]
            return log_density(plain.model, (arrays,), {}, {n: full[n] for n in names})[0], z

        values, z = jax.tree.map(np.asarray, jax.jit(jax.vmap(density))(draws))
    dim = z[0].size + draws["linear_geo"][0].size
    dim += sum(int(np.size(draws[t.site][0])) for t in plain.structure.terms)
    assert np.var(values) == pytest.approx(dim / 2, rel=6 * np.sqrt(2 / 400))


def test_a_precise_test_determines_the_posterior():
    """With a standard error near zero the posterior's lift is what was measured; save keeps it."""
    data = national()
    spec = mb.ModelSpec(media={"max_lag": 4}, sampler={
        "num_warmup": 200, "num_samples": 200, "num_chains": 2})  # fmt: skip
    plain = mb.MMM(data, spec).fit(jax.random.key(5), progress=False, num_prior_draws=0)
    channel = data.channels[1]
    test = mb.LiftTest(channel, data.dates[20], data.dates[40], 0.0, 1.0)
    before = plain.predict_lift(test)
    value = float(np.quantile(before, 0.8))
    exact = mb.LiftTest(channel, data.dates[20], data.dates[40], value, 0.02 * before.std())
    fit = mb.MMM(data, spec, lift_tests=[exact]).fit(
        jax.random.key(6), progress=False, num_prior_draws=0
    )
    after = fit.predict_lift(exact)
    assert abs(after.mean() - value) < 4 * exact.standard_error
    assert after.std() < 1.5 * exact.standard_error
    assert fit.fitted.lift_tests == (exact,)
    assert fit.compare_lift_tests().table["agreement"].iloc[0] == "agrees"


def test_tests_that_do_not_fit_are_all_named():
    data = geos()
    dates, name = data.dates, data.channels[0]
    spent = float(data.ds["spend"].sel(channel=name, date=slice(dates[3], dates[5])).sum())
    bad = [
        mb.LiftTest("telly", dates[3], dates[5], 1.0, 1.0),
        mb.LiftTest(name, dates[3], dates[5], 1.0, 1.0, geos=("nowhere",)),
        mb.LiftTest(name, "1990-01-01", "1990-02-01", 1.0, 1.0),
        mb.LiftTest(name, dates[3], dates[5], 1.0, 1.0, spend_change=2 * spent),
        mb.LiftTest(name, dates[3], dates[5], 1.0, 1.0, measured_until="2090-01-01"),
    ]
    with pytest.raises(DataError) as caught:
        mb.MMM(data, lift_tests=bad)
    text = str(caught.value)
    for word in ("telly", "nowhere", "1990-01-01", f"{spent:.6g}", "2090-01-01"):
        assert word in text, word
    assert len(caught.value.findings) == 5


def test_a_cut_to_zero_is_spread_like_the_spend_of_other_geos():
    data = geos()
    name, dates = data.channels[0], data.dates
    ds = data.ds.copy(deep=True)
    at = data.channels.index(name)
    for field in ("spend", "exposure"):
        values = ds[field].values.copy()
        values[:2, 10:14, at] = 0.0
        ds[field] = (ds[field].dims, values)
    dark = mb.MMMData(ds)
    test = mb.LiftTest(
        name, dates[10], dates[13], -50.0, 5.0, geos=tuple(data.geos[:2]), spend_change=-80.0
    )
    (placed,) = place_tests(dark, [test])
    factual, counterfactual = placed.exposure[name]
    spend, exposure = dark.ds["spend"].values[..., at], dark.ds["exposure"].values[..., at]
    price = spend[:2].sum() / exposure[:2].sum()
    assert (factual[:2, 10:14] == 0).all()
    usual = np.delete(spend[:2], range(10, 14), axis=1).mean(1)
    others = spend[2:, 10:14].sum(0)
    assert others.any()
    pattern = np.outer(usual, others)
    np.testing.assert_allclose(
        counterfactual[:2, 10:14], 80.0 * pattern / pattern.sum() / price, rtol=1e-12
    )
    assert placed.spend_change == -80.0
    # Without other geos, or a spend of their own, money is spread evenly and by population.
    everywhere = mb.LiftTest(name, dates[10], dates[13], -50.0, 5.0, spend_change=-80.0)
    ds["spend"].values[2:, 10:14, at] = 0.0
    ds["exposure"].values[2:, 10:14, at] = 0.0
    (placed,) = place_tests(mb.MMMData(ds), [everywhere])
    added = placed.exposure[name].counterfactual - placed.exposure[name].factual
    assert np.ptp(added[:, 10:14], axis=1) == pytest.approx(0.0, abs=1e-9)


def test_structures_with_tests_compile_apart():
    data = geos()
    spec = mb.ModelSpec(media={"max_lag": 4}, likelihood={"family": "log_normal"})
    plain = mb.MMM(data, spec).structure
    tested = mb.MMM(data, spec, lift_tests=experiments_on(data)).structure
    assert plain.integrates_media(True)
    assert not tested.integrates_media(True)
    assert program_for(plain, True, "float64") is not program_for(tested, True, "float64")
    frame = TimeFrame.from_data(data)
    arrays = model_arrays.training_arrays(
        tested, data, fit_scaling(data, "log"), frame, np.dtype("float32"), experiments_on(data)
    )
    assert arrays.experiments.case.dtype.kind == "i"
    assert arrays.experiments.media.dtype == np.float32
