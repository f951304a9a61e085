"""Save a trained CausalMMM in a file of arrays and JSON, and load it; nothing in it is code."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from mmm_bayes.causal_mmm.inputs import Fitted, initial_networks, prepare_panel
from mmm_bayes.causal_mmm.networks.model import Networks
from mmm_bayes.causal_mmm.networks.training import History
from mmm_bayes.causal_mmm.spec import CausalMMMSpec
from mmm_bayes.data.panel import ShopPanel
from mmm_bayes.runtime.artifact import Artifact, read_artifact, write_artifact
from mmm_bayes.runtime.artifact_errors import FitFileError, damaged, inconsistent
from mmm_bayes.runtime.findings import DataError, Finding
from mmm_bayes.runtime.text_file import parse_json

# Formats 1 and 2 hold other networks (2 did not say how series were normalised). In 3 the functions
# of a basis shared parameters that each has for itself since, which makes no difference where there
# is only one function; squares had no bound.
_FORMAT, _FORMAT_OF_ONE_FUNCTION = 4, 3
_ALIKE = (("linear",), ("saturating",))

KIND = "CausalMMM"
_REMEDY = "Train it again, or copy the file again. Files are made by CausalMMM.save."


def write(path: Path | str, spec: CausalMMMSpec, fitted: Fitted) -> None:
    """Write a model; an existing file is replaced only once the new one is complete."""
    panel = fitted.panel
    leaves, _ = jax.tree.flatten(eqx.filter(fitted.networks, eqx.is_array))
    arrays = {f"weight_{k:03d}": np.asarray(leaf) for k, leaf in enumerate(leaves)}
    arrays |= {"series": panel.series, "context": panel.context}
    arrays |= {"loss": fitted.history.loss, "validation": fitted.history.validation}
    arrays["rounds"] = fitted.history.rounds
    arrays["key"] = np.asarray(jax.random.key_data(fitted.key))
    if panel.adjacency is not None:
        arrays["adjacency"] = panel.adjacency
    if panel.structure is not None:
        arrays["structure"] = panel.structure
    about = {
        "spec": spec.model_dump(mode="json"),
        "basis": fitted.spec.basis,
        "nodes": panel.nodes,
        "shops": panel.shops,
        "context_names": panel.context_names,
        "groups": panel.groups,
        "dates": None if panel.dates is None else [d.isoformat() for d in panel.dates],
        "normalise": fitted.prepared.by,
        "best_epoch": fitted.best_epoch,
        "interrupted": fitted.interrupted,
        "key": str(jax.random.key_impl(fitted.key)),
    }
    write_artifact(path, Artifact(KIND, _FORMAT, arrays, about), compress=True)


def read(path: Path | str) -> tuple[CausalMMMSpec, Fitted]:
    """Read a model written by :func:`write`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    FitFileError
        If the file is not a CausalMMM, is damaged (it names the array that has changed), is from a
        newer version, or holds networks as they were in a version that can no longer be read.
    """
    found = read_artifact(
        path, KIND, _FORMAT, belongs=_belongs, earlier=_without_record, error=FitFileError,
        remedy=_REMEDY,
    )  # fmt: skip
    about, arrays = found.about, dict(found.arrays)
    if findings := _array_findings(arrays):
        raise inconsistent(Path(path), KIND, findings, FitFileError, _REMEDY)
    try:
        alike = found.format == _FORMAT_OF_ONE_FUNCTION and tuple(about["spec"]["basis"]) in _ALIKE
        if found.format < _FORMAT and not alike:
            raise FitFileError(
                f"{path} holds networks as they were in an earlier mmm_bayes, which this version "
                "cannot read: train them again."
            )
        return _model(about, arrays)
    except FitFileError:
        raise
    except DataError as error:  # of the panel
        raise inconsistent(Path(path), KIND, error.findings, FitFileError, _REMEDY) from error
    # Metadata of a damaged file may be anything, and so may be what reads them.
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise damaged(Path(path), KIND, reason, FitFileError, _REMEDY) from error


def _belongs(name: str) -> bool:
    return re.fullmatch(r"[a-z]+(_\d{3,6})?\.npy", name) is not None


def _without_record(arrays: dict[str, Any], files: dict[str, bytes]) -> Artifact:
    """Return the artifact of a file written before there were checksums."""
    about = parse_json(arrays.pop("about").tobytes().decode())
    return Artifact(KIND, int(about["format"]), arrays, about, version=str(about["version"]))


def _array_findings(arrays: Mapping[str, Any]) -> list[Finding]:
    """Return findings about networks and histories that no training can have left."""
    found = []
    for name, values in arrays.items():
        # Series may have gaps, and without validation shops its losses are NaN.
        checked = name.startswith("weight_") or name in ("loss", "rounds")
        if checked and values.dtype.kind == "f" and not np.isfinite(values).all():
            wrong = int((~np.isfinite(values)).sum())
            message = f"{name} has {wrong} of {values.size} values that are not finite."
            found.append(Finding("not_finite", "error", message, where=name))
    lengths = {name: np.shape(arrays[name]) for name in ("loss", "validation") if name in arrays}
    if len(set(lengths.values())) > 1:
        message = f"The histories of training have different lengths: {lengths}."
        found.append(Finding("history", "error", message, where="loss"))
    return found


def _model(about: Mapping[str, Any], arrays: dict[str, Any]) -> tuple[CausalMMMSpec, Fitted]:
    rounds = arrays.get("rounds", np.empty(0))  # absent in files of earlier versions
    spec = CausalMMMSpec(**{"rounds": len(rounds), **about["spec"]})
    trained = spec.with_basis(tuple(about.get("basis", spec.basis)))
    dates, groups = about["dates"], about["groups"]
    panel = ShopPanel(
        arrays["series"],
        tuple(about["nodes"]),
        tuple(about["shops"]),
        arrays["context"],
        tuple(about["context_names"]),
        None if dates is None else pd.DatetimeIndex(dates),
        None if groups is None else tuple(groups),
        arrays.get("adjacency"),
        arrays.get("structure"),
    )
    prepared = prepare_panel(trained, panel, by=about["normalise"])
    blank = initial_networks(jax.random.key(0), trained, panel, prepared)
    networks = _with_weights(blank, arrays)
    history = History(arrays["loss"], arrays["validation"], rounds)
    key = jax.random.wrap_key_data(jnp.asarray(arrays["key"]), impl=about["key"])
    interrupted = about.get("interrupted", "")  # absent in files of earlier versions
    best = about["best_epoch"]
    if not isinstance(best, int) or not -1 <= best <= len(history.loss):
        raise ValueError(f"its best epoch is {best!r} of {len(history.loss)}")
    return spec, Fitted(trained, networks, panel, prepared, history, best, key, interrupted)


def _one_function(wanted: Any, stored: Any) -> bool:
    """Return whether arrays differ only by an axis of length one for the functions of the basis."""
    return wanted.ndim == stored.ndim + 1 and wanted.size == stored.size


def _with_weights(blank: Networks, arrays: dict[str, Any]) -> Networks:
    dynamic, static = eqx.partition(blank, eqx.is_array)
    leaves, tree = jax.tree.flatten(dynamic)
    stored = [arrays[f"weight_{k:03d}"] for k in range(len(leaves))]
    pairs = zip(leaves, stored, strict=True)
    stored = [b.reshape(a.shape) if _one_function(a, b) else b for a, b in pairs]
    if any(a.shape != b.shape for a, b in zip(leaves, stored, strict=True)):
        raise ValueError("its weights do not fit its settings")
    return eqx.combine(jax.tree.unflatten(tree, [jnp.asarray(x) for x in stored]), static)
