"""Every family of the model, alone and mixed, gives finite densities and gradients."""

from __future__ import annotations

from itertools import cycle, islice
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.infer import Predictive
from scipy import stats

from mmm_bayes import MMM, MMMData, ModelSpec, simulate
from mmm_bayes.model import tree, units
from mmm_bayes.model.fitted import Fitted
from mmm_bayes.model.generative import generative
from mmm_bayes.model.program import program_for
from mmm_bayes.transforms import ADSTOCKS, SATURATIONS

EFFECTS = ("coefficient", "roas", "marginal_roas", "contribution_share")
LIKELIHOODS = ("normal", "student_t", "log_normal", "poisson", "negative_binomial")
TRENDS = ("none", "linear", "knots", "hsgp")
CURVES = (*SATURATIONS, "none")


def _battery() -> list[Any]:
    """Adstock, saturations, order, likelihood, trend and first effect: every value, in turn."""
    orders = ("adstock_first", "saturation_first")
    likelihoods, trends, effects = cycle(LIKELIHOODS), cycle(TRENDS), cycle(range(len(EFFECTS)))
    cases = []
    for turn in range(2):
        for place, adstock in enumerate((*ADSTOCKS, "none")):
            order, likelihood = orders[(place + turn) % 2], next(likelihoods)
            half = (place + turn) % 2
            case = (adstock, half, order, likelihood, next(trends), next(effects))
            # Then each adstock with the other saturations, the other order, another likelihood.
            cases.append(pytest.param(*case, marks=[pytest.mark.slow] if turn else []))
        next(trends)
    return cases


@pytest.fixture(scope="module")
def counted() -> MMMData:
    """Counts, which every likelihood accepts; a channel for each of half the saturations."""
    return simulate.mmm(
        jax.random.key(31),
        num_dates=24,
        num_channels=(len(CURVES) + 1) // 2,
        num_controls=1,
        likelihood="negative_binomial",
    ).data


@pytest.mark.parametrize(("adstock", "half", "order", "likelihood", "trend", "effect"), _battery())
def test_every_family_has_finite_density_and_gradient(
    counted: MMMData,
    adstock: str,
    half: int,
    order: str,
    likelihood: str,
    trend: str,
    effect: int,
) -> None:
    """One channel for each of half the saturations, the kinds of effect prior in turn."""
    curves = CURVES[half::2]
    kinds = islice(cycle(EFFECTS), effect, effect + len(curves))
    spec = ModelSpec(
        media={"adstock": adstock, "order": order, "max_lag": 4},
        channels={
            channel: {"saturation": curve, "effect": kind}
            for channel, curve, kind in zip(counted.channels, curves, kinds, strict=False)
        },
        trend={"kind": trend, "n_knots": 3, "n_basis": 3},
        likelihood={"family": likelihood},
    )
    mmm = MMM(counted, spec)
    held = Fitted(spec, counted, None)  # type: ignore[arg-type]
    program = program_for(mmm.structure, True, "float64")
    with jax.enable_x64(True):
        arrays = held.arrays
        layout = program.layout(arrays)
        evaluate = jax.jit(jax.value_and_grad(program.potential))
        rng = np.random.default_rng(5)
        gradients = []
        # From the median of the prior to its tails.
        for spread in (0.01, 0.5, 1.0):
            value, gradient = evaluate(jnp.asarray(layout.start(rng, spread)), arrays)
            assert np.isfinite(value)
            assert np.isfinite(gradient).all()
            gradients.append(np.abs(gradient))
    # Every parameter moves the density.
    moved = np.max(gradients, 0) > 0
    still = [name for name, moves in zip(layout.names(), moved, strict=True) if not moves]
    assert not still


def _mixed() -> ModelSpec:
    priors: dict[str, Any] = {
        "tv": {"dist": "beta", "a": 2.0, "b": 4.0},
        "radio": {"dist": "uniform", "low": 0.2, "high": 0.6},
        "search": {"dist": "constant", "value": 0.4},
    }
    return ModelSpec(
        media={"max_lag": 4},
        channels={
            "tv": {"adstock": "delayed", "priors": {"alpha": priors["tv"]}},
            "radio": {"saturation": "logistic", "priors": {"alpha": priors["radio"]}},
            "search": {
                "adstock": "binomial",
                "saturation": "root",
                "priors": {
                    "alpha": priors["search"],
                    "beta": {"dist": "normal", "loc": 0.5, "scale": 1.0},
                },
            },
        },
        intercept={"dist": "student_t", "df": 5.0, "scale": 1.0},
    )


@pytest.fixture(scope="module")
def mixed_prior(national_data: MMMData) -> tuple[Fitted, dict[str, np.ndarray], dict[str, Any]]:
    """Prior draws of the package, and of NumPyro's own predictive."""
    spec = _mixed()
    held = Fitted(spec, national_data, None)  # type: ignore[arg-type]
    with jax.enable_x64(True):
        arrays = held.arrays._replace(block=None)
        program = program_for(held.structure, False, "float64")
        ours = program.prior(jax.random.key(1), arrays, 2000)
        arrays = jax.tree.map(jnp.asarray, arrays)
        theirs = Predictive(
            lambda: generative(held.structure, arrays, observed=False), num_samples=2000
        )(jax.random.key(2))
    return held, ours, {name: np.asarray(value) for name, value in theirs.items()}


def test_prior_draws_are_those_of_numpyro(
    mixed_prior: tuple[Fitted, dict[str, np.ndarray], dict[str, Any]],
) -> None:
    _, ours, theirs = mixed_prior
    assert {"alpha", "theta", "ec", "slope", "lam", "exponent", "beta", "sigma"} < set(ours)
    for name, draws in ours.items():
        for one, two in zip(
            draws.reshape(2000, -1).T, theirs[name].reshape(2000, -1).T, strict=True
        ):
            if np.ptp(one) == 0:
                np.testing.assert_allclose(two, one[0])
                continue
            # About 20 comparisons: a false alarm in 500 seeds, and the seed is fixed.
            assert stats.ks_2samp(one, two).pvalue > 1e-4, name


def test_mixed_priors_keep_to_their_channels(
    mixed_prior: tuple[Fitted, dict[str, np.ndarray], dict[str, Any]],
) -> None:
    held, ours, _ = mixed_prior
    table = units.to_table_units(held.structure, held.scaling, held.log_rate, ours)
    group = tree.parameter_group(held.structure, held.data, table, 1)
    alpha = group["alpha"].sel(chain=0)
    assert alpha.dims == ("draw", "channel")
    assert (alpha.sel(channel="search") == 0.4).all()
    assert float(alpha.sel(channel="radio").min()) > 0.2
    assert float(alpha.sel(channel="radio").max()) < 0.6
    assert stats.kstest(alpha.sel(channel="tv"), stats.beta(2, 4).cdf).pvalue > 1e-3
    # Parameters that one channel has are labelled with it alone.
    assert group["theta"].dims == ("chain", "draw", "theta_channel")
    assert group["theta_channel"].values.tolist() == ["tv"]
    assert group["ec_channel"].values.tolist() == ["tv"]
    assert group["lam_channel"].values.tolist() == ["radio"]
    assert group["exponent_channel"].values.tolist() == ["search"]
    lowest = group["beta"].min(("chain", "draw"))
    assert float(lowest.sel(channel="search")) < 0 < float(lowest.sel(channel="tv"))
    assert not [name for name in group.data_vars if "__" in str(name)]


def test_structures_of_equal_specs_share_one_program(national_data: MMMData) -> None:
    first, second = (MMM(national_data, _mixed()).program(True) for _ in range(2))
    assert first is second
    other = MMM(national_data, _mixed().evolve(trend={"kind": "none"})).program(True)
    assert other is not first


@pytest.mark.parametrize("num_geos", [1, 3])
@pytest.mark.parametrize("marginal", [True, False])
def test_a_constant_control_has_its_value_in_every_geo(num_geos: int, marginal: bool) -> None:
    data = simulate.mmm(
        jax.random.key(7), num_dates=30, num_geos=num_geos, num_channels=1, num_controls=2
    ).data
    first, _ = data.controls
    fixed = {first: {"dist": "constant", "value": 0.3}}
    model = MMM(data, ModelSpec(controls={"priors": fixed}))
    arrays, program = model.arrays(), program_for(model.structure, marginal, "float64")
    with jax.enable_x64(True):
        layout = program.layout(arrays)
        positions = np.stack([layout.start(np.random.default_rng(s), 1.0) for s in range(3)])
        params = program.parameters(jax.random.key(1), positions, arrays)
    # A constant is a prior of width zero: the other controls are still integrated out.
    sampled = any(site.name.startswith("control_coef") for site in layout.sites)
    assert sampled == (not marginal)
    np.testing.assert_array_equal(params["control_coef"][:, 0], 0.3)
    assert len(np.unique(params["control_coef"][:, 1])) == 3
    if num_geos > 1:
        np.testing.assert_array_equal(params["linear_geo"][:, :, 1], 0.0)
        assert (params["linear_geo"][:, :, 2] != 0.0).any()
