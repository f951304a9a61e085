"""A trained CausalMMM in a file: a zip of arrays and JSON; nothing in it is code."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from mmm_bayes._version import __version__
from mmm_bayes.causal_mmm.inputs import Fitted, initial_networks, prepare_panel
from mmm_bayes.causal_mmm.networks.model import Networks
from mmm_bayes.causal_mmm.networks.training import History
from mmm_bayes.causal_mmm.spec import CausalMMMSpec
from mmm_bayes.data.panel import ShopPanel
from mmm_bayes.runtime.atomic_write import atomic_write
from mmm_bayes.runtime.text_file import parse_json
from mmm_bayes.runtime.zip_file import expected_zip

# 1, 2: other networks; 2 did not say how series were normalised. In 3 functions of a basis shared
# what each has of its own since, which is the same where there is but one; squares had no bound.
_FORMAT, _FORMAT_OF_ONE_FUNCTION = 4, 3
_ALIKE = (("linear",), ("saturating",))


def write(path: Path | str, spec: CausalMMMSpec, fitted: Fitted) -> None:
    """Write a model; an earlier file is replaced only by a whole one."""
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
        "format": _FORMAT,
        "version": __version__,
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
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    with atomic_write(path) as place, place.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def read(path: Path | str) -> tuple[CausalMMMSpec, Fitted]:
    """Read what :func:`write` has written.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is no such model, damaged, or of a later format, or of networks that changed.
    """
    try:
        # Opened here, so that it is closed if NumPy cannot read it.
        with Path(path).open("rb") as opened:
            with expected_zip(opened, _belongs):
                opened.seek(0)
            with np.load(opened, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
        about = parse_json(arrays.pop("about").tobytes().decode())
        alike = (
            about["format"] == _FORMAT_OF_ONE_FUNCTION and tuple(about["spec"]["basis"]) in _ALIKE
        )
        earlier = about["format"] < _FORMAT and not alike
        if about["format"] == _FORMAT or alike:
            return _model(about, arrays)
    except FileNotFoundError:
        raise
    # A damaged zip may raise anything: what it holds goes through several decoders.
    except Exception as error:
        message = f"{path} is not a CausalMMM, or it is damaged ({error})."
        raise ValueError(f"{message} Files are made by CausalMMM.save.") from error
    if earlier:
        raise ValueError(
            f"{path} holds networks as they were in an earlier mmm_bayes: train them again."
        )
    raise ValueError(
        f"{path} was written by mmm_bayes {about['version']}, a later version: upgrade to read it."
    )


def _belongs(name: str) -> bool:
    return re.fullmatch(r"[a-z]+(_\d{3,6})?\.npy", name) is not None


def _model(about: dict[str, Any], arrays: dict[str, Any]) -> tuple[CausalMMMSpec, Fitted]:
    rounds = arrays.get("rounds", np.empty(0))  # files of earlier versions have none
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
    interrupted = about.get("interrupted", "")  # files of earlier versions have none
    best = about["best_epoch"]
    return spec, Fitted(trained, networks, panel, prepared, history, best, key, interrupted)


def _one_function(wanted: Any, stored: Any) -> bool:
    """Whether arrays differ by an axis for the functions of the basis, of which there is one."""
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
