"""A target of both signs has totals and returns, but no shares; tiny returns are named."""

import jax
import numpy as np
import pandas as pd
import pytest

import mmm_bayes as mb
from mmm_bayes.analysis.contributions import contribution_share, target_total
from mmm_bayes.analysis.diagnosis import check_returns
from mmm_bayes.model import store
from mmm_bayes.present.report import write_report

QUICK = dict(num_samples=60, num_warmup=100, num_chains=2, progress=False)


def fitted(offset, scale=1.0):
    rng, n = np.random.default_rng(0), 52
    frame = pd.DataFrame({"week": pd.date_range("2023-01-02", periods=n, freq="W-MON")})
    frame["tv"], frame["search"] = rng.gamma(2, 50, n), rng.gamma(3, 20, n)
    brought = 2 * frame["tv"] + 1.5 * frame["search"]
    frame["profit"] = (brought - brought.mean() + offset + rng.normal(0, 40, n)) * scale
    roles = dict(date="week", target="profit", channels=["tv", "search"])
    return mb.MMM(mb.MMMData.from_dataframe(frame, **roles)).fit(jax.random.key(0), **QUICK)


@pytest.fixture(scope="module")
def signed():
    return fitted(offset=20.0)


def test_a_target_of_both_signs_has_no_shares(signed):
    assert np.isnan(target_total(signed.data))
    table = signed.summary()
    assert table["share"].isna().all()
    assert table[["contribution", "roas"]].notna().all(axis=None)
    assert "both signs" in str(table)
    assert contribution_share(signed.fitted).isnull().all()
    assert "share" not in signed.plot.contribution_bars().axes[0].get_xlabel()


def test_the_report_of_a_signed_target_shows_totals(signed, tmp_path):
    signed.save(tmp_path / "fit.nc")
    text = write_report(store.load(tmp_path / "fit.nc"), tmp_path / "r.html", budget=None)
    html = text.read_text()
    assert "There are no shares of profit" in html


def test_shares_by_period_are_given_where_the_target_has_one_sign(signed):
    positive = (signed.data.ds["target"] > 0).all("geo").values
    total = target_total(signed.data, "date").values
    np.testing.assert_array_equal(np.isnan(total), np.zeros(len(positive), bool))


def test_returns_far_below_spend_are_named():
    fit = fitted(offset=2000.0, scale=0.02)
    found = {f.check: f for f in check_returns(fit.fitted)}
    assert found["low_roas"].value < 0.05
    assert "revenue_per_target" in found["low_roas"].remedy
