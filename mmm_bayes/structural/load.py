"""Load a saved structural fit."""

from __future__ import annotations

import os

from mmm_bayes.runtime.deprecation import named_arguments
from mmm_bayes.structural import files
from mmm_bayes.structural.fit import StructuralFit


@named_arguments
def load_structural_fit(path: str | os.PathLike[str]) -> StructuralFit:
    """Load a fit that was written by :meth:`StructuralFit.save`.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    FitFileError
        If the file is damaged (the message names the part), is not a structural fit, or was written
        by a newer version.
    """
    return StructuralFit(*files.read(path))
