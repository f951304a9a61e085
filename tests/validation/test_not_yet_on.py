"""A channel that is on only after the training rows: its prior refers to its later scale."""

import warnings

import jax
import numpy as np
import pandas as pd
import pytest

import mmm_bayes as mb
from mmm_bayes.data.digest import table_digest
from mmm_bayes.data.media_scale import media_scale
from mmm_bayes.errors import DataError, DataWarning
from mmm_bayes.model.checks import ModelDataError
from mmm_bayes.validation.rolling import rolling_origin

QUICK = dict(num_samples=60, num_warmup=100, num_chains=2, progress=False)


@pytest.fixture(scope="module")
def data():
    rng, n = np.random.default_rng(3), 60
    frame = pd.DataFrame({"week": pd.date_range("2022-01-03", periods=n, freq="W-MON")})
    frame["tv"] = rng.gamma(2, 50, n)
    frame["new"] = np.where(frame.index >= 44, rng.gamma(3, 20_000, n), 0.0)
    frame["revenue"] = 1e6 + 2000 * frame["tv"] + frame["new"] + rng.normal(0, 4e4, n)
    return mb.MMMData.from_dataframe(frame, date="week", target="revenue", channels=["tv", "new"])


def until(data, stop):
    return data.subset(slice(None, data.dates[stop - 1]))


def test_rows_remember_the_scale_of_a_channel_that_is_on_later(data):
    later = media_scale(data.ds)[1]
    early = until(data, 40)
    assert media_scale(early.ds)[1] == later
    assert media_scale(until(early, 30).ds)[1] == later
    assert media_scale(early.ds)[0] == pytest.approx(early.ds["spend"].values[0, :, 0].mean())
    assert "media_reference" not in until(data, 50).ds.attrs
    forgetful = early.ds.copy()
    del forgetful.attrs["media_reference"]
    assert table_digest(early) != table_digest(mb.MMMData(forgetful))


def test_a_fit_warns_and_tells_small_spend_from_large(data):
    early = until(data, 40)
    with pytest.warns(DataWarning, match="'new'") as said:
        fit = mb.MMM(early).fit(jax.random.key(0), **QUICK)
    assert len([w for w in said if w.category is DataWarning]) == 1
    rows = until(data, 44).to_frame().iloc[40:].drop(columns="revenue")

    def revenue(spend):
        mean = fit.predict(jax.random.key(1), rows.assign(new=spend))["mean"]
        return float(mean.mean(("chain", "draw")).sum())

    small, large = revenue(1.0) - revenue(0.0), revenue(100_000.0) - revenue(0.0)
    assert 0 < small < 0.01 * large


def test_a_table_that_never_knew_the_channel_is_refused(data):
    silent = data.with_spend("new", scale=0.0)
    with pytest.raises(ModelDataError) as caught:
        mb.MMM(silent)
    assert [(f.check, f.where) for f in caught.value.findings] == [("never_on", "new")]


@pytest.mark.parametrize("effect", ["roas", "contribution_share"])
def test_a_return_or_share_without_spend_has_no_prior(data, effect):
    spec = mb.ModelSpec(channels={"new": {"effect": effect}})
    with pytest.raises(DataError):
        mb.MMM(until(data, 40), spec)
    with pytest.raises(DataError) as caught:
        rolling_origin(
            jax.random.key(0), mb.MMM(until(data, 50), spec), num_folds=2, horizon=4, **QUICK
        )
    assert [f.where for f in caught.value.findings] == ["new"]


def test_rolling_origins_go_on_with_one_warning(data):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = rolling_origin(
            jax.random.key(0), mb.MMM(until(data, 50)), num_folds=2, horizon=4, **QUICK
        )
    texts = [str(w.message) for w in said if w.category is DataWarning]
    assert len(texts) == 1
    assert "'new'" in texts[0]
    assert len(found.folds) == 2
