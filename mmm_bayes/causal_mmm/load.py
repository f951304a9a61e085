"""Load a saved CausalMMM."""

from __future__ import annotations

from pathlib import Path

from mmm_bayes.causal_mmm import files
from mmm_bayes.causal_mmm.model import CausalMMM
from mmm_bayes.runtime.deprecation import named_arguments


@named_arguments
def load_causal_mmm(path: Path | str) -> CausalMMM:
    """Read a model that :meth:`CausalMMM.save` has written.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not such a model, damaged, or in a later format.
    """
    spec, fitted = files.read(path)
    cm = CausalMMM.from_spec(spec)
    cm._fitted = fitted
    return cm
