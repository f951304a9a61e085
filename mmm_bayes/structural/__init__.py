"""Structural models: one fitted equation per node of a causal graph, and interventions on them."""

from mmm_bayes.structural.fit import StructuralFit
from mmm_bayes.structural.load import load_structural_fit
from mmm_bayes.structural.model import StructuralMMM

__all__ = ["StructuralFit", "StructuralMMM", "load_structural_fit"]
