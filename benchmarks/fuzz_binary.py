"""Files that are not text: fits, structural fits, trained CausalMMMs, arrays of a run, sessions.

All are made without sampling: draws are of the prior, networks are untrained.
"""

from __future__ import annotations

import functools
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fuzz_inputs as inputs
import jax
import numpy as np
import xarray as xr

import mmm_bayes as mb
from mmm_bayes.causal.discovery.knowledge import Knowledge
from mmm_bayes.causal.discovery.session import DiscoverySession
from mmm_bayes.model import tree, units
from mmm_bayes.model.fitted import Fitted
from mmm_bayes.model.program import program_for
from mmm_bayes.runtime.run_folder import RunFolder

SUFFIX = {"fit": ".nc", "structural": ".zip", "causal mmm": ".zip", "run folder": ".npz"}
KINDS = tuple(SUFFIX)


def prior_fit(data: mb.MMMData, spec: mb.ModelSpec, draws: int = 8) -> mb.FitResult:
    """Take draws of the prior for those of a posterior."""
    bare = Fitted(spec, data, xr.DataTree())
    with bare.precision():
        program = program_for(bare.structure, False, spec.sampler.precision)
        arrays = bare.arrays._replace(block=None)
        params = program.prior(jax.random.key(7), arrays, draws)
    table = units.to_table_units(bare.structure, bare.scaling, bare.log_rate, params)
    groups = {"posterior": tree.parameter_group(bare.structure, data, table, 1)}
    targets = np.broadcast_to(data.ds["target"].values, (draws, data.num_geos, data.num_dates))
    groups["posterior_predictive"] = tree.target_group(bare.structure, data, "target", targets, 1)
    groups |= tree.data_groups(data)
    return mb.FitResult(Fitted(spec, data, xr.DataTree.from_dict(groups)))


def _data() -> mb.MMMData:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mb.errors.DataWarning)
        return mb.simulate.mmm(jax.random.key(0), num_dates=30, num_channels=2, num_controls=1).data


_SPEC = mb.ModelSpec(name="small", media={"max_lag": 3}, sampler={"num_samples": 4})


def _write_fit(path: Path) -> None:
    prior_fit(_data(), _SPEC).save(path)


def _write_structural(path: Path) -> None:
    from mmm_bayes.structural.equations import equation_data
    from mmm_bayes.structural.fit import StructuralFit

    data = _data()
    one, other = data.channels
    graph = mb.CausalGraph(
        edges=[(one, other), (one, data.target_name), (other, data.target_name)],
        bidirected=[(one, data.target_name)],
    )
    equations = {
        other: prior_fit(equation_data(data, other, [one], []), _SPEC),
        data.target_name: prior_fit(equation_data(data, data.target_name, [one, other], []), _SPEC),
    }
    correlations = {
        (other, data.target_name): xr.DataArray(
            np.full((1, 8, 2, 2), 0.5),
            coords={"node": [other, data.target_name], "other": [other, data.target_name]},
            dims=("chain", "draw", "node", "other"),
        )
    }
    StructuralFit(data, graph, [one, other], equations, correlations).save(path)


def _write_causal_mmm(path: Path) -> None:
    from mmm_bayes.causal_mmm import files
    from mmm_bayes.causal_mmm.inputs import Fitted as Trained
    from mmm_bayes.causal_mmm.inputs import initial_networks, prepare_panel
    from mmm_bayes.causal_mmm.networks.training import History

    spec = mb.CausalMMMSpec(lags=2, hidden=4, embedding=2, components=2, epochs=1)
    panel = mb.simulate.shops(jax.random.key(0), num_shops=3, num_channels=2, num_dates=20)
    prepared = prepare_panel(spec, panel)
    networks = initial_networks(jax.random.key(1), spec, panel, prepared)
    history = History(np.ones(1), np.full(1, np.nan), np.ones(2))
    chosen = spec.with_basis(("saturating",))
    fitted = Trained(chosen, networks, panel, prepared, history, 0, jax.random.key(2))
    files.write(path, spec, fitted)


def _write_run(path: Path) -> None:
    with RunFolder(path.parent / "run", "numbers", {"seed": 1}) as run:
        run.write("first", {"x": np.arange(30.0), "words": np.array(["a", "b"])})
    (path.parent / "run" / "first.npz").replace(path)


def _read_run(path: Path) -> Any:
    folder = path.parent / "run"
    with RunFolder(folder, "numbers", {"seed": 1}) as run:
        (folder / "first.npz").write_bytes(path.read_bytes())
        return run.read("first")


_WRITERS: dict[str, Callable[[Path], None]] = {
    "fit": _write_fit,
    "structural": _write_structural,
    "causal mmm": _write_causal_mmm,
    "run folder": _write_run,
}
READERS: dict[str, Callable[[Path], Any]] = {
    "fit": mb.load_fit,
    "structural": mb.load_structural_fit,
    "causal mmm": mb.load_causal_mmm,
    "run folder": _read_run,
}


@functools.cache
def sound(kind: str) -> bytes:
    """Return the bytes of a complete file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"whole{SUFFIX[kind]}"
        _WRITERS[kind](path)
        return path.read_bytes()


def changed(rng: np.random.Generator, kind: str) -> bytes:
    """Return a file that was cut, flipped or doubled in places."""
    return inputs.damage(rng, sound(kind), binary=True)


@functools.cache
def session_text() -> str:
    """Return a session of discovery with a run and decisions, as text."""
    from mmm_bayes.causal.discovery import session_files as files

    knowledge = Knowledge(required=[("tv", "search")], forbidden=[("sales", "tv")])
    graph = mb.CausalGraph(edges=[("tv", "search"), ("search", "sales")])
    edges = ({"cause": "tv", "effect": "search", "probability": 0.9, "source": "both"},)
    conflicts = ({"edge": ["tv", "sales"], "kind": "missing", "probability": 0.2},)
    key = {"impl": "fry", "words": [0, 1]}
    ran = files.Run(graph, graph, knowledge, {"draws": 5}, key, "abc", False, edges, conflicts)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "session.json"
        session = DiscoverySession(jax.random.key(0), knowledge, num_draws=5)
        session._runs.append(ran)
        session.save(path)
        session.decide(("search", "sales"), "keep", reason="Lift test.")
        return path.read_text("utf-8")


def sound_fit(fit: mb.FitResult) -> None:
    """Check that an accepted fit answers questions."""
    assert fit.spec.name is not None
    assert len(fit.data.channels) == 2
    assert repr(fit)
    # Flipped digits of draws are digits all the same; shapes are those of the model.
    for name, values in fit.tree["posterior"].data_vars.items():
        assert values.sizes["chain"] == 1, name


def sound_structural(fit: mb.StructuralFit) -> None:
    """Check that an accepted structural fit prints."""
    assert repr(fit)
    assert len(fit.equations) == 2


def sound_causal_mmm(model: mb.CausalMMM) -> None:
    """Check that an accepted CausalMMM knows its nodes."""
    assert repr(model)
