"""Figures of experiments: every test, channel and candidate is on them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from mmm_bayes.analysis.calibration_effect import CalibrationEffect
from mmm_bayes.analysis.next_experiment import ExperimentRanking
from mmm_bayes.causal.effects.lift_comparison import compare_lift_tests
from mmm_bayes.data.lift_tests import LiftTest
from mmm_bayes.present.plots.experiments import (
    plot_calibration_effect,
    plot_experiment_ranking,
    plot_lift_tests,
)


def texts(figure):
    found = figure.findobj(lambda artist: hasattr(artist, "get_text"))
    return " | ".join(text.get_text() for text in found)


def test_lift_tests_show_both_sides():
    tests = [LiftTest("tv", "2021-03-01", "2021-03-28", lift, 2.0, name=name)
             for lift, name in ((10.0, "one"), (40.0, "two"))]  # fmt: skip
    rng = np.random.default_rng(0)
    figure = plot_lift_tests(compare_lift_tests(lambda test: 10 + rng.normal(size=500), tests))
    words = texts(figure)
    for word in ("one (tv)", "two (tv)", "agrees", "model too low", "contradict"):
        assert word in words
    assert len(figure.axes[0].collections) == 4


def test_measures_have_axes_of_their_own():
    span = "2021-03-01", "2021-03-28"
    tests = [LiftTest("tv", *span, 10.0, 2.0), LiftTest.of_roas("tv", *span, 2.0, 0.5, name="r")]
    rng = np.random.default_rng(0)
    figure = plot_lift_tests(compare_lift_tests(lambda test: 2 + rng.normal(size=500), tests))
    assert [ax.get_xlabel().split()[0] for ax in figure.axes] == ["lift", "revenue"]


def test_before_and_after():
    names = [
        f"roas_{when}{end}" for when in ("before", "after") for end in ("", "_lower", "_upper")
    ]
    channels = pd.DataFrame(
        [[1.0, 0.5, 2.0, 1.5, 1.2, 1.8, 0.7, 0.4], [2.0, 1.0, 3.0, 2.0, 1.0, 3.0, 0.0, 1.0]],
        index=pd.Index(["tv", "search"], name="channel"), columns=[*names, "moved", "width"],
    )  # fmt: skip
    tests = pd.DataFrame({"channel": ["tv"]}, index=["t"])
    found = CalibrationEffect(tests, channels, 0.9)
    figure = plot_calibration_effect(found)
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["tv (tested)", "search"]
    assert "tv: ROAS 1 -> 1.5" in found.verdict
    assert "search" not in found.verdict


def test_ranking():
    table = pd.DataFrame(
        {"value": [30.0, 10.0], "value_error": [2.0, 1.0], "share_of_perfect": [0.3, 0.1]},
        index=["tv off", "tv x 2"],
    )
    figure = plot_experiment_ranking(ExperimentRanking(table, (), 100.0, 1e4, 0.5))
    assert len(figure.axes[0].patches) == 2
    assert "tv off" in figure._suptitle.get_text()
