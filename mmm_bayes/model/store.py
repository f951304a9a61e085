"""Save a fit in one NetCDF file (draws, table, specification), and load it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmm_bayes._version import __version__
from mmm_bayes.model.consistency import fit_findings, missing_transforms, table_findings
from mmm_bayes.model.fitted import Fitted
from mmm_bayes.model.spec import ModelSpec
from mmm_bayes.model.tree import data_from
from mmm_bayes.runtime.artifact_errors import (
    FitFileError,
    damaged,
    inconsistent,
    not_found,
    other_kind,
    too_new,
)
from mmm_bayes.runtime.netcdf_file import NetCDFError, read_tree, write_tree
from mmm_bayes.runtime.text_file import is_file

FORMAT = 1
"""Version of the file's layout; a reader refuses a higher one."""

KIND = "fit"
_REMEDY = "Fit again, or copy the file again."


def save(fitted: Fitted, path: str | os.PathLike[str]) -> Path:
    """Write a fit with a checksum of every variable.

    An existing file is replaced only once the new one is complete and on disk.
    """
    tree = fitted.tree.copy()
    tree.attrs = dict(tree.attrs) | {
        "mmm_bayes_format": FORMAT,
        "mmm_bayes_version": __version__,
        "mmm_bayes_spec": fitted.spec.to_toml(),
        "mmm_bayes_complete": 1,
    }
    return write_tree(tree, path, KIND, FORMAT)


def load(path: str | os.PathLike[str]) -> Fitted:
    """Read a fit into memory; a folder stands for the ``fit.nc`` in it.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    FitFileError
        If the file is damaged (it names the variable that has changed), is not a fit, was written
        by a newer version, or disagrees with itself: ``findings`` lists every way in which it does.
    """
    path = Path(path)
    if is_file(path / "fit.nc"):
        path = path / "fit.nc"
    if not is_file(path):
        raise not_found(path, KIND)
    try:
        tree, record = read_tree(path)
    except NetCDFError as error:
        raise damaged(path, KIND, error, FitFileError, _REMEDY) from error
    attrs = tree.attrs
    if record is not None and record.kind != KIND:
        raise other_kind(path, record.kind, KIND, FitFileError)
    found = _format(attrs) if record is None else record.format
    if found > FORMAT:
        version = attrs.get("mmm_bayes_version") if record is None else record.version
        raise too_new(path, version, found, FORMAT, FitFileError)
    if not found or "mmm_bayes_complete" not in attrs:
        raise FitFileError(
            f"{path} is a NetCDF file but not a fit of mmm_bayes: it lacks the model's "
            "specification. Write fits with fit.save(...)."
        )
    text = str(attrs.get("mmm_bayes_spec")) + "\n"
    if findings := missing_transforms(text):
        raise inconsistent(path, KIND, findings, FitFileError)
    try:
        spec = ModelSpec.from_toml(text)
        findings = table_findings(tree)
        data = None if findings else data_from(tree)
        if data is not None:
            findings = fit_findings(spec, data, tree)
    # Attributes of a damaged file may be anything, and so may be what reads them.
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise damaged(path, KIND, reason, FitFileError, _REMEDY) from error
    if data is None or findings:
        raise inconsistent(path, KIND, findings, FitFileError, _REMEDY)
    return Fitted(spec, data, tree)


def _format(attrs: Mapping[Any, Any]) -> int:
    try:
        return int(attrs.get("mmm_bayes_format", 0))
    except (TypeError, ValueError):
        return 0
