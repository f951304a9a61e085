"""One NetCDF file a fit: draws, table and specification, written atomically."""

from __future__ import annotations

import os
from pathlib import Path

import xarray as xr

from mmm_bayes._version import __version__
from mmm_bayes.data.whole_file import whole_file
from mmm_bayes.model.fitted import Fitted
from mmm_bayes.model.spec import ModelSpec
from mmm_bayes.model.tree import data_from

FORMAT = 1
"""Version of the file's layout; a reader refuses a higher one."""


class FitFileError(ValueError):
    """A file that is not a whole fit this version can read."""


def save(fitted: Fitted, path: str | os.PathLike[str]) -> Path:
    """Write a fit; an existing file is replaced only once the new one is complete.

    The file is written beside its place, flushed to disk, then renamed.
    """
    path = Path(path)
    tree = fitted.tree.copy()
    tree.attrs = dict(tree.attrs) | {
        "mmm_bayes_format": FORMAT,
        "mmm_bayes_version": __version__,
        "mmm_bayes_spec": fitted.spec.to_toml(),
        "mmm_bayes_complete": 1,
    }
    with whole_file(path) as place:
        tree.to_netcdf(place, engine="h5netcdf")
    return path


def load(path: str | os.PathLike[str]) -> Fitted:
    """Read a fit into memory; a folder stands for the ``fit.nc`` in it.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    FitFileError
        If the file is cut short, is not a fit, or was written by a newer version.
    """
    path = Path(path)
    if path.is_dir() and (path / "fit.nc").exists():
        path = path / "fit.nc"
    if not path.is_file():
        raise FileNotFoundError(f"No fit at {path}.")
    try:
        with xr.open_datatree(path, engine="h5netcdf") as stored:
            attrs = dict(stored.attrs)
            found = int(attrs.get("mmm_bayes_format", 0))
            if found > FORMAT:
                raise FitFileError(
                    f"{path} was written by mmm_bayes {attrs.get('mmm_bayes_version')} (file "
                    f"format {found}); this is {__version__}, which reads up to format {FORMAT}. "
                    "Update mmm_bayes."
                )
            if not found or "mmm_bayes_complete" not in attrs:
                raise FitFileError(
                    f"{path} is a NetCDF file but not a fit of mmm_bayes: it lacks the model's "
                    "specification. Write fits with fit.save(...)."
                )
            tree = stored.load()
    except (OSError, RuntimeError, KeyError, TypeError) as error:
        raise FitFileError(
            f"{path} cannot be read as NetCDF: it is cut short or not a fit ({error}). Fit again, "
            "or copy the file anew."
        ) from error
    spec = ModelSpec.from_toml(str(attrs["mmm_bayes_spec"]) + "\n")
    return Fitted(spec, data_from(tree), tree)
