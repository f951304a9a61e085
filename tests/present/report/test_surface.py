"""The curves that the page carries, against the model itself."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from mmm_bayes import FitResult
from mmm_bayes.analysis.contributions import fitted_mean, roas
from mmm_bayes.model.fitted import Fitted
from mmm_bayes.present.report.surface import POINTS, Surface, multiples, reach_of, slopes, surface
from tests.present.report.conftest import scaled_table


@pytest.fixture(scope="module")
def cases(national_fit: FitResult, log_fitted: Fitted) -> dict[str, tuple[Fitted, Surface]]:
    fits = {"additive": national_fit.fitted, "multiplicative": log_fitted}
    return {name: (fitted, surface(fitted)) for name, fitted in fits.items()}


@pytest.mark.parametrize("kind", ["additive", "multiplicative"])
def test_total_is_that_of_the_model(kind: str, cases: dict[str, tuple[Fitted, Surface]]) -> None:
    fitted, found = cases[kind]
    rng, names = np.random.default_rng(3), fitted.data.channels
    draws = len(found.weights)
    today = fitted_mean(fitted, (), unit="revenue", max_draws=draws).values.ravel()
    corners = [np.zeros(len(names)), np.full(len(names), 2.0), np.ones(len(names))]
    for factors in [*corners, *rng.uniform(0.0, 2.0, (6, len(names)))]:
        table = scaled_table(fitted.data, factors)
        exact = fitted_mean(fitted, (), unit="revenue", data=table, max_draws=draws).values.ravel()
        total = found.total(dict(zip(names, factors, strict=True)))
        np.testing.assert_allclose(total, exact, rtol=0.002)
        # Changes are small beside totals: they hold to a percent of a typical one of theirs.
        allowed = 0.01 * float(np.median(np.abs(exact - today))) + 1e-9 * today
        assert (np.abs(total - exact) <= allowed).all()


@pytest.mark.parametrize("kind", ["additive", "multiplicative"])
def test_one_channel_alone_is_exact_at_the_points(
    kind: str, cases: dict[str, tuple[Fitted, Surface]]
) -> None:
    fitted, found = cases[kind]
    point = 20
    for c, name in enumerate(found.channels):
        factors = np.ones(len(found.channels))
        factors[c] = found.multiples[point]
        table = scaled_table(fitted.data, factors)
        exact = fitted_mean(
            fitted, (), unit="revenue", data=table, max_draws=len(found.weights)
        ).values.ravel()
        total = found.total({name: float(factors[c])})
        np.testing.assert_allclose(total, exact, rtol=1e-9)


@pytest.mark.parametrize("kind", ["additive", "multiplicative"])
def test_response_today_is_roas_times_spend(
    kind: str, cases: dict[str, tuple[Fitted, Surface]]
) -> None:
    fitted, found = cases[kind]
    curves = found.response()
    today = round(np.cbrt(1.0 / found.reach) * (POINTS - 1))
    assert found.multiples[today] == pytest.approx(1.0, abs=1e-12)
    exact = roas(fitted, max_draws=len(found.weights)).values.reshape(-1, len(found.channels))
    np.testing.assert_allclose(curves[:, :, today], exact * found.spend, rtol=1e-9)


def test_packed_curves_come_back(
    cases: dict[str, tuple[Fitted, Surface]],
) -> None:
    _, found = cases["multiplicative"]
    shape, text = found.packed([0, 2])
    raw = base64.b64decode(text)
    draws, channels, groups, points = (
        shape[name] for name in ("draws", "channels", "groups", "points")
    )
    curves = draws * channels * groups
    weights = np.frombuffer(raw, "<f4", draws * groups).reshape(draws, groups)
    np.testing.assert_allclose(weights, found.weights, rtol=1e-6)
    ranges = np.frombuffer(raw, "<f4", 2 * curves, 4 * draws * groups).reshape(
        draws, channels, groups, 2
    )
    levels = np.frombuffer(raw, "<i2", curves * points, 4 * draws * groups + 8 * curves)
    levels = levels.reshape(draws, channels, groups, points)
    back = (levels / 32767) ** 3 * ranges[..., 1:]
    kept = found.curves[:, [0, 2]]
    rise = kept - kept[..., :1]
    np.testing.assert_allclose(ranges[..., 0], kept[..., 0], rtol=1e-6)
    # The cube root is kept to half a level; the scale is single precision.
    largest = np.maximum(np.abs(rise).max(-1, keepdims=True), 1e-30)
    root, off = np.cbrt(np.abs(rise) / largest), 0.5001 / 32767
    allowed = largest * ((root + off) ** 3 - root**3) + 1e-6 * np.abs(rise)
    assert (np.abs(back - rise) <= allowed).all()
    assert len(raw) == 4 * draws * groups + 8 * curves + 2 * curves * points


def test_slopes_are_of_fourth_order_and_monotone() -> None:
    x = np.arange(POINTS)
    smooth = np.exp(0.05 * x)[None]
    np.testing.assert_allclose(slopes(smooth)[:, 2:-2], 0.05 * smooth[:, 2:-2], rtol=1e-5)
    cubic = (0.1 * x**3 + x)[None]
    np.testing.assert_allclose(slopes(cubic), 0.3 * x[None] ** 2 + 1, rtol=1e-9)
    rng = np.random.default_rng(0)
    steps = np.cumsum(rng.exponential(1.0, (50, POINTS)) ** 4, axis=-1)
    from scipy.interpolate import CubicHermiteSpline

    for sign in (1, -1):
        curve = CubicHermiteSpline(x, sign * steps, slopes(sign * steps), axis=-1)
        fine = sign * curve(np.linspace(0, POINTS - 1, 2000))
        assert (np.diff(fine, axis=-1) >= -1e-9 * steps[:, -1:]).all()


@pytest.mark.parametrize("exponent", [0.4, 1.0, 1.5, 2.5])
def test_little_spend_is_kept_to_a_percent(exponent: float) -> None:
    """A Hill curve from 1% to twice of today's spend, with its derivative."""
    reach = reach_of(2.0)

    def hill(m: np.ndarray) -> np.ndarray:
        return m**exponent / (m**exponent + 0.8**exponent)

    curves = hill(multiples(reach))[None, None, None]
    found = Surface(("tv",), np.ones(1), reach, np.ones((1, 1)), curves, True)
    for m in np.geomspace(0.01, 2.0, 60):
        value, more = (float(found.at(0, x)[0, 0]) for x in (m, 1.01 * m))
        assert value == pytest.approx(hill(m), rel=0.005)
        assert more - value == pytest.approx(hill(1.01 * m) - hill(m), rel=0.01)
