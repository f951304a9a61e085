"""Files that version 0.1.0 saved before arrays had checksums still load, and give its numbers.

``saved_by_0_1/make.py`` says how they were made.
"""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest

import mmm_bayes as mb
from mmm_bayes.causal.discovery.session import DiscoverySession
from mmm_bayes.many_fits.fit_map import load_fit_map
from mmm_bayes.runtime.jobs.store import ResultStore
from mmm_bayes.runtime.run_folder import RunFolder, RunFolderError

SOURCE = Path(__file__).parent / "saved_by_0_1"
EXPECTED = json.loads((SOURCE / "expected.json").read_text())
ROLES: dict[str, Any] = {
    "date": "week", "target": "sales", "channels": ["tv", "search"], "controls": ["price"],
}  # fmt: skip


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "by_0_1"
    shutil.copytree(SOURCE, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    for path in folder.rglob("*.gz"):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    return folder


def posterior(fit: mb.FitResult) -> dict[str, float]:
    return {name: float(x.mean()) for name, x in fit.tree["posterior"].data_vars.items()}


@pytest.mark.parametrize("kind", ["national", "geo"])
def test_fits(saved: Path, kind: str) -> None:
    fit = mb.load_fit(saved / f"{kind}.nc")
    assert posterior(fit) == pytest.approx(EXPECTED[kind]["posterior"], rel=1e-12)
    brought = fit.contributions().mean(("chain", "draw")).values.ravel()
    wanted = EXPECTED[kind]["contributions"]
    np.testing.assert_allclose(brought, wanted, rtol=1e-9, atol=1e-9 * max(wanted))
    # Saved again, they have checksums.
    again = mb.load_fit(fit.save(saved / f"{kind}_again.nc"))
    assert posterior(again) == posterior(fit)


def test_structural_fit(saved: Path) -> None:
    fit = mb.load_structural_fit(saved / "structural.zip")
    assert set(fit.graph.bidirected) == {("search", "sales")}
    for node, wanted in EXPECTED["structural"]["equations"].items():
        assert posterior(fit.equations[node]) == pytest.approx(wanted, rel=1e-12)
    found = [float(x.mean()) for x in fit.error_correlations.values()]
    assert found == pytest.approx(EXPECTED["structural"]["error_correlations"], rel=1e-12)
    again = mb.load_structural_fit(fit.save(saved / "again.zip"))
    assert repr(again) == repr(fit)


@pytest.mark.parametrize("decoder", ["additive", "recurrent"])
def test_causal_mmm(saved: Path, decoder: str) -> None:
    model = mb.load_causal_mmm(saved / f"causal_mmm_{decoder}.npz")
    wanted = EXPECTED[f"causal_mmm_{decoder}"]
    np.testing.assert_array_equal(model.history["loss"], wanted["loss"])
    found = model.edge_probabilities().values.ravel()
    np.testing.assert_allclose(found, wanted["edges"], atol=1e-5)


@pytest.mark.parametrize(
    ("folder", "parts"),
    [
        ("sampler_checkpoint", [f"chain_0.{k:06d}" for k in range(4)]),
        ("training_checkpoint", ["training"]),
        ("rolling_origin", ["fold_000", "fold_001"]),
    ],
)
def test_folders_of_runs(saved: Path, tmp_path: Path, folder: str, parts: list[str]) -> None:
    own = tmp_path / folder
    shutil.copytree(saved / folder, own)
    identity = json.loads((own / "run.json").read_text())
    kind = identity.pop("kind")
    with RunFolder(own, kind, identity) as run:
        assert run.names() == parts
        for name in parts:
            found = run.read(name)
            assert found is not None
            with np.load(own / f"{name}.npz") as file:
                assert set(found) == set(file.files)
                for key in file.files:
                    np.testing.assert_array_equal(found[key], file[key])
            run.write(name, found)  # now with checksums
            again = run.read(name)
            assert again is not None
            assert set(again) == set(found)
    with pytest.raises(RunFolderError, match=r'version: "0\.1\.0" there, "9\.9" now'):
        RunFolder(own, kind, {**identity, "version": "9.9"})


def test_a_fit_that_was_stopped_resumes_or_is_refused(saved: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(saved / "sampler_checkpoint", folder)
    with np.load(folder / "chain_0.000003.npz") as file:
        done = int(file["done"])
    data = mb.MMMData.from_dataframe(pd.read_csv(saved / "national.csv"), **ROLES)
    spec = mb.ModelSpec(name="small", media={"max_lag": 3}, seasonality=())
    settings: dict[str, Any] = {
        "num_warmup": 40, "num_samples": 60, "num_chains": 1, "block": 10,
    }  # fmt: skip
    try:
        fit = mb.MMM(data, spec).fit(
            jax.random.key(3), checkpoint=folder, progress=False, num_prior_draws=0, **settings
        )
    except RunFolderError as error:  # of another version of the package or of JAX: start anew
        text = str(error)
        assert "there" in text and "start over" in text  # noqa: PT018
        return
    assert fit.tree["posterior"].attrs["resumed"] == pytest.approx(done / 100)
    assert fit.tree["posterior"].sizes["draw"] == 60


def test_many_fits(saved: Path) -> None:
    fits = load_fit_map(saved / "map_fits")
    assert fits.complete
    assert fits.tables == ("north",)
    wanted = EXPECTED["map_fits"]
    assert set(wanted["columns"]) <= set(fits.table.columns)
    assert posterior(fits.load("north")) == pytest.approx(wanted["file"]["posterior"], rel=1e-12)


def test_results_of_runs(saved: Path) -> None:
    store = ResultStore(saved / "results", "runs of experiments")
    assert store.rows() == EXPECTED["results"]
    assert store.records()["0123abcd"].seed == 7
    store.compact()
    assert store.rows() == EXPECTED["results"]


def test_discovery_session(saved: Path) -> None:
    session = DiscoverySession.load(saved / "session.json")
    assert len(session.runs) == 1
    assert [(one.edge, one.action) for one in session.decisions] == [(("tv", "search"), "keep")]
    assert session.knowledge.required == (("tv", "sales"),)
