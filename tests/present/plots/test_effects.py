"""Figures of effects: they draw what they are given, and say what they cannot."""

from __future__ import annotations

import jax
import pytest

from mmm_bayes.causal.effects.effects import average_treatment_effect, effects_table
from mmm_bayes.causal.effects.refutation import refute
from mmm_bayes.causal.effects.sensitivity import sensitivity
from mmm_bayes.present.plots.effects import (
    plot_effects,
    plot_refutation,
    plot_sensitivity,
)
from tests.causal.effect_tables import GRAPH, weeks

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def table():
    return effects_table(KEY, weeks(1), GRAPH, date="week")


def texts(figure):
    figure.draw_without_rendering()
    found = [text.get_text() for ax in figure.axes for text in ax.texts]
    for ax in figure.axes:
        found += [ax.get_title(loc="left"), ax.get_xlabel(), ax.get_ylabel()]
        found += [label.get_text() for label in (*ax.get_xticklabels(), *ax.get_yticklabels())]
    for legend in figure.legends:
        found += [text.get_text() for text in legend.get_texts()]
    return " | ".join([*found, figure.get_suptitle()])


def test_forest_has_a_line_an_effect(table):
    figure = plot_effects(table, truth={("tv", "total"): 2.0})
    ax = figure.axes[0]
    segments = [c.get_segments()[0] for c in ax.collections]
    for segment, own in zip(segments, table.estimates, strict=True):
        assert segment[:, 0] == pytest.approx(own.roas_interval)
    words = texts(figure)
    for word in ("tv", "search", "indirect effect", "truth", "90% interval"):
        assert word in words
    assert "contribution" in texts(plot_effects(table, quantity="value"))


def test_forest_refuses_nothing_and_mixtures(table):
    with pytest.raises(ValueError, match="no effects"):
        plot_effects([])
    other = average_treatment_effect(KEY, weeks(1), GRAPH, "tv", contrast="per_unit")
    with pytest.raises(ValueError, match="contrasts"):
        plot_effects([other, *table.estimates])


@pytest.mark.parametrize("threshold", [0.0, 900.0])
def test_contour_marks_what_kills_the_estimate(table, threshold):
    own = sensitivity(table.estimate("tv"), threshold=threshold)
    words = texts(plot_sensitivity(own))
    assert "as estimated" in words
    assert "robustness value" in words
    assert ("estimate at zero" in words) == (threshold == 0.0)
    assert "price" in words


def test_contour_without_benchmarks(table):
    data = weeks(1)[["tv", "sales"]]
    with pytest.warns(UserWarning, match="season"):
        own = average_treatment_effect(KEY, data, GRAPH, "tv", adjustment=[])
    assert "as estimated" in texts(plot_sensitivity(sensitivity(own)))


def test_refutation_has_a_panel_a_test(table):
    report = refute(KEY, table.estimate("tv"), num_simulations=20)
    figure = plot_refutation(report)
    assert len(figure.axes) == 5
    words = texts(figure)
    for test in report.tests:
        assert f"{test.test.replace('_', ' ')}: {test.verdict}" in words
