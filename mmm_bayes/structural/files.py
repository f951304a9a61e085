"""Write and read structural fits: a zip file with table, graph and one NetCDF per equation."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import xarray as xr

from mmm_bayes.causal.causal_graph import CausalGraph
from mmm_bayes.data.schema import MMMData
from mmm_bayes.fit_result import FitResult, load_fit
from mmm_bayes.model import tree
from mmm_bayes.runtime.artifact import Artifact, read_artifact, write_artifact
from mmm_bayes.runtime.artifact_errors import FitFileError, damaged, inconsistent
from mmm_bayes.runtime.netcdf_file import read_tree, write_tree
from mmm_bayes.runtime.text_file import parse_json
from mmm_bayes.structural.consistency import system_findings

_FORMAT = 1
KIND = "structural fit"
_ERRORS = "correlation"
_REMEDY = "Fit again, or copy the file again."


class FitParts(NamedTuple):
    """The parts of a structural fit, in the order of the arguments of ``StructuralFit``."""

    data: MMMData
    graph: CausalGraph
    media: frozenset[str]
    equations: Mapping[str, FitResult]
    error_correlations: Mapping[tuple[str, ...], xr.DataArray]


def write(fit: FitParts, path: str | os.PathLike[str]) -> Path:
    """Write a fit to a file; an existing file is replaced only when the new one is complete."""
    about = {
        "nodes": list(fit.graph.nodes),
        "edges": fit.graph.edges,
        "bidirected": fit.graph.bidirected,
        "roles": dict(fit.graph.roles),
        "media": sorted(fit.media),
        "equations": list(fit.equations),
        "districts": [list(nodes) for nodes in fit.error_correlations],
    }
    with TemporaryDirectory() as folder:
        place = Path(folder) / "member.nc"
        table = xr.DataTree.from_dict(tree.data_groups(fit.data))
        files = {"table.nc": write_tree(table, place, "table", _FORMAT).read_bytes()}
        for number, own in enumerate(fit.equations.values()):
            files[f"equation{number}.nc"] = own.save(place).read_bytes()
        for number, values in enumerate(fit.error_correlations.values()):
            errors = xr.DataTree(values.to_dataset(name=_ERRORS))
            one = write_tree(errors, place, "error correlations", _FORMAT)
            files[f"errors{number}.nc"] = one.read_bytes()
    return write_artifact(path, Artifact(KIND, _FORMAT, about=about, files=files))


def read(path: str | os.PathLike[str]) -> FitParts:
    """Read the parts of a structural fit from a file written by `write`."""
    path = Path(path)
    found = read_artifact(
        path, KIND, _FORMAT, belongs=_belongs, earlier=_without_record, error=FitFileError,
        remedy=_REMEDY,
    )  # fmt: skip
    about = found.about
    reading = "graph"
    try:
        with TemporaryDirectory() as folder:

            def place(name: str) -> Path:
                # Always use the same file name, so that no name in the zip is used as a path.
                (Path(folder) / "member.nc").write_bytes(found.files[name])
                return Path(folder) / "member.nc"

            reading = "table"
            data = tree.data_from(read_tree(place("table.nc"))[0])
            equations, problems = {}, []
            for number, node in enumerate(about["equations"]):
                reading = f"equation of {node!r}"
                try:
                    equations[str(node)] = load_fit(place(f"equation{number}.nc"))
                except FitFileError as error:
                    if not error.findings:
                        raise
                    problems += [
                        replace(f, message=f"{reading}: {f.message}") for f in error.findings
                    ]
            correlations = {}
            for number, nodes in enumerate(about["districts"]):
                reading = f"error correlations of {nodes!r}"
                values = read_tree(place(f"errors{number}.nc"))[0].to_dataset()
                (name,) = values.data_vars
                correlations[tuple(map(str, nodes))] = values[name].rename(None)
        reading = "graph"
        graph = CausalGraph(
            about["nodes"], about["edges"], about["bidirected"], roles=about["roles"]
        )
        parts = FitParts(data, graph, frozenset(map(str, about["media"])), equations, correlations)
        reading = "its parts"
        problems = problems or system_findings(*parts)
    # A damaged file may raise any exception, because its members pass through three decoders.
    except Exception as error:
        raise damaged(path, KIND, f"{reading}: {error!r}", FitFileError, _REMEDY) from error
    if problems:
        raise inconsistent(path, KIND, problems, FitFileError, _REMEDY)
    return parts


def _without_record(arrays: dict[str, Any], files: dict[str, bytes]) -> Artifact:
    """Return the artifact of a file from a version that did not write checksums."""
    about = parse_json(files.pop("graph.json").decode())
    return Artifact(
        KIND, int(about["mmm_bayes_structural"]), {}, about, files, "of an unknown version"
    )


def _belongs(name: str) -> bool:
    return re.fullmatch(r"graph\.json|table\.nc|(equation|errors)\d{1,4}\.nc", name) is not None
