"""Load a saved structural fit."""

from __future__ import annotations

import os

from mmm_bayes.runtime.deprecation import named_arguments
from mmm_bayes.structural import files
from mmm_bayes.structural.fit import StructuralFit


@named_arguments
def load_structural_fit(path: str | os.PathLike[str]) -> StructuralFit:
    """Load a fit that :meth:`StructuralFit.save` has written.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    FitFileError
        If the file is damaged (it names the part), is not a structural fit, or is from a newer
        version.
    """
    return StructuralFit(*files.read(path))
