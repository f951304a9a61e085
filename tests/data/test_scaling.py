"""Scales and their inverses."""

from __future__ import annotations

import numpy as np
import pytest

from mmm_bayes.data.scaling import fit_scaling
from mmm_bayes.data.schema import MMMData
from tests.data import tables


@pytest.fixture(scope="module")
def data() -> MMMData:
    frame = tables.geo()
    frame["promo"] = (np.arange(len(frame)) % 5 == 0).astype(float)
    frame.loc[frame.index % 4 == 0, "tv"] = 0.0
    frame["sales"] = frame["sales"].round()
    roles = {**tables.GEO, "controls": ["price", "promo"]}
    return MMMData.from_dataframe(frame, **roles)


@pytest.mark.parametrize("link", ["identity", "log", "count"])
def test_inverse_is_exact(data: MMMData, link: str) -> None:
    """Exact up to rounding: a few operations with relative error 2**-53 each."""
    scaling = fit_scaling(data, link)  # type: ignore[arg-type]
    ds, population = data.ds, data.ds["population"].values
    for scaled, inverse, original in (
        (
            scaling.media(ds["exposure"].values, population),
            lambda z: scaling.inverse_media(z, population),
            ds["exposure"].values,
        ),
        (scaling.controls(ds["controls"].values), scaling.inverse_controls, ds["controls"].values),
        (
            scaling.target(ds["target"].values, population),
            lambda z: scaling.inverse_target(z, population),
            ds["target"].values,
        ),
    ):
        np.testing.assert_allclose(inverse(scaled), original, rtol=1e-14, atol=1e-14)


def test_scales_by_hand(data: MMMData) -> None:
    scaling = fit_scaling(data)
    frame = data.to_frame()
    per_head = frame["tv"] / frame["people"]
    assert scaling.media_scale[0] == pytest.approx(per_head[per_head > 0].mean(), rel=1e-12)
    sales = frame["sales"] / frame["people"]
    assert scaling.target_center == pytest.approx(sales.mean(), rel=1e-12)
    assert scaling.target_scale == pytest.approx(sales.std(ddof=0), rel=1e-12)
    assert scaling.control_center[0] == pytest.approx(frame["price"].mean(), rel=1e-12)
    # A flag stays a flag.
    assert (scaling.control_center[1], scaling.control_scale[1]) == (0.0, 1.0)
    logs = fit_scaling(data, "log")
    assert logs.target_center == pytest.approx(np.log(sales).mean(), rel=1e-12)
    counts = fit_scaling(data, "count")
    assert (counts.target_center, counts.target_scale) == (0.0, 1.0)


def test_zero_media_stay_zero_and_positive_ones_average_one(data: MMMData) -> None:
    scaling = fit_scaling(data)
    scaled = scaling.media(data.ds["exposure"].values, data.ds["population"].values)
    assert ((scaled == 0) == (data.ds["exposure"].values == 0)).all()
    for c in range(2):
        positive = scaled[..., c][scaled[..., c] > 0]
        assert positive.mean() == pytest.approx(1, rel=1e-12)


def test_effects_are_differences(data: MMMData) -> None:
    scaling, population = fit_scaling(data), data.ds["population"].values
    z = np.random.default_rng(0).standard_normal((2, 5, 3, 12))
    difference = scaling.inverse_target(z + 0.3, population) - scaling.inverse_target(z, population)
    expected = scaling.inverse_effect(np.full_like(z, 0.3), population)
    np.testing.assert_allclose(difference, expected, rtol=1e-9)
    with pytest.raises(ValueError, match="identity"):
        fit_scaling(data, "log").inverse_effect(z, population)


def test_training_scales_apply_to_other_dates(data: MMMData) -> None:
    train = data.subset(slice(None, "2021-02-15"))
    scaling = fit_scaling(train)
    whole = scaling.media(data.ds["exposure"].values, data.ds["population"].values)
    part = scaling.media(train.ds["exposure"].values, train.ds["population"].values)
    np.testing.assert_array_equal(whole[:, : train.num_dates], part)


def test_refused_targets(data: MMMData) -> None:
    negative = data.ds.assign(target=data.ds["target"] - 100.5)
    with pytest.raises(ValueError, match="log link"):
        fit_scaling(MMMData(negative), "log")
    with pytest.raises(ValueError, match=r"[Cc]ount likelihood"):
        fit_scaling(MMMData(negative), "count")
    with pytest.raises(ValueError, match="training data"):
        fit_scaling(MMMData(data.ds.assign(target=data.ds["target"] * np.nan)))
    with pytest.raises(ValueError, match=r"link.*'logit'"):
        fit_scaling(data, "logit")  # type: ignore[arg-type]


def test_channel_off_throughout(data: MMMData) -> None:
    off = data.with_spend("tv", scale=0.0)
    assert fit_scaling(off).media_scale[0] == 1.0
