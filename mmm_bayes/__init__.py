"""Bayesian marketing-mix modelling on NumPyro and JAX.

The public names load on first use, so that importing the package costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from mmm_bayes._version import __version__

if TYPE_CHECKING:
    from mmm_bayes.augmentation.augment import admgda
    from mmm_bayes.augmentation.pipeline import CausalDA
    from mmm_bayes.augmentation.table import AugmentationWarning, AugmentedData
    from mmm_bayes.budget import BudgetPlan, CostCurve, Limit
    from mmm_bayes.causal.check.falsification import falsify
    from mmm_bayes.causal.check.falsification_report import FalsificationReport
    from mmm_bayes.causal.check.overlap import overlap
    from mmm_bayes.causal.discovery.discover import discover
    from mmm_bayes.causal.discovery.knowledge import Knowledge
    from mmm_bayes.causal.discovery.result import Discovery
    from mmm_bayes.causal.discovery.session import DiscoverySession
    from mmm_bayes.causal.effects.effects import average_treatment_effect, effects_table
    from mmm_bayes.causal.effects.estimate import EffectEstimate, EffectsTable
    from mmm_bayes.causal.effects.graph_sensitivity import graph_sensitivity
    from mmm_bayes.causal.effects.kpis import business_kpis
    from mmm_bayes.causal.effects.lift_comparison import compare_lift_tests
    from mmm_bayes.causal.effects.refutation import refute
    from mmm_bayes.causal.effects.sensitivity import sensitivity
    from mmm_bayes.causal.graph.causal_graph import CausalGraph, GraphError
    from mmm_bayes.causal.identify.criteria import IdentificationError
    from mmm_bayes.causal_mmm import CausalMMM, CausalMMMSpec, load_causal_mmm
    from mmm_bayes.causal_mmm.networks.training import TrainingWarning
    from mmm_bayes.data.datasets import list_datasets, load_dataset, load_truth
    from mmm_bayes.data.lift_tests import LiftTest, read_lift_tests
    from mmm_bayes.data.panel import ShopPanel
    from mmm_bayes.data.schema import MMMData
    from mmm_bayes.data.shops_load import load_shops, panel_to_frame
    from mmm_bayes.fit import MMM
    from mmm_bayes.fit_result import FitResult, load_fit
    from mmm_bayes.inference.checkpoint import Checkpoint, SamplingWarning
    from mmm_bayes.inference.mcmc import SamplerSpec
    from mmm_bayes.inference.memory import FitMemoryError, MemoryEstimate
    from mmm_bayes.inference.tracing import use_compilation_cache
    from mmm_bayes.inference.verdict import DiagnosticsReport
    from mmm_bayes.many_fits.fit_cells import fit_key
    from mmm_bayes.many_fits.fit_map import FitMap, load_fit_map
    from mmm_bayes.many_fits.map_fits import map_fits
    from mmm_bayes.model.checks import ModelDataError
    from mmm_bayes.model.priors import PriorSpec
    from mmm_bayes.model.spec import ChannelSpec, ModelSpec, ModelSpecError
    from mmm_bayes.model.store import FitFileError
    from mmm_bayes.runtime.atomic_write import WriteError
    from mmm_bayes.runtime.findings import DataError, DataWarning
    from mmm_bayes.runtime.run_folder import RunFolderError
    from mmm_bayes.simulate.air import air_contributions, simulate_air_shops
    from mmm_bayes.simulate.lift import SimulatedLift, simulate_lift_test
    from mmm_bayes.simulate.media_mix import SimulatedMMM, simulate_mmm
    from mmm_bayes.simulate.mediation import SimulatedMediation, simulate_mediation
    from mmm_bayes.simulate.scm import SimulatedSCM, simulate_scm
    from mmm_bayes.simulate.shops import simulate_shops
    from mmm_bayes.structural import StructuralFit, StructuralMMM, load_structural_fit
    from mmm_bayes.validation.comparison import compare_models, model_grid
    from mmm_bayes.validation.cross_validation import k_fold, leave_future_out
    from mmm_bayes.validation.rolling import rolling_origin
    from mmm_bayes.validation.sensitivity import prior_sensitivity

_HOME = {
    "MMM": "fit",
    "StructuralMMM": "structural",
    "StructuralFit": "structural",
    "load_structural_fit": "structural",
    "FitResult": "fit_result",
    "FitMap": "many_fits.fit_map",
    "load_fit_map": "many_fits.fit_map",
    "map_fits": "many_fits.map_fits",
    "fit_key": "many_fits.fit_cells",
    "load_fit": "fit_result",
    "MMMData": "data.schema",
    "RunFolderError": "runtime.run_folder",
    "Checkpoint": "inference.checkpoint",
    "SamplingWarning": "inference.checkpoint",
    "TrainingWarning": "causal_mmm.networks.training",
    "FitMemoryError": "inference.memory",
    "MemoryEstimate": "inference.memory",
    "use_compilation_cache": "inference.tracing",
    "WriteError": "runtime.atomic_write",
    "DataError": "runtime.findings",
    "DataWarning": "runtime.findings",
    "list_datasets": "data.datasets",
    "load_dataset": "data.datasets",
    "load_truth": "data.datasets",
    "SimulatedMediation": "simulate.mediation",
    "simulate_mediation": "simulate.mediation",
    "SimulatedMMM": "simulate.media_mix",
    "simulate_mmm": "simulate.media_mix",
    "SimulatedLift": "simulate.lift",
    "simulate_lift_test": "simulate.lift",
    "SimulatedSCM": "simulate.scm",
    "simulate_scm": "simulate.scm",
    "ShopPanel": "data.panel",
    "simulate_shops": "simulate.shops",
    "air_contributions": "simulate.air",
    "simulate_air_shops": "simulate.air",
    "load_shops": "data.shops_load",
    "panel_to_frame": "data.shops_load",
    "CausalGraph": "causal.graph.causal_graph",
    "GraphError": "causal.graph.causal_graph",
    "average_treatment_effect": "causal.effects.effects",
    "effects_table": "causal.effects.effects",
    "EffectEstimate": "causal.effects.estimate",
    "EffectsTable": "causal.effects.estimate",
    "refute": "causal.effects.refutation",
    "sensitivity": "causal.effects.sensitivity",
    "graph_sensitivity": "causal.effects.graph_sensitivity",
    "falsify": "causal.check.falsification",
    "FalsificationReport": "causal.check.falsification_report",
    "overlap": "causal.check.overlap",
    "discover": "causal.discovery.discover",
    "Knowledge": "causal.discovery.knowledge",
    "Discovery": "causal.discovery.result",
    "DiscoverySession": "causal.discovery.session",
    "BudgetPlan": "budget",
    "CostCurve": "budget",
    "Limit": "budget",
    "LiftTest": "data.lift_tests",
    "read_lift_tests": "data.lift_tests",
    "compare_lift_tests": "causal.effects.lift_comparison",
    "business_kpis": "causal.effects.kpis",
    "IdentificationError": "causal.identify.criteria",
    "admgda": "augmentation.augment",
    "AugmentedData": "augmentation.table",
    "AugmentationWarning": "augmentation.table",
    "CausalDA": "augmentation.pipeline",
    "CausalMMM": "causal_mmm",
    "CausalMMMSpec": "causal_mmm",
    "load_causal_mmm": "causal_mmm",
    "compare_models": "validation.comparison",
    "model_grid": "validation.comparison",
    "k_fold": "validation.cross_validation",
    "leave_future_out": "validation.cross_validation",
    "rolling_origin": "validation.rolling",
    "prior_sensitivity": "validation.sensitivity",
    "ModelSpec": "model.spec",
    "ModelSpecError": "model.spec",
    "ChannelSpec": "model.spec",
    "PriorSpec": "model.priors",
    "ModelDataError": "model.checks",
    "FitFileError": "model.store",
    "SamplerSpec": "inference.mcmc",
    "DiagnosticsReport": "inference.verdict",
}

__all__ = [
    "MMM",
    "AugmentationWarning",
    "AugmentedData",
    "BudgetPlan",
    "CausalDA",
    "CausalGraph",
    "CausalMMM",
    "CausalMMMSpec",
    "ChannelSpec",
    "Checkpoint",
    "CostCurve",
    "DataError",
    "DataWarning",
    "DiagnosticsReport",
    "Discovery",
    "DiscoverySession",
    "EffectEstimate",
    "EffectsTable",
    "FalsificationReport",
    "FitFileError",
    "FitMap",
    "FitMemoryError",
    "FitResult",
    "GraphError",
    "IdentificationError",
    "Knowledge",
    "LiftTest",
    "Limit",
    "MMMData",
    "MemoryEstimate",
    "ModelDataError",
    "ModelSpec",
    "ModelSpecError",
    "PriorSpec",
    "RunFolderError",
    "SamplerSpec",
    "SamplingWarning",
    "ShopPanel",
    "SimulatedLift",
    "SimulatedMMM",
    "SimulatedMediation",
    "SimulatedSCM",
    "StructuralFit",
    "StructuralMMM",
    "TrainingWarning",
    "WriteError",
    "__version__",
    "admgda",
    "air_contributions",
    "average_treatment_effect",
    "business_kpis",
    "compare_lift_tests",
    "compare_models",
    "discover",
    "effects_table",
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
    "prior_sensitivity",
    "read_lift_tests",
    "refute",
    "rolling_origin",
    "sensitivity",
    "simulate_air_shops",
    "simulate_lift_test",
    "simulate_mediation",
    "simulate_mmm",
    "simulate_scm",
    "simulate_shops",
    "use_compilation_cache",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'mmm_bayes' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"mmm_bayes.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
