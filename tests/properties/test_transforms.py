"""What holds of adstock and saturation at any parameters, the extremes included."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmm_bayes.transforms import ADSTOCKS, SATURATIONS, causal_convolution

QUICK = settings(max_examples=40, deadline=None, derandomize=True)
LAG, LENGTH = 6, 20

# Far beyond what a prior gives; exposure is over its mean, so that 1 is the middle of it.
SHARE = st.one_of(st.sampled_from([0.0, 1e-300, 1e-12, 0.5, 1 - 1e-12, 1.0]), st.floats(0.0, 1.0))
WIDE = st.floats(-6, 6).map(lambda v: 10.0**v)
LIMITS: dict[str, Any] = {"alpha": SHARE, "theta": st.floats(0, LAG - 1)}

# Compiled once: the examples are of one shape.
KERNELS = {
    (name, flag): jax.jit(lambda *v, f=family.kernel, flag=flag: f(*v, max_lag=LAG, normalise=flag))
    for name, family in ADSTOCKS.items()
    for flag in (True, False)
}
CURVES = {name: jax.jit(family.function) for name, family in SATURATIONS.items()}
SLOPES = {
    name: jax.jit(
        jax.vmap(
            jax.grad(family.function, argnums=tuple(range(1 + len(family.parameters)))),
            in_axes=(0, *[None] * len(family.parameters)),
        )
    )
    for name, family in SATURATIONS.items()
}


@st.composite
def adstocks(draw: st.DrawFn) -> tuple[str, list[float]]:
    name = draw(st.sampled_from(sorted(ADSTOCKS)))
    return name, [draw(LIMITS.get(p, WIDE)) for p in ADSTOCKS[name].parameters]


@QUICK
@given(adstocks(), st.sampled_from(["float32", "float64"]))
def test_weights_are_a_distribution(case: tuple[str, list[float]], dtype: str) -> None:
    name, values = case
    with jax.enable_x64(True):
        given_ = [np.asarray(v, dtype) for v in values]
        weights = np.asarray(KERNELS[name, True](*given_))
        plain = np.asarray(KERNELS[name, False](*given_))
    assert weights.dtype == dtype
    for found in (weights, plain):
        assert np.isfinite(found).all()
        assert (found >= 0).all()
    assert weights.sum() == pytest.approx(1.0, rel=float(30 * np.finfo(dtype).eps))


@QUICK
@given(
    adstocks(),
    st.integers(0, 2**31),
    st.floats(-3.0, 3.0),
    st.integers(0, LENGTH - 1),
)
def test_convolution_is_linear_causal_and_shifts(
    case: tuple[str, list[float]], seed: int, factor: float, shift: int
) -> None:
    name, values = case
    rng = np.random.default_rng(seed)
    x, z = rng.gamma(1.0, 1.0, (2, LENGTH))
    with jax.enable_x64(True):
        weights = KERNELS[name, True](*[np.asarray(v) for v in values])
        of = lambda series: np.asarray(causal_convolution(series, weights))  # noqa: E731
        np.testing.assert_allclose(of(x + factor * z), of(x) + factor * of(z), atol=1e-12)
        later = np.concatenate([np.zeros(shift), x])[:LENGTH]
        np.testing.assert_allclose(
            of(later), np.concatenate([np.zeros(shift), of(x)])[:LENGTH], atol=1e-13
        )
        changed = x.copy()
        changed[shift:] += 1.0
        np.testing.assert_array_equal(of(changed)[:shift], of(x)[:shift])
        # What is felt is what was bought, once the carry-over has run out.
        ended = np.concatenate([x, np.zeros(LAG)])
        assert of(ended).sum() == pytest.approx(x.sum(), rel=1e-12)


@pytest.mark.parametrize("max_lag", [1, 2, LENGTH, LENGTH + 7])
@pytest.mark.parametrize("name", sorted(ADSTOCKS))
def test_windows_of_one_and_longer_than_the_series(name: str, max_lag: int) -> None:
    values = [np.asarray(0.5 if p in LIMITS else 1.5) for p in ADSTOCKS[name].parameters]
    x = np.random.default_rng(0).gamma(1.0, 1.0, LENGTH)
    with jax.enable_x64(True):
        weights = np.asarray(ADSTOCKS[name].kernel(*values, max_lag=max_lag))
        found = np.asarray(causal_convolution(x, weights))
    expected = [
        sum(weights[lag] * x[t - lag] for lag in range(min(t + 1, max_lag))) for t in range(LENGTH)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    if max_lag == 1:
        np.testing.assert_allclose(found, x, rtol=1e-15)


@st.composite
def curves(draw: st.DrawFn) -> tuple[str, list[float]]:
    name = draw(st.sampled_from(sorted(SATURATIONS)))
    own = {"exponent": SHARE, "slope": st.floats(-2, 2).map(lambda v: 10.0**v)}
    return name, [draw(own.get(p, WIDE)) for p in SATURATIONS[name].parameters]


@settings(max_examples=120, deadline=None, derandomize=True)
@given(curves(), st.sampled_from(["float32", "float64"]))
@example(("hill", [1e-6, 100.0]), "float32")
@example(("hill", [1e6, 0.01]), "float64")
@example(("root", [0.0]), "float64")
def test_curves_rise_from_zero_and_stay_finite(case: tuple[str, list[float]], dtype: str) -> None:
    name, values = case
    # Below the normal range a processor may take a number for zero, so 0 stands for all of it.
    top = 36 if dtype == "float32" else 300
    x = np.array([0.0, *10.0 ** np.arange(-top, top + 1, 12.0)], dtype)
    with jax.enable_x64(True):
        given_ = [np.asarray(v, dtype) for v in values]
        y = np.asarray(CURVES[name](x, *given_))
        parts = SLOPES[name](x, *given_)
    assert y.dtype == dtype
    assert y[0] == 0
    assert np.isfinite(y).all()
    assert (np.diff(y) >= -4 * np.finfo(dtype).eps * np.abs(y[1:])).all()
    if name != "root":
        assert (y <= 1 + 4 * np.finfo(dtype).eps).all()
    for part in parts:
        assert np.isfinite(part).all()
