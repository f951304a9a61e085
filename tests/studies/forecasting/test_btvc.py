"""Time-varying coefficients: their kernel, their model and what it finds."""

from __future__ import annotations

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest
from numpyro import distributions as dist
from numpyro.infer.util import constrain_fn

from mmm_bayes.validation.panel.inputs import PanelScale
from studies.forecasting.btvc import (
    _POSITIVE,
    BTVC,
    btvc_model,
    coefficient_kernel,
    fourier,
    model_arrays,
)
from studies.forecasting.mean_field import mean_field_draws, parameter_shapes
from tests.validation.panel import panels

KEY = jax.random.key(0)


def test_kernel_weights() -> None:
    knots = np.array([0.0, 50.0, 100.0])
    kernel = coefficient_kernel(np.array([0, 50, 75, 100_000]), knots, 50)
    np.testing.assert_allclose(kernel.sum(1), 1.0)
    np.testing.assert_allclose(kernel[1, 0] / kernel[1, 1], np.exp(-0.5))
    np.testing.assert_allclose(kernel[2, 1], kernel[2, 2])
    np.testing.assert_allclose(kernel[3], [0.0, 0.0, 1.0])


def test_seasons_repeat() -> None:
    day = np.arange(7.0)
    np.testing.assert_allclose(fourier(day, 0), fourier(day + 70, 0), atol=1e-9)
    yearly = fourier(np.array([0.0, 365.25 * 28]), 2)
    np.testing.assert_allclose(yearly[0], yearly[1], atol=1e-9)
    assert yearly.shape == (2, 10)


def conjugate(data: tuple[jnp.ndarray, jnp.ndarray]) -> None:
    observed, counts = data
    location = numpyro.sample("location", dist.Normal(jnp.zeros(3), 2.0).to_event(1))
    scale = numpyro.sample("scale", dist.LogNormal(jnp.zeros(2), 0.5).to_event(1))
    numpyro.factor("normal", dist.Normal(location, 1.0).log_prob(observed).sum())
    numpyro.factor("log", dist.Normal(jnp.log(scale), 0.25).log_prob(counts).sum())


def test_the_approximation_is_exact_where_it_can_be() -> None:
    observed, counts = jnp.array([[1.0, -2.0, 0.0]] * 5), jnp.array([1.0, -1.0])
    draws = mean_field_draws(
        KEY,
        conjugate,
        (observed, counts),
        positive=("scale",),
        steps=2000,
        learning_rate=0.05,
        draws=4000,
    )
    precision = 5 + 1 / 4
    # 4000 draws: a standard error of 1.6% of the sd; steps with one draw each add to it.
    mean, sd = draws["location"].mean(0), draws["location"].std(0)
    np.testing.assert_allclose(mean, 5 / precision * observed[0], atol=0.1 / np.sqrt(precision))
    np.testing.assert_allclose(sd, 1 / np.sqrt(precision), rtol=0.1)
    logs = np.log(draws["scale"])
    np.testing.assert_allclose(logs.mean(0), counts * 16 / (16 + 4), atol=0.1 / np.sqrt(20))
    np.testing.assert_allclose(logs.std(0), 1 / np.sqrt(20), rtol=0.1)


def test_positive_parameters_are_those_of_the_model() -> None:
    panel, _ = panels.seasonal()
    fitted = BTVC(steps=600).fit(KEY, panel)
    arrays = model_arrays(panel, PanelScale.of(panel), BTVC())
    z = {name: jnp.full(shape, 0.3) for name, shape in parameter_shapes(btvc_model, arrays)}
    constrained = jax.jit(lambda z: constrain_fn(btvc_model, (arrays,), {}, z))(z)
    for name, values in constrained.items():
        expected = np.exp(0.3) if name in _POSITIVE else 0.3
        np.testing.assert_allclose(values, expected, rtol=1e-6)
    assert set(constrained) == set(fitted.parameters)


def test_effects_and_seasons_are_found() -> None:
    panel, unit = panels.seasonal()
    fitted = BTVC(steps=600).fit(KEY, panel)
    scale = fitted.scale.spread / unit[:, None]
    knots = fitted.parameters["knot"] * (scale[:, 2] / scale[:, 0])[:, None, None]
    # A shop's least squares would have a standard error of NOISE / sqrt(240) = 0.026.
    np.testing.assert_allclose(knots[..., 0].mean((0, 2)), panels.CARRIED, atol=0.1)
    assert (knots[..., 1].mean((0, 2)) < 0.1).all()
    assert (fitted.parameters["knot"] > 0).all()
    promotion = fitted.parameters["own"][..., -1] * scale[:, 2] / panel.context.std()
    np.testing.assert_allclose(promotion.mean(0), panels.PROMOTION, atol=0.3)
    sigma = fitted.parameters["sigma"].mean(0) * scale[:, 2]
    np.testing.assert_allclose(sigma, panels.NOISE, atol=0.1)


@pytest.mark.slow
def test_arviz_may_be_imported_first() -> None:
    program = (
        "import arviz, studies.forecasting.btvc as b\n"
        "assert b.dist.distribution.Unit is not None and b.numpyro.handlers\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
