"""Inputs that lie in words: texts of graphs, names, arguments, and numbers in commands."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fuzz_inputs as inputs
import fuzz_tables as tables
import numpy as np
import pandas as pd
from fuzz_inputs import Rng, pick

import mmm_bayes as mb
from mmm_bayes.data.lift_tests import LiftTest
from mmm_bayes.runtime.arguments import _is_ours
from mmm_bayes.runtime.summary_table import SummaryTable

HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]"
)


class Refusal(ValueError):
    """An error of this package whose class is one of Python's, or a command that ended in words."""


# --- Texts of graphs -----------------------------------------------------------------------------

_GRAPHS = (
    'dag {\nbb="-4.5,-3.2,4.1,3.9"\n"TV spend" [exposure,pos="-2.200,-1.520"]\nU [latent,pos="1,2"]'
    '\nprice [adjusted,pos=1.5,-2]\nsales [outcome]\n"TV spend" -> search -> sales\n'
    'U -> {"TV spend" sales}\nsales <- price\nsearch <-> price [beta=.3]\n}\n',
    "dag { x -> y ; u [latent] ; u -> x ; u -> y ; {a b} -> c -> x <- d }",
    "digraph g { rankdir=LR; node [shape=box]; tv -> {search sales}; search -> sales [dir=both]; "
    'subgraph s { price; "a b" -> price }; U [label="Unobserved Confounders"]; U -> {tv sales} }',
    'graph [ directed 1 node [ id 0 label "tv" ] node [ id 1 label "u" latent 1 ] node [ id 2 '
    'label "sales" ] edge [ source 0 target 2 ] edge [ source 1 target 0 ] edge [ source '
    "1 target 2 ] ]",
    '{"edges": [["tv", "sales"], ["u", "tv"], ["u", "sales"]], "latent": ["u"]}',
    'edges = [["tv", "sales"], ["u", "tv"]]\nlatent = ["u"]\n[roles]\ntv = "channel"\n',
)
_WORDS = (
    "->", "<-", "<->", "--", "@->", "@-@", "{", "}", "[", "]", ";", ",", "=", '"', "\n", " ",
    "//", "/*", "#", "[latent]", "[latent,outcome]", "[exposure]", "[observed=no]", "[dir=back]",
    "[role=x]",
    "subgraph {", "subgraph", "node", "edge", "graph", "strict", "dag", "pdag {", "mag",
    "TV spend", '"TV spend"', "TV%20spend", "%", "u", "U [latent]", "x.y", "1", "-1.5", ".5",
    "digraph {", "名前",
    "\x1b[31m", "\u202e", "\x00", "\u2028", '"\\"', "a:n", "a -> a", "y -> x", "latent", "bb=",
    "{" * 900, "subgraph { " * 900, "[" * 900, "a -> {" * 900, "a " * 300, "a -> " * 300,
)  # fmt: skip


def graph_text(rng: Rng) -> str:
    text = pick(rng, _GRAPHS)
    for _ in range(inputs.few(rng)):
        parts = re.split(r"(\s+)", text)
        at = int(rng.integers(len(parts)))
        kind = int(rng.integers(5))
        if kind == 0:
            parts.insert(at, pick(rng, _WORDS))
        elif kind == 1:
            parts[at] = pick(rng, _WORDS)
        elif kind == 2:
            del parts[at]
        elif kind == 3:
            parts.insert(at, parts[int(rng.integers(len(parts)))])
        else:
            damaged = inputs.damage(rng, "".join(parts).encode("utf-8", "replace"))
            parts = [damaged.decode("utf-8", "replace")]
        text = "".join(parts)
    return text


def read_graph_text(given: str, folder: Path) -> mb.CausalGraph:
    graph = mb.CausalGraph.from_text(given)
    if given.lstrip().startswith("dag"):
        path = folder / "input.dagitty"
        path.write_text(given, encoding="utf-8", newline="")
        assert mb.CausalGraph.from_file(path) == graph
    return graph


def sound_graph(graph: mb.CausalGraph) -> None:
    assert graph.check_order(graph.topological_order())
    for text in (str(graph), repr(graph), graph._repr_html_()):
        assert not HIDDEN.search(text)


# --- Names ---------------------------------------------------------------------------------------

_SIGNS = (
    "\x1b[31m", "\x1b[2J", "\x07", "\x9b2J", "\u202e", "\u2066", "\u200b", "\u2028", "\ufeff", "\r",
    "\n", "\t", "$", "$\\badmacro{", "$x_{$", "[red]", "[/red]", "[bold", "<script>",
    "&amp;", "{0}", "%s", "{{7*7}}", "\\", "'", '"', "`", "_", "a" * 300, "名前", "👨\u200d👩",
    "می\u200cشود", "..", "/", "\x00",
)  # fmt: skip


def named(rng: Rng) -> tables.Tabled:
    """Return a table whose columns and geos have names with signs in them."""
    frame, roles = tables.base(pick(rng, tables.KINDS[:2]))
    new = {}
    for column in frame.columns:
        signs = "".join(pick(rng, _SIGNS) for _ in range(int(rng.integers(0, 3))))
        new[column] = column[:2] + signs + column[2:]
    frame = frame.rename(columns=new)
    if "region" in new:
        sign = pick(rng, _SIGNS)
        frame[new["region"]] = frame[new["region"]] + sign
    roles = {
        key: [new[v] for v in value] if isinstance(value, list) else new.get(value, value)
        for key, value in roles.items()
    }
    if rng.random() < 0.3:  # an error that has to name a column
        frame.loc[3, pick(rng, list(frame.columns[1:3]))] = np.nan
    return tables.Tabled(frame, roles)


def read_named(given: tables.Tabled, folder: Path) -> mb.MMMData:
    try:
        return mb.MMMData.from_dataframe(given.frame, **given.roles)
    except mb.errors.DataError as error:
        if HIDDEN.search(str(error)):
            raise AssertionError("an error shows a character that cannot be seen") from error
        raise


def sound_names(data: mb.MMMData) -> None:
    model = mb.MMM(data, mb.ModelSpec(name=data.channels[0], media={"max_lag": 3}))
    edges = [(name, data.target_name) for name in data.channels]
    graph = mb.CausalGraph(edges=edges).with_roles_of(data)
    table = SummaryTable({name: [name] for name in data.channels}, index=[data.target_name])
    for one in (data, data.summary(), model, graph, table, graph.explain_adjustment(*edges[0])):
        for text in (repr(one), str(one), one._repr_html_()):
            assert not HIDDEN.search(text), type(one).__name__
    assert list(data.summary().index) == data.channels


# --- Arguments -----------------------------------------------------------------------------------

_ODD: tuple[Any, ...] = (
    *inputs.CELLS, "tv", "sales", "week", ["tv"], ("tv", "search"), {"tv": "tv"}, {"tv"}, [["tv"]],
    10**30, -(2**70), "²", b"tv", pd.Series([1.0]), pd.DataFrame({"tv": [1.0]}), np.array(["tv"]),
    print, range(3), iter([]), np.int64(-3), [None], {"tv": None}, 1e300,
)  # fmt: skip


@functools.cache
def _entries() -> dict[str, tuple[Callable[..., Any], dict[str, Any]]]:
    frame, roles = tables.base("national")
    data = mb.MMMData.from_dataframe(frame, **roles)
    graph = mb.CausalGraph(edges=[("tv", "sales"), ("search", "sales"), ("price", "sales")])
    graph = graph.with_roles_of(data)
    test = {
        "channel": "tv", "start": "2022-02-07", "end": "2022-03-06", "lift": 50.0,
        "standard_error": 20.0, "geos": (), "spend_change": None, "measure": "lift",
    }  # fmt: skip
    optional = {"spend": None, "geo": None, "population": None, "revenue_per_target": None}
    return {
        "from_dataframe": (
            mb.MMMData.from_dataframe, {"df": frame, **roles, **optional, "min_rows": None}
        ),
        "MMM": (mb.MMM, {"data": data, "spec": mb.ModelSpec(), "lift_tests": ()}),
        "LiftTest": (LiftTest, test),
        "ModelSpec": (
            mb.ModelSpec, {n: getattr(mb.ModelSpec(), n) for n in mb.ModelSpec.model_fields}
        ),
        "MediaSpec": (type(mb.ModelSpec().media), dict(mb.ModelSpec().media)),
        "SamplerSpec": (mb.SamplerSpec, dict(mb.SamplerSpec())),
        "PriorSpec": (mb.PriorSpec, {"dist": "normal", "loc": 0.0, "scale": 1.0}),
        "CausalGraph": (
            mb.CausalGraph, {"nodes": None, "edges": [("a", "b")], "bidirected": (), "roles": None}
        ),
        "overlap": (
            mb.overlap,
            {"data": data, "adjustment": graph, "treatments": ["tv"], "lags": 0, "strata": 3},
        ),
        "with_spend": (data.with_spend, {"channel": "tv", "scale": 1.0, "dates": None}),
        "future_dates": (data.future_dates, {"periods": 3}),
        "model_grid": (
            mb.model_grid, {"spec": mb.ModelSpec(), "adstock": ["geometric"], "saturation": None}
        ),
        "load_fit": (mb.load_fit, {"path": "none.nc"}),
        "from_toml": (mb.ModelSpec.from_toml, {"source": "none.toml"}),
    }  # fmt: skip


def call(rng: Rng) -> tuple[str, dict[str, Any]]:
    """Return a function and its arguments, one to three of which are odd."""
    name = pick(rng, list(_entries()))
    changed = dict(_entries()[name][1])
    for _ in range(inputs.few(rng)):
        changed[pick(rng, list(changed))] = pick(rng, _ODD)
    return name, changed


def read_call(given: tuple[str, dict[str, Any]], folder: Path) -> Any:
    function, _ = _entries()[given[0]]
    try:
        return function(**given[1])
    except Exception as error:
        if _is_ours(error):
            raise Refusal(str(error)) from error
        raise


# --- Command line --------------------------------------------------------------------------------

_NUMBERS = (
    "99999999999999999999", "-1", "0", "1", "1e3", "²", "٣", "１２", "nan", "inf", "-inf", "0x10",
    "1_0", "", " ", "--", "1,000", "1.5", "-0", "1e999", "\x1b[31m", "\u202e1", "true", "None",
    "9" * 4000, "4294967296", "1000001", "½", "0.5", "1000000",
)  # fmt: skip
_COMMANDS = (
    ("fit no_model", ("--seed", "--num-samples", "--num-warmup", "--num-chains", "--devices")),
    ("demo", ("--seed", "--num-samples", "--num-warmup", "--num-chains")),
    ("validate no_model", ("--seed", "--num-folds", "--horizon", "--min-train", "--num-chains")),
    ("compare no_model", ("--seed", "--num-folds", "--num-samples")),
    ("forecast no_fit.nc", ("--seed", "--horizon", "--ci-prob", "--spend")),
    ("optimize no_fit.nc", ("--total", "--periods", "--ci-prob", "--level", "--min", "--max")),
    ("next-test no_fit.nc", ("--seed", "--change")),
    ("summary no_fit.nc", ("--ci-prob",)),
    ("augment no_table.csv", ("--seed", "--num-rows", "--threshold", "--bandwidth", "--mixture")),
    ("graph check no_model --graph no.dot", ("--seed", "--alpha")),
    ("graph discover no_model", ("--seed", "--num-bootstrap", "--alpha")),
    ("map-fits no_table.csv --spec no_model", ("--seed", "--workers", "--num-samples")),
)


def command(rng: Rng) -> list[str]:
    """Return a command on files that do not exist, with odd numbers."""
    words, options = pick(rng, _COMMANDS)
    typed = words.split()
    for _ in range(inputs.few(rng)):
        typed += [pick(rng, options), pick(rng, _NUMBERS)]
    if typed[0] == "demo":
        typed += ["--out", "/dev/null"]  # no folder: nothing is fitted
    elif typed[0] not in ("optimize", "next-test", "summary"):
        typed += ["--out", "out.csv" if typed[0] == "augment" else "out"]
    return typed


def read_command(given: list[str], folder: Path) -> None:
    import contextlib

    from typer.testing import CliRunner

    from mmm_bayes.cli import app

    with contextlib.chdir(folder):
        found = CliRunner().invoke(app, given)
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    assert found.exit_code in (1, 2), "a command on files that do not exist should end in an error"
    assert not HIDDEN.search(found.output.replace("\t", " ")), "a character that cannot be seen"
    raise Refusal(found.output)
