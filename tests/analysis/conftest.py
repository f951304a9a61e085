"""Fits of every family whose draws come from the prior, which needs no sampling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import pytest
import xarray as xr

from mmm_bayes import FitResult, MMMData, ModelSpec, simulate
from mmm_bayes.model import tree, units
from mmm_bayes.model.fitted import Fitted
from mmm_bayes.model.program import program_for

FAMILIES = ("mixed", "student_t", "negative_binomial", "geo", "geo_log")


def fit_from_prior(data: MMMData, spec: ModelSpec, draws: int = 12) -> FitResult:
    """Use draws of the prior as those of the posterior."""
    fitted = Fitted(spec, data, xr.DataTree())
    structure, scaling = fitted.structure, fitted.scaling
    with fitted.precision():
        program = program_for(structure, False, spec.sampler.precision)
        arrays = fitted.arrays._replace(block=None)
        params = program.prior(jax.random.key(7), arrays, draws)
    table = units.to_table_units(structure, scaling, fitted.log_rate, params)
    groups = {"posterior": tree.parameter_group(structure, data, table, 1)}
    groups |= tree.data_groups(data)
    return FitResult(Fitted(spec, data, xr.DataTree.from_dict(groups)))


def _simulated(**settings: Any) -> MMMData:
    return simulate.mmm(
        jax.random.key(11), num_dates=30, num_channels=3, num_controls=2, max_lag=5, **settings
    ).data


def _case(family: str) -> tuple[MMMData, ModelSpec]:
    tv, radio, search = "tv", "radio", "search"
    if family == "mixed":
        # Each channel has its own transforms and kind of effect prior; one is organic.
        data = _simulated()
        spec = ModelSpec(
            media={"max_lag": 4, "priors": {"alpha": {"dist": "beta", "a": 2, "b": 3}}},
            channels={
                tv: {"adstock": "delayed", "effect": "roas"},
                radio: {"adstock": "weibull_pdf", "saturation": "logistic",
                        "effect": "marginal_roas"},
                search: {"adstock": "none", "saturation": "root",
                         "effect": "contribution_share"},
            },
            seasonality=[{"period": "quarter", "order": 1}],
            events=[{"name": "sale", "dates": ["2022-03-01"]}],
        )  # fmt: skip
    elif family == "student_t":
        data = _simulated(impressions=True)
        spec = ModelSpec(
            media={"max_lag": 4, "order": "saturation_first"},
            likelihood={"family": "student_t"},
            trend={"kind": "hsgp", "n_basis": 3},
        )
    elif family == "negative_binomial":
        data = _simulated(likelihood="negative_binomial")
        spec = ModelSpec(
            media={"max_lag": 4, "saturation": "michaelis_menten"},
            likelihood={"family": "negative_binomial"},
        )
    elif family == "geo":
        data = _simulated(num_geos=3)
        spec = ModelSpec(media={"max_lag": 4, "effect": "roas"}, geo={"media": "log_normal"})
    else:
        data = _simulated(num_geos=3, likelihood="lognormal")
        spec = ModelSpec(
            media={"max_lag": 4},
            geo={"media": "normal", "controls": "pooled"},
            likelihood={"family": "log_normal"},
            trend={"kind": "knots", "n_knots": 3},
            seasonality=[{"period": "year", "order": 1}],
        )
    return data, spec


@pytest.fixture(scope="session")
def prior_fits() -> Callable[[str], FitResult]:
    """Fits of all families by name, made on first use."""
    made: dict[str, FitResult] = {}

    def get(family: str) -> FitResult:
        if family not in made:
            made[family] = fit_from_prior(*_case(family))
        return made[family]

    return get


@pytest.fixture(scope="session", params=FAMILIES)
def any_fit(request: pytest.FixtureRequest, prior_fits: Callable[[str], FitResult]) -> FitResult:
    """Each family in turn."""
    return prior_fits(request.param)
