"""Write and read structural fits: a zip of table, graph and one NetCDF file per equation."""

from __future__ import annotations

import json
import os
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import xarray as xr

from mmm_bayes.causal.causal_graph import CausalGraph
from mmm_bayes.data.schema import MMMData
from mmm_bayes.fit_result import FitResult, load_fit
from mmm_bayes.model import tree
from mmm_bayes.model.store import FitFileError
from mmm_bayes.runtime.atomic_write import atomic_write
from mmm_bayes.runtime.netcdf_file import read_tree
from mmm_bayes.runtime.text_file import parse_json
from mmm_bayes.runtime.zip_file import expected_zip

_FORMAT = 1


class FitParts(NamedTuple):
    """The parts of a structural fit, in the order of its arguments."""

    data: MMMData
    graph: CausalGraph
    media: frozenset[str]
    equations: Mapping[str, FitResult]
    error_correlations: Mapping[tuple[str, ...], xr.DataArray]


def write(fit: FitParts, path: str | os.PathLike[str]) -> Path:
    """Write a fit; an earlier file is replaced only by a whole one."""
    path = Path(path)
    about = {
        "mmm_bayes_structural": _FORMAT,
        "nodes": list(fit.graph.nodes),
        "edges": fit.graph.edges,
        "bidirected": fit.graph.bidirected,
        "roles": dict(fit.graph.roles),
        "media": sorted(fit.media),
        "equations": list(fit.equations),
        "districts": [list(nodes) for nodes in fit.error_correlations],
    }
    with (
        TemporaryDirectory() as folder,
        atomic_write(path) as place,
        zipfile.ZipFile(place, "w") as file,
    ):
        file.writestr("graph.json", json.dumps(about))
        table = xr.DataTree.from_dict(tree.data_groups(fit.data))
        table.to_netcdf(Path(folder) / "table.nc", engine="h5netcdf")
        file.write(Path(folder) / "table.nc", "table.nc")
        for number, own in enumerate(fit.equations.values()):
            one = own.save(Path(folder) / "equation.nc")
            file.write(one, f"equation{number}.nc")
        for number, values in enumerate(fit.error_correlations.values()):
            one = Path(folder) / "errors.nc"
            values.to_netcdf(one, engine="h5netcdf")
            file.write(one, f"errors{number}.nc")
    return path


def read(path: str | os.PathLike[str]) -> FitParts:
    """Read the parts of a structural fit from a file that `write` made."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"No structural fit at {path}.")
    try:
        with expected_zip(path, _belongs) as file, TemporaryDirectory() as folder:
            about = parse_json(file.read("graph.json").decode())
            if about["mmm_bayes_structural"] > _FORMAT:
                raise FitFileError(f"{path} is from a newer mmm_bayes: update mmm_bayes.")

            def place(name: str) -> Path:
                # One name of ours for every member: theirs are never a path.
                (Path(folder) / "member.nc").write_bytes(file.read(name))
                return Path(folder) / "member.nc"

            data = tree.data_from(read_tree(place("table.nc")))
            equations = {
                str(node): load_fit(place(f"equation{k}.nc"))
                for k, node in enumerate(about["equations"])
            }
            correlations = {}
            for number, nodes in enumerate(about["districts"]):
                values = read_tree(place(f"errors{number}.nc")).to_dataset()
                (name,) = values.data_vars
                correlations[tuple(map(str, nodes))] = values[name].rename(None)
        graph = CausalGraph(
            about["nodes"], about["edges"], about["bidirected"], roles=about["roles"]
        )
        return FitParts(data, graph, frozenset(map(str, about["media"])), equations, correlations)
    # A damaged zip may raise anything: its members go through three decoders.
    except Exception as error:
        if isinstance(error, FitFileError) and "newer" in str(error):
            raise
        raise FitFileError(
            f"{path} cannot be read: it is cut short or no structural fit ({error}). Fit again, or "
            "copy the file anew."
        ) from error


def _belongs(name: str) -> bool:
    return re.fullmatch(r"graph\.json|table\.nc|(equation|errors)\d{1,4}\.nc", name) is not None
