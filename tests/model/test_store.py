"""One file per fit: it is restored in full, or refused with a reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5netcdf
import numpy as np
import pytest
import xarray as xr

from mmm_bayes import FitResult, load_fit
from mmm_bayes.errors import FitFileError
from mmm_bayes.model import store
from mmm_bayes.runtime.artifact import Record
from mmm_bayes.runtime.netcdf_file import RECORD


@pytest.fixture(scope="module")
def saved(national_fit: FitResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return national_fit.save(tmp_path_factory.mktemp("fits") / "deep" / "fit.nc")


def test_a_fit_comes_back_whole(national_fit: FitResult, saved: Path) -> None:
    again = load_fit(saved)
    assert again.spec == national_fit.spec
    assert again.data.equals(national_fit.data)
    assert set(again.tree.children) == set(national_fit.tree.children)
    for name, group in national_fit.tree.children.items():
        xr.testing.assert_identical(again.tree[name].to_dataset(), group.to_dataset())
    xr.testing.assert_identical(again.roas(), national_fit.roas())
    xr.testing.assert_identical(again.contributions("month"), national_fit.contributions("month"))
    assert again.summary().equals(national_fit.summary())


def test_a_geo_fit_comes_back_whole(geo_fit: FitResult, tmp_path: Path) -> None:
    again = load_fit(geo_fit.save(tmp_path / "geo.nc"))
    assert again.data.equals(geo_fit.data)
    xr.testing.assert_identical(again.roas("geo"), geo_fit.roas("geo"))


def test_saving_twice_replaces_the_file_and_leaves_no_other(
    national_fit: FitResult, tmp_path: Path
) -> None:
    path = tmp_path / "fit.nc"
    for _ in range(2):
        assert national_fit.save(path) == path
    assert [file.name for file in tmp_path.iterdir()] == ["fit.nc"]
    # As any other file of the user, not only theirs as temporary files are.
    fresh = tmp_path / "other"
    fresh.touch()
    assert path.stat().st_mode == fresh.stat().st_mode


def test_a_failing_write_leaves_the_old_file(
    national_fit: FitResult, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "fit.nc"
    path.write_bytes(saved.read_bytes())

    def half(self: xr.DataTree, target: str, **options: object) -> None:
        Path(target).write_bytes(b"half a file")
        raise OSError("No space left on device")

    monkeypatch.setattr(xr.DataTree, "to_netcdf", half)
    with pytest.raises(OSError, match="No space"):
        national_fit.save(path)
    assert path.read_bytes() == saved.read_bytes()
    assert [file.name for file in tmp_path.iterdir()] == ["fit.nc"]


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.999])
def test_a_file_cut_short_is_refused(saved: Path, tmp_path: Path, share: float) -> None:
    whole = saved.read_bytes()
    cut = tmp_path / "cut.nc"
    cut.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(FitFileError, match=r"cut\.nc cannot be read: .* Fit again, or copy"):
        load_fit(cut)


def test_a_file_of_a_newer_version_is_refused(saved: Path, tmp_path: Path) -> None:
    newer = tmp_path / "newer.nc"
    newer.write_bytes(saved.read_bytes())
    with h5netcdf.File(newer, "a") as file:
        own = Record.from_json(file.attrs[RECORD])
        newer_record = replace(own, format=store.FORMAT + 1, version="99.0")
        file.attrs[RECORD] = newer_record.to_json()
    with pytest.raises(FitFileError, match=r"written by mmm_bayes 99\.0.*Update mmm_bayes"):
        load_fit(newer)


def test_a_changed_number_is_noticed_and_its_variable_named(
    national_fit: FitResult, saved: Path, tmp_path: Path
) -> None:
    path = tmp_path / "fit.nc"
    for group, name in (("posterior", "beta"), ("observed_data", "target")):
        values = national_fit.tree[group][name].values
        whole = saved.read_bytes()
        at = whole.index(np.ascontiguousarray(values).tobytes()) + 11
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        with pytest.raises(FitFileError, match=rf"{group}/{name}' has changed"):
            load_fit(path)
    path.write_bytes(saved.read_bytes())
    with h5netcdf.File(path, "a") as file:
        file.attrs["mmm_bayes_spec"] = file.attrs["mmm_bayes_spec"] + "\n# changed"
    with pytest.raises(FitFileError, match="attributes"):
        load_fit(path)


def test_other_programs_open_a_fit(national_fit: FitResult, saved: Path) -> None:
    with xr.open_datatree(saved, engine="h5netcdf") as tree:
        own = tree["posterior"].load()
    xr.testing.assert_equal(own.to_dataset(), national_fit.tree["posterior"].to_dataset())


def test_another_netcdf_file_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.nc"
    xr.Dataset({"x": ("time", [1.0, 2.0])}).to_netcdf(other, engine="h5netcdf")
    with pytest.raises(FitFileError, match=r"other\.nc .*fit\.save"):
        load_fit(other)


def test_a_text_file_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "fit.nc"
    text.write_text("date,sales\n2024-01-01,3\n")
    with pytest.raises(FitFileError, match=r"fit\.nc"):
        load_fit(text)


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.nc"):
        load_fit(tmp_path / "absent.nc")
