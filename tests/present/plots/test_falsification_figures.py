"""Figures of a graph against data: what is drawn is what was found."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from mmm_bayes.causal.causal_graph import CausalGraph
from mmm_bayes.causal.check.falsification import falsify
from mmm_bayes.causal.check.overlap import overlap
from mmm_bayes.causal.check.overlap_report import OverlapReport
from mmm_bayes.present.plots.falsification import plot_falsification, plot_overlap

GRAPH = CausalGraph(edges=[("demand", "us$_tv"), ("us$_tv", "sales"), ("price", "sales")])


def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    demand, price = rng.standard_normal((2, 150))
    tv = 100 + 30 * demand + 10 * rng.standard_normal(150)
    sales = tv / 30 + demand - price + rng.standard_normal(150)
    dates = pd.date_range("2022-01-03", periods=150, freq="W-MON")
    return pd.DataFrame(
        {"date": dates, "demand": demand, "price": price, "us$_tv": tv, "sales": sales}
    )


def words(figure: Figure) -> str:
    figure.savefig(io.BytesIO(), format="png")
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def test_every_claim_and_edge_has_its_line():
    report = falsify(0, GRAPH, table())
    figure = plot_falsification(report)
    text = words(figure)
    assert report.verdict.split("(")[0].strip() in text.replace("\n", " ")
    labels = [label.get_text() for ax in figure.axes for label in reversed(ax.get_yticklabels())]
    claims = sorted(report.independences, key=lambda check: check.result.p_value)
    assert labels[: len(claims)] == [str(check.claim) for check in claims]
    assert labels[len(claims) :] == [f"{a} → {b}" for a, b in GRAPH.edges]
    drawn = [float(line.get_xdata()[0]) for line in figure.axes[0].lines[1:]]
    assert drawn == pytest.approx([check.result.effect for check in claims])
    assert len(plot_falsification(report, edges=False).axes) == 1


def test_tests_without_intervals_are_dots():
    figure = plot_falsification(falsify(0, GRAPH, table(), test="chi_squared", num_permutations=0))
    assert "Cramér" in words(figure)


def test_long_sets_are_cut_short():
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(rng.standard_normal((60, 6)), columns=list("abcdxy"))
    graph = CausalGraph(edges=[(cause, effect) for cause in "abcd" for effect in "xy"])
    report = falsify(0, graph, frame, test="partial_correlation", num_permutations=0)
    assert "x ⊥ y | a, b, c and 1 more" in words(plot_falsification(report))


def test_nothing_to_draw_is_said():
    with pytest.raises(ValueError, match="nothing to draw"):
        plot_falsification(falsify(0, CausalGraph(["sales"]), table()))
    with pytest.raises(ValueError, match="nothing to draw"):
        plot_overlap(OverlapReport(()))


def test_doses_are_drawn_against_what_is_expected_of_them():
    report = overlap(table(), GRAPH, ["us$_tv", "price"], outcome="sales", date="date")
    figure = plot_overlap(report)
    text = words(figure)
    assert "us$_tv: " in text
    assert "nothing is adjusted for" in text
    tv = report["us$_tv"]
    points = sum(len(line.get_xdata()) for line in figure.axes[0].lines)
    assert points == tv.n
    alone = plot_overlap(tv)
    assert len(alone.axes) == 1
    assert "expected given" in words(alone) or not tv.given
