"""CausalMMM as a user meets it: checks, graphs, forecasts, effects, files."""

from __future__ import annotations

import json
import signal
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import networkx as nx
import numpy as np
import pandas as pd
import pytest

from mmm_bayes import CausalMMM, CausalMMMSpec, ShopPanel, load_causal_mmm, simulate
from mmm_bayes.causal_mmm import TrainingWarning, files
from mmm_bayes.causal_mmm import training as training_module
from mmm_bayes.causal_mmm.inputs import bases_of, layout_of, prepare_panel, rounds_of
from mmm_bayes.causal_mmm.networks import shop_blocks
from mmm_bayes.causal_mmm.networks.additive import AdditiveDecoder
from mmm_bayes.causal_mmm.networks.metrics import auroc
from mmm_bayes.errors import DataError, SettingsError
from mmm_bayes.runtime.artifact import RECORD, read_artifact
from mmm_bayes.runtime.artifact_errors import FitFileError
from mmm_bayes.runtime.run_folder import RunFolderError

NDArray = np.ndarray[Any, Any]

# Numbers of shops and draws that their batches divide: nothing is compiled for a rest.
SHOPS, LENGTH, DRAWS = 8, 50, 16
NODES = ("x0", "x1", "y")
BOTH: dict[str, Any] = {"lags": 2, "hidden": 4, "components": 2, "epochs": 3, "batch_size": 4}
SMALL = BOTH | {"sweeps": (2, 8), "rounds": 2}
RECURRENT = BOTH | {"decoder": "recurrent", "embedding": 2}


def panel_of(seed: int = 0, shops: int = SHOPS, length: int = LENGTH) -> ShopPanel:
    """Chain x0 -> x1 -> y of daily series, whose units differ between shops."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(shops, length, 3))
    for t in range(1, length):
        values[:, t] += 0.3 * values[:, t - 1]
        values[:, t, 1:] += 0.9 * values[:, t - 1, :-1]
    units = 10.0 ** random.integers(0, 4, (shops, 1, 3))
    return ShopPanel(
        (values + 10.0) * units,
        NODES,
        tuple(f"shop {seed} {i}" for i in range(shops)),
        random.normal(size=(shops, length, 1)),
        ("weather",),
        pd.date_range("2024-01-03", periods=length),
    )


@pytest.fixture(scope="module")
def panel() -> ShopPanel:
    return panel_of()


@pytest.fixture(scope="module")
def trained(panel: ShopPanel) -> CausalMMM:
    return CausalMMM(**SMALL).fit(jax.random.key(1), panel)


@pytest.fixture(scope="module")
def recurrent(panel: ShopPanel) -> CausalMMM:
    settings = RECURRENT | {"encoder": "series", "epochs": 12}
    return CausalMMM(**settings).fit(jax.random.key(2), panel)


def ahead(cm: CausalMMM, panel: ShopPanel | None = None) -> NDArray:
    return cm.forecast_draws(None, 3, panel, num_draws=DRAWS).values


# --- Checks --------------------------------------------------------------------------------------


def findings(call: Any) -> set[tuple[str, str | None]]:
    with pytest.raises(DataError) as caught:
        call()
    for finding in caught.value.findings:
        assert finding.message in str(caught.value)
        assert finding.remedy in str(caught.value)
    return {(finding.check, finding.where) for finding in caught.value.findings}


def test_everything_wrong_is_found_at_once(panel: ShopPanel) -> None:
    short = panel.window(0, 10).select([0, 1, 2])
    series = short.series.copy()
    series[1] = 5.0 * series[0] + 3.0  # the same shop in other units
    series[2, :8, 0] = np.nan
    validation = panel.window(0, 10).select([0, 5])
    cm = CausalMMM(
        lags=7,
        logarithm=("x9",),
        required=(("x0", "y"), ("x0", "tv")),
        forbidden=(("x0", "y"), ("x1", "x1")),
        edge_prior=(("x0", "x1", 1.5), ("radio", "y", 0.5)),
    )
    found = findings(
        lambda: cm.fit(jax.random.key(0), replace(short, series=series), validation=validation)
    )
    assert found == {
        ("too_short", "lags"),
        ("too_few_rows", "series"),
        ("duplicate", "series"),
        ("validation", "validation"),
        ("duplicate", "validation"),
        ("unknown_node", "logarithm"),
        ("unknown_node", "required"),
        ("unknown_node", "edge_prior"),
        ("self_edge", "forbidden"),
        ("contradiction", None),
        ("edge_prior", "edge_prior"),
    }
    with pytest.raises(DataError, match="x0, x1, y"):
        cm.fit(jax.random.key(0), replace(short, series=series))


def test_validation_shops_may_not_be_trained_on(panel: ShopPanel) -> None:
    cm, key = CausalMMM(**SMALL), jax.random.key(0)
    rest = panel.select([0, 1, 2, 3])
    assert findings(lambda: cm.fit(key, rest, validation=panel.select([3, 4]))) == {
        ("duplicate", "validation")
    }
    other = replace(panel.select([5]), nodes=("a", "b", "y"))
    assert findings(lambda: cm.fit(key, rest, validation=other)) == {("validation", "validation")}


@pytest.mark.parametrize(
    "wrong",
    [
        {"decoder": "linear"}, {"lags": 0}, {"temperature": (0.0, 1.0)}, {"sweeps": (1, 0)},
        {"edge_probability": 1.0}, {"basis": ("cube",)},
    ],
)  # fmt: skip
def test_settings_are_checked_when_made(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        CausalMMM(**wrong)
    with pytest.raises(TypeError, match="layers"):
        CausalMMM(layers=3)
    assert CausalMMM(**SMALL).spec == CausalMMMSpec(**SMALL)


def test_new_panels_are_checked(trained: CausalMMM, panel: ShopPanel) -> None:
    new = panel_of(1)
    assert findings(lambda: trained.edge_probabilities(new.window(0, 5))) == {
        ("too_short", "series")
    }
    weekly = pd.date_range("2024-01-03", periods=LENGTH, freq="7D")
    wrong = replace(new, nodes=("x1", "x0", "y"), context_names=("sun",), dates=weekly)
    assert findings(lambda: trained.forecast(None, 2, wrong)) == {
        ("nodes", "nodes"), ("context_names", "context_names"), ("calendar", "dates"),
    }  # fmt: skip
    assert findings(lambda: trained.graph("shop")) == {("shop", "shop")}
    assert findings(lambda: trained.forecast(None, 2, context=np.zeros((SHOPS, 3, 1)))) == {
        ("context", "context")
    }
    with pytest.raises(ValueError, match=r"horizon.*num_draws"):
        trained.forecast(None, 0)
    with pytest.raises(RuntimeError, match="call fit"):
        CausalMMM().edge_probabilities()


# --- Training and graphs -------------------------------------------------------------------------


def test_history_and_its_words(trained: CausalMMM) -> None:
    history = trained.history
    assert history.sizes == {"epoch": SMALL["epochs"], "round": SMALL["rounds"]}
    assert np.isfinite(history["loss"]).all()
    assert history["loss"][-1] < history["loss"][0]
    assert np.isnan(history["validation"]).all()
    assert "trained on 8 shops, 3 nodes" in repr(trained)
    assert "lags=2" in repr(trained)
    assert "not trained" in repr(CausalMMM())


def test_rounds_are_for_short_series(panel: ShopPanel) -> None:
    found = {}
    for lags, rounds in ((2, "auto"), (12, "auto"), (12, 3), (2, 0)):
        spec = CausalMMMSpec(lags=lags, rounds=rounds)
        found[lags, rounds] = rounds_of(spec, panel, prepare_panel(spec, panel))
    # 48 rows for 6 columns of lags and those of the week; 38 rows for 36 and these.
    assert found == {(2, "auto"): 0, (12, "auto"): 20, (12, 3): 3, (2, 0): 0}
    with pytest.raises(SettingsError, match="rounds"):
        CausalMMMSpec(rounds=-1)


def test_probabilities_are_labelled(trained: CausalMMM, panel: ShopPanel) -> None:
    for refine in (True, False):
        found = trained.edge_probabilities(refine=refine)
        assert found.dims == ("shop", "source", "target")
        assert tuple(found.coords["shop"].values) == panel.shops
        assert ((found >= 0) & (found <= 1)).all()
        assert (found.values[:, range(3), range(3)] == 0).all()
    profiles = trained.lag_profiles()
    assert profiles.dims == ("source", "target", "lag")
    assert profiles.coords["lag"].values.tolist() == [1, 2]
    strongest = abs(profiles.sel(lag=1))
    assert strongest.sel(source="x0", target="x1") > strongest.sel(source="y", target="x0")


def test_graph_is_acyclic_and_has_the_probabilities(trained: CausalMMM) -> None:
    shop = trained.edge_probabilities().coords["shop"].values[0].item()
    found = trained.edge_probabilities().sel(shop=shop)
    graph, kept = trained.graph(shop, threshold=0.01)
    network = nx.DiGraph(list(kept))
    assert nx.is_directed_acyclic_graph(network)
    for (source, target), probability in kept.items():
        assert probability == float(found.sel(source=source, target=target))
    # An edge left out closes a cycle with edges that are at least as probable.
    for i, source in enumerate(NODES):
        for j, target in enumerate(NODES):
            p = float(found.values[i, j])
            if i != j and p > 0.01 and (source, target) not in kept:
                stronger = nx.DiGraph([edge for edge, q in kept.items() if q >= p])
                assert nx.has_path(stronger, target, source)
    assert len(kept) == 3  # of three nodes, where every pair is in doubt
    assert tuple(graph.nodes) == NODES
    _, none = trained.graph(shop, threshold=1.0)
    assert none == {}


def test_the_chain_is_found(panel: ShopPanel, trained: CausalMMM) -> None:
    mean = trained.edge_probabilities().mean("shop")
    there = [mean.sel(source="x0", target="x1"), mean.sel(source="x1", target="y")]
    backwards = [mean.sel(source="x1", target="x0"), mean.sel(source="y", target="x1")]
    assert min(map(float, there)) > 0.9
    assert max(map(float, backwards)) < 0.5


def test_same_key_same_answers_in_any_unit(panel: ShopPanel, trained: CausalMMM) -> None:
    # A power of two: standardised series are the same to the last bit. Units of shops differ, so
    # that every series has a scale of its own (normalise="auto").
    factor = np.ones((SHOPS, 1, 1))
    factor[3] = 1024.0
    scaled = replace(panel, series=factor * panel.series)
    again = CausalMMM(**SMALL).fit(jax.random.key(1), scaled)
    np.testing.assert_array_equal(again.history["loss"], trained.history["loss"])
    np.testing.assert_array_equal(again.edge_probabilities(), trained.edge_probabilities())
    np.testing.assert_allclose(ahead(again), factor * ahead(trained), rtol=1e-9)
    one = trained.forecast_draws(jax.random.key(5), 3, num_draws=DRAWS)
    assert (one.values != ahead(trained)).any()


def test_new_shops_are_scored_as_they_are(trained: CausalMMM, panel: ShopPanel) -> None:
    before = trained.edge_probabilities()
    new = panel_of(1)
    scored = trained.edge_probabilities(new, refine=False)
    assert tuple(scored.coords["shop"].values) == new.shops
    order = np.random.default_rng(0).permutation(SHOPS)
    swapped = trained.edge_probabilities(new.select(order), refine=False)
    np.testing.assert_allclose(swapped, scored.values[order], rtol=1e-5)
    assert np.abs(np.diff(scored.values, axis=0)).max() > 1e-3
    # Refined edges and paths are a shop's own as well, whatever stands beside it.
    refined, drawn = (
        trained.edge_probabilities(new),
        trained.forecast_draws(None, 2, new, num_draws=DRAWS),
    )
    some = new.select(order[:2])
    np.testing.assert_allclose(
        trained.edge_probabilities(some), refined.values[order[:2]], rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(
        trained.forecast_draws(None, 2, some, num_draws=DRAWS),
        drawn.values[:, order[:2]],
        rtol=1e-3,
    )
    # Training shops in another panel object, and whatever was scored since, change nothing.
    np.testing.assert_array_equal(trained.edge_probabilities(replace(panel)), before)


@pytest.fixture(scope="module")
def told() -> list[tuple[int, int]]:
    return []


@pytest.fixture(scope="module")
def advised(panel: ShopPanel, told: list[tuple[int, int]]) -> CausalMMM:
    """Model of shops with missing values and a short one, with experts' edges and validation."""
    series = panel.series.copy()
    series[0, 10, 0] = series[1, 20:23, 0] = series[2, 30:] = np.nan
    cm = CausalMMM(
        **SMALL | {"epochs": 4, "patience": 1, "rounds": 0},
        required=(("y", "x0"),),
        forbidden=(("x0", "x1"), ("x0", "y")),
        edge_prior=(("x1", "x0", 0.999), ("y", "x1", 0.001)),
    )
    return cm.fit(
        jax.random.key(6),
        replace(panel, series=series),
        validation=panel_of(3, shops=4),
        on_epoch=lambda epoch, epochs, loss: told.append((epoch, epochs)),
    )


def test_experts_missing_values_and_short_shops(
    advised: CausalMMM, trained: CausalMMM, told: list[tuple[int, int]]
) -> None:
    found, plain = advised.edge_probabilities(), trained.edge_probabilities()
    assert (found.sel(source="y", target="x0") == 1).all()
    assert (found.sel(source="x0", target=["x1", "y"]) == 0).all()
    likely, unlikely = {"source": "x1", "target": "x0"}, {"source": "y", "target": "x1"}
    assert found.sel(likely).mean() > plain.sel(likely).mean() + 0.2
    assert found.sel(unlikely).mean() < plain.sel(unlikely).mean()
    assert np.isfinite(ahead(advised)).all()
    history = advised.history
    assert told == [(epoch, 4) for epoch in history.coords["epoch"].values]
    assert np.isfinite(history["validation"]).all()
    assert history.attrs["best_epoch"] == 1 + int(history["validation"].values.argmin())


@pytest.mark.slow
@pytest.mark.parametrize("settings", [SMALL, RECURRENT], ids=["additive", "recurrent"])
@pytest.mark.parametrize("ablation", ["full", "markov", "rw"])
def test_ablations(settings: dict[str, Any], ablation: str, panel: ShopPanel) -> None:
    cm = CausalMMM(**settings | {"ablation": ablation, "epochs": 2})
    cm.fit(jax.random.key(7), panel)
    found = cm.edge_probabilities().values
    if ablation == "full":
        np.testing.assert_array_equal(found, np.broadcast_to(1 - np.eye(3), found.shape))
    else:
        assert found[:, ~np.eye(3, dtype=bool)].min() < 0.5
    assert np.isfinite(ahead(cm)).all()
    if ablation == "markov" and settings is SMALL:
        assert cm.lag_profiles().sizes["lag"] == 1


def test_the_recurrent_decoder_learns(recurrent: CausalMMM, panel: ShopPanel) -> None:
    loss = recurrent.history["loss"].values
    assert loss[-3:].mean() < loss[:3].mean()
    found = recurrent.edge_probabilities()
    np.testing.assert_array_equal(found, recurrent.edge_probabilities(refine=False))
    assert ((found > 0) & (found < 1)).sum() == SHOPS * 6
    draws = ahead(recurrent)
    assert draws.shape == (DRAWS, SHOPS, 3, 3)
    assert np.isfinite(draws).all()
    for call in (recurrent.lag_profiles, lambda: recurrent.contributions(panel.shops[0])):
        with pytest.raises(TypeError, match="additive"):
            call()


def test_an_interrupted_model_is_usable_and_marked(
    panel: ShopPanel, trained: CausalMMM, tmp_path: Path
) -> None:
    def on_epoch(epoch: int, epochs: int, loss: float) -> None:
        if epoch == 2:
            signal.raise_signal(signal.SIGINT)

    cm, options = CausalMMM(**SMALL), {"checkpoint": tmp_path / "run", "checkpoint_every": 50}
    with pytest.warns(TrainingWarning, match=r"interrupted after 2 of 3 epochs.*epoch 2"):
        cm.fit(jax.random.key(1), panel, on_epoch=on_epoch, **options)
    file = tmp_path / "model.npz"
    cm.save(file)
    for each in (cm, load_causal_mmm(file)):
        assert each.history.attrs["interrupted"] == "interrupted after 2 of 3 epochs"
        np.testing.assert_array_equal(each.history["loss"], trained.history["loss"][:2])
        assert "; interrupted after 2 of 3 epochs>" in repr(each)
    assert np.isfinite(cm.edge_probabilities(refine=False)).all()
    other = replace(panel, series=panel.series + 1e-9)
    with pytest.raises(RunFolderError, match=r"another run \(panel: .* there, .* now\)"):
        cm.fit(jax.random.key(1), other, **options)
    with pytest.raises(RunFolderError, match=r"spec.epochs: 3 there, 4 now"):
        CausalMMM(**SMALL | {"epochs": 4}).fit(jax.random.key(1), panel, **options)
    with pytest.raises(RunFolderError, match=r"rng_key: \"jax.random.key\(1\), .*key\(2\)"):
        cm.fit(jax.random.key(2), panel, **options)
    cm.fit(jax.random.key(1), panel, **options)
    assert "interrupted" not in cm.history.attrs
    assert "interrupted" not in repr(cm)
    np.testing.assert_array_equal(cm.history["loss"], trained.history["loss"])
    np.testing.assert_array_equal(cm.lag_profiles(), trained.lag_profiles())


# --- Squares -------------------------------------------------------------------------------------


ONCE = SMALL | {"rounds": 0}


@pytest.fixture(scope="module")
def bent(panel: ShopPanel) -> ShopPanel:
    """The same chain but for its last edge, which is a parabola."""
    random = np.random.default_rng(90)
    values = random.normal(size=panel.series.shape)
    values[:, 1:, 1] += values[:, :-1, 0]
    values[:, 1:, 2] += 0.8 * values[:, :-1, 1] ** 2
    return replace(panel, series=values)


@pytest.fixture(scope="module")
def both(bent: ShopPanel) -> dict[str, CausalMMM]:
    """Trained with one basis, the other, and the one that the loss chooses."""
    bases: dict[str, Any] = {
        "plain": ("saturating",), "squares": ("saturating", "square"), "auto": "auto",
    }  # fmt: skip
    return {
        name: CausalMMM(**ONCE, basis=basis).fit(jax.random.key(3), bent)
        for name, basis in bases.items()
    }


def test_squares_are_tried_where_a_target_bends(panel: ShopPanel, bent: ShopPanel) -> None:
    def found(panel: ShopPanel, **settings: Any) -> int:
        spec = CausalMMMSpec(lags=2, **settings)
        return len(bases_of(spec, panel, prepare_panel(spec, panel)))

    assert found(panel) == 1
    assert found(bent) == 2
    assert found(bent, basis=("linear",)) == 1
    assert found(bent, ablation="rw") == 1
    positive = replace(bent, series=np.exp(bent.series))
    assert found(positive, logarithm=("x0", "x1")) == 2
    assert found(positive, logarithm=True) == 1
    assert found(bent, decoder="recurrent") == 1
    # A node's own past may bend: that is no edge.
    own = bent.series.copy()
    own[..., 2] = np.random.default_rng(91).normal(size=own.shape[:2])
    for t in range(1, LENGTH):
        own[:, t, 2] += 3.0 * (np.abs(own[:, t - 1, 2] - 1.0) < 1.0)
    assert found(replace(bent, series=own)) == 1


def test_the_lower_loss_decides_between_bases(both: dict[str, CausalMMM]) -> None:
    last = {name: float(cm.history["loss"][-5:].mean()) for name, cm in both.items()}
    better = min("plain", "squares", key=lambda name: last[name])
    assert last["auto"] == last[better]
    np.testing.assert_array_equal(
        both["auto"].edge_probabilities(), both[better].edge_probabilities()
    )
    chosen = {"plain": ["saturating"], "squares": ["saturating", "square"]}
    assert both["auto"].history.attrs["basis"] == chosen[better]
    assert both["auto"].spec.basis == "auto"


@pytest.mark.parametrize("better", ["plain", "squares"])
def test_either_basis_may_be_the_better(
    better: str, both: dict[str, CausalMMM], bent: ShopPanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted = [both[name]._trained() for name in ("plain", "squares")]
    lower = fitted[("plain", "squares").index(better)]
    lower = replace(lower, history=lower.history._replace(loss=lower.history.loss - 1e3))
    given = iter([lower if f.spec == lower.spec else f for f in fitted])
    monkeypatch.setattr(training_module, "_train", lambda *_: next(given))
    found = CausalMMM(**ONCE).fit(jax.random.key(3), bent)
    assert found._trained() is lower


def test_epochs_of_both_bases_are_told_and_kept(
    both: dict[str, CausalMMM], bent: ShopPanel, tmp_path: Path
) -> None:
    told: list[tuple[int, int]] = []
    options = {"checkpoint": tmp_path / "run", "checkpoint_every": 1}

    def on_epoch(epoch: int, epochs: int, loss: float) -> None:
        told.append((epoch, epochs))
        if epoch == 4:
            signal.raise_signal(signal.SIGINT)

    cm = CausalMMM(**ONCE)
    words = "interrupted before the basis with squares was compared"
    with pytest.warns(TrainingWarning, match=words):
        cm.fit(jax.random.key(3), bent, on_epoch=on_epoch, **options)
    assert told == [(k, 6) for k in range(1, 5)]
    assert cm.history.attrs["interrupted"] == words
    assert cm.history.attrs["basis"] == ["saturating"]
    np.testing.assert_array_equal(cm.edge_probabilities(), both["plain"].edge_probabilities())
    told.clear()
    cm.fit(jax.random.key(3), bent, on_epoch=lambda *at: told.append(at[:2]), **options)
    assert told == [(k, 6) for k in range(5, 7)]
    np.testing.assert_array_equal(cm.edge_probabilities(), both["auto"].edge_probabilities())


def test_rounds_of_the_second_basis_alone_are_told(
    bent: ShopPanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmm_bayes.causal_mmm.inputs._ROUNDS", 2)
    # With squares a shop's regression has more columns than rows, without it has not.
    told: list[tuple[int, int]] = []
    settings = SMALL | {"lags": 7, "rounds": "auto", "epochs": 1}
    CausalMMM(**settings).fit(jax.random.key(3), bent, on_epoch=lambda *at: told.append(at[:2]))
    assert told == [(k, 4) for k in range(1, 5)]


def test_an_interrupt_before_an_epoch_of_the_second_basis_keeps_the_first(
    bent: ShopPanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, calls = training_module.train, []

    def interrupted(*given: Any, **options: Any) -> Any:
        calls.append(given)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return train(*given, **options)

    monkeypatch.setattr(training_module, "train", interrupted)
    cm = CausalMMM(**ONCE)
    with pytest.warns(TrainingWarning, match="squares"):
        cm.fit(jax.random.key(3), bent)
    assert cm.history.attrs["basis"] == ["saturating"]
    assert cm.history.sizes == {"epoch": 3, "round": 0}


# --- Forecasts and effects -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["trained", "recurrent"])
def test_blocks_of_shops_change_nothing(
    name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    cm = request.getfixturevalue(name)
    edges, paths = cm.edge_probabilities(refine=False), ahead(cm)
    whole = cm.forecast(None, 3, num_draws=DRAWS)
    sizes = []

    def of_three(count: int, bytes_each: int) -> Iterator[tuple[NDArray, slice]]:
        monkeypatch.setattr(shop_blocks, "WORKSPACE", 3 * bytes_each)
        for at, place in blocks(count, bytes_each):
            sizes.append((len(at), place.stop - place.start))
            yield at, place

    blocks = shop_blocks.blocks
    monkeypatch.setattr(shop_blocks, "blocks", of_three)
    monkeypatch.setattr("mmm_bayes.causal_mmm.paths.blocks", of_three)
    np.testing.assert_allclose(cm.edge_probabilities(refine=False), edges, atol=1e-5)
    np.testing.assert_allclose(ahead(cm), paths, rtol=1e-3)
    again = cm.forecast(None, 3, num_draws=DRAWS)
    for statistic in ("mean", "median", "low", "high"):
        np.testing.assert_allclose(again[statistic], whole[statistic], rtol=1e-3)
    assert sizes == [(3, 3), (3, 3), (3, 2)] * 3


def test_what_is_never_negative_is_forecast_so(trained: CausalMMM, panel: ShopPanel) -> None:
    raised = replace(panel, series=panel.series - panel.series.min() - 0.0)
    for given, least in ((raised, 0.0), (replace(raised, series=raised.series - 0.1), -np.inf)):
        draws = (
            CausalMMM(epochs=1, rounds=0)
            .fit(jax.random.key(3), given)
            .forecast_draws(None, 4, num_draws=200)
        )
        if least == 0.0:
            assert draws.min() == 0.0
        else:
            assert draws.min() < -0.1


def test_forecasts_are_quantiles_of_paths_in_units(trained: CausalMMM, panel: ShopPanel) -> None:
    draws = trained.forecast_draws(None, 3, num_draws=DRAWS)
    found = trained.forecast(None, 3, num_draws=DRAWS, ci_prob=0.8)
    assert dict(found.sizes) == {"shop": SHOPS, "step": 3, "node": 3}
    np.testing.assert_allclose(found["low"], np.quantile(draws, 0.1, axis=0))
    np.testing.assert_allclose(found["mean"], draws.mean("draw"))
    assert (found["low"] < found["high"]).all()
    # Within a few standard deviations of what each series was, in its units.
    location, scale = panel.series.mean(1), panel.series.std(1)
    distance = (found["median"].values - location[:, None]) / scale[:, None]
    assert np.abs(distance).max() < 4
    context = np.repeat(panel.context[:, -1:], 3, axis=1)
    np.testing.assert_array_equal(
        trained.forecast_draws(None, 3, context=context, num_draws=DRAWS), draws
    )


def test_effects_add_up_from_the_observed(trained: CausalMMM, panel: ShopPanel) -> None:
    shop = panel.shops[2]
    curves = trained.response_curves(shop, multipliers=(0.0, 1.0))
    observed = panel.series[2, :, -1].sum()
    np.testing.assert_allclose(curves["mean"].sel(multiplier=1.0), observed, rtol=1e-4)
    brought = trained.contributions(shop)
    assert brought["mean"].dims == ("channel",)
    difference = curves["mean"].sel(multiplier=1.0) - curves["mean"].sel(multiplier=0.0)
    np.testing.assert_allclose(brought["mean"], difference, rtol=1e-3, atol=1e-4 * observed)
    assert (brought["low"] <= brought["mean"]).all()
    assert (brought["mean"] <= brought["high"]).all()
    # The target follows x1, ten standard deviations above zero, with a positive slope.
    assert float(brought["low"].sel(channel="x1")) > 0


def test_a_channel_without_a_path_brings_nothing(advised: CausalMMM, panel: ShopPanel) -> None:
    # x0 has no edge that leaves it, and a value of it is missing.
    brought = advised.contributions(panel.shops[0])
    total = panel.series[0, :, -1].sum()
    assert abs(float(brought["mean"].sel(channel="x0"))) < 1e-5 * total
    assert abs(float(brought["mean"].sel(channel="x1"))) > 1e-2 * total
    curves = advised.response_curves(panel.shops[0], multipliers=(0.0, 1.0))
    np.testing.assert_allclose(curves["mean"].sel(multiplier=1.0), total, rtol=1e-4)


@pytest.mark.parametrize("bends", [True, False])
def test_whether_sources_saturate_is_learned(bends: bool) -> None:
    random = np.random.default_rng(60)
    x = random.normal(size=(16, 80, 1))
    sent = np.tanh(3.0 * x[:, :-1]) if bends else x[:, :-1]
    values = np.concatenate([x[:, 1:], sent + 0.2 * random.normal(size=sent.shape)], axis=2)
    shops = tuple(f"shop {i}" for i in range(len(values)))
    panel = ShopPanel(values, ("x0", "y"), shops, np.zeros((*values.shape[:2], 0)), ())
    settings = SMALL | {"lags": 1, "epochs": 40, "rounds": 0}
    settings |= {"learning_rate": 0.05, "scores": False}
    cm = CausalMMM(**settings).fit(jax.random.key(61), panel)
    decoder = cm._trained().networks.decoder
    assert isinstance(decoder, AdditiveDecoder)
    assert decoder.saturation is not None
    steepness = float(decoder.saturation.steepness[0])
    # Standardised values have about the units of x.
    assert steepness > 1.5 if bends else steepness < 0.4


def test_without_saturation_sources_are_linear(panel: ShopPanel) -> None:
    assert layout_of(CausalMMMSpec(), panel).saturates
    assert layout_of(CausalMMMSpec(ablation="rw"), panel).basis == ("linear",)
    # Logarithms are the curve of what is seen through them.
    assert layout_of(CausalMMMSpec(logarithm=True), panel).basis == ("linear",)
    assert layout_of(CausalMMMSpec(logarithm=("x0", "y")), panel).saturates
    ranked = [prepare_panel(CausalMMMSpec(logarithm=x), panel).ranked for x in (False, True)]
    assert ranked[0] is not None
    assert ranked[1] is None
    both = CausalMMMSpec(ablation="rw", basis=("linear", "saturating", "square"))
    assert layout_of(both, panel).basis == ("linear", "square")


# --- Files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["trained", "recurrent", "squares"])
def test_a_file_gives_the_same_model(
    which: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if which == "squares":  # as if the loss had chosen them
        cm = CausalMMM(**SMALL)
        cm._fitted = request.getfixturevalue("both")["squares"]._trained()
    else:
        cm = request.getfixturevalue(which)
    path = tmp_path / "model.causalmmm"
    cm.save(path)
    cm.save(path)  # over itself
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    found = load_causal_mmm(path)
    assert found.spec == cm.spec
    np.testing.assert_array_equal(found.edge_probabilities(), cm.edge_probabilities())
    np.testing.assert_array_equal(ahead(found), ahead(cm))
    np.testing.assert_array_equal(found.history["loss"], cm.history["loss"])
    assert found.history.attrs == cm.history.attrs
    ours, theirs = cm._trained().panel, found._trained().panel
    assert (ours.shops, ours.context_names) == (theirs.shops, theirs.context_names)
    assert ours.dates is not None
    assert ours.dates.equals(theirs.dates)


def as_written_before_checksums(path: Path) -> dict[str, Any]:
    """Arrays of a file, with its metadata as an array among them."""
    found = read_artifact(path, files.KIND, 99)
    about = {"format": found.format, "version": found.version, **found.about}
    return {**found.arrays, "about": np.frombuffer(json.dumps(about).encode(), np.uint8)}


def test_files_from_before_functions_differed_are_read(trained: CausalMMM, tmp_path: Path) -> None:
    trained.save(tmp_path / "now")
    arrays = as_written_before_checksums(tmp_path / "now")
    about = json.loads(arrays["about"].tobytes())
    del about["basis"]

    def written(basis: list[str]) -> Path:
        now = about | {"format": 3, "spec": about["spec"] | {"basis": basis}}
        with (tmp_path / "before").open("wb") as file:
            one = {"about": np.frombuffer(json.dumps(now).encode(), np.uint8)}
            np.savez(file, **arrays | flat | one)
        return tmp_path / "before"

    # Functions had no axis of their own.
    nodes = len(NODES)
    flat = {
        name: array.reshape([n for n in array.shape if n != 1] or [1])
        for name, array in arrays.items()
        if array.shape in {(1, nodes), (nodes, 1, nodes)} and name.startswith("weight")
    }
    assert len(flat) == 3  # of other nodes and its own, and what is not known
    found = load_causal_mmm(written(["saturating"]))
    np.testing.assert_array_equal(found.edge_probabilities(), trained.edge_probabilities())
    assert found.spec.basis == ("saturating",)
    with pytest.raises(FitFileError, match=r"before .*train them again"):
        load_causal_mmm(written(["saturating", "square"]))


def test_files_cut_short_or_foreign_are_refused(trained: CausalMMM, tmp_path: Path) -> None:
    path = tmp_path / "model.causalmmm"
    trained.save(path)
    whole = path.read_bytes()
    arrays = as_written_before_checksums(path)
    wrong = tmp_path / "wrong"

    def refused(match: str) -> None:
        with pytest.raises(FitFileError, match=match):
            load_causal_mmm(wrong)

    for size in (0, 100, len(whole) // 2, len(whole) - 1):
        wrong.write_bytes(whole[:size])
        refused(r"wrong cannot be read: .*CausalMMM")
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    for content in (bytes(flipped), b"text", b"\x93NUMPY"):
        wrong.write_bytes(content)
        refused(r"wrong cannot be read: .*CausalMMM")

    def written(**changed: Any) -> None:
        with wrong.open("wb") as file:
            np.savez(file, **{k: v for k, v in (arrays | changed).items() if v is not None})

    for name, values in arrays.items():
        if name != "about" and np.size(values):
            one = np.array(values, ndmin=1)
            one.reshape(-1).view(np.uint8)[-1] ^= 1
            changed = {**arrays, name: one.reshape(np.shape(values))}
            del changed["about"]
            with zipfile.ZipFile(wrong, "w") as file:
                with zipfile.ZipFile(path) as own:
                    file.writestr(RECORD, own.read(RECORD))
                for each, array in changed.items():
                    with file.open(f"{each}.npy", "w") as member:
                        np.save(member, array)
            refused(rf"'{name}' has changed")
    written(about=None)
    refused(r"wrong cannot be read: .*CausalMMM")
    written(weight_000=None)
    refused("weight_000")
    written(weight_000=np.zeros(3))
    refused("weights do not fit")
    about = json.loads(arrays["about"].tobytes())
    later = json.dumps(about | {"format": 99, "version": "9.9"}).encode()
    written(about=np.frombuffer(later, np.uint8))
    refused(r"mmm_bayes 9\.9 in format 99")
    earlier = about | {"format": 1, "spec": about["spec"] | {"encoder": "series"}}
    written(about=np.frombuffer(json.dumps(earlier).encode(), np.uint8))
    refused(r"wrong .*train them again")
    with wrong.open("wb") as file:
        np.save(file, np.zeros(3))
    refused(r"wrong cannot be read: .*CausalMMM")
    with wrong.open("wb") as file:
        np.savez(file, about=np.array([Explosive()], object))
    refused(r"wrong cannot be read: .*CausalMMM")
    with pytest.raises(FileNotFoundError):
        load_causal_mmm(tmp_path / "nowhere")


class Explosive:
    """Code that a pickle would run when it is read."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return pytest.fail, ("a file was unpickled",)


# --- Against the truth ---------------------------------------------------------------------------


@pytest.mark.slow
def test_graphs_of_simulated_shops_are_recovered() -> None:
    panel = simulate.shops(jax.random.key(9), num_shops=20, num_channels=4, num_dates=120)
    found = CausalMMM().fit(jax.random.key(10), panel).edge_probabilities().values
    assert auroc(found, panel.adjacency) > 0.97
