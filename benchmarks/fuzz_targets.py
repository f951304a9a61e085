"""What reads a user's input: how to make one that lies, who reads it, what may come back."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fuzz_binary
import fuzz_dates
import fuzz_inputs as inputs
import fuzz_saved
import fuzz_tables as tables
import fuzz_words as words
import numpy as np
import tomli_w
from fuzz_inputs import Rng, pick
from fuzz_tables import Filed, Tabled

import mmm_bayes as mb
from mmm_bayes.causal.discovery.knowledge import Knowledge
from mmm_bayes.causal.discovery.session import DiscoverySession
from mmm_bayes.causal.graph.checks import GraphError
from mmm_bayes.model.store import FitFileError
from mmm_bayes.runtime.run_folder import RunFolderError

_SUFFIXES = (".dot", ".gml", ".json", ".toml")


@dataclass(frozen=True)
class Target:
    """An entry: makes an input of a random stream, reads it, and checks what was accepted."""

    what: str
    make: Callable[[Rng], Any]
    read: Callable[[Any, Path], Any]
    check: Callable[[Any], None]
    refusals: tuple[type[Exception], ...]
    weight: float = 1.0


def given(name: str, seed: int) -> Any:
    """Return the input of a seed."""
    return TARGETS[name].make(np.random.default_rng([seed, *name.encode()]))


# --- Specifications ------------------------------------------------------------------------------

_KEYS = (
    "name", "data", "media", "channels", "intercept", "trend", "seasonality", "events", "controls",
    "likelihood", "geo", "sampler", "n_basis", "days_before", "days_after", "order", "length", "nu",
    "dispersion", "num_samples", "precision", "max_tree_depth", "block", "description",
    "media_scale", "dist", "loc", "scale", "low", "high", "value", "adstock", "saturation",
    "max_lag", "effect", "priors", "alpha", "beta", "tv", "period", "order", "dates", "kind",
    "n_knots", "family", "sigma", "file", "x",
)  # fmt: skip


@functools.cache
def _spec_bases() -> tuple[dict[str, Any], ...]:
    import tomllib

    root = Path(__file__).resolve().parent.parent
    known = [tomllib.loads(p.read_text("utf-8")) for p in sorted((root / "models").glob("*.toml"))]
    full = {
        "name": "full",
        "data": {
            "file": "sales.csv",
            "date": "week",
            "target": "sales",
            "channels": ["tv", "search"],
            "controls": {"price": "price"},
            "spend": {"tv": "tv", "search": ""},
        },
        "media": {
            "adstock": "delayed",
            "saturation": "logistic",
            "max_lag": 5,
            "effect": "roas",
            "priors": {"alpha": {"dist": "uniform", "low": 0.1, "high": 0.9}},
        },
        "channels": {
            "tv": {
                "adstock": "weibull_pdf",
                "effect": "contribution_share",
                "priors": {"slope": {"dist": "constant", "value": 1.0}},
            }
        },
        "intercept": {"dist": "student_t", "df": 4.0, "loc": 0.5, "scale": 2.0},
        "trend": {"kind": "hsgp", "n_basis": 7, "amplitude": {"dist": "half_normal", "scale": 0.3}},
        "seasonality": [{"period": "year", "order": 3}, {"period": 30.5, "order": 1, "scale": 0.2}],
        "events": [
            {
                "name": "sale",
                "dates": ["2022-06-24"],
                "days_before": 2,
                "yearly": True,
                "prior": {"dist": "normal", "loc": 0.5, "scale": 0.5},
            }
        ],
        "controls": {
            "prior": {"dist": "laplace", "scale": 0.4},
            "priors": {"price": {"dist": "normal", "loc": -0.3, "scale": 0.3}},
        },
        "likelihood": {"family": "student_t", "sigma": {"dist": "half_cauchy", "scale": 0.5}},
        "geo": {"media": "log_normal", "controls": "pooled"},
        "sampler": {"num_samples": 300, "num_chains": 2},
    }
    knots = {"trend": {"kind": "knots", "n_knots": 4}, "media": {"saturation": "none"}, "name": "k"}
    return (*known, full, full, full, knots)


def _spec_text(rng: Rng) -> Filed:
    text = tomli_w.dumps(pick(rng, _spec_bases())).encode()
    return Filed(inputs.damage(rng, text), ".toml")


def _dumped(tree: Any) -> bytes:
    try:
        return tomli_w.dumps(tree).encode("utf-8", "surrogatepass")
    except (TypeError, AttributeError, ValueError):  # no TOML can say this
        return b"x = 1"


def _spec_tree(rng: Rng) -> Filed:
    return Filed(_dumped(inputs.perturb(rng, pick(rng, _spec_bases()), _KEYS)), ".toml")


def _read_spec(given: Filed, folder: Path) -> mb.ModelSpec:
    return mb.ModelSpec.from_toml(given.put(folder))


def _sound_spec(spec: mb.ModelSpec) -> None:
    assert mb.ModelSpec.from_toml(spec.to_toml() + "\n") == spec
    assert hash(spec) == hash(mb.ModelSpec.from_toml(spec.to_toml() + "\n"))


def _model(rng: Rng) -> tuple[Tabled, dict[str, Any]]:
    """Return a table, damaged or not, with a damaged specification."""
    frame, roles = tables.base(pick(rng, tables.KINDS))
    tree = {k: v for k, v in pick(rng, _spec_bases()).items() if k != "data"}
    tree.setdefault("media", {})
    tree["media"] = tree["media"] | {"max_lag": 5}
    if rng.random() < 0.5:
        frame = inputs.twist(rng, frame, "week")
    if rng.random() < 0.8:
        tree = inputs.perturb(rng, tree, _KEYS)
    return Tabled(frame, roles), tree


def _read_model(given: tuple[Tabled, dict[str, Any]], folder: Path) -> mb.MMM:
    spec = _read_spec(Filed(_dumped(given[1]), ".toml"), folder)
    return mb.MMM(tables.read_table(given[0], folder), spec)


def _sound_model(model: mb.MMM) -> None:
    import jax

    with jax.enable_x64(True):
        leaves = jax.tree.leaves(model.arrays())
    assert all(np.isfinite(leaf).all() for leaf in leaves), "an array of the model is not finite"


# --- Graphs --------------------------------------------------------------------------------------

_GRAPHS = (
    mb.CausalGraph(edges=[("tv", "search"), ("tv", "sales"), ("search", "sales")]),
    mb.CausalGraph(
        nodes=["tv", "paid search", "sales", "x"],
        edges=[("tv", "paid search"), ("paid search", "sales")],
        bidirected=[("tv", "sales")],
        roles={"tv": "channel", "sales": "target"},
    ),
)


def _graph(rng: Rng) -> Filed:
    graph, suffix = pick(rng, _GRAPHS), pick(rng, _SUFFIXES)
    if suffix in (".json", ".toml") and rng.random() < 0.5:
        tree: Any = {
            "nodes": list(graph.nodes), "edges": [list(e) for e in graph.edges],
            "bidirected": [list(e) for e in graph.bidirected], "roles": dict(graph.roles),
        }  # fmt: skip
        tree = inputs.perturb(rng, tree, ("nodes", "edges", "bidirected", "roles", "tv", "x"))
        text = json.dumps(tree, default=str).encode() if suffix == ".json" else _dumped(tree)
        return Filed(text, suffix)
    from mmm_bayes.causal.graph import files as graph_files

    parts = graph.nodes, graph.edges, graph.bidirected, graph.roles
    return Filed(inputs.damage(rng, graph_files._WRITERS[suffix](*parts).encode()), suffix)


def _read_graph(given: Filed, folder: Path) -> mb.CausalGraph:
    return mb.CausalGraph.from_file(given.put(folder))


def _sound_graph(graph: mb.CausalGraph) -> None:
    assert graph.check_order(graph.topological_order())
    assert str(graph)
    assert all(isinstance(v, str) and v for v in graph.nodes)


def _knowledge(rng: Rng) -> Filed:
    tree: Any = {
        "required": [["tv", "search"]],
        "forbidden": [["sales", "tv"]],
        "tiers": [["tv"], ["sales"]],
        "confidence": 0.9,
        "tier_confidence": 1.0,
        "confidences": [{"edge": ["tv", "search"], "confidence": 0.8}],
        "probabilities": [{"edge": ["search", "sales"], "probability": 0.7}],
    }
    if rng.random() < 0.4:
        return Filed(inputs.damage(rng, _dumped(tree)), ".toml")
    keys = (*tree, "edge", "probability", "confidence")
    return Filed(_dumped(inputs.perturb(rng, tree, keys)), ".toml")


def _read_knowledge(given: Filed, folder: Path) -> Knowledge:
    return Knowledge.from_toml(given.put(folder))


def _session(rng: Rng) -> Filed:
    text = fuzz_binary.session_text()
    if rng.random() < 0.4:
        return Filed(inputs.damage(rng, text.encode()), ".json")
    keys = ("knowledge", "runs", "graph", "edges", "edge", "words", "impl", "options", "nodes")
    tree = inputs.perturb(rng, json.loads(text), keys)
    return Filed(json.dumps(tree, default=str).encode(), ".json")


def _read_session(given: Filed, folder: Path) -> DiscoverySession:
    return DiscoverySession.load(given.put(folder))


def _sound_session(session: DiscoverySession) -> None:
    assert str(session)
    session.save(session.path)
    assert session.settled_knowledge() is not None
    assert session.open_conflicts is not None


# --- Binary files --------------------------------------------------------------------------------


def _binary(kind: str) -> Callable[[Rng], Filed]:
    def make(rng: Rng) -> Filed:
        others = [name for name in fuzz_binary.KINDS if name != kind]
        of = kind if rng.random() < 0.95 else pick(rng, others)
        return Filed(fuzz_binary.changed(rng, of), fuzz_binary.SUFFIX[kind])

    return make


def _reader(kind: str) -> Callable[[Filed, Path], Any]:
    return lambda given, folder: fuzz_binary.READERS[kind](given.put(folder))


_TABLE = (mb.errors.DataError, mb.errors.ArgumentError)
TARGETS: dict[str, Target] = {
    "table": Target("data frames", tables.table, tables.read_table, tables.sound_table, _TABLE, 8),
    "long": Target(
        "long data frames", tables.long, tables.read_long, tables.sound_table, _TABLE, 2
    ),
    "csv": Target("CSV files", tables.csv, tables.read_file, tables.sound_table, _TABLE, 4),
    "parquet": Target(
        "parquet files", tables.parquet, tables.read_file, tables.sound_table, _TABLE, 1
    ),
    "lift": Target(
        "tables of lift tests", tables.lift, tables.read_lift, tables.sound_tests, _TABLE, 3
    ),
    "dates": Target(
        "columns of dates",
        fuzz_dates.dates,
        fuzz_dates.read_dates,
        fuzz_dates.sound_dates,
        _TABLE,
        3,
    ),
    "shops": Target(
        "tables of shops", tables.shops, tables.read_shops, tables.sound_panel, _TABLE, 4
    ),
    "spec text": Target(
        "TOML text of models", _spec_text, _read_spec, _sound_spec, (mb.errors.ModelSpecError,), 4
    ),
    "spec": Target(
        "TOML values of models", _spec_tree, _read_spec, _sound_spec, (mb.errors.ModelSpecError,), 6
    ),
    "model": Target(
        "a table with a model",
        _model,
        _read_model,
        _sound_model,
        (mb.errors.DataError, mb.errors.ModelSpecError, mb.errors.ModelDataError),
        6,
    ),
    "graph": Target(
        "DOT, GML, JSON, TOML graphs", _graph, _read_graph, _sound_graph, (GraphError,), 5
    ),
    "knowledge": Target(
        "experts' knowledge", _knowledge, _read_knowledge, lambda k: None, (GraphError,), 2
    ),
    "session": Target(
        "discovery sessions", _session, _read_session, _sound_session, (GraphError,), 2
    ),
    "fit": Target(
        "fits (NetCDF)", _binary("fit"), _reader("fit"), fuzz_binary.sound_fit, (FitFileError,), 1.5
    ),
    "structural": Target(
        "structural fits (zip)",
        _binary("structural"),
        _reader("structural"),
        fuzz_binary.sound_structural,
        (FitFileError,),
        0.7,
    ),
    "causal mmm": Target(
        "trained CausalMMM (zip)",
        _binary("causal mmm"),
        _reader("causal mmm"),
        fuzz_binary.sound_causal_mmm,
        (FitFileError,),
        0.5,
    ),
    "altered fit": Target(
        "fits with parts that disagree",
        lambda rng: Filed(fuzz_saved.changed_fit(rng), ".nc"),
        _reader("fit"),
        fuzz_saved.sound_fit,
        (FitFileError,),
        3,
    ),
    "altered structural": Target(
        "structural fits with parts that disagree",
        lambda rng: Filed(fuzz_saved.changed_zip(rng, "structural"), ".zip"),
        _reader("structural"),
        fuzz_binary.sound_structural,
        (FitFileError,),
        1,
    ),
    "altered causal mmm": Target(
        "CausalMMMs with parts that disagree",
        lambda rng: Filed(fuzz_saved.changed_zip(rng, "causal mmm"), ".zip"),
        _reader("causal mmm"),
        fuzz_binary.sound_causal_mmm,
        (FitFileError,),
        1,
    ),
    "run folder": Target(
        "arrays of a run (npz)",
        _binary("run folder"),
        _reader("run folder"),
        lambda arrays: None,
        (RunFolderError,),
        0.5,
    ),
    "graph text": Target(
        "texts of graphs, DAGitty's among them",
        words.graph_text,
        words.read_graph_text,
        words.sound_graph,
        (GraphError,),
        4,
    ),
    "names": Target(
        "names with signs in them", words.named, words.read_named, words.sound_names, _TABLE, 3
    ),
    "arguments": Target(
        "arguments of functions",
        words.call,
        words.read_call,
        lambda found: None,
        (words.Refusal,),
        4,
    ),
    "command": Target(
        "numbers on the command line",
        words.command,
        words.read_command,
        lambda found: None,
        (words.Refusal,),
        3,
    ),
}
