"""Figures: labelled arrays in, ``matplotlib`` figures out, readable without knowing the code.

Every function returns a figure and leaves matplotlib's settings as they are. Where nothing shows
windows (a notebook, a script without a display) the figure is not registered with pyplot: as the
last value of a cell it is shown once; elsewhere use ``figure.savefig(...)``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmm_bayes.present.plots.budget import plot_flighting, plot_plan, plot_plan_curves
    from mmm_bayes.present.plots.causal_graph import plot_causal_graph
    from mmm_bayes.present.plots.curves import plot_adstock_curves, plot_response_curves
    from mmm_bayes.present.plots.decomposition import plot_contribution_bars, plot_contributions
    from mmm_bayes.present.plots.effects import (
        plot_effects,
        plot_refutation,
        plot_sensitivity,
        plot_structural_effects,
    )
    from mmm_bayes.present.plots.experiments import (
        plot_calibration_effect,
        plot_experiment_ranking,
        plot_lift_tests,
    )
    from mmm_bayes.present.plots.falsification import plot_falsification, plot_overlap
    from mmm_bayes.present.plots.gallery import FitPlots, save_all
    from mmm_bayes.present.plots.outcome import plot_fit, plot_prior_predictive, plot_residuals
    from mmm_bayes.present.plots.parameters import plot_prior_posterior, plot_ranks, plot_trace
    from mmm_bayes.present.plots.returns import plot_roas
    from mmm_bayes.present.plots.save import save_figure, save_figures
    from mmm_bayes.present.plots.shop_graph import plot_edge_probabilities, plot_shop_graph
    from mmm_bayes.present.plots.shops import (
        plot_lag_profiles,
        plot_reliability,
        plot_shop_forecast,
    )
    from mmm_bayes.present.plots.validation import (
        plot_calibration,
        plot_comparison,
        plot_forecast,
        plot_roas_over_folds,
        plot_rolling_forecasts,
        plot_scores_by_step,
    )

_HOME = {
    "FitPlots": "gallery",
    "save_all": "gallery",
    "save_figure": "save",
    "save_figures": "save",
    "plot_fit": "outcome",
    "plot_prior_predictive": "outcome",
    "plot_residuals": "outcome",
    "plot_contributions": "decomposition",
    "plot_contribution_bars": "decomposition",
    "plot_roas": "returns",
    "plot_response_curves": "curves",
    "plot_adstock_curves": "curves",
    "plot_prior_posterior": "parameters",
    "plot_trace": "parameters",
    "plot_ranks": "parameters",
    "plot_flighting": "budget",
    "plot_plan": "budget",
    "plot_plan_curves": "budget",
    "plot_calibration": "validation",
    "plot_comparison": "validation",
    "plot_forecast": "validation",
    "plot_roas_over_folds": "validation",
    "plot_rolling_forecasts": "validation",
    "plot_scores_by_step": "validation",
    "plot_causal_graph": "causal_graph",
    "plot_effects": "effects",
    "plot_structural_effects": "effects",
    "plot_sensitivity": "effects",
    "plot_refutation": "effects",
    "plot_calibration_effect": "experiments",
    "plot_experiment_ranking": "experiments",
    "plot_lift_tests": "experiments",
    "plot_falsification": "falsification",
    "plot_overlap": "falsification",
    "plot_shop_graph": "shop_graph",
    "plot_edge_probabilities": "shop_graph",
    "plot_reliability": "shops",
    "plot_lag_profiles": "shops",
    "plot_shop_forecast": "shops",
}

__all__ = [
    "FitPlots",
    "plot_adstock_curves",
    "plot_calibration",
    "plot_calibration_effect",
    "plot_causal_graph",
    "plot_comparison",
    "plot_contribution_bars",
    "plot_contributions",
    "plot_edge_probabilities",
    "plot_effects",
    "plot_experiment_ranking",
    "plot_falsification",
    "plot_fit",
    "plot_flighting",
    "plot_forecast",
    "plot_lag_profiles",
    "plot_lift_tests",
    "plot_overlap",
    "plot_plan",
    "plot_plan_curves",
    "plot_prior_posterior",
    "plot_prior_predictive",
    "plot_ranks",
    "plot_refutation",
    "plot_reliability",
    "plot_residuals",
    "plot_response_curves",
    "plot_roas",
    "plot_roas_over_folds",
    "plot_rolling_forecasts",
    "plot_scores_by_step",
    "plot_sensitivity",
    "plot_shop_forecast",
    "plot_shop_graph",
    "plot_structural_effects",
    "plot_trace",
    "save_all",
    "save_figure",
    "save_figures",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'mmm_bayes.present.plots' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"mmm_bayes.present.plots.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
