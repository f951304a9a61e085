"""Write one small file of every kind that mmm_bayes 0.1.0 could save, for tests of reading them.

The files next to this script were written by commit 540fdd5 of the project, before saved arrays had
checksums:

    git worktree add --detach old 540fdd5
    PYTHONPATH=old python tests/runtime/saved_by_0_1/make.py FOLDER

and FOLDER was then copied here. The script uses names of that commit and is not run again; it says
what is in the files. ``expected.json`` holds numbers that the saving process computed from what it
saved.
"""

# mypy: ignore-errors

from __future__ import annotations

import contextlib
import gzip
import json
import sys
import warnings
from pathlib import Path

import jax
import numpy as np
import pandas as pd

import mmm_bayes as mb

QUIET = {"progress": False, "prior_draws": 0}
SMALL = {"num_warmup": 40, "num_samples": 6, "num_chains": 2}
ROLES = {"date": "week", "target": "sales", "channels": ["tv", "search"], "controls": ["price"]}
SPEC = mb.ModelSpec(name="small", media={"max_lag": 3}, seasonality=())


class Stopped(Exception):
    """Ends a run half-way, as a killed process would."""


def table(geos: int = 1, dates: int = 30) -> pd.DataFrame:
    """Return a table with numbers that are exact in CSV."""
    rng = np.random.default_rng(geos)
    weeks = pd.date_range("2024-01-01", periods=dates, freq="W-MON")
    parts = []
    for geo in range(geos):
        tv, search = rng.gamma(4.0, 25.0, dates).round(), rng.gamma(6.0, 10.0, dates).round()
        search = search + (0.3 * tv).round()
        price = rng.normal(10.0, 1.0, dates).round(2)
        sales = 400 + 0.8 * tv + 1.5 * search - 12 * price + rng.normal(0.0, 15.0, dates)
        columns = {"week": weeks, "sales": sales.round(2), "tv": tv, "search": search}
        parts.append(pd.DataFrame({**columns, "price": price, "geo": f"g{geo}"}))
    return pd.concat(parts, ignore_index=True)


def numbers(fit: mb.FitResult) -> dict:
    """Return means of the posterior, and contributions computed from it."""
    means = {name: float(x.mean()) for name, x in fit.tree["posterior"].data_vars.items()}
    parts = fit.contributions().mean(("chain", "draw"))
    return {"posterior": means, "contributions": np.asarray(parts.values).ravel().tolist()}


def fits(out: Path, expected: dict) -> None:
    """Write a national fit, a fit of two geos and a structural fit."""
    national = mb.MMMData.from_dataframe(pd.read_csv(out / "national.csv"), **ROLES)
    geo = mb.MMMData.from_dataframe(pd.read_csv(out / "geo.csv"), **ROLES, geo="geo")
    for name, data in (("national", national), ("geo", geo)):
        fit = mb.MMM(data, SPEC).fit(jax.random.key(0), **QUIET, **SMALL)
        fit.save(out / f"{name}.nc")
        expected[name] = numbers(fit)
    edges = [("tv", "search"), ("tv", "sales"), ("search", "sales"), ("price", "sales")]
    graph = mb.CausalGraph(edges=edges, bidirected=[("search", "sales")])
    fit = mb.StructuralMMM(national, graph, SPEC).fit(jax.random.key(0), **QUIET, **SMALL)
    fit.save(out / "structural.zip")
    expected["structural"] = {
        "equations": {name: numbers(own)["posterior"] for name, own in fit.equations.items()},
        "error_correlations": [float(x.mean()) for x in fit.error_correlations.values()],
    }


def sampler_checkpoint(out: Path) -> None:
    """Write the checkpoint of a fit that stops half-way."""

    from mmm_bayes.inference.progress import Silent

    class Stops(Silent):
        def update(self, chain, done, phase, divergences):
            if done >= 60:
                raise Stopped

    data = mb.MMMData.from_dataframe(pd.read_csv(out / "national.csv"), **ROLES)
    settings = {**SMALL, "num_samples": 60, "num_chains": 1, "block": 10}
    checkpoint = mb.Checkpoint(out / "sampler_checkpoint", draws=10)
    try:
        mb.MMM(data, SPEC).fit(
            jax.random.key(3), checkpoint=checkpoint, progress=Stops(), prior_draws=0, **settings
        )
    except Stopped:
        return
    raise RuntimeError("it was not stopped")


def causal_mmm(out: Path, expected: dict) -> None:
    """Write two trained CausalMMMs, and a training that stops half-way."""
    panel = mb.simulate_shops(jax.random.key(0), shops=3, channels=2, length=24)
    parts = {"series": panel.series, "context": panel.context}
    np.savez_compressed(out / "shops.npz", **parts)
    panel = mb.ShopPanel(panel.series, panel.nodes, panel.shops, panel.context, panel.context_names)
    expected["shops"] = [panel.nodes, panel.shops, panel.context_names]
    settings = {"lags": 2, "hidden": 4, "embedding": 2, "components": 2, "epochs": 4}
    for decoder in ("additive", "recurrent"):
        own = {"basis": ("saturating",), "rounds": 1} if decoder == "additive" else {}
        model = mb.CausalMMM(decoder=decoder, **own, **settings)
        model.fit(jax.random.key(1), panel)
        model.save(out / f"causal_mmm_{decoder}.npz")
        expected[f"causal_mmm_{decoder}"] = {
            "edges": model.edge_probabilities().values.ravel().tolist(),
            "loss": model.history["loss"].values.tolist() if "loss" in model.history else None,
        }

    def stop(epoch: int, epochs: int, loss: float) -> None:
        if epoch == 3:
            raise Stopped

    model = mb.CausalMMM(basis=("saturating",), rounds=0, **settings)
    folder = out / "training_checkpoint"
    with contextlib.suppress(Stopped):
        model.fit(jax.random.key(1), panel, on_epoch=stop, checkpoint=folder, checkpoint_every=1)
    whole = mb.CausalMMM(basis=("saturating",), rounds=0, **settings).fit(jax.random.key(1), panel)
    expected["training_checkpoint"] = whole.edge_probabilities().values.ravel().tolist()


def folders(out: Path, expected: dict) -> None:
    """Write a rolling origin, fits of two tables, and results of runs."""
    from mmm_bayes.distributed.records import Record
    from mmm_bayes.distributed.store import ResultStore

    data = mb.MMMData.from_dataframe(pd.read_csv(out / "national.csv"), **ROLES)
    found = mb.rolling_origin(
        mb.MMM(data, SPEC), jax.random.key(4), folds=2, horizon=2, step=2, min_train=24,
        store=out / "rolling_origin", **SMALL,
    )  # fmt: skip
    expected["rolling_origin"] = {
        "forecast": [float(fold.draws.mean()) for fold in found.folds],
        "roas": [fold.roas.mean(0).tolist() for fold in found.folds],
    }
    made = mb.map_fits(
        jax.random.key(5), {"north": data}, SPEC, store=out / "map_fits", workers=1,
        progress=False, prior_draws=0, **SMALL,
    )  # fmt: skip
    expected["map_fits"] = {
        "roas": made.table["roas_mean"].tolist() if "roas_mean" in made.table else None,
        "columns": list(made.table.columns),
        "file": numbers(made.load("north")),
    }
    store = ResultStore(out / "results", "runs of experiments")
    store.put(Record("0123abcd", [{"x": 1.5, "word": "a", "list": [1, 2]}, {"x": None}], {}, 7))
    store.put(Record("0123abce", [{"x": 2.5}], {"n": 3}))
    store.compact()
    store.put(Record("0123abcf", [{"x": 3.5}], {"n": 4}))
    expected["results"] = store.rows()


def session(out: Path) -> None:
    """Write a discovery session with a run and a decision."""
    from mmm_bayes.causal.discovery_knowledge import Knowledge
    from mmm_bayes.causal.discovery_session import DiscoverySession

    own = DiscoverySession(
        Knowledge(required=[("tv", "sales")], forbidden=[("sales", "tv")]),
        rng_key=jax.random.key(6), path=out / "session.json", draws=50,
    )  # fmt: skip
    frame = pd.read_csv(out / "national.csv")[["tv", "search", "sales"]]
    own.run_again(frame)
    own.decide(("tv", "search"), "keep", reason="Lift test of 2024.")


def main(out: Path) -> None:
    """Write all."""
    warnings.simplefilter("ignore")
    out.mkdir(parents=True)
    table().to_csv(out / "national.csv", index=False)
    table(2).to_csv(out / "geo.csv", index=False)
    expected: dict = {}
    fits(out, expected)
    sampler_checkpoint(out)
    causal_mmm(out, expected)
    folders(out, expected)
    session(out)
    (out / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    for path in out.rglob(".*"):  # locks
        path.unlink()
    for path in [*out.rglob("*.nc"), out / "structural.zip"]:
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), 9, mtime=0))
        path.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
