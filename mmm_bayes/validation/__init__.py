"""Validation of models: rolling origins, cross-validation, comparison, prior sensitivity.

The public names, listed in ``__all__``, load on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmm_bayes.validation.comparison import ModelComparison, compare_models, model_grid
    from mmm_bayes.validation.cross_validation import k_fold, leave_future_out, leave_one_out
    from mmm_bayes.validation.rolling import rolling_origin
    from mmm_bayes.validation.rolling_result import RollingOrigin
    from mmm_bayes.validation.sensitivity import PriorSensitivity, prior_sensitivity

_HOME = {
    "rolling_origin": "rolling",
    "RollingOrigin": "rolling_result",
    "leave_future_out": "cross_validation",
    "leave_one_out": "cross_validation",
    "k_fold": "cross_validation",
    "compare_models": "comparison",
    "model_grid": "comparison",
    "ModelComparison": "comparison",
    "prior_sensitivity": "sensitivity",
    "PriorSensitivity": "sensitivity",
}

__all__ = [
    "ModelComparison",
    "PriorSensitivity",
    "RollingOrigin",
    "compare_models",
    "k_fold",
    "leave_future_out",
    "leave_one_out",
    "model_grid",
    "prior_sensitivity",
    "rolling_origin",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'mmm_bayes.validation' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"mmm_bayes.validation.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
