"""Conversion between the sampler's scale and table units: exact in both directions."""

from __future__ import annotations

import numpy as np
import pytest

from mmm_bayes import FitResult, ModelSpec
from mmm_bayes.data.scaling import fit_scaling
from mmm_bayes.data.schema import MMMData
from mmm_bayes.model import units
from mmm_bayes.model.arrays import log_rate
from mmm_bayes.model.structure import structure_of

SITES = {
    "alpha": (3,), "theta": (3,), "ec": (3,), "lam": (3,), "rate": (3,), "saturation_scale": (3,),
    "slope": (3,), "exponent": (3,), "beta": (3,), "coefficient__geo": (3, 4), "roas": (3,),
    "sigma": (), "nu": (), "dispersion": (), "intercept": (), "trend_coef": (5,),
    "seasonality_coef": (4,), "control_coef": (1,), "trend_amplitude": (), "trend_length": (),
    "intercept_geo_scale": (), "control_geo_scale": (1,), "media_geo_scale": (3,),
    "linear_geo": (4, 2),
}  # fmt: skip


def _model(data: MMMData, family: str, saturation: str = "hill"):  # type: ignore[no-untyped-def]
    spec = ModelSpec(likelihood={"family": family}, media={"saturation": saturation})
    structure = structure_of(spec, data.channels, data.controls, data.num_geos)
    return structure, fit_scaling(data, spec.likelihood.link), log_rate(data)


@pytest.mark.parametrize("family", ["normal", "log_normal"])
@pytest.mark.parametrize("saturation", ["hill", "logistic", "tanh", "exponential"])
def test_round_trip_is_exact(geo_data: MMMData, family: str, saturation: str) -> None:
    structure, scaling, rate = _model(geo_data, family, saturation)
    own = {p.site for p in structure.media.parameters}
    curves = {"ec", "lam", "rate", "saturation_scale"}
    rng = np.random.default_rng(0)
    scaled = {
        name: rng.uniform(0.1, 3.0, (7, *shape))
        for name, shape in SITES.items()
        if name not in curves or name in own
    }
    table = units.to_table_units(structure, scaling, rate, scaled)
    assert "beta_geo" in table
    assert table["control_geo"].shape == (7, 4, 1)
    again = units.to_scaled(structure, scaling, rate, table)
    assert set(again) == set(scaled)
    for name, value in scaled.items():
        np.testing.assert_allclose(again[name], value, rtol=1e-13, err_msg=name)


def test_factors_are_those_of_the_table(geo_data: MMMData) -> None:
    structure, scaling, rate = _model(geo_data, "normal")
    per_head = geo_data.ds["target"] / geo_data.ds["population"]
    sd, mean = float(per_head.std()), float(per_head.mean())
    exposure = (geo_data.ds["exposure"] / geo_data.ds["population"]).values.reshape(-1, 3)
    positive = np.array([x[x > 0].mean() for x in exposure.T])
    spread = float(geo_data.ds["controls"].std())
    one = {name: np.ones((1, *shape)) for name, shape in SITES.items()}
    del one["lam"], one["rate"], one["saturation_scale"]
    table = units.to_table_units(structure, scaling, rate, one)
    assert table["intercept"][0] == pytest.approx(mean + sd)
    np.testing.assert_allclose(table["ec"][0], positive)
    np.testing.assert_allclose(table["beta"][0], sd)
    np.testing.assert_allclose(table["control_coef"][0], sd / spread)
    np.testing.assert_allclose(table["control_geo"][0], sd / spread)
    np.testing.assert_allclose(table["intercept_geo"][0], sd)
    for name in ("alpha", "slope", "roas", "media_geo_scale", "trend_length"):
        np.testing.assert_array_equal(table[name], one[name])


def test_rates_fall_where_the_unit_of_exposure_grows(geo_data: MMMData) -> None:
    structure, scaling, rate = _model(geo_data, "normal", "logistic")
    table = units.to_table_units(structure, scaling, rate, {"lam": np.ones((1, 3))})
    np.testing.assert_allclose(table["lam"][0], 1.0 / scaling.media_scale)


def test_scaled_draws_of_a_fit_come_back_from_its_tree(geo_fit: FitResult) -> None:
    fitted = geo_fit._fitted
    params, chains, draws = fitted.scaled(max_draws=6)
    assert chains.tolist() == [0, 1]
    assert draws.tolist() == [0, 74, 149]
    posterior = geo_fit.tree["posterior"].to_dataset()
    assert params["alpha"].shape == (6, 3)
    np.testing.assert_array_equal(params["alpha"][4], posterior["alpha"][1, 74])
    slope = posterior["control_geo"].values[1, 74] / params["linear_geo"][4, :, 1:]
    np.testing.assert_allclose(slope, slope.flat[0])
