"""Result classes, for annotations; they are returned by calls, not created by users."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmm_bayes.runtime.lazy_import import lazy_names

if TYPE_CHECKING:
    from mmm_bayes.augmentation.table import AugmentedData
    from mmm_bayes.budget import BudgetPlan
    from mmm_bayes.causal.check.falsification_report import FalsificationReport
    from mmm_bayes.causal.discovery.result import Discovery
    from mmm_bayes.causal.effects.estimate import EffectEstimate, EffectsTable
    from mmm_bayes.fit_result import FitResult
    from mmm_bayes.inference.memory import MemoryEstimate
    from mmm_bayes.inference.verdict import DiagnosticsReport
    from mmm_bayes.many_fits.fit_map import FitMap
    from mmm_bayes.structural import StructuralFit

__all__ = [
    "AugmentedData",
    "BudgetPlan",
    "DiagnosticsReport",
    "Discovery",
    "EffectEstimate",
    "EffectsTable",
    "FalsificationReport",
    "FitMap",
    "FitResult",
    "MemoryEstimate",
    "StructuralFit",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "AugmentedData": "augmentation.table",
        "BudgetPlan": "budget",
        "DiagnosticsReport": "inference.verdict",
        "Discovery": "causal.discovery.result",
        "EffectEstimate": "causal.effects.estimate",
        "EffectsTable": "causal.effects.estimate",
        "FalsificationReport": "causal.check.falsification_report",
        "FitMap": "many_fits.fit_map",
        "FitResult": "fit_result",
        "MemoryEstimate": "inference.memory",
        "StructuralFit": "structural",
    },
)
