"""Districts of equations: products without correlation, and estimates of the correlation."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest
from numpyro.infer.util import log_density

from mmm_bayes.data.schema import MMMData
from mmm_bayes.fit import MMM
from mmm_bayes.inference import mcmc
from mmm_bayes.model import structural
from mmm_bayes.model.program import program_for
from mmm_bayes.model.spec import ModelSpec

NDArray = np.ndarray[Any, Any]
WEEKS = 90


def table(target: NDArray, media: NDArray, control: NDArray) -> MMMData:
    return MMMData.from_arrays(
        dates=pd.date_range("2023-01-02", periods=WEEKS, freq="W-MON"),
        target=target[None],
        spend=media[None, :, None],
        channels=["tv"],
        controls=control[None, :, None],
        control_names=["price"],
    )


@pytest.fixture(scope="module")
def models() -> list[MMM]:
    """Two equations whose errors have the correlation 0.7, and the second a non-normal prior."""
    rng = np.random.default_rng(3)
    media = rng.gamma(2.0, 1.0, WEEKS)
    price = rng.normal(size=WEEKS)
    errors = rng.multivariate_normal([0, 0], [[1, 0.7], [0.7, 1]], WEEKS).T
    targets = 10.0 + 3.0 * media / (media + 2.0) + np.outer([1.0, -2.0], price) + errors
    odd = ModelSpec(controls={"prior": {"dist": "half_normal", "scale": 2.0}})
    specs = [ModelSpec(), odd]
    signs = (1.0, -1.0)
    return [
        MMM(table(y, media, sign * price), spec)
        for y, spec, sign in zip(targets, specs, signs, strict=True)
    ]


@pytest.fixture(scope="module")
def district(models: list[MMM]) -> structural.District:
    return structural.District(("one", "other"), tuple(m.structure for m in models), ((0, 1),))


def test_without_loadings_the_density_is_the_product_of_the_equations(
    models: list[MMM], district: structural.District
) -> None:
    with jax.enable_x64(True):
        each = [model.arrays() for model in models]
        arrays = structural.join_arrays(district, each)
        program = structural.DistrictProgram(district)
        rng = np.random.default_rng(0)
        start = program.layout(arrays).start(rng, 0.8)
        sites = dict(program.layout(arrays).constrain(start))
        zero = np.full(1, 1e-12)
        sites |= {"loading_first": zero, "loading_second": zero}
        found = float(log_density(program.model, (arrays,), {}, sites)[0])
        expected = float(
            sum(p.logpdf(np.array(0.0)).item() for p in _frozen(structural.LOADING_PRIORS))
        )
        for name, model, own in zip(district.nodes, models, each, strict=True):
            single = program_for(model.structure, True, "float64")
            params = {n.split("/")[1]: v for n, v in sites.items() if n.startswith(f"{name}/")}
            expected += float(log_density(single.model, (own,), {}, params)[0])
    assert found == pytest.approx(expected, rel=1e-9)


def _frozen(priors: dict[str, Any]) -> list[Any]:
    from scipy import stats

    return [
        (stats.halfnorm if p.dist == "half_normal" else stats.norm)(scale=p.parameters[-1])
        for p in priors.values()
    ]


def test_the_correlation_of_the_errors_is_found(
    models: list[MMM], district: structural.District
) -> None:
    spec = mcmc.SamplerSpec(num_warmup=300, num_samples=300, num_chains=2)
    with jax.enable_x64(True):
        arrays: Any = structural.join_arrays(district, [model.arrays() for model in models])
        program = structural.DistrictProgram(district)
        draws = mcmc.sample(
            jax.random.key(0), program.sampler(arrays), arrays, program.layout(arrays).start, spec
        )
        positions = draws.positions.reshape(-1, draws.positions.shape[-1])
        params = program.parameters(jax.random.key(1), positions, arrays)
    assert not draws.info.diverging.any()
    correlation = params["error_correlation"]
    np.testing.assert_allclose(np.diagonal(correlation, axis1=1, axis2=2), 1.0, rtol=1e-9)
    low, high = np.quantile(correlation[:, 0, 1], [0.005, 0.995])
    assert low < 0.7 < high
    assert low > 0.4
    own = program.by_node(params)
    assert set(own) == {"one", "other"}
    # The second table holds minus the price: its half-normal coefficient is about two.
    scale = models[1].arrays().design[0, :, -1].std()
    assert scale == pytest.approx(1.0, rel=1e-6)
    centre = own["other"]["control_coef"].mean() * models[1].data.ds["target"].values.std()
    assert centre == pytest.approx(2.0, abs=0.5)
