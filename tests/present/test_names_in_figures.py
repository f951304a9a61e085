"""Every figure of a fit whose names would be read as mathematics, markup or control characters."""

import io
import re
import warnings
from pathlib import Path

import jax
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import mmm_bayes as mb
from mmm_bayes.causal.check.overlap import overlap
from mmm_bayes.cli import app
from mmm_bayes.present import plots
from mmm_bayes.present.plots.style import legend_name

CHANNELS = ["TV $\\badmacro{", "radio $x_{$", "\x1b[31mred[/red]", "a\nb", "_under"]
PRICE, SALES, WEEK = "\u202eprice", "sal\x07es$", "we\x1bek"
HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]")


@pytest.fixture(scope="module")
def data() -> mb.MMMData:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({WEEK: pd.date_range("2023-01-02", periods=60, freq="7D")})
    for name in CHANNELS:
        frame[name] = rng.gamma(2, 10, 60)
    frame[PRICE] = rng.normal(size=60)
    frame[SALES] = 100 + frame[CHANNELS].sum(axis=1) + rng.normal(0, 5, 60)
    return mb.MMMData.from_dataframe(
        frame, date=WEEK, target=SALES, channels=CHANNELS, controls=[PRICE]
    )


@pytest.fixture(scope="module")
def fit(data: mb.MMMData) -> mb.FitResult:
    quick = {"num_warmup": 50, "num_samples": 50, "num_chains": 2}
    return mb.MMM(data).fit(jax.random.key(0), progress=False, num_prior_draws=20, **quick)


def test_texts_of_a_fit(data: mb.MMMData, fit: mb.FitResult) -> None:
    for one in (data, data.summary(), fit, fit.summary(), fit.diagnose(), fit.spec):
        for text in (repr(one), str(one), one._repr_html_()):
            assert not HIDDEN.search(text)
    assert "\\x1b[31mred[/red]" in repr(fit.summary())
    assert list(fit.summary().index) == CHANNELS


def test_the_command_line(fit: mb.FitResult, tmp_path: Path) -> None:
    fit.save(tmp_path / "fit.nc")
    found = CliRunner().invoke(app, ["summary", str(tmp_path)])
    assert found.exit_code == 0
    assert not HIDDEN.search(found.output)
    assert "\\x1b[31mred[/red]" in found.output
    for typed in (["\x1b[31m"], ["fit", "\x1b[31m", "--out", str(tmp_path / "o")], ["--\x1b[31m"]):
        refused = CliRunner().invoke(app, typed)
        assert refused.exit_code != 0
        assert "\x1b[31m" not in refused.output
        assert "\\x1b[31m" in refused.output


@pytest.mark.parametrize("parse", [True, False])
def test_every_figure(fit: mb.FitResult, parse: bool, tmp_path: Path) -> None:
    with mpl.rc_context({"text.parse_math": parse}), warnings.catch_warnings():
        warnings.simplefilter("error")  # a font without the character warns
        paths = fit.plot.save_all(tmp_path)
    assert len(paths) == 11


def test_figures_of_a_graph(data: mb.MMMData) -> None:
    names = [*CHANNELS, PRICE]
    graph = mb.CausalGraph(edges=[(name, SALES) for name in names]).with_roles_of(data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for figure in (
            plots.plot_causal_graph(graph),
            plots.plot_causal_graph(graph, ax=plt.figure().subplots()),
            plots.plot_falsification(graph.falsify(jax.random.key(0), data)),
            plots.plot_overlap(overlap(data, graph, CHANNELS[0])),
            plots.plot_effects(mb.effects_table(jax.random.key(0), data, graph)),
        ):
            for form in ("png", "svg", "pdf"):
                figure.savefig(io.BytesIO(), format=form, bbox_inches="tight")
            plt.close(figure)


def test_legends_keep_names_that_begin_with_an_underscore(fit: mb.FitResult) -> None:
    figure = fit.plot.contributions()
    shown = {text.get_text() for ax in figure.axes for text in (ax.get_legend() or ax).texts}
    shown |= {text.get_text() for legend in figure.legends for text in legend.get_texts()}
    assert {legend_name(name) for name in CHANNELS} <= shown
