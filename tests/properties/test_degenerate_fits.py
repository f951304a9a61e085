"""Tables at the edge of what can be fitted: finite results, or a refusal with the remedy."""

from __future__ import annotations

import warnings

import jax
import numpy as np
import pandas as pd
import pytest

import mmm_bayes as mb

DRAWS = {"num_warmup": 60, "num_samples": 30, "num_chains": 1}
SPEC = mb.ModelSpec(media={"max_lag": 3})
WEEKS = 30

# All of one shape: the sampler is compiled once for them.
KINDS = [
    "tiny spend", "huge spend", "one week on", "nearly collinear", "mostly zero target",
    "huge target", "outlier", "steps of a year",
]  # fmt: skip


def table(kind: str) -> mb.MMMData:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"week": pd.date_range("2023-01-02", periods=WEEKS, freq="7D")})
    frame["tv"], frame["search"] = rng.gamma(2.0, 9.0, (2, WEEKS))
    frame["price"] = rng.normal(size=WEEKS)
    if kind == "tiny spend":
        frame[["tv", "search"]] *= 1e-9
    elif kind == "huge spend":
        frame[["tv", "search"]] *= 1e12
    elif kind == "one week on":
        frame["tv"] = np.where(np.arange(WEEKS) == 11, 40.0, 0.0)
    elif kind == "nearly collinear":
        frame["search"] = 2 * frame["tv"] + 0.05 * rng.normal(size=WEEKS) + 1.0
    elif kind == "steps of a year":
        frame["week"] = pd.date_range("1950-12-31", periods=WEEKS, freq="YE")
    frame["sales"] = 50 + frame["tv"] / frame["tv"].max() * 20 + rng.normal(0, 3, WEEKS)
    if kind == "mostly zero target":
        frame["sales"] = np.where(np.arange(WEEKS) % 5 == 0, frame["sales"], 0.0)
    elif kind == "huge target":
        frame["sales"] *= 1e15
    elif kind == "outlier":
        frame.loc[4, "sales"] = 1e9
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mb.errors.DataWarning)
        return mb.MMMData.from_dataframe(
            frame, date="week", target="sales", channels=["tv", "search"], controls=["price"]
        )


@pytest.mark.parametrize("kind", KINDS)
def test_results_are_finite(kind: str) -> None:
    data = table(kind)
    fit = mb.MMM(data, SPEC).fit(jax.random.key(0), progress=False, num_prior_draws=20, **DRAWS)
    for name, values in fit.tree["posterior"].data_vars.items():
        assert np.isfinite(values.values).all(), name
    summary = fit.summary()
    assert np.isfinite(summary.drop(columns=[], errors="ignore").to_numpy(float)).all()
    assert np.isfinite(fit.contributions().values).all()
    assert np.isfinite(fit.response_curves().values).all()
    # Contributions are of the size of the target, whatever the unit of money.
    assert abs(fit.contributions().sum("component").mean() / data.ds["target"].sum()) < 100
    assert fit.diagnose().verdict in ("PASS", "REVIEW", "FAIL")


def test_geos_of_two_rows_and_a_geo_that_spends_nothing() -> None:
    rng = np.random.default_rng(1)
    geos, dates = 12, 2
    frame = pd.DataFrame(
        {
            "week": np.tile(pd.date_range("2023-01-02", periods=dates, freq="7D"), geos),
            "geo": np.repeat([f"g{k}" for k in range(geos)], dates),
            "tv": rng.gamma(2.0, 9.0, geos * dates),
        }
    )
    frame.loc[frame["geo"] == "g3", "tv"] = 0.0
    frame["sales"] = 50 + frame["tv"] + rng.normal(0, 3, len(frame))
    frame.loc[frame["geo"] == "g5", "sales"] = 70.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mb.errors.DataWarning)
        data = mb.MMMData.from_dataframe(
            frame, date="week", target="sales", channels=["tv"], geo="geo"
        )
    with pytest.raises(mb.errors.ModelDataError, match="max_lag"):
        mb.MMM(data, mb.ModelSpec())
    spec = mb.ModelSpec(media={"max_lag": 1}, trend={"kind": "none"})
    fit = mb.MMM(data, spec).fit(jax.random.key(0), progress=False, num_prior_draws=20, **DRAWS)
    for name, values in fit.tree["posterior"].data_vars.items():
        assert np.isfinite(values.values).all(), name
    roas = fit.roas(("geo",))
    silent = roas.sel(geo="g3").values
    assert np.isnan(silent).all()
    assert np.isfinite(roas.drop_sel(geo="g3").values).all()


@pytest.mark.parametrize("family", ["poisson", "negative_binomial"])
def test_counts_that_are_nearly_all_zero(family: str) -> None:
    frame = table("one week on").to_frame()
    frame["sales"] = (np.arange(WEEKS) % 7 == 0).astype(float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mb.errors.DataWarning)
        data = mb.MMMData.from_dataframe(
            frame, date="week", target="sales", channels=["tv", "search"]
        )
    spec = SPEC.evolve(likelihood={"family": family})
    fit = mb.MMM(data, spec).fit(jax.random.key(0), progress=False, num_prior_draws=20, **DRAWS)
    for name, values in fit.tree["posterior"].data_vars.items():
        assert np.isfinite(values.values).all(), name
    assert np.isfinite(fit.contributions().values).all()
