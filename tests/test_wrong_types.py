"""Arguments of the wrong type: one finding in plain words, and no error of Python's or a library's.

Every argument of the functions below is replaced by values that people hand over by mistake.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from pydantic import BaseModel
from typer.testing import CliRunner

import mmm_bayes as mb
from mmm_bayes.cli import app
from mmm_bayes.data.lift_tests import LiftTest
from mmm_bayes.errors import DataError, SettingsError
from mmm_bayes.runtime.arguments import ArgumentError
from mmm_bayes.runtime.keywords import nearest_argument

# Not among them: 0 and "x", which are right in places.
WRONG: tuple[Any, ...] = (
    None, "", ["x"], [], {"x": 1}, {}, -1, 10**30, -(2**70), 1.5, float("nan"), float("inf"),
    np.float64(2.5), np.int64(-2), True, b"x", ("a", "b"), object(), pd.Series([1.0]),
    pd.DataFrame({"x": [1.0]}), np.array([1, 2]), "²", [None], {"tv": None}, print,
    pd.Timestamp("2024-01-01"), [["a"]], set(),
)  # fmt: skip


@functools.cache
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    found = pd.DataFrame({"week": pd.date_range("2023-01-02", periods=40, freq="7D")})
    for name in ("tv", "search"):
        found[name] = rng.gamma(2, 10, 40)
    found["price"] = rng.normal(size=40)
    found["sales"] = 100 + found["tv"] + found["search"] + rng.normal(0, 5, 40)
    return found


ROLES = {"date": "week", "target": "sales", "channels": ["tv", "search"], "controls": ["price"]}


@functools.cache
def data() -> mb.MMMData:
    return mb.MMMData.from_dataframe(frame(), **ROLES)


@functools.cache
def graph() -> mb.CausalGraph:
    edges = [("price", "tv"), ("price", "sales"), ("tv", "sales"), ("search", "sales")]
    return mb.CausalGraph(edges=edges).with_roles_of(data())


def entries() -> dict[str, tuple[Callable[..., Any], dict[str, Any]]]:
    """Return functions, each with arguments that are right."""
    test = {"channel": "tv", "start": "2023-03-06", "end": "2023-04-02", "lift": 50.0,
            "standard_error": 20.0}  # fmt: skip
    model = mb.MMM(data())
    return {
        "from_dataframe": (
            mb.MMMData.from_dataframe,
            {"df": frame(), **ROLES, "spend": None, "geo": None, "population": None,
             "revenue_per_target": None, "min_rows": None},
        ),
        "from_long": (
            mb.MMMData.from_long,
            {"df": frame().melt("week"), "variable": "variable", "value": "value", **ROLES},
        ),
        "with_spend": (
            data().with_spend, {"channel": "tv", "scale": 1.0, "value": None, "dates": None}
        ),
        "subset": (data().subset, {"dates": slice(None, "2023-06-01")}),
        "with_table": (data().with_table, {"df": frame()}),
        "future_dates": (data().future_dates, {"periods": 3}),
        "MMM": (mb.MMM, {"data": data(), "spec": None, "lift_tests": ()}),
        "memory": (
            model.memory,
            {"marginal": True, "num_prior_draws": 5, "devices": None, "geo_devices": None,
             "num_samples": None, "num_chains": None, "precision": None},
        ),
        "LiftTest": (
            LiftTest,
            {**test, "geos": (), "spend_change": None, "name": "", "measured_until": None,
             "measure": "lift"},
        ),
        "read_lift_tests": (
            mb.read_lift_tests,
            {"frame": pd.DataFrame([test]), "columns": None, "channels": ["tv"], "geos": None},
        ),
        "ModelSpec": (
            mb.ModelSpec,
            {name: getattr(mb.ModelSpec(), name) for name in mb.ModelSpec.model_fields},
        ),
        "from_toml": (mb.ModelSpec.from_toml, {"source": "name = 'x'"}),
        "PriorSpec": (mb.PriorSpec, {"dist": "normal", "loc": 0.0, "scale": 1.0}),
        "SamplerSpec": (
            mb.SamplerSpec, {"num_samples": 10, "target_accept": 0.8, "chain_method": "auto"}
        ),
        "Checkpoint": (mb.Checkpoint, {"folder": "folder", "draws": None, "minutes": None}),
        "CausalGraph": (
            mb.CausalGraph, {"nodes": None, "edges": [("a", "b")], "bidirected": (), "roles": None}
        ),
        "from_networkx": (
            mb.CausalGraph.from_networkx, {"directed": nx.DiGraph([("a", "b")]), "bidirected": ()}
        ),
        "from_text": (mb.CausalGraph.from_text, {"text": "dag { a -> b }"}),
        "overlap": (
            mb.overlap,
            {"data": data(), "adjustment": graph(), "treatments": None, "outcome": None,
             "season": None, "date": None, "geo": None, "lags": 0, "strata": 3},
        ),
        "model_grid": (
            mb.model_grid, {"spec": mb.ModelSpec(), "adstock": ["geometric"], "saturation": None}
        ),
        "CausalDA": (mb.CausalDA, {"graph": graph()}),
        "StructuralMMM": (mb.StructuralMMM, {"data": data(), "graph": graph()}),
        "load_dataset": (mb.load_dataset, {"name": "lydia_pinkham", "min_rows": None}),
        "load_fit": (mb.load_fit, {"path": "none.nc"}),
    }  # fmt: skip


NAMES = (
    "from_dataframe", "from_long", "with_spend", "subset", "with_table", "future_dates", "MMM",
    "memory", "LiftTest", "read_lift_tests", "ModelSpec", "from_toml", "PriorSpec", "SamplerSpec",
    "Checkpoint", "CausalGraph", "from_networkx", "from_text", "overlap", "model_grid", "CausalDA",
    "StructuralMMM", "load_dataset", "load_fit",
)  # fmt: skip


def is_ours(error: Exception) -> bool:
    """Whether this package raised an error: of its own class, or by one of its own lines."""
    from mmm_bayes.runtime import arguments

    return arguments._is_ours(error) and len(str(error)) > 20


@pytest.mark.parametrize("name", NAMES)
def test_wrong_types_are_told_in_plain_words(name: str) -> None:
    call, right = entries()[name]
    foreign = []
    for argument in right:
        for wrong in WRONG:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    call(**{**right, argument: wrong})
                except Exception as error:
                    if not is_ours(error):
                        foreign.append(f"{argument}={wrong!r:.40}: {type(error).__name__}: {error}")
    assert not foreign


def test_none_for_an_optional_list_is_none() -> None:
    roles = {**ROLES, "controls": None}
    assert mb.MMMData.from_dataframe(frame(), **roles).controls == []
    assert mb.MMM(data(), lift_tests=None).lift_tests == ()


def test_several_columns_for_one() -> None:
    with pytest.raises(DataError) as caught:
        mb.MMMData.from_dataframe(frame(), **ROLES, geo=["geo", "brand"])
    (finding,) = (own for own in caught.value.findings if own.check == "argument_type")
    assert finding.where == "geo"
    assert "df['geo'].astype(str) + ' ' + df['brand'].astype(str)" in finding.remedy


def test_one_error_lists_every_argument() -> None:
    with pytest.raises(ArgumentError) as caught:
        mb.overlap(3, graph(), strata="many")
    assert {finding.where for finding in caught.value.findings} == {"data", "strata"}
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, ValueError)


def test_a_text_for_a_list_is_not_read_letter_by_letter() -> None:
    grid = mb.model_grid(mb.ModelSpec(), adstock="geometric")
    assert grid == mb.model_grid(mb.ModelSpec(), adstock=["geometric"])
    with pytest.raises(DataError) as caught:
        mb.MMMData.from_dataframe(frame(), **{**ROLES, "date": "day", "channels": "tv"})
    assert {finding.where for finding in caught.value.findings} == {"day"}


def test_settings_say_what_they_expect() -> None:
    with pytest.raises(SettingsError) as caught:
        mb.ModelSpec(trend="linear", sampler={"draws": 3}, name=3)
    text = str(caught.value)
    assert {own.where for own in caught.value.findings} == {"trend", "sampler.draws", "name"}
    assert "num_samples" in text
    assert "Input" not in text
    assert "valid dictionary" not in text


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("draws", "num_samples"), ("num_draws", "num_samples"), ("n_samples", "num_samples"),
        ("tune", "num_warmup"), ("chains", "num_chains"), ("cores", "devices"),
        ("seed", "rng_key"), ("random_seed", "rng_key"), ("progressbar", "progress"),
        ("target_accept_prob", "target_accept"), ("num_sample", "num_samples"),
    ],
)  # fmt: skip
def test_names_of_other_packages(name: str, ours: str) -> None:
    known = list(inspect.signature(mb.MMM.fit).parameters)
    known.remove("num_draws")
    assert nearest_argument(name, known) == f" Did you mean {ours!r}?"


def test_unknown_keywords_point_at_ours() -> None:
    with pytest.raises(TypeError, match="num_warmup"):
        mb.MMM(data()).fit(0, tune=3)
    with pytest.raises(ValueError, match="num_samples"):
        mb.MMM(data()).fit(0, num_draws=3)
    with pytest.raises(TypeError, match="controls"):
        mb.MMMData.from_dataframe(frame(), **ROLES, covariates=["x"])


@pytest.mark.parametrize(
    "typed",
    [
        ["--seed", "99999999999999999999"], ["--seed", "-1"], ["--seed", "1e3"],
        ["--devices", "²"], ["--devices", "٣"], ["--devices", "99999999999999999999"],
        ["--devices", "-1"], ["--num-samples", "99999999999999999999"], ["--num-warmup", "nan"],
        ["--num-chains", "0x10"], ["--num-chains", "1000000000"], ["--method", "hmc"],
    ],
)  # fmt: skip
def test_numbers_on_the_command_line(typed: list[str], tmp_path: Any) -> None:
    found = CliRunner().invoke(app, ["fit", "national_weekly", "--out", str(tmp_path), *typed])
    assert found.exit_code in (1, 2)
    assert isinstance(found.exception, SystemExit)
    assert typed[0] in found.output
    assert "Input should" not in found.output


def test_periods_beyond_the_last_date() -> None:
    for periods in (10**6, 10**12):
        with pytest.raises(DataError) as caught:
            data().future_dates(periods)
        assert [finding.check for finding in caught.value.findings] == ["periods"]


def test_every_public_function_explains_its_arguments() -> None:
    """Methods of graphs are called too often to be wrapped, and check names themselves."""
    bare = []
    for name in mb.__all__:
        value = getattr(mb, name)
        if not callable(value) or (inspect.isclass(value) and issubclass(value, BaseModel)):
            continue
        functions = (
            {name: value}
            if inspect.isfunction(value)
            else {own: f for own, f in vars(value).items() if not own.startswith("_")}
        )
        for own, function in functions.items():
            raw = getattr(function, "__func__", function)
            of_graph = "causal/graph" in getattr(
                getattr(inspect.unwrap(raw), "__code__", None), "co_filename", ""
            )
            if not inspect.isfunction(raw) or of_graph or _explains(raw):
                continue
            if set(inspect.signature(raw).parameters) - {"self", "cls"}:
                bare.append(f"{name}.{own}")
    assert set(bare) <= EXCEPT


# Called by this package alone.
EXCEPT = {
    "Checkpoint.open", "FitMap.load", "Knowledge.against_tiers", "Knowledge.check",
    "Knowledge.confidence_of", "Knowledge.prior", "Knowledge.softened",
    "LiftTest.with_known_labels", "MMM.groups_of",
    "MMM.program", "MMMData.equals", "MMMData.from_arrays", "fit_key.fit_key",
}  # fmt: skip


def _explains(function: Any) -> bool:
    while function is not None:
        if getattr(function, "explains_types", False):
            return True
        function = getattr(function, "__wrapped__", None)
    return False
