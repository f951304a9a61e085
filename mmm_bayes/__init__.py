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
    from mmm_bayes.causal.graph import CausalGraph, GraphError
    from mmm_bayes.causal_mmm import CausalMMM, CausalMMMSpec, load_causal_mmm
    from mmm_bayes.data.datasets import list_datasets, load_dataset, load_truth
    from mmm_bayes.data.findings import DataError, DataWarning
    from mmm_bayes.data.panel import ShopPanel
    from mmm_bayes.data.schema import MMMData
    from mmm_bayes.data.scm import SimulatedSCM, simulate_scm
    from mmm_bayes.data.shops import simulate_shops
    from mmm_bayes.data.shops_air import simulate_air_shops
    from mmm_bayes.data.shops_load import load_shops, panel_to_frame
    from mmm_bayes.data.simulate import SimulatedMMM, simulate_mmm
    from mmm_bayes.fit import MMM, FitResult, load_fit
    from mmm_bayes.inference.mcmc import SamplerSpec
    from mmm_bayes.inference.verdict import DiagnosticsReport
    from mmm_bayes.model.checks import ModelDataError
    from mmm_bayes.model.priors import PriorSpec
    from mmm_bayes.model.spec import ChannelSpec, ModelSpec, ModelSpecError
    from mmm_bayes.model.store import FitFileError

_HOME = {
    "MMM": "fit",
    "FitResult": "fit",
    "load_fit": "fit",
    "MMMData": "data.schema",
    "DataError": "data.findings",
    "DataWarning": "data.findings",
    "list_datasets": "data.datasets",
    "load_dataset": "data.datasets",
    "load_truth": "data.datasets",
    "SimulatedMMM": "data.simulate",
    "simulate_mmm": "data.simulate",
    "SimulatedSCM": "data.scm",
    "simulate_scm": "data.scm",
    "ShopPanel": "data.panel",
    "simulate_shops": "data.shops",
    "simulate_air_shops": "data.shops_air",
    "load_shops": "data.shops_load",
    "panel_to_frame": "data.shops_load",
    "CausalGraph": "causal.graph",
    "GraphError": "causal.graph",
    "admgda": "augmentation.augment",
    "AugmentedData": "augmentation.table",
    "AugmentationWarning": "augmentation.table",
    "CausalDA": "augmentation.pipeline",
    "CausalMMM": "causal_mmm",
    "CausalMMMSpec": "causal_mmm",
    "load_causal_mmm": "causal_mmm",
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
    "CausalDA",
    "CausalGraph",
    "CausalMMM",
    "CausalMMMSpec",
    "ChannelSpec",
    "DataError",
    "DataWarning",
    "DiagnosticsReport",
    "FitFileError",
    "FitResult",
    "GraphError",
    "MMMData",
    "ModelDataError",
    "ModelSpec",
    "ModelSpecError",
    "PriorSpec",
    "SamplerSpec",
    "ShopPanel",
    "SimulatedMMM",
    "SimulatedSCM",
    "__version__",
    "admgda",
    "list_datasets",
    "load_causal_mmm",
    "load_dataset",
    "load_fit",
    "load_shops",
    "load_truth",
    "panel_to_frame",
    "simulate_air_shops",
    "simulate_mmm",
    "simulate_scm",
    "simulate_shops",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'mmm_bayes' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"mmm_bayes.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
