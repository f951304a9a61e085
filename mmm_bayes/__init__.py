"""Bayesian marketing-mix modelling on NumPyro and JAX.

The public names load on first use, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmm_bayes import _moved
from mmm_bayes._version import __version__
from mmm_bayes.runtime.lazy_import import lazy_names

if TYPE_CHECKING:
    from mmm_bayes import errors, results, simulate
    from mmm_bayes.augmentation.augment import admgda, augment
    from mmm_bayes.augmentation.evaluation import evaluate_augmentation
    from mmm_bayes.augmentation.pipeline import CausalDA
    from mmm_bayes.budget import CostCurve, Limit
    from mmm_bayes.causal.causal_graph import CausalGraph
    from mmm_bayes.causal.check.falsification import falsify
    from mmm_bayes.causal.check.overlap import overlap
    from mmm_bayes.causal.discovery.discover import discover
    from mmm_bayes.causal.discovery.knowledge import Knowledge
    from mmm_bayes.causal.discovery.session import DiscoverySession
    from mmm_bayes.causal.effects.effects import average_treatment_effect, effects_table
    from mmm_bayes.causal.effects.graph_sensitivity import graph_sensitivity
    from mmm_bayes.causal.effects.kpis import business_kpis
    from mmm_bayes.causal.effects.lift_comparison import compare_lift_tests
    from mmm_bayes.causal.effects.refutation import refute
    from mmm_bayes.causal.effects.sensitivity import sensitivity
    from mmm_bayes.causal_mmm import CausalMMM, CausalMMMSpec, load_causal_mmm
    from mmm_bayes.data.datasets import list_datasets, load_dataset, load_truth
    from mmm_bayes.data.lift_tests import LiftTest, read_lift_tests
    from mmm_bayes.data.panel import ShopPanel
    from mmm_bayes.data.panel_load import load_shops, panel_to_frame
    from mmm_bayes.data.schema import MMMData
    from mmm_bayes.fit import MMM
    from mmm_bayes.fit_result import FitResult, load_fit
    from mmm_bayes.inference.checkpoint import Checkpoint
    from mmm_bayes.inference.mcmc import SamplerSpec
    from mmm_bayes.inference.tracing import use_compilation_cache
    from mmm_bayes.many_fits.fit_cells import fit_key
    from mmm_bayes.many_fits.fit_map import FitMap, load_fit_map
    from mmm_bayes.many_fits.map_fits import map_fits
    from mmm_bayes.model.priors import PriorSpec
    from mmm_bayes.model.spec import ChannelSpec, ModelSpec
    from mmm_bayes.present import plots
    from mmm_bayes.structural import StructuralFit, StructuralMMM, load_structural_fit
    from mmm_bayes.validation.comparison import compare_models, model_grid
    from mmm_bayes.validation.cross_validation import k_fold, leave_future_out
    from mmm_bayes.validation.panel.backtest import backtest
    from mmm_bayes.validation.rolling import rolling_origin
    from mmm_bayes.validation.sensitivity import prior_sensitivity

_HOMES = {
    "CausalDA": "augmentation.pipeline",
    "CausalGraph": "causal.causal_graph",
    "CausalMMM": "causal_mmm",
    "CausalMMMSpec": "causal_mmm",
    "ChannelSpec": "model.spec",
    "Checkpoint": "inference.checkpoint",
    "CostCurve": "budget",
    "DiscoverySession": "causal.discovery.session",
    "FitMap": "many_fits.fit_map",
    "FitResult": "fit_result",
    "Knowledge": "causal.discovery.knowledge",
    "LiftTest": "data.lift_tests",
    "Limit": "budget",
    "MMM": "fit",
    "MMMData": "data.schema",
    "ModelSpec": "model.spec",
    "PriorSpec": "model.priors",
    "SamplerSpec": "inference.mcmc",
    "ShopPanel": "data.panel",
    "StructuralFit": "structural",
    "StructuralMMM": "structural",
    "admgda": "augmentation.augment",
    "augment": "augmentation.augment",
    "average_treatment_effect": "causal.effects.effects",
    "backtest": "validation.panel.backtest",
    "business_kpis": "causal.effects.kpis",
    "compare_lift_tests": "causal.effects.lift_comparison",
    "compare_models": "validation.comparison",
    "discover": "causal.discovery.discover",
    "effects_table": "causal.effects.effects",
    "errors": "errors.",
    "evaluate_augmentation": "augmentation.evaluation",
    "falsify": "causal.check.falsification",
    "fit_key": "many_fits.fit_cells",
    "graph_sensitivity": "causal.effects.graph_sensitivity",
    "k_fold": "validation.cross_validation",
    "leave_future_out": "validation.cross_validation",
    "list_datasets": "data.datasets",
    "load_causal_mmm": "causal_mmm",
    "load_dataset": "data.datasets",
    "load_fit": "fit_result",
    "load_fit_map": "many_fits.fit_map",
    "load_shops": "data.panel_load",
    "load_structural_fit": "structural",
    "load_truth": "data.datasets",
    "map_fits": "many_fits.map_fits",
    "model_grid": "validation.comparison",
    "overlap": "causal.check.overlap",
    "panel_to_frame": "data.panel_load",
    "plots": "present.plots.",
    "prior_sensitivity": "validation.sensitivity",
    "read_lift_tests": "data.lift_tests",
    "refute": "causal.effects.refutation",
    "results": "results.",
    "rolling_origin": "validation.rolling",
    "sensitivity": "causal.effects.sensitivity",
    "simulate": "simulate.",
    "use_compilation_cache": "inference.tracing",
}
# Names of the version before, which warn.
_OLD = {
    "AugmentationWarning": "errors.AugmentationWarning",
    "DataError": "errors.DataError",
    "DataWarning": "errors.DataWarning",
    "FitFileError": "errors.FitFileError",
    "FitMemoryError": "errors.FitMemoryError",
    "GraphError": "errors.GraphError",
    "IdentificationError": "errors.IdentificationError",
    "ModelDataError": "errors.ModelDataError",
    "ModelSpecError": "errors.ModelSpecError",
    "RunFolderError": "errors.RunFolderError",
    "SamplingWarning": "errors.SamplingWarning",
    "TrainingWarning": "errors.TrainingWarning",
    "WriteError": "errors.WriteError",
    "AugmentedData": "results.AugmentedData",
    "BudgetPlan": "results.BudgetPlan",
    "DiagnosticsReport": "results.DiagnosticsReport",
    "Discovery": "results.Discovery",
    "EffectEstimate": "results.EffectEstimate",
    "EffectsTable": "results.EffectsTable",
    "FalsificationReport": "results.FalsificationReport",
    "MemoryEstimate": "results.MemoryEstimate",
    "SimulatedLift": "simulate.SimulatedLift",
    "SimulatedMMM": "simulate.SimulatedMMM",
    "SimulatedMediation": "simulate.SimulatedMediation",
    "SimulatedSCM": "simulate.SimulatedSCM",
    "air_contributions": "simulate.air_contributions",
    "simulate_air_shops": "simulate.air_shops",
    "simulate_lift_test": "simulate.lift_test",
    "simulate_mediation": "simulate.mediation",
    "simulate_mmm": "simulate.mmm",
    "simulate_scm": "simulate.scm",
    "simulate_shops": "simulate.shops",
}

__all__ = [
    "MMM",
    "CausalDA",
    "CausalGraph",
    "CausalMMM",
    "CausalMMMSpec",
    "ChannelSpec",
    "Checkpoint",
    "CostCurve",
    "DiscoverySession",
    "FitMap",
    "FitResult",
    "Knowledge",
    "LiftTest",
    "Limit",
    "MMMData",
    "ModelSpec",
    "PriorSpec",
    "SamplerSpec",
    "ShopPanel",
    "StructuralFit",
    "StructuralMMM",
    "__version__",
    "admgda",
    "augment",
    "average_treatment_effect",
    "backtest",
    "business_kpis",
    "compare_lift_tests",
    "compare_models",
    "discover",
    "effects_table",
    "errors",
    "evaluate_augmentation",
    "falsify",
    "fit_key",
    "graph_sensitivity",
    "k_fold",
    "leave_future_out",
    "list_datasets",
    "load_causal_mmm",
    "load_dataset",
    "load_fit",
    "load_fit_map",
    "load_shops",
    "load_structural_fit",
    "load_truth",
    "map_fits",
    "model_grid",
    "overlap",
    "panel_to_frame",
    "plots",
    "prior_sensitivity",
    "read_lift_tests",
    "refute",
    "results",
    "rolling_origin",
    "sensitivity",
    "simulate",
    "use_compilation_cache",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES, _OLD)
_moved.find_old_paths()
