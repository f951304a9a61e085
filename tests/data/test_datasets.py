"""The bundled data sets: complete, valid, and equal to the output of their script."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from mmm_bayes.data import datasets
from mmm_bayes.data.datasets import DATASETS, data_card, list_datasets, load_dataset, load_truth

SIMULATED = ["national_weekly", "geo_weekly"]


@pytest.fixture(scope="module")
def make(repo_root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("make", repo_root / "data" / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", DATASETS)
def test_loads_without_a_warning(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = load_dataset(name)
    assert data.findings == ()
    card = data_card(name)
    assert card.startswith(f"# {name}\n")
    for column in data.to_frame().columns:
        # A card may name the first and the last of a series of columns.
        assert f"`{column}`" in card or column.split("_")[-1] in card, column
    for word in ("source", "licence", "truth"):
        assert f"| {word} |" in card


def test_list() -> None:
    table = list_datasets()
    assert list(table.index) == list(DATASETS)
    assert table.loc["national_weekly", ["dates", "geos", "channels"]].tolist() == [156, 1, 5]
    assert table.loc["geo_weekly", ["dates", "geos", "channels"]].tolist() == [104, 12, 4]
    assert table.loc["lydia_pinkham", "rows"] == 54
    assert table["truth"].tolist() == [True, True, False]


@pytest.mark.parametrize("name", SIMULATED)
def test_files_are_what_the_script_writes(name: str, make: ModuleType) -> None:
    made = make.drawn(name)
    data, truth = load_dataset(name), load_truth(name)
    for variable in data.ds.data_vars:
        # Equal to the last digit here; another platform may round log and exp differently.
        np.testing.assert_allclose(data.ds[variable], made.data.ds[variable], rtol=1e-9)
    assert data.roles == made.data.roles
    for variable in made.truth.data_vars:
        np.testing.assert_allclose(truth[variable], made.truth[variable], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", SIMULATED)
def test_truth_is_plausible(name: str) -> None:
    data, truth = load_dataset(name), load_truth(name)
    assert list(truth["channel"].values) == data.channels
    assert list(truth["date"].values) == list(data.dates.values)
    assert ((truth["roas"] >= 0.5) & (truth["roas"] <= 5)).all()
    share = float(truth["contribution"].sum() / truth["mu"].sum())
    assert 0.15 <= share <= 0.35
    target = data.ds["target"]
    explained = (
        1 - ((target - truth["mu"]) ** 2).sum() / ((target - target.mean("date")) ** 2).sum()
    )
    assert 0.85 <= float(explained) <= 0.95
    assert float(truth["baseline"].min()) > 0
    assert len(set(truth["alpha"].values)) == len(data.channels)


def test_leaving_the_confounder_out_inflates_search() -> None:
    """Least squares on true curves: near the truth with the confounder, far above without it."""
    data, truth = load_dataset("national_weekly"), load_truth("national_weekly")
    years = np.asarray((data.dates - data.dates[0]).days) / 365.25
    waves = [f(2 * np.pi * k * years) for k in (1, 2) for f in (np.sin, np.cos)]
    saturation, controls = truth["saturation"].values[0], data.ds["controls"].values[0]
    ratio = {}
    for kept in (2, 3):
        design = np.column_stack([saturation, np.ones(156), years, *waves, controls[:, :kept]])
        beta = np.linalg.lstsq(design, data.ds["target"].values[0], rcond=None)[0]
        search = data.channels.index("search")
        ratio[kept] = beta[search] / float(truth["beta"][search])
    assert ratio[3] == pytest.approx(1, abs=0.25)
    assert ratio[2] > 2


def test_lydia_pinkham_figures() -> None:
    data = load_dataset("lydia_pinkham")
    frame = data.to_frame()
    assert frame.iloc[0].tolist() == [1907, 1016, 608]
    assert frame.iloc[-1].tolist() == [1960, 1289, 564]
    assert (data.time_step.alias, data.channels) == ("YS", ["advertising"])
    assert load_truth("lydia_pinkham") is None
    assert "<!-- posterior -->" in data_card("lydia_pinkham") or "posterior" in data_card(
        "lydia_pinkham"
    )


def test_unknown_name() -> None:
    for function in (load_dataset, load_truth, data_card):
        with pytest.raises(ValueError, match=r"'lydia_pinkam'.*'lydia_pinkham'"):
            function("lydia_pinkam")


def test_installed_copy_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "mmm_bayes"
    (package / "_datasets").mkdir(parents=True)
    frame = pd.DataFrame(
        {"year": range(1990, 2000), "sales": range(10), "advertising": np.arange(10) ** 2}
    )
    frame.to_csv(package / "_datasets" / "lydia_pinkham.csv", index=False)
    monkeypatch.setattr(datasets, "_HERE", package / "data" / "datasets.py")
    assert load_dataset("lydia_pinkham").num_dates == 10
    with pytest.raises(FileNotFoundError, match="Reinstall"):
        load_dataset("geo_weekly")


def test_truth_file_is_closed(repo_root: Path) -> None:
    truth = load_truth("national_weekly")
    assert isinstance(truth, xr.Dataset)
    assert truth["contribution"].variable._in_memory
