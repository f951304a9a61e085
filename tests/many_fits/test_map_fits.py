"""Fits of many tables: each is the fit one would make alone, and only what is missing is made."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import mmm_bayes as mb
from mmm_bayes.cli import app
from mmm_bayes.many_fits import map_fits as module
from mmm_bayes.many_fits.fit_cells import FitCell, FolderError, _same_folder, make_fit
from mmm_bayes.many_fits.fit_map import FitMapError
from mmm_bayes.many_fits.map_fits import FitsWarning
from mmm_bayes.runtime.jobs.peak_memory import peak_memory
from mmm_bayes.runtime.jobs.store import ResultsError
from tests.many_fits.fit_rows import no_fit, two_numbers

SPEC = mb.ModelSpec(
    media={"max_lag": 4},
    sampler={"num_warmup": 60, "num_samples": 30, "num_chains": 2, "block": 30},
)
KEY = 5
QUIET: dict[str, Any] = {"progress": False, "num_prior_draws": 20}
# Names as people give them; two differ in what no file name can hold.
NAMES = ("Brand A/B", "Brand A:B", "../../etc/passwd")
ROLES = {"date": "week", "target": "sales", "channels": ["tv", "radio"]}


@pytest.fixture(scope="module")
def tables() -> dict[str, mb.MMMData]:
    """Three tables of one shape, so that one program is compiled."""
    return {
        name: mb.simulate.mmm(jax.random.key(n), num_dates=60, num_channels=2, num_controls=1).data
        for n, name in enumerate(NAMES)
    }


@pytest.fixture(scope="module")
def fitted(tables: Any, tmp_path_factory: pytest.TempPathFactory) -> mb.FitMap:
    """Their fits."""
    folder = tmp_path_factory.mktemp("fits") / "map"
    return mb.map_fits(jax.random.key(KEY), tables, SPEC, store=folder, workers=1, **QUIET)


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Fits that cost nothing; the names of those that were made."""
    made: list[tuple[str, str]] = []

    def make(cell: FitCell) -> list[dict[str, Any]]:
        made.append((cell.table, cell.spec_name))
        return no_fit(cell)

    monkeypatch.setattr(module, "make_fit", make)
    return made


def cheap_map(tables: Any, folder: Path, **options: Any) -> mb.FitMap:
    """A map of fits that cost nothing."""
    given: dict[str, Any] = {"workers": 1, "progress": False, "keep_fits": False} | options
    return mb.map_fits(jax.random.key(KEY), tables, given.pop("spec", SPEC), store=folder, **given)


# --- Real fits -----------------------------------------------------------------------------------


def test_each_fit_is_the_one_made_alone(fitted: mb.FitMap, tables: Any) -> None:
    name = NAMES[1]
    alone = mb.MMM(tables[name], SPEC).fit(mb.fit_key(jax.random.key(KEY), name), **QUIET)
    loaded = fitted.load(name)
    for variable, values in alone.tree["posterior"].data_vars.items():
        np.testing.assert_array_equal(loaded.tree["posterior"][variable], values)
    expected = alone.summary().reset_index()
    found = fitted.table.query("table == @name").reset_index(drop=True)
    pd.testing.assert_frame_equal(found[list(expected)], expected, check_dtype=False)
    row = fitted.verdicts.set_index("table").loc[name]
    report = alone.diagnose()
    assert row["verdict"] == report.verdict
    assert row["max_rhat"] == pytest.approx(report.stats["max_rhat"], rel=1e-12)
    assert row["divergences"] == report.stats["num_divergences"]


def test_what_a_map_shows(fitted: mb.FitMap) -> None:
    assert fitted.complete
    assert len(fitted) == 3
    assert fitted.tables == NAMES
    assert fitted.table.groupby("table").size().tolist() == [2, 2, 2]
    verdicts = fitted.verdicts
    assert verdicts["table"].tolist() == list(NAMES)
    assert (verdicts["seconds"] > 0).all()
    assert verdicts["peak_memory_mib"].between(50, 10_000).all()
    assert fitted.failures.empty
    assert re.match(r"FitMap +3 fits: ", repr(fitted))
    assert "3: Brand A/B, Brand A:B, ../../etc/passwd" in repr(fitted)
    assert "<table>" in fitted._repr_html_()


def test_files_stay_in_the_folder_and_apart(fitted: mb.FitMap) -> None:
    files = sorted(path.name for path in (fitted.folder / "fits").iterdir())
    assert len(files) == 3
    assert [name.split("-")[0] for name in files] == [
        "Brand_A_B__model", "Brand_A_B__model", "etc_passwd__model"
    ]  # fmt: skip
    assert {p.name for p in fitted.folder.iterdir()} >= {"store.json", "map.json", "cells", "fits"}
    assert {p.name for p in fitted.folder.parent.iterdir()} == {"map"}


def test_only_what_is_missing_is_made(fitted: mb.FitMap, tables: Any, tmp_path: Path) -> None:
    """Nothing on a second call; a fit whose file is gone; a table that has changed."""
    told: list[tuple[int, int]] = []

    def again(**given: Any) -> mb.FitMap:
        told.clear()
        return mb.map_fits(
            jax.random.key(KEY), given.pop("tables", tables), SPEC, store=fitted.folder,
            workers=1, on_done=lambda *counts: told.append(counts), **QUIET | given,
        )  # fmt: skip

    same = again()
    assert told == [(3, 3)]
    pd.testing.assert_frame_equal(same.table, fitted.table)
    pd.testing.assert_frame_equal(mb.load_fit_map(fitted.folder).table, fitted.table)
    gone = fitted.folder / "fits" / fitted.verdicts["file"][0]
    draws = fitted.load(NAMES[0]).tree["posterior"]["alpha"].values
    gone.unlink()
    with pytest.raises(FitMapError, match=r"\.nc no longer exists.*map_fits"):
        fitted.load(NAMES[0])
    again()
    assert told == [(2, 3), (3, 3)]
    np.testing.assert_array_equal(fitted.load(NAMES[0]).tree["posterior"]["alpha"], draws)


@pytest.mark.slow
@pytest.mark.parametrize("place", [{"workers": 2}, {"workers": 1, "cluster": "local"}])
def test_a_fit_of_another_process_and_a_summary_of_ones_own(
    place: dict[str, Any], fitted: mb.FitMap, tables: Any, tmp_path: Path
) -> None:
    """The worker has one thread, and the same draws."""
    name = NAMES[1]
    found = mb.map_fits(
        jax.random.key(KEY), {name: tables[name]}, SPEC, store=tmp_path,
        summarise=two_numbers, **place, **QUIET,
    )  # fmt: skip
    assert list(found.table)[:4] == ["table", "spec", "dates", "channels"]
    assert found.table["dates"].tolist() == [60]
    expected = fitted.load(name).tree["posterior"]["alpha"]
    np.testing.assert_allclose(found.load(name).tree["posterior"]["alpha"], expected, rtol=1e-6)


def test_a_stopped_fit_is_no_result(tables: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C within a fit of this process may give a fit of fewer draws; it is not kept."""
    real = mb.MMM.fit

    def stopped(self: mb.MMM, *given: Any, **more: Any) -> mb.FitResult:
        fit = real(self, *given, **more)
        fit.tree["posterior"].attrs["interrupted"] = "stopped by the user"
        return fit

    monkeypatch.setattr(mb.MMM, "fit", stopped)
    cell = FitCell("a", "m", tables[NAMES[0]], SPEC, (), "nuts", {"num_prior_draws": 20}, (0, 1),
                   "threefry2x32")  # fmt: skip
    with pytest.raises(KeyboardInterrupt):
        make_fit(cell)


# --- Without fits --------------------------------------------------------------------------------


def test_tables_times_models(tables: Any, tmp_path: Path, cheap: list[tuple[str, str]]) -> None:
    specs = {"one": SPEC, "two": SPEC.evolve(name="other")}
    found = cheap_map(tables, tmp_path, spec=specs)
    assert sorted(cheap) == sorted((table, spec) for table in NAMES for spec in specs)
    assert len(found.table) == 3 * 2 * 2
    assert found.specs == ("one", "two")
    cheap.clear()
    cheap_map({**tables, "new": tables[NAMES[0]]}, tmp_path, spec=specs)
    assert sorted(cheap) == [("new", "one"), ("new", "two")]
    with pytest.raises(FitMapError, match=r"keep_fits=False"):
        found.load(NAMES[0], "two")
    with pytest.raises(FitMapError, match=r"spec=. Models are 'one', 'two'"):
        found.load(NAMES[0])
    with pytest.raises(FitMapError, match=r"no table 'Brand AB'. Did you mean 'Brand A"):
        found.load("Brand AB")


def test_failures_are_shown_and_made_again(
    tables: Any, tmp_path: Path, cheap: list[tuple[str, str]]
) -> None:
    given = {"good": tables[NAMES[0]], "bad": tables[NAMES[1]], "fine": tables[NAMES[2]]}
    with pytest.warns(FitsWarning, match=r"1 of 3 fits failed; .*'bad' with 'model': Floating"):
        found = cheap_map(given, tmp_path)
    assert not found.complete
    (failure,) = found.failures.to_dict("records")
    assert failure["table"] == "bad"
    assert failure["error"] == "FloatingPointError: no start with a finite density"
    assert "2 REVIEW, 1 failed" in repr(found)
    assert re.search(r"^failed +bad with model: Floating", repr(found), re.MULTILINE)
    with pytest.raises(FitMapError, match=r"'bad' with 'model': FloatingPoint"):
        found.load("bad")
    assert mb.load_fit_map(tmp_path).failures.equals(found.failures)
    cheap.clear()
    with pytest.warns(FitsWarning):
        cheap_map(given, tmp_path)
    assert cheap == [("bad", "model")]


def test_a_stopped_map_is_there_as_far_as_it_came(
    tables: Any, tmp_path: Path, cheap: list[tuple[str, str]]
) -> None:
    def stop(done: int, total: int) -> None:
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cheap_map(tables, tmp_path, on_done=stop)
    found = mb.load_fit_map(tmp_path)
    assert len(found.verdicts) == 1
    assert found.failures["error"].tolist() == ["not made yet"] * 2
    assert "2 not made yet" in repr(found)
    cheap.clear()
    assert cheap_map(tables, tmp_path).complete
    assert len(cheap) == 2


CHANGES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "seed": lambda own: own | {"rng_key": jax.random.key(KEY + 1)},
    "setting": lambda own: own | {"num_samples": 50},
    "method": lambda own: own | {"method": "svi"},
    "model": lambda own: own | {"spec": SPEC.evolve(media={"max_lag": 5})},
    "summary": lambda own: own | {"summarise": two_numbers},
    "lift tests": lambda own: own | {"lift_tests": {"a": [_lift_test(own["tables"]["a"])]}},
    "name": lambda own: own | {"tables": {"b": own["tables"]["a"]}},
    "values": lambda own: own | {"tables": {"a": own["other"]}},
}


def _lift_test(data: mb.MMMData) -> mb.LiftTest:
    start, end = data.dates[5], data.dates[10]
    return mb.LiftTest(data.channels[0], start, end, lift=1e4, standard_error=1e3)


@pytest.mark.parametrize("change", CHANGES)
def test_a_fit_is_made_again_when_what_it_depends_on_changes(
    change: str, tables: Any, tmp_path: Path, cheap: list[tuple[str, str]]
) -> None:
    own = {"tables": {"a": tables[NAMES[0]]}, "rng_key": jax.random.key(KEY), "spec": SPEC}
    changed = CHANGES[change](own | {"other": tables[NAMES[1]]})
    changed.pop("other")
    common: dict[str, Any] = {"store": tmp_path, "progress": False, "keep_fits": False}
    mb.map_fits(**own, **common, workers=1)
    mb.map_fits(**own, **common, workers=1, on_done=lambda *_: None)
    assert len(cheap) == 1
    mb.map_fits(**changed, **common, workers=1)
    assert len(cheap) == 2


def test_every_finding_of_every_table_before_any_fit(
    tables: Any, tmp_path: Path, cheap: list[tuple[str, str]]
) -> None:
    weeks = pd.date_range("2024-01-01", periods=40, freq="W-MON")
    rng = np.random.default_rng(0)
    good = pd.DataFrame({"week": weeks, "sales": rng.normal(100, 5, 40)})
    good["tv"], good["radio"] = rng.gamma(2, 3, 40), rng.gamma(2, 3, 40)
    negative = good.assign(tv=-good["tv"])
    given: dict[str, Any] = {"fine": good, "negative": negative, "short": good.drop(columns="tv")}
    given |= {"file": tmp_path / "none.csv", "list": [1, 2]}
    given |= {f"brand {n}": good for n in range(5)}
    test = mb.LiftTest("tv", "2030-01-01", "2030-02-01", lift=1.0, standard_error=1.0)
    with pytest.raises(mb.errors.DataError) as caught:
        cheap_map(
            given, tmp_path / "store", roles=ROLES, lift_tests={"brand 2": [test], "nobody": []},
            spec={"m": SPEC, "other": SPEC.evolve(channels={"tvv": {}})}, num_samples=1,
        )  # fmt: skip
    text = str(caught.value)
    for expected in (
        "Table 'negative': ",
        "Table 'short': ",
        "'tv'",
        "Table 'file' cannot be read: ",
        "Table 'list' cannot be read: a list is no MMMData",
        "Table 'brand 2' with model 'm': ",
        "Lift tests are given for 'nobody'",
        "Table 'fine' with model 'other': The model names the channel 'tvv'",
        "With model 'm': [num_samples] ",
    ):
        assert expected in text
    assert not cheap
    assert not (tmp_path / "store").exists()


def test_refusals(tables: Any, tmp_path: Path, cheap: list[tuple[str, str]]) -> None:
    for given, message in (
        ({"method": "mcmc"}, "method should be .*nuts.*svi"),
        ({"summarise": lambda fit: []}, "summarise should be a function of a module"),
        ({"target_accept": object()}, "Settings should be numbers and texts"),
        ({"spec": {}}, "There is no model"),
        ({"spec": {"m": "model.toml"}}, "'m' is a str, and no ModelSpec"),
        ({"method": "svi", "num_steps": -1}, "num_steps"),
    ):
        with pytest.raises(mb.errors.DataError, match=message):
            cheap_map(tables, tmp_path / "new", **given)
    with pytest.raises(TypeError, match=r"'nmu_samples'.* Did you mean 'num_samples'"):
        cheap_map(tables, tmp_path / "new", nmu_samples=10)
    with pytest.raises(TypeError, match=r"rng_key should be .* '0' \(str\)"):
        mb.map_fits("0", tables, SPEC, store=tmp_path / "new")  # type: ignore[arg-type]
    with pytest.raises(mb.errors.DataError, match="There is no table"):
        cheap_map({}, tmp_path / "new")
    with pytest.raises(mb.errors.DataError, match="name of a table should be text, but is 3"):
        cheap_map({3: tables[NAMES[0]]}, tmp_path / "new")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "x.txt").write_text("")
    with pytest.raises(ResultsError, match=r"mine holds other files \(x.txt\)"):
        cheap_map(tables, tmp_path / "mine")
    with pytest.raises(FitMapError, match=r"map\.json"):
        mb.load_fit_map(tmp_path / "mine")
    assert not cheap


def test_findings_that_are_no_errors_are_told_once(
    tmp_path: Path, cheap: list[tuple[str, str]]
) -> None:
    weeks = pd.date_range("2024-01-01", periods=40, freq="W-MON")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"week": weeks, "sales": rng.normal(100, 5, 40)})
    frame["tv"] = rng.gamma(2, 3, 40)
    frame["radio"] = frame["tv"] * 1.001 + rng.normal(0, 1e-2, 40)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        cheap_map({"a": frame, "b": frame}, tmp_path, roles=ROLES)
    (told,) = [str(w.message) for w in caught if issubclass(w.category, mb.errors.DataWarning)]
    assert "in 2 table(s): a (" in told


def test_keys_of_fits_differ_by_name_alone() -> None:
    key = jax.random.key(0)
    words = {
        tuple(jax.random.key_data(mb.fit_key(key, table, spec)).tolist())
        for table in ("a", "b", "a b")
        for spec in ("model", "b", "")
    }
    assert len(words) == 9
    assert (mb.fit_key(key, "a") == mb.fit_key(jax.random.key(0), "a", "model")).all()


def test_a_worker_that_does_not_see_the_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match=r"does not see .*keep_fits=False"):
        _same_folder(tmp_path, "an id")


def test_peak_memory_is_that_of_the_block() -> None:
    with peak_memory() as large:
        np.ones(40 * 2**20 // 8).sum()
    with peak_memory() as small:
        pass
    assert large.mib > 40
    if Path("/proc/self/clear_refs").exists():
        assert small.mib < large.mib - 30


def test_command(tmp_path: Path, cheap: list[tuple[str, str]]) -> None:
    data = mb.load_dataset("national_weekly").to_frame()
    for name in ("north", "south"):
        data.to_csv(tmp_path / f"{name}.csv", index=False)
    out = tmp_path / "out"
    arguments = ["map-fits", str(tmp_path / "north.csv"), str(tmp_path / "south.csv")]
    arguments += ["--spec", "national_weekly", "--out", str(out), "--workers", "1", "--no-fits"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "2 fits: 2 PASS" in done.output
    assert cheap == [("north", "national_weekly"), ("south", "national_weekly")]
    assert len(pd.read_csv(out / "channels.csv")) == 10
    assert pd.read_csv(out / "verdicts.csv")["table"].tolist() == ["north", "south"]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert len(cheap) == 2
    (tmp_path / "south.csv").write_text("week\n")
    broken = CliRunner().invoke(app, arguments)
    assert broken.exit_code == 1
    assert "Table 'south'" in broken.output
