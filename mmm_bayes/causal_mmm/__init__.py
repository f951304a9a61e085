"""CausalMMM: the Granger graph of each shop of a panel, and forecasts and effects along it."""

from mmm_bayes.causal_mmm.load import load_causal_mmm
from mmm_bayes.causal_mmm.model import CausalMMM
from mmm_bayes.causal_mmm.networks.training import TrainingWarning
from mmm_bayes.causal_mmm.spec import CausalMMMSpec

__all__ = ["CausalMMM", "CausalMMMSpec", "TrainingWarning", "load_causal_mmm"]
