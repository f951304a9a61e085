"""NetCDF files that a stranger may have made, read into memory whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import xarray as xr

# As for zip files: what deflate can pack, and room for what a small file holds unpacked.
_MOST, _ROOM = 1040, 1 << 20
_DEPTH = 8


class NetCDFError(ValueError):
    """A file is no NetCDF file, is damaged, or reaches outside itself."""


def read_tree(path: Path) -> xr.DataTree:
    """Read all groups of a file.

    Raises
    ------
    NetCDFError
        If the file is cut short or damaged, or has what no file of ours has: links to other files
        or data kept in them, and arrays larger than the file can hold.
    """
    import h5py  # type: ignore[import-untyped]

    try:
        # Before xarray: h5netcdf does not close a file that it could not open.
        with h5py.File(path, "r") as file:
            size = sum(_sizes(file, 0))
        if size > _MOST * path.stat().st_size + _ROOM:
            raise NetCDFError(f"it declares {size} bytes, more than it can hold")
        with xr.open_datatree(path, engine="h5netcdf") as stored:
            return stored.load()
    except NetCDFError:
        raise
    # A damaged file may raise anything, in HDF5 and in what decodes dates and names.
    except Exception as error:
        text = str(error).strip().split("\n")[0]
        raise NetCDFError(f"{type(error).__name__}: {text:.200}") from error


def _sizes(group: object, depth: int) -> Iterator[int]:
    import h5py

    if depth > _DEPTH:
        raise NetCDFError("its groups are nested too deeply")
    for name in group:  # type: ignore[attr-defined]
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):  # type: ignore[attr-defined]
            raise NetCDFError(f"{name!r:.80} is a link to another place")
        member = group[name]  # type: ignore[index]
        if isinstance(member, h5py.Group):
            yield from _sizes(member, depth + 1)
        elif isinstance(member, h5py.Dataset):
            if member.external or member.is_virtual:
                raise NetCDFError(f"the values of {name!r:.80} are in another file")
            yield member.nbytes
