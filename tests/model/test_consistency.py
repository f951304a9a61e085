"""A saved fit whose parts disagree is refused with every finding, and one that agrees is read."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import jax
import numpy as np
import pytest

import mmm_bayes as mb
from mmm_bayes.errors import FitFileError
from mmm_bayes.model.consistency import parameter_names
from mmm_bayes.runtime import netcdf_file
from mmm_bayes.transforms import ADSTOCKS, SATURATIONS

Change = Callable[[h5py.File], None]


def refused(saved: Path, tmp_path: Path, *changes: Change) -> FitFileError:
    path = tmp_path / "fit.nc"
    path.write_bytes(saved.read_bytes())
    with h5py.File(path, "a") as file:
        for change in changes:
            change(file)
        del file.attrs[netcdf_file.RECORD]  # as one who edits a file on purpose would
    with pytest.raises(FitFileError) as caught:
        mb.load_fit(path)
    assert caught.value.findings
    for finding in caught.value.findings:
        assert str(finding) in str(caught.value)
    return caught.value


def checks(error: FitFileError) -> set[tuple[str, str | None]]:
    return {(finding.check, finding.where) for finding in error.findings}


@pytest.fixture(scope="module")
def saved(geo_fit: mb.FitResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return geo_fit.save(tmp_path_factory.mktemp("fits") / "fit.nc")


def without(name: str) -> Change:
    return lambda file: file.__delitem__(name)


def cell(name: str, value: float) -> Change:
    def change(file: h5py.File) -> None:
        values = file[name][()]
        values.reshape(-1)[1] = value
        file[name][...] = values

    return change


def label(name: str, value: Any) -> Change:
    def change(file: h5py.File) -> None:
        file[name][0] = value

    return change


def spec(text: str) -> Change:
    def change(file: h5py.File) -> None:
        file.attrs["mmm_bayes_spec"] = text

    return change


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (without("posterior/alpha"), ("missing_variable", "posterior/alpha")),
        (without("posterior/beta_geo"), ("missing_variable", "posterior/beta_geo")),
        (without("posterior/sigma"), ("missing_variable", "posterior/sigma")),
        (without("prior/slope"), ("missing_variable", "prior/slope")),
        (without("log_likelihood/target"), ("missing_variable", "log_likelihood/target")),
        (without("observed_data/target"), ("missing_variable", "observed_data/target")),
        (without("observed_data"), ("missing_group", "observed_data")),
        (without("constant_data"), ("missing_group", "constant_data")),
        (label("posterior/channel", "zz"), ("labels", "posterior")),
        (label("posterior/geo", "zz"), ("labels", "posterior")),
        (label("constant_data/channel", "zz"), ("roles", "channels")),
        (label("log_likelihood/date", -1), ("labels", "log_likelihood")),
        (label("observed_data/date", -1), ("labels", "observed_data")),
        (cell("posterior/alpha", np.nan), ("not_finite", "posterior/alpha")),
        (cell("posterior/beta_geo", np.inf), ("not_finite", "posterior/beta_geo")),
        (cell("posterior_predictive/target", np.nan),
         ("not_finite", "posterior_predictive/target")),
        (cell("log_likelihood/target", -np.inf), ("not_finite", "log_likelihood/target")),
        (cell("sample_stats/energy", np.nan), ("not_finite", "sample_stats/energy")),
        (cell("constant_data/spend", np.nan), ("not_finite", "constant_data/spend")),
        (cell("constant_data/population", np.inf), ("not_finite", "constant_data/population")),
        (cell("observed_data/target", np.nan), ("not_finite", "observed_data/target")),
        (cell("constant_data/population", 0.0), ("not_positive", "constant_data/population")),
        (spec('[media]\neffect = "coefficient"'), ("missing_variable", "posterior/beta")),
        (spec('[media]\neffect = "roas"\nsaturation = "tanh"'),
         ("missing_variable", "posterior/saturation_scale")),
        (spec('[media]\neffect = "roas"\n[likelihood]\nfamily = "student_t"'),
         ("missing_variable", "posterior/nu")),
        (spec('[media]\neffect = "roas"\n[trend]\nkind = "knots"'), ("labels", "posterior")),
        (spec('[channels.zz]\neffect = "roas"'), ("unknown_channel", "zz")),
        (spec('[media]\nadstock = "mine"'), ("unknown_transform", "adstock")),
        (spec('[channels.tv]\nsaturation = "mine"'), ("unknown_transform", "saturation")),
    ],
)  # fmt: skip
def test_what_disagrees_is_named(
    change: Change, found: tuple[str, str], saved: Path, tmp_path: Path
) -> None:
    assert found in checks(refused(saved, tmp_path, change))


def test_everything_is_found_at_once(saved: Path, tmp_path: Path) -> None:
    error = refused(
        saved, tmp_path, without("posterior/alpha"), cell("posterior/slope", np.nan),
        label("log_likelihood/geo", "zz"),
    )  # fmt: skip
    assert checks(error) == {
        ("missing_variable", "posterior/alpha"), ("not_finite", "posterior/slope"),
        ("labels", "log_likelihood"),
    }  # fmt: skip
    assert "3 problems" in str(error)


def test_groups_of_another_size_are_refused(
    geo_fit: mb.FitResult, national_fit: mb.FitResult, tmp_path: Path
) -> None:
    from mmm_bayes.model.fitted import Fitted

    path = tmp_path / "fit.nc"
    changes = {
        "labels": ("log_likelihood", geo_fit.tree["log_likelihood"].isel(date=slice(1, None))),
        "number_of_draws": ("sample_stats", geo_fit.tree["sample_stats"].isel(draw=slice(3))),
        "missing_variable": ("posterior", national_fit.tree["posterior"]),
        "dimensions": ("posterior", geo_fit.tree["posterior"].to_dataset().transpose()),
    }
    for check, (name, group) in changes.items():
        tree = geo_fit.tree.copy()
        ds = group.to_dataset() if hasattr(group, "to_dataset") else group
        tree[name] = type(tree)(ds)
        mb.FitResult(Fitted(geo_fit.spec, geo_fit.data, tree)).save(path)
        with pytest.raises(FitFileError) as caught:
            mb.load_fit(path)
        assert check in {finding.check for finding in caught.value.findings}


@pytest.mark.parametrize("period", ["nan", "inf", "-7.0", "0"])
def test_a_period_that_is_no_length_is_refused(period: str) -> None:
    with pytest.raises(mb.errors.ModelSpecError, match="period"):
        mb.ModelSpec.from_toml(f"[[seasonality]]\nperiod = {period}\n")


@pytest.mark.parametrize(
    "text", ["[trend]\nscale = inf", "[intercept]\ndist = 'normal'\nscale = nan"]
)
def test_numbers_that_are_not_finite_are_refused_in_every_setting(text: str) -> None:
    with pytest.raises(mb.errors.ModelSpecError, match="finite"):
        mb.ModelSpec.from_toml(text)


SPECS: tuple[dict[str, Any], ...] = (
    {"media": {"effect": "roas"}, "trend": {"kind": "hsgp"}, "likelihood": {"family": "student_t"}},
    {"media": {"adstock": "none", "saturation": "none"}, "trend": {"kind": "none"}},
    {"media": {"adstock": "weibull_pdf", "saturation": "tanh"}, "geo": {"media": "log_normal"}},
    {"geo": {"media": "pooled", "controls": "pooled"}, "seasonality": [{"period": 30.5}]},
    {"channels": {"tv": {"effect": "roas", "adstock": "delayed", "saturation": "root"}}},
    {"channels": {"tv": {"priors": {"alpha": {"dist": "constant", "value": 0.3}}}}},
    {"likelihood": {"family": "log_normal"}, "events": [{"name": "x", "dates": ["2024-01-09"]}]},
)


@pytest.mark.parametrize("geos", [1, 3])
@pytest.mark.parametrize("controls", [0, 1])
@pytest.mark.parametrize("number", range(len(SPECS)))
def test_every_model_has_the_parameters_that_are_expected(
    number: int, controls: int, geos: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    import fuzz_binary

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mb.errors.DataWarning)
        data = mb.simulate.mmm(
            jax.random.key(0), num_dates=30, num_geos=geos, num_channels=2, num_controls=controls
        ).data
    fit = fuzz_binary.prior_fit(data, mb.ModelSpec(**SPECS[number]), 2)
    assert set(parameter_names(fit.fitted.structure)) == set(fit.tree["posterior"].data_vars)


def test_an_own_transform_is_named_and_works_once_it_is_added(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = '[media]\neffect = "roas"\nmax_lag = 6\nadstock = "mine"\nsaturation = "bent"'
    error = refused(saved, tmp_path, spec(text))
    assert len(error.findings) == 2
    assert "Fit again" not in str(error)
    for name in ("'mine'", "transforms.ADSTOCKS", "'bent'", "transforms.SATURATIONS"):
        assert name in str(error)
    monkeypatch.setitem(ADSTOCKS, "mine", ADSTOCKS["geometric"])
    monkeypatch.setitem(SATURATIONS, "bent", SATURATIONS["hill"])
    fit = mb.load_fit(tmp_path / "fit.nc")
    assert fit.spec.media.adstock == "mine"
    assert np.isfinite(fit.roas()).all()
