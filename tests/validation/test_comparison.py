"""Comparison of models: the right one wins, and the notes say how clearly."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from mmm_bayes import MMMData, ModelSpec
from mmm_bayes.errors import DataError
from mmm_bayes.validation.comparison import compare_models, model_grid

KEY = jax.random.key(12)
QUICK = {"num_warmup": 100, "num_samples": 100, "num_chains": 2}


@pytest.fixture(scope="module")
def specs() -> dict[str, ModelSpec]:
    with_season = ModelSpec(media={"max_lag": 4}, seasonality=[{"period": "year", "order": 2}])
    return {"no season": ModelSpec(media={"max_lag": 4}), "season": with_season}


@pytest.fixture(scope="module")
def found(national_data: MMMData, specs):
    return compare_models(KEY, national_data, specs, criterion="loo", **QUICK)


def test_the_model_that_knows_the_season_wins(found):
    assert found.best == "season"
    table = found.table
    assert table["elpd_diff"].iloc[0] == 0
    assert table["elpd_diff"].iloc[1] == pytest.approx(
        table["elpd"].iloc[1] - table["elpd"].iloc[0]
    )
    assert table["weight"].sum() == pytest.approx(1.0)
    assert (table["high_k"] >= 0).all()
    assert (table["rhat"] >= 1.0).all()


def test_it_says_what_the_choice_changes(found, national_data: MMMData):
    assert found.roas.index.names == ["model", "channel"]
    assert len(found.roas) == 2 * len(national_data.channels)
    assert (found.roas["lower"] < found.roas["upper"]).all()
    text = str(found)
    assert "optimistic for time series" in text
    assert "matters most for the ROAS" in text
    assert "<table" in found._repr_html_()
    assert found.plot().axes


def test_rolling_forecasts_compare_models_too(national_data: MMMData, specs):
    told: list[str] = []
    found = compare_models(
        KEY,
        national_data,
        specs,
        criterion="rolling",
        num_folds=2,
        horizon=6,
        on_model=lambda done, total, name: told.append(name),
        **QUICK,
    )
    assert told == ["no season", "season"]
    table = found.table
    assert table["crps"].is_monotonic_increasing
    assert table["crps_diff"].iloc[0] == 0
    mean = {n: r.table["crps"].mean() for n, r in found.details.items()}
    np.testing.assert_allclose(table["crps"], [mean[name] for name in table.index])


def test_a_grid_has_every_pair(specs):
    grid = model_grid(
        specs["season"], adstock=["geometric", "delayed"], saturation=["hill", "tanh"]
    )
    assert list(grid) == ["geometric, hill", "geometric, tanh", "delayed, hill", "delayed, tanh"]
    assert grid["delayed, tanh"].media.adstock == "delayed"
    assert grid["delayed, tanh"].media.max_lag == 4
    assert grid["delayed, tanh"].seasonality == specs["season"].seasonality
    assert list(model_grid(specs["season"])) == ["geometric, hill"]


def test_everything_wrong_is_said_at_once(national_data: MMMData, specs):
    long = ModelSpec(media={"max_lag": 300})
    with pytest.raises(DataError) as caught:
        compare_models(KEY, national_data, {"long": long}, criterion="aic")  # type: ignore[arg-type]
    assert [finding.check for finding in caught.value.findings] == ["criterion", "specs", "model"]
