"""NetCDF files with the record of an artifact: written whole, and read into memory whole.

They open with ``xarray.open_datatree`` and ``arviz.from_netcdf`` like any other. The record
(:class:`~mmm_bayes.runtime.artifact.Record`) is an attribute of the file; its checksums are of the
stored values of each variable, and of all attributes together.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from mmm_bayes.runtime.artifact import Record, array_checksum, bytes_checksum, compare_checksums
from mmm_bayes.runtime.atomic_write import atomic_write

RECORD = "mmm_bayes_artifact"
_ATTRIBUTES = "attributes"

# As for zip files: what deflate can pack, and room for what a small file holds unpacked.
_MOST, _ROOM = 1040, 1 << 20
_DEPTH = 8
# Attributes that HDF5 keeps for itself: references between variables.
_INTERNAL = ("CLASS", "NAME", "REFERENCE_LIST", "DIMENSION_LIST", "_Netcdf4Dimid", "_NCProperties")


class NetCDFError(ValueError):
    """A file is not NetCDF, is damaged, or refers to other files."""


def write_tree(tree: xr.DataTree, path: str | os.PathLike[str], kind: str, format: int) -> Path:
    """Write a tree with checksums; an existing file is replaced only once the new one is complete.

    Raises
    ------
    WriteError
        If the disk is full or read-only; an earlier file is still there.
    """
    import h5py  # type: ignore[import-untyped]

    path = Path(path)
    with atomic_write(path) as place:
        tree.to_netcdf(place, engine="h5netcdf")
        # Checksums cover the stored values, so that they do not depend on how xarray decodes it.
        with h5py.File(place, "r+") as file:
            file.attrs[RECORD] = Record(kind, format, _checksums(file)).to_json()
    return path


def read_tree(path: Path) -> tuple[xr.DataTree, Record | None]:
    """Read all groups of a file, and check that every variable is the one that was written.

    Returns
    -------
    tree, record
        The record is ``None`` in files of versions before there were checksums, and in files that
        other programs wrote. It is not among the attributes of the tree.

    Raises
    ------
    NetCDFError
        If the file is cut short or damaged, or has what no file of ours has: links to other files,
        data kept in other files, and arrays larger than the file can hold.
    """
    import h5py

    try:
        # Before xarray: h5netcdf does not close a file that it could not open.
        with h5py.File(path, "r") as file:
            size = sum(dataset.nbytes for dataset in _datasets(file, 0))
            if size > _MOST * path.stat().st_size + _ROOM:
                raise NetCDFError(f"it declares {size} bytes, more than it can hold")
            record = None
            if RECORD in file.attrs:
                record = Record.from_json(str(file.attrs[RECORD]))
                compare_checksums(record.checksums, _checksums(file))
        with xr.open_datatree(path, engine="h5netcdf") as stored:
            tree = stored.load()
    except NetCDFError:
        raise
    # A damaged file may raise anything, in HDF5 and in what decodes dates and names.
    except Exception as error:
        text = str(error).strip().split("\n")[0]
        kind = "" if type(error) is ValueError else f"{type(error).__name__}: "
        raise NetCDFError(f"{kind}{text:.200}") from error
    tree.attrs.pop(RECORD, None)
    return tree, record


def _checksums(file: Any) -> dict[str, str]:
    """Return the checksum of each dataset by its path, and of all attributes."""
    found, attributes = {}, {"": _plain_attributes(file)}
    for dataset in _datasets(file, 0):
        path = dataset.name.removeprefix("/")
        found[path] = array_checksum(dataset[()])
        attributes[path] = _plain_attributes(dataset)
    for group in _groups(file):
        attributes[group.name.removeprefix("/")] = _plain_attributes(group)
    text = json.dumps(attributes, sort_keys=True)
    return {**found, _ATTRIBUTES: bytes_checksum(text.encode())}


def _plain_attributes(node: Any) -> dict[str, Any]:
    own = {name: value for name, value in node.attrs.items() if name not in (*_INTERNAL, RECORD)}
    return {name: _plain(value) for name, value in own.items()}


def _plain(value: Any) -> Any:
    values = np.asarray(value).ravel().tolist()
    return [v.decode("utf-8", "replace") if isinstance(v, bytes) else repr(v) for v in values]


def _groups(group: Any) -> Iterator[Any]:
    import h5py

    for name in group:
        if isinstance(group[name], h5py.Group):
            yield group[name]
            yield from _groups(group[name])


def _datasets(group: Any, depth: int) -> Iterator[Any]:
    import h5py

    if depth > _DEPTH:
        raise NetCDFError("its groups are nested too deeply")
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise NetCDFError(f"{name!r:.80} is a link to another place")
        member = group[name]
        if isinstance(member, h5py.Group):
            yield from _datasets(member, depth + 1)
        elif isinstance(member, h5py.Dataset):
            if member.external or member.is_virtual:
                raise NetCDFError(f"the values of {name!r:.80} are in another file")
            yield member
