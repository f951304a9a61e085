"""Rolling origins: no look-ahead, scores, and resuming after a stop."""

from __future__ import annotations

from dataclasses import replace

import jax
import numpy as np
import pytest

from mmm_bayes import MMM, FitResult, MMMData
from mmm_bayes.runtime.run_folder import RunFolderError
from mmm_bayes.validation import folds as splitting
from mmm_bayes.validation.rolling import rolling_origin
from mmm_bayes.validation.rolling_result import RollingOrigin
from tests.refusals import refused

KEY = jax.random.key(3)
SETTINGS = {"num_folds": 3, "horizon": 4, "num_warmup": 100, "num_samples": 50, "num_chains": 2}


def changed(data: MMMData, start: int, factor: float) -> MMMData:
    """The table with other targets from a date on."""
    target = data.ds["target"].copy(deep=True)
    target[:, start:] = factor * target[:, start:]
    return replace(data, ds=data.ds.assign(target=target))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory):
    return tmp_path_factory.mktemp("folds") / "store"


@pytest.fixture(scope="module")
def found(national_data: MMMData, national_fit: FitResult, folder) -> RollingOrigin:
    return rolling_origin(KEY, MMM(national_data, national_fit.spec), store=folder, **SETTINGS)


def test_targets_of_the_future_do_not_touch_a_forecast(
    found: RollingOrigin, national_data: MMMData, national_fit: FitResult
):
    # Everything after the second origin changes: the first two folds may not, to the last bit.
    first = found.folds[1].fold.origin
    other = MMM(changed(national_data, first, 1e6), national_fit.spec)
    again = rolling_origin(KEY, other, **SETTINGS)
    for place in (0, 1):
        one, two = found.folds[place], again.folds[place]
        np.testing.assert_array_equal(one.draws, two.draws)
        np.testing.assert_array_equal(one.naive, two.naive)
        np.testing.assert_array_equal(one.roas, two.roas)
    assert not np.array_equal(found.folds[2].draws, again.folds[2].draws)
    assert not np.array_equal(found.folds[1].observed, again.folds[1].observed)


def test_a_stopped_validation_goes_on(
    found: RollingOrigin, folder, national_data: MMMData, national_fit: FitResult, monkeypatch
):
    from mmm_bayes.validation import rolling

    files = sorted(path.name for path in folder.iterdir() if path.name != ".lock")
    assert files == ["fold_000.npz", "fold_001.npz", "fold_002.npz", "run.json"]
    (folder / "fold_001.npz").unlink()
    ran = []
    own = rolling._run
    monkeypatch.setattr(rolling, "_run", lambda *given: ran.append(given[3]) or own(*given))
    model = MMM(national_data, national_fit.spec)
    told: list[tuple[int, int]] = []
    again = rolling_origin(
        KEY, model, store=folder, on_fold=lambda *both: told.append(both), **SETTINGS
    )
    assert [fold.number for fold in ran] == [1]
    assert told == [(1, 3), (2, 3), (3, 3)]
    for one, two in zip(found.folds, again.folds, strict=True):
        np.testing.assert_array_equal(one.draws, two.draws)
    with pytest.raises(RunFolderError, match="seed"):
        rolling_origin(jax.random.key(9), model, store=folder, **SETTINGS)
    (folder / "fold_002.npz").write_bytes(b"half a file")
    with pytest.raises(RunFolderError, match="fold_002"):
        rolling_origin(KEY, model, store=folder, **SETTINGS)


def test_tables_hold_what_came(found: RollingOrigin, national_data: MMMData):
    table = found.table
    assert len(table) == 12
    target = national_data.ds["target"].isel(geo=0).to_series()
    np.testing.assert_array_equal(table["observed"], target[table["date"]])
    assert (table["date"] > table["origin"]).all()
    assert table["date"].is_unique
    assert list(found.summary("step").index) == [1, 2, 3, 4]
    assert found.summary()["n"].item() == 12
    assert table["date"].max() == national_data.dates[-1]
    with pytest.raises(ValueError, match="month"):
        found.summary("month")


def test_roas_are_of_the_dates_all_folds_share(found: RollingOrigin, national_data: MMMData):
    assert found.roas_window == (national_data.dates[0], national_data.dates[91])
    table, stability = found.roas(), found.roas_stability()
    assert table.index.names == ["fold", "channel"]
    for channel in national_data.channels:
        medians = table.xs(channel, level="channel")["median"]
        assert stability.loc[channel, "lowest"] == pytest.approx(medians.min(), rel=1e-6)
        assert stability.loc[channel, "cv"] == pytest.approx(
            medians.std() / medians.mean(), rel=1e-5
        )
    dataset = found.to_dataset()
    assert dataset["forecast"].dims == ("fold", "sample", "geo", "step")
    assert "folds" in str(found)
    assert "planned" not in str(found)
    assert "<table" in found._repr_html_()


def test_a_forecast_beats_the_naive_one(found: RollingOrigin):
    # The model is correct for this simulated table, so that this does not depend on chance.
    assert found.summary()["skill"].item() > 0.2


def test_windows_grow_or_slide(national_data: MMMData):
    grown = splitting.make_folds(national_data, 4, 5, None, None, "expanding")
    assert [(f.start, f.origin, f.end) for f in grown] == [
        (0, 84, 89), (0, 89, 94), (0, 94, 99), (0, 99, 104),
    ]  # fmt: skip
    slid = splitting.make_folds(national_data, 3, 10, 50, 2, "sliding")
    assert [(f.start, f.origin, f.end) for f in slid] == [
        (40, 90, 100),
        (42, 92, 102),
        (44, 94, 104),
    ]
    assert splitting.common_window(slid, 8) == (44, 90)
    assert splitting.common_window(slid, 60) is None


def test_folds_without_room_say_how_many_there_is_room_for(national_data: MMMData):
    with refused("min_train") as caught:
        splitting.make_folds(national_data, 20, 13, 20, None, "expanding")
    assert "room for 6" in str(caught.value)
    with refused("folds", "horizon", "step", "window"):
        splitting.make_folds(national_data, 0, 0, None, None, "rolling")  # type: ignore[arg-type]
